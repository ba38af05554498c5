"""Secondary metrics of a panel: shown with intervals, and compared for exploration only.

They come from one trained model per encoder, the one whose curves are shown, and are a family of their own with
a Benjamini-Hochberg column. No claim rests on them, so where there are many encoders each is compared with the
best one only: all pairs of a hundred encoders on fifty tasks would be a million differences to draw.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ..statistics import BootstrapEstimate, PairedComparison, compare, sensitivity_at_specificity
from ..statistics import Estimate as PlainEstimate
from ..statistics.resampling import draw_systems
from ..statistics.systems import drawn_pair, pair_indices
from .cases import Cases
from .decisions import decide, frozen
from .judge import Rules, comparison_record, unpaired_estimate, without_test
from .model import Comparison, Estimate, Panel

FAMILY = "secondary metrics, exploratory"
DRAWS = 500
CELLS = 2_000_000
"""Drawn case weights a metric may cost; larger test sets are drawn less often."""
ALL_PAIRS = 12
"""Panels of more encoders compare each with the best of the panel only."""
FEWEST_DRAWS = 200
"""Fewer draws do not hold a 95 % interval, and none is shown."""
_BY_FORMULA = {
    "binary": ("balanced_accuracy",),
    "ordinal": ("quadratic_kappa", "unweighted_kappa", "macro_auroc", "balanced_accuracy"),
    "multiclass": ("macro_auroc", "unweighted_kappa", "balanced_accuracy"),
}
_BY_DRAWING = ("average_precision", "f1", "sensitivity_at_specificity_0.9", "brier", "ece")
_LOWER_IS_BETTER = ("brier", "ece")
_INFLATED = ("ece",)
"""Drawing patients adds to a calibration error, so that percentiles of the draws may lie above the value itself."""


@dataclass(frozen=True)
class Secondary:
    """One secondary metric on one panel.

    Attributes:
        metric: Its name.
        lower_is_better: Of Brier score and calibration error.
        estimates: In the order of the panel's.
        comparisons: First minus second, plainly; `p_bh` over the secondary metrics of the run.
    """

    metric: str
    lower_is_better: bool
    estimates: tuple[Estimate, ...]
    comparisons: tuple[Comparison, ...]

    @property
    def against(self) -> str:
        """The one encoder that all others are compared with; empty where every pair is compared."""
        seconds = {c.second for c in self.comparisons}
        return seconds.pop() if len(seconds) == 1 and len(self.comparisons) > 1 else ""


def secondary_metrics(panel: Panel, cases: Cases, rules: Rules) -> tuple[Secondary, ...]:
    """The secondary metrics that fit the panel's kind and are not its primary metric, uncorrected."""
    shown = [(e.encoder, e.shown_seed) for e in panel.estimates]
    if len(cases.labels) == 0 or not shown or panel.kind == "multilabel":
        return ()
    scores = np.stack([cases.scores[e][s] for e, s in shown])
    chosen = np.stack([decide(cases.scores[e][s], panel.kind, frozen(cases, e, s)) for e, s in shown])
    found = []
    for metric in _BY_FORMULA.get(panel.kind, ()):
        if metric != panel.metric:
            read = scores if metric == "macro_auroc" else chosen
            found.append(_by_formula(metric, read, panel, cases, rules))
    if panel.kind == "binary" and len(np.unique(cases.labels)) == 2:
        for metric in _BY_DRAWING:
            outside = scores.min() < 0 or scores.max() > 1
            if metric != panel.metric and not (outside and metric in _LOWER_IS_BETTER):
                read = chosen if metric == "f1" else scores[:, :, 0]
                found.append(_by_drawing(metric, read, panel, cases, rules))
    return tuple(found)


def _by_formula(metric: str, scores: np.ndarray, panel: Panel, cases: Cases, rules: Rules) -> Secondary:
    result = compare(metric, cases.labels, scores, cases.groups, _wanted(panel, rules))
    return _secondary(metric, result.estimates, result.pairs, panel, cases)


def _by_drawing(metric: str, scores: np.ndarray, panel: Panel, cases: Cases, rules: Rules) -> Secondary:
    draws = min(DRAWS, CELLS // cases.n)
    function = sensitivity_at_specificity(0.9) if metric.startswith("sensitivity") else metric
    drawn = draw_systems(function, cases.labels, scores, cases.groups, draws=max(draws, 2))
    estimates = [drawn.estimate(i) for i in range(len(scores))]
    if draws < FEWEST_DRAWS or metric in _INFLATED:
        estimates = [dataclasses.replace(e, ci_low=None, ci_high=None) for e in estimates]
        return _secondary(metric, estimates, (), panel, cases)
    wanted = pair_indices(len(scores), _wanted(panel, rules))
    return _secondary(metric, estimates, [drawn_pair(drawn, a, b, 0.95) for a, b in wanted], panel, cases)


def _wanted(panel: Panel, rules: Rules) -> str | int:
    names = [e.encoder for e in panel.estimates]
    if rules.reference in names:
        return names.index(rules.reference)
    return "all" if len(names) <= ALL_PAIRS else 0


def _secondary(
    metric: str,
    estimates: Sequence[PlainEstimate | BootstrapEstimate],
    pairs: Sequence[PairedComparison],
    panel: Panel,
    cases: Cases,
) -> Secondary:
    names = tuple(e.encoder for e in panel.estimates)
    shown = [
        Estimate(
            e.encoder,
            found.value,
            found.ci_low,
            found.ci_high,
            "" if found.ci_low is None else found.method,
            str(found.verdict),
            "" if found.verdict == "ok" else found.verdict.explanation,
            seeds=(e.shown_seed,),
            stamps=e.stamps,
            shown_seed=e.shown_seed,
        )
        for e, found in zip(panel.estimates, estimates, strict=True)
    ]
    compared = [comparison_record(p, names, panel.id, FAMILY) for p in pairs]
    if not cases.testable:
        shown, compared = [unpaired_estimate(e) for e in shown], [without_test(c) for c in compared]
    return Secondary(metric, metric in _LOWER_IS_BETTER, tuple(shown), tuple(compared))
