"""How long a report takes from rows and predictions, and how large it is: a usual suite, and a very large one.

5 encoders x 24 tasks x 5 seeds, and 100 encoders x 50 tasks. Prints seconds of wall and processor time in a fresh
process, the size of report.html, and whether torch came in. Goals: 20 s on 2 cores for the usual one, 6 MB for both.

    python benchmarks/report_speed.py
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "tests"))

from report.builder import ORDINAL, FakeEncoder, FakeRun, FakeTask, write_run  # noqa: E402

CHILD = """
import resource, sys, time
start = time.perf_counter()
from pathlib import Path
from benchbench.report import write_report
page = write_report(Path(sys.argv[1]))
usage = resource.getrusage(resource.RUSAGE_SELF)
print(f"wall {time.perf_counter() - start:.1f} s, processor {usage.ru_utime + usage.ru_stime:.1f} s, "
      f"peak memory {usage.ru_maxrss / 1024:.0f} MiB, report.html {page.stat().st_size / 1e6:.2f} MB, "
      f"torch imported: {'torch' in sys.modules}")
"""


def suite() -> FakeRun:
    """Sixteen binary and eight ordinal tasks of 500 test images each."""
    tasks = [FakeTask(f"set{i}/binary", n=500, title=f"Binary task {i}") for i in range(16)]
    tasks += [FakeTask(f"set{i}/grade", n=500, title=f"Grade {i}", **ORDINAL) for i in range(16, 24)]
    encoders = [FakeEncoder(f"encoder_{i}", 0.8 + 0.25 * i, f"Encoder {i}") for i in range(5)]
    return FakeRun(encoders, tasks, seeds=range(5))


def large() -> FakeRun:
    """A hundred encoders on fifty binary tasks of 200 test images: 247 500 comparisons."""
    tasks = [FakeTask(f"set{i}/binary", n=200, title=f"Task {i}") for i in range(50)]
    encoders = [FakeEncoder(f"encoder_{i}", 0.5 + 0.02 * i, f"Encoder {i}") for i in range(100)]
    return FakeRun(encoders, tasks, validation=False)


def main() -> None:
    """Render both and print what they took."""
    for name, spec in (("5 x 24 x 5", suite()), ("100 x 50", large())):
        with tempfile.TemporaryDirectory() as folder:
            run = write_run(Path(folder), spec)
            print(name, flush=True)
            subprocess.run([sys.executable, "-c", CHILD, str(run)], check=True)


if __name__ == "__main__":
    main()
