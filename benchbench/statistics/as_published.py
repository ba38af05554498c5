"""The rules by which some papers declare a win, rebuilt so that they can be shown beside a valid test.

None of these is a valid test of which encoder is better. Each answers another question than the one it is quoted
for, and says so in its result.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from benchbench.statistics.inputs import FloatArray, StatisticsError, binary_labels, score_rows
from benchbench.statistics.weighted import auroc

LABEL = "as in the source, not a valid test"


@dataclass(frozen=True)
class PublishedRule:
    """Outcome of a published rule.

    Attributes:
        rule: Its name.
        source: Where it is used.
        winner, runner_up: Positions of the two systems it compares.
        p_value: What the rule reports; None where it reports none.
        values: What it prints for each system, shape (k,).
        why_not_valid: What is wrong with reading it as a comparison of systems.
        label: Always "as in the source, not a valid test".
    """

    rule: str
    source: str
    winner: int
    runner_up: int
    p_value: float | None
    values: FloatArray
    why_not_valid: str
    label: str = LABEL


def retfound_green_rule(
    y_true: ArrayLike, scores: ArrayLike, draws: int = 100, seed: int = 42
) -> PublishedRule:
    """Wilcoxon signed-rank test over bootstrap AUROCs, best system against second best.

    Args:
        y_true: Labels 0 and 1, shape (n,).
        scores: Shape (n, k), two or more systems.
        draws: Bootstrap draws, the same for every system; the source uses 100.
        seed: Of the draws; the source uses 42.
    """
    from scipy.stats import wilcoxon

    positive = binary_labels(y_true)
    rows = score_rows(scores, positive.size)
    if len(rows) < 2:
        raise StatisticsError("the rule compares two or more systems.", fix="pass scores of shape (n, k)")
    weights = np.zeros((draws, positive.size))
    state = np.random.RandomState(seed)
    for weight in weights:
        np.add.at(weight, state.randint(0, positive.size, positive.size), 1)
    both = ((weights * positive).sum(axis=1) > 0) & ((weights * ~positive).sum(axis=1) > 0)
    if not both.any():
        raise StatisticsError("undefined_auc: no draw holds both classes.", fix="use cases of both classes")
    labels = positive.astype(int)
    values = np.stack([auroc(labels, row, weights[both]) for row in rows])
    medians = np.median(values, axis=1)
    runner_up, winner = (int(i) for i in np.argsort(medians, kind="stable")[-2:])
    differences = values[winner] - values[runner_up]
    p_value = float(wilcoxon(differences).pvalue) if differences.any() else None
    return PublishedRule(
        "Wilcoxon over bootstrap AUROCs, best against second",
        "RETFound-Green evaluation notebooks",
        winner,
        runner_up,
        p_value,
        medians,
        "Bootstrap draws of one test set are not independent observations: p shrinks with the number of draws. The "
        "two systems were also chosen by the result that is tested.",
    )


def retfound_seed_t_test(values: ArrayLike) -> PublishedRule:
    """Two-sided t-test over training seeds on one test set, best system against second best.

    Args:
        values: Metric of each system and seed, shape (k, seeds); the source uses five seeds.
    """
    from scipy.stats import ttest_ind

    table = _table(values)
    means = table.mean(axis=1)
    runner_up, winner = (int(i) for i in np.argsort(means, kind="stable")[-2:])
    # Seeds that agree leave rounding, not variance: no t exists.
    varies = max(table[winner].std(), table[runner_up].std()) > 1e-12 * np.abs(table).max()
    p_value = float(ttest_ind(table[winner], table[runner_up]).pvalue) if varies else None
    return PublishedRule(
        "t-test over seeds on a fixed test set",
        "RETFound, Nature 2023, Extended Data Fig. 3",
        winner,
        runner_up,
        p_value,
        means,
        "Seeds share the test cases: the test asks whether seeds differ on these cases, and leaves out the luck of "
        "the test set. Obuchowski-Rockette-Hillis counts both.",
    )


def mirage_wilcoxon(values: ArrayLike) -> PublishedRule:
    """Wilcoxon signed-rank test across data sets, best system against second best.

    Args:
        values: Metric of each system on each data set, shape (k, data sets).
    """
    from scipy.stats import wilcoxon

    table = _table(values)
    means = table.mean(axis=1)
    runner_up, winner = (int(i) for i in np.argsort(means, kind="stable")[-2:])
    differences = table[winner] - table[runner_up]
    p_value = float(wilcoxon(differences).pvalue) if differences.any() else None
    return PublishedRule(
        "Wilcoxon signed-rank across data sets",
        "MIRAGE repository",
        winner,
        runner_up,
        p_value,
        means,
        "Valid only for six or more independent data sets and a pair named in advance; tasks that share images are "
        "not independent, and the pair was chosen by the result.",
    )


def seed_interval(values: ArrayLike) -> tuple[float, float]:
    """Mean plus and minus 1.96 SD / sqrt(seeds), as RETFound prints it: it describes seeds, not patients."""
    v = np.asarray(values, dtype=np.float64)
    half = 1.96 * float(v.std(ddof=1)) / np.sqrt(v.size)
    return float(v.mean() - half), float(v.mean() + half)


def _table(values: ArrayLike) -> FloatArray:
    table = np.asarray(values, dtype=np.float64)
    if table.ndim != 2 or min(table.shape) < 2 or not np.isfinite(table).all():
        raise StatisticsError(
            f"values of shape {table.shape} are not systems x repeats.",
            fix="pass two or more of each, all finite",
        )
    return table
