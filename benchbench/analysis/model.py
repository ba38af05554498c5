"""What the analysis says about a run: frozen records, ready to be shown, written or compared.

Words: a panel is one target task judged under one protocol (and one training task, and one value of every extra
axis). Everything within a panel was scored on the same images, so its encoders can be compared case by case.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from .across import AcrossDatasets
    from .rules import QuotedRule
    from .secondary import Secondary
    from .together import SeparateOrTogether

FloatArray = NDArray[np.float64]

PRIMARY = "primary"
"""Family of the declared comparisons: every panel with the full training data."""
COUNTED_ONLY = ("too_few_cases", "undefined_variance", "undefined_auc")
"""Verdicts of a class with so few cases (or patients) that no table or figure shows a score for it."""
OTHERS = "all other data sets"
"""Training task of a panel that left the target's data set out of training."""


def dataset_of(task: str) -> str:
    """Data set of a full task name."""
    return task.rpartition("/")[0]


@dataclass(frozen=True)
class Estimate:
    """One encoder on one panel.

    Attributes:
        value: The declared metric; None where it is undefined. With several seeds, the mean over seeds.
        ci_low, ci_high: 95 % interval; None where none applies.
        method: How the interval was made.
        verdict: Name from `statistics.Verdict`: "ok", or why a number is missing.
        note: The verdict as a sentence, empty when there is nothing to say.
        seed_values: The metric of each seed.
        letters: Tie groups: encoders that share a letter cannot be told apart. Empty where nothing was tested.
        ranks: Best and worst rank that the decided comparisons leave open; None where nothing was tested.
        shown_seed: Seed whose curves and confusion matrix are shown: the one in the middle.
    """

    encoder: str
    value: float | None
    ci_low: float | None = None
    ci_high: float | None = None
    method: str = ""
    verdict: str = "ok"
    note: str = ""
    seeds: tuple[int, ...] = ()
    seed_values: tuple[float, ...] = ()
    stamps: tuple[str, ...] = ()
    letters: str = ""
    shown_seed: int = 0
    ranks: tuple[int, int] | None = None

    @property
    def seed_sd(self) -> float | None:
        """Standard deviation of the metric over seeds; None with one seed."""
        return float(np.std(self.seed_values, ddof=1)) if len(self.seed_values) > 1 else None

    @property
    def shown(self) -> float | None:
        """The value where it may be shown as a score; with fewer than ten cases on a side, None: only counted."""
        return None if self.verdict in COUNTED_ONLY else self.value

    @property
    def scored(self) -> bool:
        """Whether there is a value to show."""
        return self.shown is not None

    @property
    def leads(self) -> bool:
        """Whether the encoder is in the first tie group."""
        return "a" in self.letters


@dataclass(frozen=True)
class Comparison:
    """Two encoders on one panel; the difference is first minus second, and higher is better.

    Attributes:
        ci_low, ci_high: 95 % interval; None where none is valid. With the verdict "rare_class" there is a p-value, the
            larger of two, and no interval.
        p_holm, p_bh: Corrected over the family; None where the test does not apply.
        p_permutation: p-value of the rank-swap permutation test, where classes are small.
        detectable: Smallest true difference that such a test finds with 80 % power.
        outcome: "first", "second", "undecided" or "untested".
        margin_verdict: Against the margin declared in the suite: "superior", "non-inferior", "inferior",
            "inconclusive"; empty without a margin.
        equivalent: Whether both one-sided tests against the margin reject; None without a margin.
    """

    panel: str
    family: str
    first: str
    second: str
    value_first: float | None
    value_second: float | None
    difference: float | None
    ci_low: float | None
    ci_high: float | None
    p_value: float | None
    p_permutation: float | None
    detectable: float | None
    verdict: str
    note: str
    method: str
    p_holm: float | None = None
    p_bh: float | None = None
    outcome: str = "untested"
    margin_verdict: str = ""
    equivalent: bool | None = None
    se: float | None = None

    @property
    def winner(self) -> str | None:
        """The better encoder where the difference survives correction."""
        return {"first": self.first, "second": self.second}.get(self.outcome)


