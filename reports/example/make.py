"""Make the example report anew: run the quickstart on simulated photographs and keep its folder here.

    python reports/example/make.py           run the suite (a few minutes on two cores), then render
    python reports/example/make.py --render  render again from the committed rows and predictions

The leaderboard's example is made from this run: run `python leaderboard/example/make.py` afterwards.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from benchbench.report import write_report

HERE = Path(__file__).resolve().parent
SUITE = HERE.parents[1] / "suites" / "quickstart.yaml"
RUN_FILES = ("rows.csv", "predictions.parquet", "run.json", "suite.yaml")
"""What is kept of the run; everything else here is rendered from these."""


def keep(run: Path, folder: Path) -> None:
    """Copy a run's files into `folder`, without what names the machine that made them."""
    for path in folder.iterdir():
        if path.is_dir():
            shutil.rmtree(path)
        elif path.name != "make.py":
            path.unlink()
    for name in RUN_FILES:
        shutil.copyfile(run / name, folder / name)
    info = json.loads((folder / "run.json").read_text(encoding="utf-8"))
    info |= {"command": "bench run suites/quickstart.yaml", "git_commit": ""}
    info["hardware"] = {k: v for k, v in info["hardware"].items() if k in ("processor", "cores", "device")}
    text = json.dumps(info, indent=1, ensure_ascii=False) + "\n"
    (folder / "run.json").write_text(text, encoding="utf-8")


def main() -> None:
    """Run the quickstart in a temporary folder unless --render is given, then render the report."""
    if "--render" not in sys.argv[1:]:
        with tempfile.TemporaryDirectory() as scratch:
            command = [sys.executable, "-m", "benchbench", "run", str(SUITE), "--out", scratch]
            subprocess.run(command, check=True)
            keep(Path(scratch) / "quickstart" / "latest", HERE)
    print(write_report(HERE))


if __name__ == "__main__":
    main()
