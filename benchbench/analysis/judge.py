"""Estimates and paired comparisons of one panel, from the statistics package."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..statistics import Estimate as PlainEstimate
from ..statistics import (
    ExcludedClass,
    PairedComparison,
    SeedComparison,
    SeedEstimate,
    Verdict,
    compare,
    compare_seeds,
    non_inferiority,
)
from .cases import Cases
from .model import Comparison, Estimate, FloatArray

UNPAIRED = "unidentified_patients"
"""Verdict of a data set that holds several images of a patient but names no patients."""
UNPAIRED_NOTE = (
    "The data set holds several images of a patient but names no patients, "
    "so no valid interval or p-value exists."
)
_DECIDED = ("accuracy", "balanced_accuracy", "quadratic_kappa", "linear_kappa", "unweighted_kappa")


@dataclass(frozen=True)
class Judged:
    """Estimates in the order of the encoders, the comparisons that were asked for, and what to note."""

    estimates: tuple[Estimate, ...]
    comparisons: tuple[Comparison, ...]
    notes: tuple[str, ...]


@dataclass(frozen=True)
class Rules:
    """How a suite compares: all pairs or against one encoder, the level, and a margin if one was declared."""

    reference: str | None
    alpha: float
    margin: float | None


def judge(
    cases: Cases, panel: str, family: str, metric: str, classes: tuple[str, ...], rules: Rules
) -> Judged:
    """Every encoder's estimate on one panel and the declared comparisons, uncorrected."""
    encoders = tuple(cases.scores)
    seeds = common_seeds(cases)
    if not encoders or not seeds:
        return Judged((), (), (*_refusals(cases), *_no_common_seed(cases)))
    scores = np.stack([[shaped(cases.scores[e][s], metric) for s in seeds] for e in encoders])
    name = "multilabel_macro_auroc" if metric == "macro_auroc" and cases.labels.ndim == 2 else metric
    missing = rules.reference is not None and rules.reference not in encoders
    wanted: str | int = "all" if missing or rules.reference is None else encoders.index(rules.reference)
    if len(seeds) == 1:
        plain = compare(name, cases.labels, scores[:, 0], cases.groups, wanted)
        estimates = [
            _from_plain(e, encoder, seeds) for e, encoder in zip(plain.estimates, encoders, strict=True)
        ]
        pairs, excluded, notes = plain.pairs, plain.excluded, _one_model(cases)
    else:
        over = compare_seeds(name, cases.labels, scores, cases.groups, wanted)
        estimates = [
            _from_seeds(e, encoder, seeds) for e, encoder in zip(over.estimates, encoders, strict=True)
        ]
        pairs, excluded, notes = over.pairs, over.excluded, _claim(over)
    comparisons = [] if missing else [comparison_record(p, encoders, panel, family, rules) for p in pairs]
    told = (*_refusals(cases), *_lost_seeds(cases, seeds), *_excluded(excluded, classes))
    notes = (*told, *_cut(cases, metric), *notes, *_care(estimates))
    if missing:
        notes = (f"The reference {rules.reference} has no result here, so nothing is compared.", *notes)
    if not cases.testable:
        estimates = [unpaired_estimate(e) for e in estimates]
        comparisons = [without_test(c) for c in comparisons]
        notes = (UNPAIRED_NOTE, *notes)
    return Judged(tuple(estimates), tuple(comparisons), notes)


def common_seeds(cases: Cases) -> tuple[int, ...]:
    """Seeds that every encoder finished: methods are compared on the same ones."""
    sets = [set(s) for s in cases.scores.values()]
    return tuple(sorted(set.intersection(*sets))) if sets else ()


def shaped(scores: FloatArray, metric: str) -> NDArray[np.float64] | NDArray[np.intp]:
    """One system's scores (n, K) as the metric reads them: (n,), (n, C), or predicted codes (n,)."""
    if scores.shape[1] > 1:
        return scores
    return (scores[:, 0] >= 0.5).astype(np.intp) if metric in _DECIDED else scores[:, 0]


def _from_plain(e: PlainEstimate, encoder: str, seeds: tuple[int, ...]) -> Estimate:
    return Estimate(
        encoder,
        e.value,
        e.ci_low,
        e.ci_high,
        method="" if e.method == "none" else e.method,
        verdict=str(e.verdict),
        note=_note(e.verdict),
        seeds=seeds,
        seed_values=() if e.value is None else (e.value,),
        shown_seed=seeds[0],
    )


