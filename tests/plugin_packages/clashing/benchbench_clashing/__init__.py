"""Claims the name of another package's encoder."""

from dataclasses import replace

from benchbench_encoders.resnet50 import ENCODERS

from benchbench import hookimpl


@hookimpl
def benchbench_encoders():
    """What this package brings."""
    return [replace(ENCODERS[0], title="Somebody else's ResNet50")]
