"""The comparison table published with RETFound-Green, value by value, and what has to be said about it.

Source: Engelmann and Bernabeu, Nature Communications 2025 (arXiv 2405.00117), the comparison of RETFound-MEH,
DERETFound and RETFound-Green. Shown beside our own values, never in their column.
"""

from __future__ import annotations

from dataclasses import dataclass

SOURCE = "Engelmann and Bernabeu 2025, comparison of RETFound-MEH, DERETFound and RETFound-Green"
COLUMNS = ("retfound_mae_cfp", "deretfound", "retfound_green")
"""Encoders of the published columns: RETFound-MEH, DERETFound, RETFound-Green."""


@dataclass(frozen=True)
class Published:
    """One line of the published table."""

    values: tuple[str, str, str]
    versus: str
    """RETFound-Green against the best of the others, as published."""
    erratum: str = ""
    """What is wrong with the line, or how to read it."""


PUBLISHED: dict[str, Published] = {
    "pretraining_images": Published(
        ("904,170 images", "150,786 images", "75,000 images"),
        "2x less",
        "150,786 are DERETFound's photographs alone; ours counts the million generated images that it was trained "
        "on first as well.",
    ),
    "pretraining_gpu_days": Published(
        ("112 A100-days", "163 A100-days", "~0.27 A100-days"),
        ">400x less",
        "The 0.27 days were converted from a consumer GPU by a factor that is not stated.",
    ),
    "pretraining_price": Published(
        ("~$10,000", "~$14,000", "<$100"), ">100x less", "Both prices come out at about $3.67 per GPU-hour."
    ),
    "pretraining_coal": Published(
        ("81 kg", "117 kg", "0.2 kg"),
        ">100x less",
        "All three come out at 0.72 kg of coal per GPU-day; the power and grid behind it are not stated.",
    ),
    "hardware": Published(
        (
            "8 datacentre GPUs, 320 GB in all",
            "8 datacentre GPUs, 640 GB in all",
            "1 consumer GPU, 24 GB",
        ),
        ">8x less",
    ),
    "encoder_bytes": Published(
        ("1.12 GB", "1.12 GB", "0.09 GB"),
        "14x less",
        "These are GiB (2^30 bytes), not GB; the ratio does not depend on it.",
    ),
    "checkpoint_bytes": Published(
        ("3.68 GB", "3.68 GB", ""), "", "GiB, not GB; two thirds of RETFound's file are optimiser state."
    ),
    "embedding_bytes_fp32": Published(
        ("39.1 GB", "39.1 GB", "14.6 GB"),
        "2.6x less",
        "Ten times too large: a million embeddings of 1024 (384) float32 numbers are 4.10 (1.54) GB. The ratio is "
        "1024 / 384 = 2.67.",
    ),
    "end_to_end_single": Published(
        ("6 images/s", "6 images/s", "16 images/s"),
        "2.7x faster",
        "Timed from the files at batch 1, decoding included, on hardware that is not named; 2.7 is also the ratio "
        "of the operations.",
    ),
    "probe": Published(
        ("2.45 s/task", "2.40 s/task", "0.96 s/task"),
        "2.5x faster",
        "Mean over tasks of unstated size; the authors' own notebooks differ by more than 15 % between runs.",
    ),
    "wins": Published(
        ("0 + 2 wins", "4 + 2 wins", "5 + 9 wins"),
        "not generally inferior",
        "Not paired tests: the rule behind these wins ranks bootstrap replicates of the best two models, and finds a "
        "winner between equal models most of the time. See the DeLong comparisons instead.",
    ),
}
