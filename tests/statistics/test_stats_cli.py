"""`bench stats` on anyone's files."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from benchbench.cli.compare import compare as compare_command
from benchbench.cli.stats import stats
from benchbench.statistics import NotPaired, StatisticsError, delong_test
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


RNG = np.random.default_rng(8)
SCORES = np.round(RNG.random((40, 2)), 6)
TRUTH = np.arange(40) % 2


def write_table(path, columns, encoding="utf-8", before=""):
    lines = [",".join(columns), *(",".join(map(str, row)) for row in zip(*columns.values(), strict=True))]
    path.write_text(before + "\n".join(lines) + "\n", encoding=encoding)
    return path


@pytest.mark.parametrize("name", ["Patient ID", "patient_id", "PatientID", "Subject-ID", "group"])
def test_a_column_of_patients_is_known_however_it_is_spelt(tmp_path, name):
    path = write_table(tmp_path / "p.csv", {name: np.arange(40) // 2, "y": TRUTH, "a": SCORES[:, 0]})
    table = read_scores(path)
    assert (table.patient_column, table.names) == (name, ("a",))


def test_columns_that_are_no_scores_are_left_out_and_listed(tmp_path):
    columns = {
        "Unnamed: 0": np.arange(40),
        "number": np.arange(1, 41),
        "Age": RNG.integers(30, 80, 40),
        "remark": ["fine"] * 40,
        "y": TRUTH,
        "a": SCORES[:, 0],
    }
    path = write_table(tmp_path / "p.csv", columns)
    table = read_scores(path)
    assert table.names == ("a",)
    assert dict(table.ignored) == {
        "Unnamed: 0": "describes the case",
        "number": "row numbers",
        "Age": "describes the case",
        "remark": "text",
    }
    assert read_scores(path, scores=("Age", "a")).names == ("Age", "a")
    _, output = run("delong", path)
    assert "not compared: Unnamed: 0 (describes the case); number (row numbers); Age" in output
    assert "--scores COLUMN" in output


@pytest.mark.parametrize("words", [("False", "True"), ("healthy", "Glaucoma"), ("1", "2")])
def test_labels_may_be_words(tmp_path, words):
    path = write_table(tmp_path / "p.csv", {"label": np.array(words)[TRUTH], "a": SCORES[:, 0]})
    positive = None if words[1] == "True" else words[1].lower()
    assert read_scores(path, positive=positive).labels.tolist() == TRUTH.tolist()
    with pytest.raises(StatisticsError, match="no case is labelled 'ill'"):
        read_scores(path, positive="ill")
    if positive:
        with pytest.raises(StatisticsError, match="other labels than 0 and 1") as caught:
            read_scores(path)
        assert "--positive" in str(caught.value)


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "cp1252"])
def test_files_of_spreadsheets_are_read_in_their_encodings(tmp_path, encoding):
    columns = {"image": [f"Aug\u00e4pfel{i}" for i in range(40)], "y": TRUTH, "Modell \u00e4": SCORES[:, 0]}
    table = read_scores(write_table(tmp_path / "p.csv", columns, encoding))
    assert table.names == ("Modell \u00e4",)
    assert table.scores[:, 0] == pytest.approx(SCORES[:, 0])
    assert table.ids[3] == "Aug\u00e4pfel3"


def test_lines_that_are_no_data_are_skipped_and_errors_still_name_the_line(tmp_path):
    path = tmp_path / "p.csv"
    path.write_text("sep=;\n# from the clinic\ny;a\n1;0,5\n# and more\n0;nan\n")
    with pytest.raises(StatisticsError, match=r"column 'a' holds 'nan'") as caught:
        read_scores(path)
    assert "row 6" in str(caught.value)
    path.write_text("sep=;\n# from the clinic\ny;a\n1;0,5\n# and more\n0;0,25\n")
    assert read_scores(path).scores[:, 0].tolist() == [0.5, 0.25]


def test_two_columns_of_one_name_are_refused(tmp_path):
    path = tmp_path / "p.csv"
    path.write_text("y,a,a\n1,0.5,0.6\n0,0.1,0.2\n")
    with pytest.raises(StatisticsError, match="two columns are called 'a'"):
        read_scores(path)


def test_long_names_are_printed_whole(tmp_path):
    names = [f"a model with a name that is longer than most columns, number {i}" for i in (1, 2)]
    path = tmp_path / "p.csv"
    header = "y;" + ";".join(names)
    path.write_text("\n".join([header, *(f"{t};{a};{b}" for t, (a, b) in zip(TRUTH, SCORES, strict=True))]))
    _, output = run("delong", path)
    assert all(name in output for name in names)


def test_two_files_of_scores_are_paired_by_the_names_of_their_cases(tmp_path):
    ids = np.array([f"im{i}" for i in range(40)])
    order = RNG.permutation(40)
    first = write_table(tmp_path / "a.csv", {"image_id": ids, "y": TRUTH, "old": SCORES[:, 0]})
    second = write_table(
        tmp_path / "b.csv", {"image_id": ids[order], "y": TRUTH[order], "new": SCORES[order, 1]}
    )
    result = CliRunner().invoke(compare_command, [str(first), str(second)], catch_exceptions=False)
    expected = delong_test(TRUTH, SCORES[:, 1], SCORES[:, 0])
    assert f"{expected.p_value:.4f}" in result.output
    assert "new, second file - old, first file" in result.output
    assert f"{expected.difference:.4f}" in result.output
    write_table(tmp_path / "b.csv", {"image_id": ids, "y": 1 - TRUTH, "new": SCORES[:, 1]})
    with pytest.raises(NotPaired, match="other labels"):
        CliRunner().invoke(compare_command, [str(first), str(second)], catch_exceptions=False)
