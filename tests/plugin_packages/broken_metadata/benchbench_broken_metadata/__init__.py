"""Its encoder has an impossible width."""

from benchbench import EncoderInfo, Preprocess, hookimpl


@hookimpl
def benchbench_encoders():
    """What this package brings."""
    return [
        EncoderInfo(
            name="negative",
            title="Negative width",
            architecture="none",
            embed_dim=-3,
            preprocess=Preprocess(name="eval", size=64),
            pooling="none",
            load=lambda path, device: None,
            weights=None,
            licence="Apache-2.0",
            citation="",
        )
    ]
