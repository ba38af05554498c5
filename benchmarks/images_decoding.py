"""Decode and resize against Pillow, one core, in one run: JPEG exact and fast, PNG; speed and deviation.

python benchmarks/images_decoding.py [folder of images]
"""

from __future__ import annotations

import io
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
from PIL import Image

from benchbench.api import Preprocess
from benchbench.cost.photograph import photograph_jpeg
from benchbench.images import codecs, prepare


def by_pillow(path: Path, size: int) -> np.ndarray:
    return np.asarray(Image.open(path).convert("RGB").resize((size, size), Image.Resampling.BICUBIC))


def best_cpu_seconds(work: Callable[[], object], repeats: int = 5) -> float:
    """Processor time: what other work on the machine takes does not count."""
    found = []
    for _ in range(repeats):
        start = time.process_time()
        work()
        found.append(time.process_time() - start)
    return min(found)


def main() -> None:
    import torch

    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as folder:
        if len(sys.argv) > 1:
            paths = sorted(p for p in Path(sys.argv[1]).rglob("*") if p.suffix.lower() in (".jpg", ".png"))[
                :8
            ]
        else:
            paths = [Path(folder, "photograph.jpg"), Path(folder, "photograph.png")]
            data = photograph_jpeg(4288, 2848)
            paths[0].write_bytes(data)
            Image.open(io.BytesIO(data)).resize((3216, 2136), Image.Resampling.LANCZOS).save(paths[1])
        print(codecs())
        for path in paths:
            for size in (256, 392):
                reference = by_pillow(path, size).astype(int)
                base = best_cpu_seconds(lambda p=path, s=size: by_pillow(p, s))
                for mode in ("exact", "fast") if path.suffix == ".jpg" else ("exact",):
                    recipe = Preprocess(mode, size, "squash", decode=mode)
                    off = np.abs(prepare(path, recipe).astype(int) - reference)
                    ours = best_cpu_seconds(lambda p=path, r=recipe: prepare(p, r))
                    print(
                        f"{path.name} to {size}: Pillow {base * 1000:.0f} ms, {mode} {ours * 1000:.0f} ms, "
                        f"{base / ours:.1f}x; grey levels off: mean {off.mean():.4f}, most {off.max()}"
                    )


if __name__ == "__main__":
    main()
