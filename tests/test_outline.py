"""What bench plan, show and list say of a suite before anything runs."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from benchbench.store import Store, content_key


def bench(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "benchbench", *arguments],
        cwd=folder,
        env={**os.environ, "BENCHBENCH_STORE": str(folder / "store")},
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )


def test_the_plan_lists_pairs_and_those_that_do_not_fit(tmp_path: Path) -> None:
    (tmp_path / "s.yaml").write_text(
        "title: t\nencoders: [resnet50]\nprotocols: [transfer]\n"
        "tasks: [aptos2019/grade, idrid/grade, papila/grade]\n"
    )
    said = bench(tmp_path, "plan", "s.yaml").stdout
    assert "transfer: aptos2019/grade -> idrid/grade" in said
    assert "transfer: idrid/grade -> aptos2019/grade" in said
    assert "not paired: aptos2019/grade (" in said
    assert "papila/grade (" in said.partition("not paired")[2]


def test_a_suite_shows_its_metrics_families_and_expected_cost(tmp_path: Path) -> None:
    said = " ".join(bench(tmp_path, "show", "suite", "dr_grading").stdout.split())
    for words in (
        "question:",
        "primary metric: quadratic_kappa: aptos2019/grade",
        "families: primary: every pair",
    ):
        assert words in said
    assert "expected cost: in all:" in said
    assert "GPU-hours" in said
    assert "RTX 4090" in said
    listed = bench(tmp_path, "list", "suites").stdout
    assert "GPU-hours" in listed.splitlines()[0]


def test_a_plan_prints_expected_gpu_hours_by_protocol(tmp_path: Path) -> None:
    (tmp_path / "s.yaml").write_text(
        "title: t\nencoders: [retfound_mae_cfp]\ntasks: [idrid/grade]\nprotocols: [linear_probe, fine_tune]\n"
    )
    said = bench(tmp_path, "plan", "s.yaml").stdout.partition("Expected on one GPU")[2]
    assert "linear_probe: under 0.01 GPU-hours" in said
    assert "fine_tune: 0." in said
    assert "in all: 0." in said


def test_a_store_that_another_version_wrote_to_breaks_no_list_and_no_plan(tmp_path: Path) -> None:
    def write(folder: Path) -> None:
        (folder / "cost.csv").write_text("encoder,speed\nresnet50,1\n")

    Store(tmp_path / "store").publish("cost", content_key({}), {}, write)
    listed = bench(tmp_path, "list", "suites").stdout
    assert "GPU-hours" in listed
    assert "BROKEN" not in listed
    assert "GPU-hours" in bench(tmp_path, "plan", "quickstart").stdout
