"""Options that several commands share."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from ..errors import BenchError

DATA_VARIABLE = "BENCHBENCH_DATA"
WEIGHTS_VARIABLE = "BENCHBENCH_WEIGHTS"

data_root = click.option(
    "--data-root",
    envvar=DATA_VARIABLE,
    show_envvar=True,
    type=click.Path(path_type=Path),
    help="Folder that holds one folder per dataset, in its original layout.",
)
weights_root = click.option(
    "--weights-root",
    envvar=WEIGHTS_VARIABLE,
    show_envvar=True,
    type=click.Path(path_type=Path),
    help="Folder that holds checkpoints by their official file names.",
)
as_json = click.option("--json", "as_json", is_flag=True, help="Print JSON.")


class TakesPairs(click.Command):
    """A command whose option --only may be followed by several pairs: ``--only encoder=a task=b``."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        repeated: list[str] = []
        following = False
        for word in args:
            pair = "=" in word and not word.startswith("-")
            if pair and following and repeated[-1] != "--only":
                repeated.append("--only")
            following = word.startswith("--only") or (following and pair)
            repeated.append(word)
        return super().parse_args(ctx, repeated)


def only(command: Callable[..., Any]) -> Callable[..., Any]:
    """--only encoder=NAME task=NAME ..., repeatable; the command is of the class `TakesPairs`."""
    return click.option(
        "--only",
        multiple=True,
        metavar="KEY=VALUE ...",
        help="Keep only cells with this encoder, task, dataset, protocol or seed; several pairs may follow.",
    )(command)


def parse_only(values: tuple[str, ...]) -> dict[str, str]:
    """``("encoder=a", "seed=0")`` as a mapping; a wrong key is an error."""
    keys = ("encoder", "task", "dataset", "protocol", "seed")
    chosen: dict[str, str] = {}
    for value in values:
        key, equals, wanted = value.partition("=")
        if not equals or key not in keys:
            raise BenchError(
                f"--only {value!r} is not understood.",
                fix=f"write for instance --only encoder=resnet50; keys: {', '.join(keys)}",
            )
        chosen[key] = wanted
    return chosen


def roots(data: Path | None, weights: Path | None) -> Any:
    """`survey.Roots` from the options, with the store at its usual place."""
    from ..store import Store
    from ..survey import Roots

    for name, path in (("--data-root", data), ("--weights-root", weights)):
        if path is not None and not path.is_dir():
            raise BenchError(
                f"{name} is not a folder: {path}", fix=f"give an existing folder, or leave {name} out"
            )
    return Roots(data.absolute() if data else None, weights.absolute() if weights else None, Store())
