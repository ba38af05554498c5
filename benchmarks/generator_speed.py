"""How long one synthetic image of 224 pixels takes on one core, beside a peer: decoding and resizing a photograph.

    python benchmarks/generator_speed.py

The ratio to the peer, measured in the same run, says more than the milliseconds on a busy machine.
"""

from __future__ import annotations

import io
import statistics
import time
from collections.abc import Callable

import numpy as np
from benchbench_datasets.synthetic.anatomy import Camera, draw_person
from benchbench_datasets.synthetic.findings import dr_findings
from benchbench_datasets.synthetic.fundus import render_fundus
from benchbench_datasets.synthetic.oct import Scanner, Signs, draw_volume, render_bscan
from benchbench_datasets.synthetic.seeds import generator
from PIL import Image

IMAGES, REPEATS, LIMIT_MS = 40, 5, 10.0
CAMERA = Camera(224, 224, 0.97, (150, 79, 32), (25, 18, 14))
SCANNER = Scanner(224, 224)


def fundus(i: int) -> None:
    """One photograph, grades in turn."""
    person = draw_person(CAMERA, generator(0, "person", i))
    own = generator(0, "eye", i)
    render_fundus(CAMERA, person, "OD", dr_findings(i % 5, 2, own), own, generator(0, "image", i))


def bscan(i: int) -> None:
    """One B-scan, signs in turn."""
    signs = Signs(foveal_scan=i % 3 == 0, srf=i % 4 == 0, irf=i % 4 == 1, drusen=i % 4 == 2, hdots=i % 2 == 0)
    render_bscan(SCANNER, draw_volume(generator(0, "v", i)), signs, 0.0, generator(0, "s", i))


def peer() -> Callable[[int], None]:
    """Decode a 1,500 x 1,000 JPEG and resize it to 224, as every benchmark does per image."""
    buffer = io.BytesIO()
    pixels = np.random.default_rng(0).integers(0, 255, (100, 150, 3), dtype=np.uint8)
    Image.fromarray(pixels).resize((1500, 1000), Image.Resampling.BICUBIC).save(buffer, "JPEG", quality=90)

    def decode(i: int) -> None:
        with Image.open(io.BytesIO(buffer.getvalue())) as image:
            image.convert("RGB").resize((224, 224), Image.Resampling.BICUBIC)

    return decode


def milliseconds(work: Callable[[int], None]) -> float:
    """Median processor time per call over the repeats."""
    work(0)
    times = []
    for _ in range(REPEATS):
        started = time.process_time()
        for i in range(IMAGES):
            work(i)
        times.append((time.process_time() - started) / IMAGES * 1e3)
    return statistics.median(times)


def main() -> None:
    """Print the table."""
    reference = milliseconds(peer())
    print(f"{'work':<28}{'ms of CPU':>10}{'ratio':>8}")
    print(f"{'peer: decode and resize':<28}{reference:>10.1f}{1.0:>8.2f}")
    for name, work in (("fundus photograph, 224 px", fundus), ("OCT B-scan, 224 px", bscan)):
        found = milliseconds(work)
        verdict = "" if found < LIMIT_MS else f"  above the aim of {LIMIT_MS:.0f} ms here"
        print(f"{name:<28}{found:>10.1f}{found / reference:>8.2f}{verdict}")


if __name__ == "__main__":
    main()
