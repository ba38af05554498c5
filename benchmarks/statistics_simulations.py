"""How often each test calls a difference between two equally good systems, by simulation.

    python benchmarks/statistics_simulations.py [--scale 1.0] [--only published]
        [--write docs/explanation/statistics.md] [--figure docs/images/published_rule.svg]

Prints the tables of docs/explanation/statistics.md; --write puts them between the markers in that page, and --figure
draws its figure. Every table has a fixed seed. The slow tests import the functions below.
"""

from __future__ import annotations

import argparse
import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
from scipy.special import ndtri

from benchbench.statistics import (
    compare_seeds,
    delong_covariance,
    delong_test,
    holm,
    permutation_test,
    retfound_green_rule,
    retfound_seed_t_test,
)

ALPHA = 0.05
Runs = Callable[[int], int]
"""Simulations to run, of those that the page is made from."""


def separation(auc: float) -> float:
    """Distance of two unit normals with this AUC."""
    return float(np.sqrt(2) * ndtri(auc))


def equal_models(
    rng: np.random.Generator, m: int, n: int, k: int = 2, auc: float = 0.8, correlation: float = 0.5
) -> tuple[np.ndarray, np.ndarray]:
    """Labels (m + n,) and scores (m + n, k) of k equally good systems whose errors are correlated."""
    y = np.repeat([1, 0], [m, n])
    shared = rng.standard_normal((m + n, 1))
    own = rng.standard_normal((m + n, k))
    return y, separation(auc) * y[:, None] + np.sqrt(correlation) * shared + np.sqrt(1 - correlation) * own


