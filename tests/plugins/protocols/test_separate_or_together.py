"""Eight models for one sign against one model for eight, on a simulation with the published counts."""

from __future__ import annotations

import csv
import os
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow

PUBLISHED = {  # label: positives among 1,360 training and 410 test images
    "healthy": (420, 165),
    "foveal_scan": (135, 33),
    "srf": (89, 2),
    "irf": (69, 6),
    "drusen": (227, 91),
    "ped": (220, 27),
    "hdots": (840, 257),
    "hfoci": (40, 32),
}
SUITE = f"""\
title: Eight signs
encoders: [untrained/test_efficientnet, untrained/test_vit]
tasks: [oct_signatures/signatures, {", ".join(f"oct_signatures/{name}" for name in PUBLISHED)}]
protocols:
  - protocol: linear_probe
    config: {{C_grid: [0.001, 0.01], folds: 3}}
    tasks: [{", ".join(f"oct_signatures/{name}" for name in PUBLISHED)}]
  - {{protocol: multitask, config: {{C_grid: [0.001, 0.01], folds: 3}}}}
datasets: {{oct_signatures: {{simulated: {{images: 1770}}}}}}
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run of the suite."""
    root = tmp_path_factory.mktemp("signs")
    (root / "signs.yaml").write_text(SUITE)
    done = subprocess.run(
        [sys.executable, "-m", "benchbench", "run", "signs.yaml"],
        cwd=root,
        env={**os.environ, "BENCHBENCH_STORE": str(root / "store"), "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        check=False,
        timeout=600,
    )
    assert done.returncode == 0, done.stderr
    return root


def table(path: Path) -> list[dict[str, str]]:
    with path.open(newline="", encoding="utf-8") as stream:
        return list(csv.DictReader(stream))


def test_the_simulation_has_the_published_counts_and_whole_volumes_in_one_part(folder: Path) -> None:
    (found,) = (folder / "store").rglob("labels.csv")
    rows = table(found)
    parts = ("train", "test")
    assert [sum(r["split"] == p for r in rows) for p in parts] == [1360, 410]
    for name, counts in PUBLISHED.items():
        assert tuple(sum(r["split"] == p and r[name] == "1" for r in rows) for p in parts) == counts
    assert max(Counter(p for p, _ in {(r["patient_id"], r["split"]) for r in rows}).values()) == 1


def test_the_table_has_every_sign_and_scores_all_but_the_two_fluids(folder: Path) -> None:
    run = folder / "reports/signs/latest"
    rows = table(run / "tables/together.csv")
    signs = [r for r in rows if r["label"] != "macro average"]
    assert len(signs) == 8 * 2
    assert len(rows) == 9 * 2
    for r in signs:
        assert (int(r["positive"]), int(r["negative"])) == (
            PUBLISHED[r["task"].rpartition("/")[2]][1],
            410 - int(r["positive"]),
        )
    counted = {r["task"].rpartition("/")[2] for r in signs if r["verdict"] == "too_few_cases"}
    assert counted == {"srf", "irf"}
    assert all(r["p_holm"] for r in rows if r["verdict"] != "too_few_cases")
    page = (run / "report.html").read_text(encoding="utf-8")
    section = page.partition('id="together-h"')[2].partition("</section>")[0]
    assert section.count("counted, not scored") == 2 * 2
    assert "6 labels, without Subretinal fluid" in section
