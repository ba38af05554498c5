"""Probe-heavy work by one and by two loky workers: seconds of the stage that computes the cells, and their ratio.

The embeddings are computed once and copied, so that both runs do nothing but fit probes. Each worker has one thread,
and its start (the imports) counts. Takes about five minutes on two quiet cores.

python benchmarks/two_workers.py [--images 900] [--repeats 12]
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

SUITE = """\
title: Probes only
question: How much faster are two workers?
encoders: [efficientnet_lite0, efficientnet_lite2]
datasets: {{idrid: {{simulated: {{images: {images}, seed: 3}}}}}}
tasks: [idrid/grade, idrid/referable, idrid/any_dr]
protocols:
  - {{protocol: {first}}}
"""
CHEAP = "prototype"
PROBES = "label_efficiency, config: {{fractions: [0.5, 0.75, 1.0], repeats: {repeats}}}"


def bench(suite: Path, store: Path, *more: str) -> dict:
    """Run a suite as a user does; its run.json."""
    out = suite.parent / "out"
    command = [sys.executable, "-m", "benchbench", "run", str(suite), "--out", str(out), *more]
    environment = {**os.environ, "BENCHBENCH_STORE": str(store)}
    done = subprocess.run(command, env=environment, capture_output=True, text=True)
    if done.returncode:
        sys.exit(f"bench run ended with {done.returncode}:\n{done.stderr}")
    return json.loads((out / suite.stem / "latest" / "run.json").read_text())


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--images", type=int, default=900)
    parser.add_argument("--repeats", type=int, default=12)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        suites = {}
        for stem, protocol in (("embed", CHEAP), ("probes", PROBES.format(repeats=options.repeats))):
            suites[stem] = folder / f"{stem}.yaml"
            suites[stem].write_text(SUITE.format(images=options.images, first=protocol))
        embedded = folder / "embedded"
        bench(suites["embed"], embedded)
        seconds = {}
        for jobs in (1, 2):
            store = folder / f"store{jobs}"
            shutil.copytree(embedded, store)
            run = bench(suites["probes"], store, "--engine", "loky", "--jobs", str(jobs))
            seconds[jobs] = run["timings"]["cells"]
            print(f"{jobs} worker(s): {run['cells']['computed']} cells in {seconds[jobs]:.1f} s", flush=True)
            shutil.rmtree(store)
        print(f"two workers are {seconds[1] / seconds[2]:.2f} times as fast as one")


if __name__ == "__main__":
    main()