def two_eyes(
    rng: np.random.Generator, patients: int, label_correlation: float, shared_error: float, auc: float = 0.85
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Labels, scores of two equal systems, and patients, two eyes each; errors are partly the patient's."""

    def by_eye(share: float, columns: int) -> np.ndarray:
        patient = rng.standard_normal((patients, 1, columns))
        eye = rng.standard_normal((patients, 2, columns))
        return (np.sqrt(share) * patient + np.sqrt(1 - share) * eye).reshape(2 * patients, columns)

    y = (by_eye(label_correlation, 1)[:, 0] > ndtri(0.65)).astype(int)
    errors = np.sqrt(0.5) * by_eye(shared_error, 1) + np.sqrt(0.5) * by_eye(shared_error, 2)
    return y, separation(auc) * y[:, None] + errors, np.repeat(np.arange(patients), 2)


def seeded_methods(
    rng: np.random.Generator, m: int, n: int, seeds: int, seed_sd: float, auc: float = 0.85
) -> tuple[np.ndarray, np.ndarray]:
    """Labels and scores (2 methods, seeds, m + n); methods are equal on average, seeds differ by `seed_sd` of AUC."""
    y = np.repeat([1, 0], [m, n])
    aucs = np.clip(auc + seed_sd * rng.standard_normal((2, seeds, 1)), 0.5, 0.999)
    shift = np.sqrt(2) * ndtri(aucs)
    shared = rng.standard_normal((1, 1, m + n))
    by_method = rng.standard_normal((2, 1, m + n))
    own = rng.standard_normal((2, seeds, m + n))
    return y, shift * y + np.sqrt(0.5) * shared + np.sqrt(0.25) * by_method + np.sqrt(0.25) * own


def paired_rejections(m: int, n: int, runs: int, seed: int, auc: float = 0.8) -> tuple[float, float]:
    """Shares of null data sets in which DeLong (as pROC prints it) and the permutation test reject."""
    rng = np.random.default_rng(seed)
    delong = permuted = 0
    for _ in range(runs):
        y, s = equal_models(rng, m, n, auc=auc)
        delong += delong_test(y, s[:, 0], s[:, 1], compat="pROC").p_value < ALPHA
        permuted += permutation_test(y, s[:, 0], s[:, 1], draws=999).p_value < ALPHA
    return delong / runs, permuted / runs


def paired_type_one(m: int, n: int, runs: int, seed: int) -> float:
    """Share of null data sets in which paired DeLong rejects."""
    rng = np.random.default_rng(seed)
    sets = (equal_models(rng, m, n) for _ in range(runs))
    return float(np.mean([delong_test(y, s[:, 0], s[:, 1]).p_value < ALPHA for y, s in sets]))


def clustered_type_one(
    patients: int, label_correlation: float, shared_error: float, runs: int, seed: int
) -> tuple[float, float]:
    """Shares in which the naive and the clustered test reject."""
    rng = np.random.default_rng(seed)
    naive = clustered = 0
    for _ in range(runs):
        y, s, patient = two_eyes(rng, patients, label_correlation, shared_error)
        naive += delong_test(y, s[:, 0], s[:, 1], compat="pROC").p_value < ALPHA
        clustered += delong_test(y, s[:, 0], s[:, 1], patient, compat="pROC").p_value < ALPHA
    return naive / runs, clustered / runs


def seed_type_one(
    m: int, n: int, seeds: int, seed_sd: float, runs: int, seed: int
) -> tuple[float, float, float]:
    """Shares in which DeLong on one seed, the t-test over seeds, and ORH reject."""
    rng = np.random.default_rng(seed)
    one = t_test = orh = 0
    for _ in range(runs):
        y, s = seeded_methods(rng, m, n, seeds, seed_sd)
        one += delong_test(y, s[0, 0], s[1, 0]).p_value < ALPHA
        result = compare_seeds("auroc", y, s)
        orh += result.pairs[0].p_value < ALPHA
        t_test += retfound_seed_t_test([e.per_seed for e in result.estimates]).p_value < ALPHA
    return one / runs, t_test / runs, orh / runs


def counted_wins(tasks: int, runs: int, seed: int) -> tuple[float, float, float, float]:
    """Three equal systems, all pairs on every task: false wins on average, and how often there is any.

    Returns the rate of one test, the mean number of uncorrected wins, and the shares of universes with any win
    uncorrected and after Holm.
    """
    sizes = [(64, 39), (91, 319), (31, 67), (110, 239), (27, 103), (45, 55), (38, 160), (70, 130)]
    rng = np.random.default_rng(seed)
    first, second = np.triu_indices(3, 1)
    p = np.empty((runs, tasks, 3))
    for run in range(runs):
        for task in range(tasks):
            y, s = equal_models(rng, *sizes[task % len(sizes)], k=3, auc=0.85)
            auc, cov = delong_covariance(y, s)
            spread = np.sqrt(cov[first, first] + cov[second, second] - 2 * cov[first, second])
            p[run, task] = 2 * _normal_tail(np.abs(auc[first] - auc[second]) / spread)
    flat = p.reshape(runs, -1)
    any_holm = np.mean([holm(family, ALPHA).rejected.any() for family in flat])
    wins = (flat < ALPHA).sum(axis=1)
    return float((flat < ALPHA).mean()), float(wins.mean()), float((wins > 0).mean()), float(any_holm)


def published_rule(m: int, n: int, runs: int, seed: int) -> tuple[float, float]:
    """Shares in which the RETFound-Green rule, and paired DeLong on the same data, call a winner."""
    rng = np.random.default_rng(seed)
    rule = ours = 0
    for _ in range(runs):
        y, s = equal_models(rng, m, n, correlation=0.6)
        rule += retfound_green_rule(y, s).p_value < ALPHA
        ours += delong_test(y, s[:, 0], s[:, 1]).p_value < ALPHA
    return rule / runs, ours / runs


def _normal_tail(z: np.ndarray) -> np.ndarray:
    from scipy.special import ndtr

    return ndtr(-z)


Table = tuple[list[str], list[list[str]]]
"""Head and rows."""


def paired_table(runs: Runs) -> Table:
    rows = []
    for m, n in ((64, 39), (19, 84), (13, 90), (5, 98), (2, 408)):
        delong, permuted = paired_rejections(m, n, runs(5000), seed=1)
        rows.append([f"{m} / {n}", f"{delong:.3f}", f"{permuted:.3f}"])
    return ["positives / negatives", "DeLong", "rank-swap permutation"], rows


def clustered_table(runs: Runs) -> Table:
    rows = []
    for patients, rho, tau in ((244, 0.9, 0.8), (244, 0.9, 0.5), (244, 0.9, 0.0), (49, 0.9, 0.8)):
        naive, clustered = clustered_type_one(patients, rho, tau, runs(4000), seed=2)
        rows.append([f"{patients} x 2", f"{tau:.1f}", f"{naive:.3f}", f"{clustered:.3f}"])
    return ["patients x eyes", "error shared by the eyes", "every eye its own patient", "clustered"], rows


def seeds_table(runs: Runs) -> Table:
    rows = []
    for m, n, sd in ((34, 69, 0.0), (34, 69, 0.02), (100, 300, 0.0), (100, 300, 0.01), (100, 300, 0.02)):
        one, t_test, orh = seed_type_one(m, n, 5, sd, runs(2000), seed=3)
        rows.append([f"{m} / {n}", f"{sd:.2f}", f"{one:.3f}", f"{t_test:.3f}", f"{orh:.3f}"])
    return ["positives / negatives", "SD of seeds", "DeLong, one seed", "t-test over seeds", "ORH"], rows


def wins_table(runs: Runs) -> Table:
    rows = []
    for tasks in (8, 24):
        single, wins, any_win, any_holm = counted_wins(tasks, runs(1000), seed=4)
        rows.append([str(tasks), f"{single:.3f}", f"{wins:.1f}", f"{any_win:.2f}", f"{any_holm:.3f}"])
    return ["tasks", "one test", "false wins", "P(any), uncorrected", "P(any), Holm"], rows


def published_table(runs: Runs) -> Table:
    rows = []
    for m, n, count in ((64, 39, 2000), (120, 280, 1000), (180, 2820, 200)):
        rule, ours = published_rule(m, n, runs(count), seed=5)
        rows.append([f"{m} / {n}", f"{rule:.2f}", f"{ours:.3f}"])
    return ["positives / negatives", "Wilcoxon over 100 bootstraps", "paired DeLong"], rows


TABLES = {
    "paired": paired_table,
    "clustered": clustered_table,
    "seeds": seeds_table,
    "wins": wins_table,
    "published": published_table,
}


def published_figure(table: Table) -> str:
    """The table "published" as bars, an SVG with a background of its own."""
    import matplotlib

    from benchbench.report.figures.base import INK, PAPER, SERIES, canvas, finished, house_style

    head, rows = table
    with house_style(), matplotlib.rc_context({"savefig.facecolor": PAPER}):
        figure = canvas(6.4, 2.9)
        axes = figure.add_axes((0.1, 0.17, 0.87, 0.66))
        for k, (name, colour) in enumerate(zip(head[1:], (SERIES[1], SERIES[0]), strict=True)):
            at = [i + 0.36 * (k - 0.5) for i in range(len(rows))]
            shares = [100 * float(row[k + 1]) for row in rows]
            axes.bar(at, shares, width=0.34, color=colour, label=name)
            for x, share in zip(at, shares, strict=True):
                axes.text(x, share + 1.5, f"{share:.0f} %", ha="center", va="bottom")
        axes.axhline(100 * ALPHA, color=INK, linewidth=0.8, linestyle=(0, (4, 3)), label="5 %")
        axes.set_xticks(range(len(rows)), [f"{row[0]} test images" for row in rows])
        axes.grid(False, axis="x")
        axes.set(ylim=(0, 100), xlim=(-0.5, len(rows) - 0.5), ylabel="winners declared, %")
        figure.legend(loc="upper left", bbox_to_anchor=(0.09, 1.0), ncols=3)
        return finished(figure, "published-rule", "", "", []).svg


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--scale", type=float, default=1.0, help="share of the simulations to run")
    parser.add_argument("--only", choices=list(TABLES), help="one table instead of all")
    parser.add_argument("--write", type=Path, help="page to put the tables into, between its markers")
    parser.add_argument("--figure", type=Path, help='SVG file to draw the table "published" into')
    options = parser.parse_args()
    for name in [options.only] if options.only else TABLES:
        head, rows = TABLES[name](lambda count: max(20, round(count * options.scale)))
        lines = [head, ["---"] * len(head), *rows]
        text = "\n".join("| " + " | ".join(line) + " |" for line in lines)
        print(f"{name}\n{text}\n", flush=True)
        if options.figure and name == "published":
            options.figure.write_text(published_figure((head, rows)))
        if options.write:
            page = options.write.read_text()
            marked = rf"(<!-- simulation: {name} -->\n).*?(<!-- end -->)"
            page, found = re.subn(marked, rf"\g<1>{text}\n\g<2>", page, flags=re.DOTALL)
            if found != 1:
                raise SystemExit(f"{options.write} has no place marked for the table {name!r}")
            options.write.write_text(page)


if __name__ == "__main__":
    main()
