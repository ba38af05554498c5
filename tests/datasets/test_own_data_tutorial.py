"""docs/tutorial/own-data.md, followed to the letter on simulated photographs."""

from __future__ import annotations

import csv
import re
from pathlib import Path

import pytest
from click.testing import CliRunner

from benchbench.cli import bench

TUTORIAL = Path(__file__).resolve().parents[2] / "docs" / "tutorial" / "own-data.md"


@pytest.mark.slow
def test_a_clinicians_table_runs_through_the_tutorials_suite(tmp_path, monkeypatch):
    from benchbench_datasets.synthetic.dr_layouts import dr_photograph

    monkeypatch.chdir(tmp_path)
    folder = tmp_path / "D" / "my_clinic"
    (folder / "images").mkdir(parents=True)
    lines = ["image,label,patient"]
    for k in range(24):
        patient, eye = divmod(k, 2)
        grade = 4 if patient % 2 else 0
        picture = dr_photograph(
            "idrid", f"c{patient}", ("OD", "OS")[eye], f"c{k}", grade, 2 if grade else 0, 9
        )
        picture.save(folder / "images" / f"{k:03d}.png")
        lines.append(f"{k:03d}.png,{'referable' if grade else 'normal'},{patient}")
    (folder / "labels.csv").write_text("\n".join(lines) + "\n", encoding="utf-8")
    blocks = re.findall(r"```yaml\n(.*?)```", TUTORIAL.read_text(encoding="utf-8"), re.DOTALL)
    assert len(blocks[0].splitlines()) <= 12
    (tmp_path / "my_clinic.yaml").write_text(blocks[0], encoding="utf-8")

    arguments = ["run", "my_clinic.yaml", "--data-root", "D"]
    result = CliRunner().invoke(bench, arguments, catch_exceptions=False, standalone_mode=False)
    assert not result.return_value, result.output
    (rows_file,) = (tmp_path / "reports" / "my_clinic").glob("2*/rows.csv")
    with rows_file.open() as stream:
        rows = list(csv.DictReader(stream))
    assert {r["task"] for r in rows} == {"my_clinic/label"}
    assert {r["status"] for r in rows} == {"done"}
    assert "SYNTHETIC" not in rows[0]["stamps"]
    assert (rows_file.parent / "report.html").stat().st_size > 10_000
