"""How fast the commands that people wait for begin: help, a list and a plan, beside an empty Python.

Each command runs in a fresh process `--runs` times; the best time is printed, which is what the machine can do when
nothing else wants it. The goals are for 2 free cores; the store, data and weights of the plan are empty.

    python benchmarks/startup.py
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time

COMMANDS: dict[str, tuple[list[str], float | None]] = {
    "python -c pass": (["-c", "pass"], None),
    "bench --help": (["-m", "benchbench", "--help"], 0.2),
    "bench list encoders": (["-m", "benchbench", "list", "encoders"], 0.3),
    "bench plan dr_grading": (["-m", "benchbench", "plan", "dr_grading"], 1.0),
}
"""What is run, and the goal in seconds."""


def best(arguments: list[str], runs: int, environment: dict[str, str]) -> float:
    """Seconds of the fastest of `runs` fresh processes."""
    times = []
    for _ in range(runs):
        start = time.perf_counter()
        subprocess.run([sys.executable, *arguments], env=environment, capture_output=True, check=False)
        times.append(time.perf_counter() - start)
    return min(times)


def main() -> None:
    """Print one line per command."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--runs", type=int, default=7, help="fresh processes per command")
    runs = parser.parse_args().runs
    with tempfile.TemporaryDirectory() as store:
        environment = {k: v for k, v in os.environ.items() if not k.startswith("BENCHBENCH_")}
        environment["BENCHBENCH_STORE"] = store
        for name, (arguments, goal) in COMMANDS.items():
            seconds = best(arguments, runs, environment)
            beside = "" if goal is None else f"  goal {goal:.1f} s: {'met' if seconds < goal else 'MISSED'}"
            print(f"{name:<24} {seconds:6.3f} s, best of {runs}{beside}")


if __name__ == "__main__":
    main()