@dataclass(frozen=True)
class Band:
    """A pointwise 95 % band around a curve."""

    x: FloatArray
    low: FloatArray
    high: FloatArray


@dataclass(frozen=True)
class Curve:
    """A curve with an optional band; x ascending."""

    x: FloatArray
    y: FloatArray
    band: Band | None = None
    summary: float | None = None
    """Area under it, or average precision."""


@dataclass(frozen=True)
class Reliability:
    """Calibration of one encoder: mean prediction, share observed and count of every bin.

    `low` and `high` are Wilson intervals, which take images for independent; NaN where patients are not named.
    """

    predicted: FloatArray
    observed: FloatArray
    low: FloatArray
    high: FloatArray
    counts: FloatArray
    brier: float
    ece: float
    ece_bins: int
    temperature: float | None = None
    """Chosen on validation images or out-of-fold predictions; None where there are none."""
    ece_after: float | None = None
    brier_after: float | None = None
    """Both at that temperature."""


@dataclass(frozen=True)
class ClassResult:
    """How one encoder does on one class against the rest."""

    name: str
    support: int
    auroc: float | None
    ci_low: float | None
    ci_high: float | None
    average_precision: float | None
    recall: float | None
    precision: float | None
    f1: float | None
    note: str = ""


@dataclass(frozen=True)
class OperatingPoint:
    """A binary decision at a threshold that was frozen before the test labels were seen."""

    threshold: float
    source: str
    sensitivity: float | None
    specificity: float | None
    ppv: float | None
    npv: float | None
    accuracy: float
    kappa: float | None = None
    """Cohen's, without weights; None where labels and decisions hold one class only."""


@dataclass(frozen=True)
class EncoderView:
    """Everything drawn about one encoder on one panel, from the seed in the middle."""

    encoder: str
    roc: tuple[Curve, ...]
    """One per class shown (binary: one)."""
    precision_recall: tuple[Curve, ...]
    reliability: Reliability | None
    confusion: NDArray[np.int64] | None
    """(true, predicted) counts; None for multi-label tasks."""
    classes: tuple[ClassResult, ...]
    operating_point: OperatingPoint | None


@dataclass(frozen=True)
class Panel:
    """One target under one protocol: estimates (best first), comparisons, and what is drawn."""

    id: str
    task: str
    title: str
    kind: str
    classes: tuple[str, ...]
    metric: str
    source_task: str
    source_title: str
    protocol: str
    axes: tuple[tuple[str, str], ...]
    family: str
    n: int
    n_patients: int | None
    """None where no patient identifiers are distributed."""
    n_train: int
    counts: tuple[tuple[str, int], ...]
    estimates: tuple[Estimate, ...]
    comparisons: tuple[Comparison, ...]
    notes: tuple[str, ...]
    views: tuple[EncoderView, ...] = ()
    sentence: str = ""
    """What it shows, in plain words."""
    secondary: tuple[Secondary, ...] = ()

    @property
    def in_domain(self) -> bool:
        """Whether it was trained on the data set it is judged on."""
        return dataset_of(self.task) == dataset_of(self.source_task)

    @property
    def clustered(self) -> bool:
        """Whether some patient has several test images."""
        return self.n_patients is not None and self.n_patients < self.n

    @cached_property
    def stamps(self) -> tuple[str, ...]:
        """Stamps of any of its encoders."""
        return tuple(dict.fromkeys(s for e in self.estimates for s in e.stamps))

    @cached_property
    def shared_stamps(self) -> tuple[str, ...]:
        """Stamps that every one of its numbers carries."""
        return tuple(s for s in self.stamps if all(s in e.stamps for e in self.estimates))

    def own_stamps(self, encoder: str) -> tuple[str, ...]:
        """Stamps of one encoder's number that the others do not share."""
        found = self.estimate(encoder)
        return () if found is None else tuple(s for s in found.stamps if s not in self.shared_stamps)

    @property
    def counted(self) -> str:
        """``2 present: counted, not scored`` where a class has too few cases for any score; else empty."""
        if not self.estimates or any(e.verdict not in COUNTED_ONLY for e in self.estimates):
            return ""
        name, count = min(self.counts, key=lambda pair: pair[1])
        if self.metric.endswith("kappa"):  # which rests on all cases outside the most frequent class
            most, largest = max(self.counts, key=lambda pair: pair[1])
            name, count = f"other than {most}", sum(k for _, k in self.counts) - largest
        return f"{count} {name}: counted, not scored"

    @property
    def all_pairs(self) -> bool:
        """Whether every pair was compared, and not only each encoder with a reference."""
        k = len(self.estimates)
        return len(self.comparisons) == k * (k - 1) // 2

    @property
    def detectable(self) -> float | None:
        """Smallest detectable difference of one uncorrected test: median over the undecided pairs.

        Pairs that are decided, such as those with a weak control, say little of what was missed; they stand in where
        no pair is undecided.
        """
        known = [(c.outcome, c.detectable) for c in self.comparisons if c.detectable is not None]
        values = [d for outcome, d in known if outcome == "undecided"] or [d for _, d in known]
        return float(np.median(values)) if values else None

    def estimate(self, encoder: str) -> Estimate | None:
        """The estimate of `encoder`, if it ran."""
        return self._by_encoder.get(encoder)

    @cached_property
    def _by_encoder(self) -> dict[str, Estimate]:
        return {e.encoder: e for e in self.estimates}

    def comparison(self, first: str, second: str) -> Comparison | None:
        """The comparison of two encoders, turned so that the difference is `first` minus `second`."""
        if found := self._by_pair.get((first, second)):
            return found
        return turned(found) if (found := self._by_pair.get((second, first))) else None

    @cached_property
    def _by_pair(self) -> dict[tuple[str, str], Comparison]:
        return {(c.first, c.second): c for c in self.comparisons}


