"""A third party's encoder: the mean colour of a grid of squares, without trained weights."""

from benchbench import EncoderInfo, Preprocess, hookimpl


def load(weights_path, device):
    """Normalised images (B, 3, 64, 64) to the colours of 4 x 4 squares (B, 48)."""
    from .network import Squares

    return Squares().eval().to(device)


GOOD = EncoderInfo(
    name="good_squares",
    title="Mean colours of squares",
    architecture="average pooling",
    embed_dim=48,
    preprocess=Preprocess(name="eval", size=64, resize="squash", source="this package"),
    pooling="4 x 4 squares, side by side",
    load=load,
    weights=None,
    licence="Apache-2.0",
    citation="",
    layer_groups=lambda module: (("scale",),),
)


@hookimpl
def benchbench_encoders():
    """What this package brings."""
    return [GOOD]
