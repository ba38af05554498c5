"""Suites: strict, located errors, and a schema that editors can use."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from benchbench.errors import SuiteError
from benchbench.suite import (
    Suite,
    find_suite,
    json_schema,
    load_suite,
    parse_suite,
    shipped_suites,
)
from benchbench.yamlfile import parse_yaml, read_yaml

GOOD = """\
title: A comparison
encoders: [a, {name: b, precision: bf16}]
tasks: [idrid/grade, {task: idrid/referable, metric: average_precision}]
protocols: [linear_probe, {protocol: linear_probe, preset: p}]
"""


def test_plain_strings_stand_for_mappings() -> None:
    suite = parse_suite(GOOD).suite
    assert [e.name for e in suite.encoders] == ["a", "b"]
    assert suite.encoders[1].precision == "bf16"
    assert [t.metric for t in suite.tasks] == [None, "average_precision"]
    assert [p.label for p in suite.protocols] == ["linear_probe", "linear_probe (p)"]


@pytest.mark.parametrize(
    ("text", "line", "said"),
    [
        (GOOD + "titel: x\n", 5, "did you mean 'title'"),
        (GOOD + "statistics:\n  alfa: 0.1\n", 6, "did you mean 'alpha'"),
        (GOOD.replace("precision: bf16", "presicion: bf16"), 2, "did you mean 'precision'"),
        (GOOD.replace("bf16", "bf15"), 2, "precision"),
        (GOOD + "cost:\n  measure: sometimes\n", 6, "measure"),
        (GOOD + "title: again\n", 5, "twice"),
        (GOOD.replace("[idrid/grade, ", "idrid/grade #"), 3, "write tasks: [idrid/grade]"),
        (GOOD + "seeds: [1, 1]\n", 5, "different"),
        (
            GOOD.replace("protocols: [", "protocols: [{protocol: x, seeds: [2, 2]}, "),
            4,
            "different",
        ),
        (
            GOOD.replace("protocols: [", "protocols: [{protocol: x, seeds: []}, "),
            4,
            "non-empty",
        ),
        (GOOD.replace("[a, ", "[a, a, "), 2, "listed twice"),
        (
            GOOD.replace("protocols: [linear_probe, ", "protocols: [{protocol: x, tasks: [idrid/x]}, "),
            4,
            "tasks",
        ),
        (GOOD + "statistics: {comparisons: {reference: c}}\n", 5, "reference"),
        (GOOD + "x: &y 1\nz: *y\n", 6, "aliases"),
        (GOOD + "seeds: !!python/object/apply:os.system ['true']\n", 5, "YAML tags"),
        (GOOD + "datasets: {idrid: {simulated: {imges: 30}}}\n", 5, "did you mean 'images'"),
    ],
)
def test_a_fault_is_named_with_its_file_and_line(text: str, line: int, said: str) -> None:
    with pytest.raises(SuiteError) as caught:
        parse_suite(text, "study")
    assert caught.value.where == f"study.yaml:{line}"
    assert said in caught.value.block()


def test_all_faults_are_reported_together() -> None:
    with pytest.raises(SuiteError) as caught:
        parse_suite(GOOD + "one: 1\ntwo: 2\n")
    assert "'one'" in caught.value.what
    assert any("'two'" in d and ":6" in d for d in caught.value.details)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("title: a\x07b\n", "YAML"),
        (GOOD + "seeds: [.inf]\n", "finite"),
        (GOOD + 'question: "\\ud800"\n', "half a character"),
        (GOOD + "datasets: {idrid: {simulated: {images: 99999999999999}}}\n", "images"),
        ("title: " + "x" * 100 + ": y: z\n", "YAML"),
    ],
)
def test_odd_values_are_refused_in_plain_words(text: str, said: str) -> None:
    with pytest.raises(SuiteError, match=said):
        parse_suite(text)


def test_a_suite_that_is_a_pipe_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "s.yaml")
    with pytest.raises(SuiteError, match="not a file"):
        read_yaml(tmp_path / "s.yaml")


def test_a_suite_without_work_is_refused() -> None:
    with pytest.raises(SuiteError, match="nothing to do"):
        parse_suite("title: x\nencoders: [a]\n")
    parse_suite("title: x\nencoders: [a]\ncost: {measure: quick}\n")


def test_deep_and_large_files_are_refused(tmp_path: Path) -> None:
    with pytest.raises(SuiteError, match="nested"):
        parse_suite("title: " + "[" * 60 + "]" * 60)
    big = tmp_path / "big.yaml"
    big.write_text("title: x\n" + "# " + "y" * 200_000)
    with pytest.raises(SuiteError, match="has 200011 bytes; a suite file may have 200000"):
        load_suite(big)


@pytest.mark.parametrize(
    "line",
    [
        "2001-99-99: 1",
        "0b_: 1",
        ":".join(["1"] * 400) + ".5: 1",
        "? " + ":".join(["1"] * 4000) + "\n: 1",
        "alpha: " + ":".join(["1"] * 400) + ".5",
        "alpha: 2001-99-99",
        "alpha: 0x" + "f" * 10_000,
    ],
)
def test_a_date_or_number_out_of_range_is_an_error_with_its_line(line: str) -> None:
    with pytest.raises(SuiteError, match=r"The (key|value) '.{1,83}' cannot be read") as caught:
        parse_yaml(f"title: x\n{line}\n", Path("study.yaml"))
    assert caught.value.where == "study.yaml:2"


def test_an_unknown_suite_names_the_nearest_shipped_one() -> None:
    with pytest.raises(SuiteError, match="quickstart"):
        find_suite("quikstart")


@pytest.mark.parametrize("path", shipped_suites(), ids=lambda p: p.stem)
def test_every_shipped_suite_fits_the_schema(path: Path) -> None:
    file = load_suite(path)
    assert file.suite.title
    assert file.suite.question


def test_the_json_schema_accepts_a_good_suite_and_refuses_an_unknown_key() -> None:
    jsonschema = pytest.importorskip("jsonschema")
    schema = json.loads(json_schema())
    value = parse_suite(GOOD).source.value
    jsonschema.validate(value, schema)
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate({**value, "titel": "x"}, schema)
    assert set(schema["properties"]) == set(Suite.model_fields)