def turned(c: Comparison) -> Comparison:
    """The same comparison with first and second exchanged; a margin verdict belongs to its order and is dropped."""
    import dataclasses

    def minus(value: float | None) -> float | None:
        return None if value is None else -value

    outcome = {"first": "second", "second": "first"}.get(c.outcome, c.outcome)
    return dataclasses.replace(
        c,
        first=c.second,
        second=c.first,
        value_first=c.value_second,
        value_second=c.value_first,
        difference=minus(c.difference),
        ci_low=minus(c.ci_high),
        ci_high=minus(c.ci_low),
        outcome=outcome,
        margin_verdict="",
    )


@dataclass(frozen=True)
class WinCount:
    """How often an encoder is better, under three rules.

    Attributes:
        holm, holm_losses: Comparisons won and lost after Holm over the family.
        uncorrected, uncorrected_losses: Comparisons with p below alpha, uncorrected.
        published: Panels won by the rule of published tables: best against second best, Wilcoxon over 100
            bootstrap values. Not a valid test; shown for comparison with papers only.
        never_beaten: Panels on which nothing beats it.
        panels: Panels on which it was tested.
    """

    encoder: str
    holm: int
    holm_losses: int
    uncorrected: int
    uncorrected_losses: int
    published: int
    never_beaten: int
    panels: int


@dataclass(frozen=True)
class Wins:
    """Win counts, and what chance alone would give; `tested` of the `panels` have a comparison that was tested."""

    counts: tuple[WinCount, ...]
    tests: int
    alpha: float
    holm: int
    uncorrected: int
    published: int
    panels: int
    tested: int

    @property
    def expected_by_chance(self) -> float:
        """Uncorrected "wins" to expect among equal encoders."""
        return self.alpha * self.tests


@dataclass(frozen=True)
class Drop:
    """Loss of an encoder when it was trained elsewhere, on the target's own test images where they can be paired."""

    source: str
    target: str
    encoder: str
    protocol: str
    home_protocol: str
    """Protocol of the in-domain result that it is measured against."""
    in_domain: float | None
    transferred: float | None
    """Both on the same images wherever there is a comparison, so that the loss is their difference."""
    comparison: Comparison | None


