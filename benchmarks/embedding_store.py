"""How fast kept embeddings open and read: a million rows of 1024 float32 numbers (4.1 GB; needs the disk space).

python benchmarks/embedding_store.py [--rows 1000000]
"""

from __future__ import annotations

import argparse
import tempfile
import time
from pathlib import Path

import numpy as np

from benchbench.embedding import SHARD_ROWS, open_embeddings
from benchbench.shards import Parts
from benchbench.store import Store, content_key


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--dim", type=int, default=1024)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        store, identity = Store(Path(folder)), {"rows": args.rows, "dim": args.dim}
        key = content_key(identity)
        parts = Parts(store, "embeddings", identity, key, args.rows)
        block = np.random.default_rng(0).standard_normal((SHARD_ROWS, args.dim), dtype=np.float32)
        for i, start in enumerate(range(0, args.rows, SHARD_ROWS)):
            parts.write(i, block[: min(SHARD_ROWS, args.rows - start)])
        parts.publish((args.dim,), np.float32, SHARD_ROWS, 1, {})
        opened, read = [], []
        for _ in range(9):
            start_time = time.perf_counter()
            rows = open_embeddings(store, key)
            assert rows is not None
            opened.append(time.perf_counter() - start_time)
            float(rows[args.rows // 2].sum())
            read.append(time.perf_counter() - start_time)
        for what, times in (("open", opened), ("open and read one row", read)):
            print(f"{rows.shape}: {what}: first {times[0] * 1000:.1f} ms, best {min(times) * 1000:.1f} ms")
        print("The first row of a shard takes the time of checking it, once in the life of a process.")
        for name in ("first", "second"):
            start_time = time.perf_counter()
            total = sum(float(shard.sum(dtype=np.float64)) for shard in rows.shards)
            seconds = time.perf_counter() - start_time
            print(
                f"sum of all, {name} time: {args.rows * args.dim * 4 / seconds / 1e9:.1f} GB/s ({total:.0f})"
            )


if __name__ == "__main__":
    main()
