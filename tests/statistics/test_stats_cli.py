"""`bench stats` on anyone's files."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from benchbench.cli.stats import stats
from benchbench.statistics import StatisticsError, delong_test
from benchbench.statistics.predictions_file import read_scores

GOLDEN = Path(__file__).resolve().parents[1] / "golden" / "statistics" / "inputs"


def run(*arguments):
    result = CliRunner().invoke(stats, [str(a) for a in arguments], catch_exceptions=False)
    return result.exit_code, result.output


def test_selftest_reproduces_what_is_shipped_and_says_what_is_missing(tmp_path):
    code, output = run("selftest", "--examples", tmp_path)
    assert code == 0
    assert "24 reproduced, 0 wrong" in output
    assert output.count("not here") > 20


def test_selftest_reproduces_published_data_sets(shared):
    code, output = run("selftest", "--examples", shared / "golden" / "statistics")
    assert code == 0
    assert "0 wrong, 0 without data" in output
    assert "4.484854" in output


def test_selftest_fails_on_a_wrong_number(monkeypatch, tmp_path):
    from benchbench.statistics import selftest

    monkeypatch.setitem(selftest._SHIPPED, "splits", lambda columns: {"t": 2.3, "p": 0.04})
    code, output = run("selftest", "--examples", tmp_path)
    assert code == 1
    assert output.count("WRONG") == 2


def test_delong_reads_a_plain_file(golden):
    code, output = run("delong", GOLDEN / "c17_idrid_like_69_34.csv")
    assert code == 0
    assert "103 cases, 69 positive (column y); every case taken as its own patient" in output
    assert "p (Holm) over 10 tests" in output
    y, scores = golden.binary("c17_idrid_like_69_34")
    expected = delong_test(y, scores[:, 0], scores[:, 1])
    line = next(line for line in output.splitlines() if line.startswith("s0 - s1"))
    assert f"{expected.z:.4f}" in line
    assert f"{expected.p_value:.4f}" in line


def test_delong_clusters_by_a_patient_column():
    _, output = run("delong", GOLDEN / "k01_papila_like_244x2.csv")
    assert "244 patients (column cluster)" in output
    assert "clustered by patient" in output
    assert "0.0013" in output


def test_delong_prints_a_reason_where_no_test_applies():
    _, ours = run("delong", GOLDEN / "c24_perfect_vs_reversed.csv")
    assert "degenerate_variance" in ours
    assert "inf" not in ours
    _, theirs = run("delong", GOLDEN / "c24_perfect_vs_reversed.csv", "--compat", "pROC")
    assert "inf" in theirs


@pytest.mark.parametrize("separator", [",", ";", "\t"])
def test_separators_decimal_commas_and_marks_of_order_are_understood(tmp_path, separator):
    rng = np.random.default_rng(0)
    decimal = "." if separator == "," else ","
    lines = [separator.join(["image_id", "Label", "patient_id", "model A", "model B"])]
    y, scores = np.arange(40) % 2, rng.random((40, 2))
    for i in range(40):
        cells = [
            f"img{i}.png",
            str(y[i]),
            f"P{i // 2}",
            *(f"{v:.6f}".replace(".", decimal) for v in scores[i]),
        ]
        lines.append(separator.join(cells))
    path = tmp_path / "predictions.csv"
    path.write_text("\n".join(lines) + "\n\n", encoding="utf-8-sig")
    table = read_scores(path)
    assert table.names == ("model A", "model B")
    assert table.labels.tolist() == y.tolist()
    assert table.scores == pytest.approx(np.round(scores, 6))
    assert table.patients.tolist() == [f"P{i // 2}" for i in range(40)]


@pytest.mark.parametrize(
    ("text", "options", "words"),
    [
        ("y,a\n1,0.5\n0,high\n", {}, "holds 'high', which is not a number"),
        ("y,a\n1,0.5\n0,\n", {}, "column 'a' is empty"),
        ("y,a\n1,0.5,3\n", {}, "row 2 has 3 cells"),
        ("x,a\n1,0.5\n", {}, "no column of labels"),
        ("y,a\n1,0.5\n", {"label": "yy"}, "did you mean 'y'"),
        ("y\n1\n", {}, "only one column"),
        ("y,a\n", {}, "no cases"),
        ("y,patient\n1,3\n", {}, "no column of scores"),
    ],
)
def test_files_that_cannot_be_read_say_where_and_why(tmp_path, text, options, words):
    path = tmp_path / "p.csv"
    path.write_text(text)
    with pytest.raises(StatisticsError, match=words) as caught:
        read_scores(path, **options)
    assert "p.csv" in str(caught.value)
