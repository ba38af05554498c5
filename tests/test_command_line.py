"""What the command line understands, without running anything."""

from __future__ import annotations

import click
import pytest
from click.testing import CliRunner

from benchbench.cli import bench
from benchbench.cli.options import TakesPairs, only, parse_only
from benchbench.engines import EngineConfig
from benchbench.errors import BenchError


@click.command(cls=TakesPairs)
@click.argument("suite")
@only
@click.option("--out", default="reports")
def echo(suite: str, only: tuple[str, ...], out: str) -> None:
    click.echo(f"{suite} {parse_only(only)} {out}")


@pytest.mark.parametrize(
    "words",
    [
        "s.yaml --only encoder=a task=b/c --out x",
        "--only encoder=a task=b/c --out x s.yaml",
        "s.yaml --only encoder=a --out x --only task=b/c",
        "--out x --only=encoder=a task=b/c s.yaml",
    ],
)
def test_several_pairs_may_follow_one_option(words: str) -> None:
    done = CliRunner().invoke(echo, words.split())
    assert done.output == "s.yaml {'encoder': 'a', 'task': 'b/c'} x\n"


def test_a_pair_without_the_option_is_no_pair() -> None:
    assert CliRunner().invoke(echo, ["s.yaml", "task=b"]).exit_code == 2


@pytest.mark.parametrize("kind", ["encoder", "encoders"])
def test_cards_are_shown_by_singular_and_plural(kind: str) -> None:
    done = CliRunner().invoke(bench, ["show", kind, "resnet50"])
    assert done.exit_code == 0, done.output
    assert "entry point encoders = benchbench_encoders" in " ".join(done.output.split())


def test_a_plugin_is_shown_with_what_it_brings() -> None:
    done = CliRunner().invoke(bench, ["show", "plugin", "benchbench-retina"])
    assert done.exit_code == 0, done.output
    assert "linear_probe" in done.output
    refused = CliRunner().invoke(bench, ["show", "plugins", "benchbench-retin"])
    assert isinstance(refused.exception, BenchError)
    assert "did you mean 'benchbench-retina'" in refused.exception.what


def test_an_engine_far_from_every_known_one_gets_a_whole_sentence() -> None:
    with pytest.raises(BenchError) as error:
        EngineConfig.parse("foo", None)
    assert error.value.what == "There is no engine 'foo'."
    with pytest.raises(BenchError, match="did you mean 'local'"):
        EngineConfig.parse("locall", None)