@dataclass(frozen=True)
class TransferMatrix:
    """Values of one encoder and protocol: trained on the row, tested on the column; NaN where not run."""

    encoder: str
    protocol: str
    metric: str
    sources: tuple[str, ...]
    targets: tuple[str, ...]
    values: FloatArray
    low: FloatArray
    high: FloatArray
    drops: tuple[Drop, ...]


@dataclass(frozen=True)
class Interaction:
    """Whether the order of the encoders on one task depends on the protocol.

    Attributes:
        kendall: Rank correlation of the two columns of values; None with fewer than three encoders.
        reversals: Pairs (better under `first` only, better under `second` only), each after correction.
        contrasts: Per pair of encoders, the change of their difference from `first` to `second` protocol.
    """

    task: str
    title: str
    metric: str
    first: str
    second: str
    values: tuple[tuple[str, float | None, float | None], ...]
    kendall: float | None
    reversals: tuple[tuple[str, str], ...]
    contrasts: tuple[Comparison, ...]


@dataclass(frozen=True)
class EfficiencyPoint:
    """One encoder at one training fraction: mean over repeats, and the interval of the middle repeat."""

    fraction: float
    n_train: int
    value: float
    ci_low: float | None
    ci_high: float | None
    repeats: int


@dataclass(frozen=True)
class EfficiencyCurve:
    """Metric against the size of the training set."""

    task: str
    title: str
    metric: str
    protocol: str
    encoder: str
    points: tuple[EfficiencyPoint, ...]
    matches: tuple[tuple[str, float], ...] = ()
    """(other encoder, fraction of its own data at which this one reaches the other's full-data value); the smallest
    fraction means "at most"."""

    def at(self, fraction: float) -> EfficiencyPoint | None:
        """The point at this fraction; None where it was not run or failed."""
        return next((p for p in self.points if p.fraction == fraction), None)


@dataclass(frozen=True)
class PublishedValue:
    """A number from the literature, beside what this run measured where the two can be set side by side."""

    encoder: str
    published_as: str
    task: str
    source_task: str
    protocol: str
    metric: str
    value: float
    ci: str
    paper: str
    source: str
    caveat: str
    measured: Estimate | None = None
    panel: str = ""


@dataclass(frozen=True)
class Lint:
    """Something a careful reader would ask about."""

    severity: str
    """"leak", "warning" or "note"."""
    code: str
    message: str
    where: str = ""


@dataclass(frozen=True)
class Failure:
    """A cell without a result."""

    encoder: str
    task: str
    protocol: str
    seed: int
    status: str
    reason: str


@dataclass(frozen=True)
class Analysis:
    """Everything that the report, the CSV files and the plugins' sections are made from."""

    suite: str
    title: str
    question: str
    alpha: float
    margin: float | None
    reference: str | None
    """The encoder that all others are compared with, or None for all pairs."""
    encoders: tuple[str, ...]
    titles: dict[str, str]
    panels: tuple[Panel, ...]
    wins: Wins
    transfer: tuple[TransferMatrix, ...]
    interactions: tuple[Interaction, ...]
    efficiency: tuple[EfficiencyCurve, ...]
    published: tuple[PublishedValue, ...]
    lints: tuple[Lint, ...]
    failures: tuple[Failure, ...]
    verdict: tuple[str, ...]
    """What the whole run shows, in plain sentences; every panel has a `sentence` of its own."""
    stamps: tuple[str, ...] = field(default=())
    rules: tuple[QuotedRule, ...] = ()
    """Rules of papers on this run's results, each beside the valid test."""
    across: tuple[AcrossDatasets, ...] = ()
    together: tuple[SeparateOrTogether, ...] = ()
    """One model per label against one for all labels."""

    def panel(self, id: str) -> Panel:
        """The panel with this id."""
        return next(p for p in self.panels if p.id == id)

    @property
    def headline(self) -> tuple[Panel, ...]:
        """Panels of the headline table: trained on their own task, full data."""
        return tuple(p for p in self.panels if p.family == PRIMARY and p.in_domain)

    @property
    def comparisons(self) -> tuple[Comparison, ...]:
        """All comparisons of all panels."""
        return tuple(c for p in self.panels for c in p.comparisons)
