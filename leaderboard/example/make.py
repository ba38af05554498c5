"""Make the example leaderboard anew from the example run: freeze its spec, submit its encoders, release, build.

    python leaderboard/example/make.py [FOLDER]

Without FOLDER this folder's spec, submissions, releases and site are replaced. The run is reports/example, which
`python reports/example/make.py` makes. Its photographs are simulated, so every page is marked as a demonstration.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
RUN = HERE.parents[1] / "reports" / "example"
TITLE = "Example leaderboard"
DATE = "2026-01-15"
NOTES = "A demonstration on simulated photographs, made by leaderboard/example/make.py."


def bench(*arguments: str) -> None:
    """Run one bench command; stop when it fails."""
    subprocess.run([sys.executable, "-m", "benchbench", *arguments], check=True)


def make(folder: Path, run: Path) -> None:
    """Write spec, submissions, release and site of a quickstart run into `folder`."""
    for name in ("spec", "submissions", "releases", "site"):
        shutil.rmtree(folder / name, ignore_errors=True)
    bench("leaderboard", "spec", str(run), "--to", str(folder))
    who = ("--submitter", "benchbench demonstration", "--notes", NOTES, "--date", DATE)
    bench("submit", str(run), "--to", str(folder), *who)
    bench("leaderboard", "release", "2026.1", "--root", str(folder), "--date", DATE)
    bench("leaderboard", "build", str(folder), "--title", TITLE)


def main() -> None:
    """Make the example from the committed run."""
    make(Path(sys.argv[1]) if len(sys.argv) > 1 else HERE, RUN)


if __name__ == "__main__":
    main()
