"""`bench stats`: the statistics on anyone's scores, and their self-test."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from ..statistics import Correction, PairedComparison
    from ..statistics.predictions_file import ScoreTable


@click.group()
def stats() -> None:
    """Statistics on anyone's scores; self-test against published examples."""


@stats.command()
@click.option(
    "--examples",
    type=click.Path(path_type=Path, file_okay=False),
    help="Folder with data sets of published examples that are not shipped.",
)
def selftest(examples: Path | None) -> None:
    """Recompute worked examples and compare with the published digits."""
    from ..statistics.selftest import run_selftest

    checks = run_selftest(examples)
    widths = [
        max(len(getattr(c, f)) for c in checks) for f in ("example", "quantity", "published", "computed")
    ]
    for check in checks:
        cells = (check.example, check.quantity, check.published, check.computed)
        line = "  ".join(cell.ljust(width) for cell, width in zip(cells, widths, strict=True))
        click.echo(f"{line}  {check.outcome}")
    wrong = sum(check.outcome == "WRONG" for check in checks)
    skipped = sum(check.outcome == "not here" for check in checks)
    click.echo(f"\n{len(checks) - wrong - skipped} reproduced, {wrong} wrong, {skipped} without data here")
    if wrong:
        raise SystemExit(1)


def table_columns(command: Callable[..., Any]) -> Callable[..., Any]:
    """Options that say what the columns of a table of scores are."""
    for option in (
        click.option("--delimiter", help="Separator of the columns.  [default: guessed]"),
        click.option(
            "--scores",
            multiple=True,
            help="Column of one system's scores; repeat.  [default: every column of numbers that is no other thing]",
        ),
        click.option(
            "--patient", help="Column of patients, for several images each.  [default: by its name]"
        ),
        click.option("--positive", help="Label of the positive class.  [default: 1 or true]"),
        click.option("--label", help="Column of labels.  [default: by its name]"),
    ):
        command = option(command)
    return command


@stats.command()
@click.argument("file", type=click.Path(path_type=Path, dir_okay=False, exists=True))
@table_columns
@click.option(
    "--alternative",
    type=click.Choice(["two-sided", "greater", "less"]),
    default="two-sided",
    show_default=True,
    help="'greater': the first system of a pair is better.",
)
@click.option(
    "--compat", type=click.Choice(["pROC"]), help="Print what R's pROC prints, also where no test applies."
)
def delong(
    file: Path,
    label: str | None,
    positive: str | None,
    patient: str | None,
    scores: tuple[str, ...],
    delimiter: str | None,
    alternative: str,
    compat: str | None,
) -> None:
    """AUROCs of the systems in FILE, and DeLong's test of every pair.

    FILE is a table with one row per case: a column of labels (0 and 1, or words with --positive), one column of
    scores per system, and optionally one of patients, which makes the variance clustered. Columns that are taken
    for something else are listed.
    """
    from ..statistics import delong_test, delong_test_all, estimate, holm
    from ..statistics.predictions_file import read_scores

    table = read_scores(file, label, patient, scores, delimiter, positive)
    family = delong_test_all(table.labels, table.scores, table.patients, alternative)
    pairs = family.pairs
    if compat:
        columns = table.scores.T
        pairs = tuple(
            replace(
                delong_test(
                    table.labels, columns[p.index_a], columns[p.index_b], table.patients, alternative, compat
                ),
                index_a=p.index_a,
                index_b=p.index_b,
            )
            for p in family.pairs
        )
    click.echo(headline(table))
    width = max(map(len, ("system", *table.names)))
    click.echo(f"\n{'system':{width}}  AUROC    95 % CI")
    for name, column in zip(table.names, table.scores.T, strict=True):
        one = estimate("auroc", table.labels, column, table.patients)
        note = "" if one.verdict == "ok" else f"  {one.verdict}: {one.verdict.explanation}"
        click.echo(f"{name:{width}}  {_number(one.value)}  {_interval(one.ci_low, one.ci_high)}{note}")
    if pairs:
        print_pairs(table, pairs, holm([p.p_value for p in pairs]))
    if family.omnibus is not None and len(pairs) > 1:
        test = family.omnibus
        click.echo(f"\nall equal: chi-square {test.statistic:.3f}, {test.df} df, p = {_p(test.p_value)}")


def headline(table: ScoreTable) -> str:
    """Cases and patients of a table, and which of its columns are not compared."""
    positives = int((table.labels == 1).sum())
    text = f"{table.labels.size} cases, {positives} positive (column {table.label_column})"
    if table.patients is None:
        text += "; every case taken as its own patient"
    else:
        text += f"; {len(set(table.patients.tolist()))} patients (column {table.patient_column})"
    ignored = [(name or "(no name)", why) for name, why in table.ignored]
    if ignored:
        text += "\nnot compared: " + "; ".join(f"{name} ({why})" for name, why in ignored)
        text += "\n(choose the columns with --scores COLUMN, once for each)"
    return text


def print_pairs(table: ScoreTable, pairs: tuple[PairedComparison, ...], correction: Correction) -> None:
    """One line per pair of columns, and why a number is missing."""
    click.echo(f"\n{pairs[0].method}, {pairs[0].alternative}; p (Holm) over {correction.family_size} tests")
    names = [f"{table.names[p.index_a]} - {table.names[p.index_b]}" for p in pairs]
    width = max(map(len, names))
    click.echo(f"{'pair':{width}}  diff.    95 % CI of difference  z        p         p (Holm)  detectable")
    for name, pair, adjusted in zip(names, pairs, correction.adjusted, strict=True):
        shown = "-" if adjusted != adjusted else _p(adjusted)
        click.echo(
            f"{name:{width}}  {_number(pair.difference)}  {_interval(pair.ci_low, pair.ci_high):21}  "
            f"{_number(pair.z):7}  {_p(pair.p_value):8}  {shown:8}  {_number(pair.smallest_detectable_difference)}"
        )
        if pair.verdict != "ok":
            extra = "" if pair.permutation_p is None else f" Permutation p = {_p(pair.permutation_p)}."
            click.echo(f"    {pair.verdict}: {pair.explanation}{extra}")


def _number(value: float | None) -> str:
    return "-      " if value is None else f"{value:7.4f}"


def _interval(low: float | None, high: float | None) -> str:
    return "-" if low is None or high is None else f"[{low:.4f}, {high:.4f}]"


def _p(value: float | None) -> str:
    if value is None:
        return "-"
    return f"{value:.4f}" if value >= 0.0001 else f"{value:.2e}"
