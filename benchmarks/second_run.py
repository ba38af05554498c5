"""The share of a second run that goes into loading embeddings: with every result kept, and with new probes to fit.

Loading is everything between a probe's question for embeddings and the numbers in memory: finding them in the store,
opening, checking the checksums, reading rows; and before that the look whether all are there. The first run embeds.

    python benchmarks/second_run.py [--images 900]
"""

from __future__ import annotations

import argparse
import contextlib
import io
import json
import os
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from benchbench import cli
from benchbench.shards import ShardedRows
from benchbench.work import StoreAccess

SUITE = """\
title: Embeddings once, probes again
question: What does a second run spend on loading embeddings?
encoders: [efficientnet_lite0, efficientnet_lite2]
datasets: {{idrid: {{simulated: {{images: {images}, seed: 3}}}}}}
tasks: [idrid/grade, idrid/referable, idrid/any_dr]
protocols:
  - {{protocol: linear_probe, config: {{criterion: {criterion}}}}}
"""


class Stopwatch:
    """Seconds within some functions; one that calls another counts once."""

    def __init__(self) -> None:
        self.seconds, self.calls, self._depth = 0.0, 0, 0

    def watch(self, owner: type, name: str) -> None:
        """Time every call of a method."""
        plain: Callable[..., Any] = getattr(owner, name)

        def timed(*args: Any, **kwargs: Any) -> Any:
            started = time.perf_counter()
            self._depth += 1
            try:
                return plain(*args, **kwargs)
            finally:
                self._depth -= 1
                if not self._depth:
                    self.calls += 1
                    self.seconds += time.perf_counter() - started

        setattr(owner, name, timed)


def bench(suite: Path, out: Path) -> tuple[float, dict[str, Any]]:
    """Seconds of `bench run` in this process, and its run.json."""
    started = time.perf_counter()
    said = io.StringIO()
    with contextlib.redirect_stdout(said), contextlib.redirect_stderr(said):
        try:
            cli.main(["run", str(suite), "--out", str(out)])
        except SystemExit as end:
            if end.code:
                raise SystemExit(said.getvalue()) from None
    seconds = time.perf_counter() - started
    return seconds, json.loads((out / suite.stem / "latest" / "run.json").read_text())


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--images", type=int, default=900)
    args = parser.parse_args()
    loading = Stopwatch()
    loading.watch(StoreAccess, "embeddings")
    loading.watch(ShardedRows, "__getitem__")
    loading.watch(ShardedRows, "__array__")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        os.environ["BENCHBENCH_STORE"] = str(folder / "store")
        suite = folder / "second_run.yaml"
        for what, criterion in (
            ("first run", "log_loss"),
            ("second run, all kept", "log_loss"),
            ("second run, probes anew", "auroc"),
        ):
            suite.write_text(SUITE.format(images=args.images, criterion=criterion))
            loading.seconds, loading.calls = 0.0, 0
            seconds, run = bench(suite, folder / "out")
            looking = 0.0 if what == "first run" else run["timings"].get("embed", 0.0)
            spent = looking + loading.seconds
            print(
                f"{what:24s} {seconds:7.2f} s, {run['cells']['computed']} cells computed, "
                f"{run['cells']['cached']} kept; embeddings: looking {looking:.3f} s, "
                f"loading {loading.seconds:.3f} s in {loading.calls} calls: {spent / seconds:.2%}",
                flush=True,
            )


if __name__ == "__main__":
    main()