def _from_seeds(e: SeedEstimate, encoder: str, seeds: tuple[int, ...]) -> Estimate:
    order = np.argsort(e.per_seed, kind="stable")
    return Estimate(
        encoder,
        e.value,
        e.ci_low,
        e.ci_high,
        method=e.method,
        verdict=str(e.verdict),
        note=_note(e.verdict),
        seeds=seeds,
        seed_values=e.per_seed,
        shown_seed=seeds[int(order[(len(order) - 1) // 2])],
    )


def _note(verdict: Verdict) -> str:
    return "" if verdict is Verdict.OK else verdict.explanation


def comparison_record(
    p: PairedComparison, names: tuple[str, ...], panel: str, family: str, rules: Rules | None = None
) -> Comparison:
    """A result of the statistics package as a record of the analysis; `names` are the systems handed in."""
    margin_verdict, equivalent = "", None
    if (
        rules is not None
        and rules.margin is not None
        and p.difference is not None
        and p.se
        and p.verdict.has_p_value
    ):
        tested = non_inferiority(p.difference, p.se, rules.margin, rules.alpha, p.statistic_df)
        margin_verdict, equivalent = tested.verdict, tested.equivalent
    return Comparison(
        panel=panel,
        family=family,
        first=names[p.index_a],
        second=names[p.index_b],
        value_first=p.value_a,
        value_second=p.value_b,
        difference=p.difference,
        ci_low=p.ci_low,
        ci_high=p.ci_high,
        se=p.se,
        p_value=p.p_to_correct,
        p_permutation=p.permutation_p,
        detectable=p.smallest_detectable_difference,
        verdict=str(p.verdict),
        note="" if p.verdict is Verdict.OK else p.explanation,
        method=p.method,
        margin_verdict=margin_verdict,
        equivalent=equivalent,
    )


def _refusals(cases: Cases) -> tuple[str, ...]:
    return tuple(
        f"{encoder} is left out of the comparisons: {why}." for encoder, why in cases.refused.items()
    )


def _no_common_seed(cases: Cases) -> tuple[str, ...]:
    if not cases.scores:
        return ()
    finished = "; ".join(f"{e}: {', '.join(map(str, seeds))}" for e, seeds in cases.scores.items())
    return (
        "No seed was finished by every encoder, so nothing can be compared. Seeds with a result: "
        f"{finished}. Run the suite again to finish the others.",
    )


def _claim(over: SeedComparison) -> tuple[str, ...]:
    if over.claim == "this method":
        return ()
    return (
        f"Intervals and tests are about {over.claim} on other patients; "
        "the spread between seeds is shown, and not counted.",
    )


def _one_model(cases: Cases) -> tuple[str, ...]:
    """What one seed of a protocol that depends on its seed cannot say."""
    if all(r.deterministic for rows in cases.rows.values() for r in rows):
        return ()
    return (
        "One seed: values and tests are about these trained models, not about the methods that trained them; "
        "another seed would give another model.",
    )


def _care(estimates: Sequence[Estimate]) -> tuple[str, ...]:
    """What counts of cases say against reading intervals and p-values as they are, once for the panel."""
    asked = [e.note for e in estimates if e.verdict in (Verdict.SMALL, Verdict.RARE_CLASS)]
    return tuple(dict.fromkeys(asked))


def _cut(cases: Cases, metric: str) -> tuple[str, ...]:
    """Where the decisions that a metric reads were made, if the scores are one probability."""
    if metric not in _DECIDED or any(
        s.shape[1] > 1 for found in cases.scores.values() for s in found.values()
    ):
        return ()
    return ("Scores are cut at 0.5 for this metric, whatever threshold was frozen on other images.",)


def _lost_seeds(cases: Cases, kept: tuple[int, ...]) -> tuple[str, ...]:
    lost = sorted({s for seeds in cases.scores.values() for s in seeds} - set(kept))
    if not lost:
        return ()
    short = [e for e, seeds in cases.scores.items() if not set(lost) <= set(seeds)]
    return (f"Seeds {', '.join(map(str, lost))} are left out: {', '.join(short)} did not finish them.",)


def _excluded(excluded: tuple[ExcludedClass, ...], classes: tuple[str, ...]) -> tuple[str, ...]:
    if not excluded:
        return ()
    names = [f"{classes[e.index]} ({e.n_positive} cases)" for e in excluded]
    return (f"Left out of the macro average, with too few cases: {', '.join(names)}.",)


def unpaired_estimate(e: Estimate) -> Estimate:
    """The value alone, where no valid interval exists."""
    return dataclasses.replace(e, ci_low=None, ci_high=None, method="", verdict=UNPAIRED, note=UNPAIRED_NOTE)


def without_test(c: Comparison) -> Comparison:
    """The difference alone, where no valid test exists."""
    return dataclasses.replace(
        c,
        ci_low=None,
        ci_high=None,
        se=None,
        p_value=None,
        p_permutation=None,
        detectable=None,
        verdict=UNPAIRED,
        note=UNPAIRED_NOTE,
        margin_verdict="",
        equivalent=None,
    )
