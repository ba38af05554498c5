"""The methods text: what was done, in sentences that can be pasted into a paper."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from ..analysis import PRIMARY, Analysis, Panel
from ..analysis.secondary import DRAWS
from ..analysis.sentences import listed, metric_name
from ..cost import CostTable
from ..cost.bench import RUNS
from ..cost.timing import FULL, NOISY_LOAD, NOISY_SPREAD, QUICK, SETTLED
from ..results import RunInfo
from ..statistics.resampling import FEWEST_EXTREME
from .citations import entries, plain_reference
from .cost_only import machine, without_tasks
from .text import percent, tested_by

REFERENCES = {
    "delong": "DeLong ER, DeLong DM, Clarke-Pearson DL. Comparing the areas under two or more correlated receiver "
    "operating characteristic curves: a nonparametric approach. Biometrics 1988;44:837-845.",
    "obuchowski": "Obuchowski NA. Nonparametric analysis of clustered ROC curve data. Biometrics 1997;53:567-578.",
    "orh": "Hillis SL. A comparison of denominator degrees of freedom methods for multiple observer ROC analysis. "
    "Statistics in Medicine 2007;26:596-619.",
    "kappa": "Fleiss JL, Cohen J, Everitt BS. Large sample standard errors of kappa and weighted kappa. "
    "Psychological Bulletin 1969;72:323-327.",
    "holm": "Holm S. A simple sequentially rejective multiple test procedure. Scandinavian Journal of Statistics "
    "1979;6:65-70.",
    "nemenyi": "Demšar J. Statistical comparisons of classifiers over multiple data sets. Journal of Machine "
    "Learning Research 2006;7:1-30.",
    "letters": "Piepho HP. An algorithm for a letter-based representation of all-pairwise comparisons. Journal of "
    "Computational and Graphical Statistics 2004;13:456-466.",
}


@dataclass(frozen=True)
class Methods:
    """The text's paragraphs, and the references that their numbers point to, in order."""

    paragraphs: tuple[str, ...]
    references: tuple[str, ...]


class _Numbers:
    """Numbers references in the order in which the text names them."""

    def __init__(self) -> None:
        self.found: dict[str, int] = {}

    def cite(self, *references: str) -> str:
        """`` [1, 2]``, to be put behind what is cited; nothing without a reference."""
        numbers = [self.found.setdefault(r, len(self.found) + 1) for r in references]
        return f" [{', '.join(map(str, sorted(numbers)))}]" if numbers else ""

    def cite_entries(self, citation: str) -> str:
        """The same for the BibTeX of an encoder or a data set."""
        return self.cite(*map(plain_reference, entries([citation])))


def methods(info: RunInfo, analysis: Analysis, cost: CostTable | None = None) -> Methods:
    """The methods text of a run."""
    numbers = _Numbers()
    parts = (
        _data(info, numbers),
        _models(info, analysis, numbers),
        "" if without_tasks(info) else _statistics(analysis, numbers),
        _timing(info, cost) if cost else "",
    )
    paragraphs = tuple(p for p in (*parts, _software(info)) if p)
    return Methods(paragraphs, tuple(numbers.found))


def _data(info: RunInfo, numbers: _Numbers) -> str:
    parts = []
    for d in info.datasets:
        patients = f" of {d.patients} patients" if d.patients else ""
        cited = numbers.cite_entries(d.citation)
        parts.append(f"{d.title}{cited} ({d.images} images{patients}; {d.split} split)")
    if not parts:
        return ""
    text = f"Encoders were compared on {listed(parts)}."
    simulated = [d.title for d in info.datasets if d.simulated]
    if simulated:
        text += (
            f" The images of {listed(simulated)} were simulated; these results say nothing about patients."
        )
    return text


def _models(info: RunInfo, analysis: Analysis, numbers: _Numbers) -> str:
    names = listed([analysis.titles[e.name] + numbers.cite_entries(e.citation) for e in info.encoders])
    text = f"The following encoders were compared: {names}." if names else ""
    for p in info.protocols:
        text += f" {p.title}: {p.description.rstrip('.')}."
        if p.deterministic:
            text += " This protocol is deterministic and was run once."
    seeds = max((len(e.seeds) for p in analysis.panels for e in p.estimates), default=1)
    return text + (f" Stochastic protocols were run with {seeds} seeds." if seeds > 1 else "")


def _statistics(analysis: Analysis, numbers: _Numbers) -> str:
    primary = [p for p in analysis.panels if p.family == PRIMARY]
    metrics = listed(list(dict.fromkeys(metric_name(p.metric) for p in primary)))
    methods = listed(list(dict.fromkeys(tested_by(p, c) for p in primary for c in p.comparisons)))
    pairs = (
        "all pairs of encoders"
        if analysis.reference is None
        else f"every encoder with {analysis.titles.get(analysis.reference, analysis.reference)}"
    )
    text = f"The primary metric was {metrics}." if metrics else ""
    if methods:
        text += (
            f" We compared {pairs} on the same test images ({methods}){_tests(primary, methods, numbers)}, "
            f"two-sided, and corrected the {analysis.wins.tests} p-values of the primary metric by Holm's method"
            f"{numbers.cite(REFERENCES['holm'])} as one family (alpha = {analysis.alpha:g})."
        )
    if any(e.letters for p in primary for e in p.estimates):
        text += (
            " Encoders that cannot be told apart share a letter" + numbers.cite(REFERENCES["letters"]) + "."
        )
    if any(p.clustered for p in primary):
        text += " Where a patient contributed several images, the variance was clustered by patient"
        text += numbers.cite(REFERENCES["obuchowski"]) + "."
    text += _intervals(primary) + _rare(primary)
    text += (
        " The smallest detectable difference is the true difference that one uncorrected test at the 5 % level finds "
        "with 80 % power: 2.80 standard errors, and more where the statistic is a t."
    )
    text += _other_families(analysis)
    if any(p.secondary for p in analysis.panels):
        text += (
            " Secondary metrics are exploratory and come from one trained model per encoder; their p-values carry a "
            f"Benjamini-Hochberg correction over all of them. Those without a formula were drawn at most {DRAWS} times."
        )
    if analysis.margin is not None:
        text += (
            f" Non-inferiority (two-sided {percent(1 - analysis.alpha)} intervals) and equivalence (two one-sided "
            f"tests at {analysis.alpha:g} each) were judged against a margin of {analysis.margin:g}, declared in "
            "advance, without correction for the number of comparisons."
        )
    return text


_WAYS = {
    "logit": "on the logit scale",
    "Wald": "by Wald's formula, cut at -1 and 1",
    "percentile": "by percentiles of 2,000 draws of patients with replacement",
    "rule of three": "at 1 by a one-sided bound, 0.05 to the power of 1 over the cases of the rarer class",
}
"""Words of an estimate's method, and what the text says of it."""


def _intervals(panels: Sequence[Panel]) -> str:
    """How the 95 % intervals of the primary metrics were made, by what was in fact used."""
    used: dict[str, list[str]] = {}
    for p in panels:
        for e in p.estimates:
            for way in _WAYS:
                if way in e.method and metric_name(p.metric) not in used.setdefault(way, []):
                    used[way].append(metric_name(p.metric))
    said = [f"{listed(used[way])} {text}" for way, text in _WAYS.items() if used.get(way)]
    text = f" 95 % intervals: {'; '.join(said)}." if said else ""
    if any("Hillis" in e.method for p in panels for e in p.estimates):
        text += " With three or more seeds they are Hillis' t intervals, which count seeds and patients."
    if any("bootstrap" in c.method for p in panels for c in p.comparisons):
        text += (
            " Bootstrap p-values are the share of draws, centred on 0, that are at least as extreme as the difference, "
            f"or, where fewer than {FEWEST_EXTREME} are, the normal tail of the difference over its standard error."
        )
    return text


def _rare(panels: Sequence[Panel]) -> str:
    """What was done with few cases, where there were few."""
    compared = [c for p in panels for c in p.comparisons]
    verdicts = {c.verdict for c in compared}
    text = ""
    if any(c.p_permutation is not None for c in compared):
        text += (
            " Where a class had fewer than 20 test cases or patients, a permutation test that swaps the two encoders' "
            "ranks patient by patient (10,000 swaps) was made as well; it assumes that the two are exchangeable under "
            "the null hypothesis, and its p-values are printed without correction."
        )
    if "rare_class" in verdicts:
        text += (
            " Where a class of a mean over classes had fewer than ten, the larger of the asymptotic and the "
            "permutation p-value was corrected and read, and no interval is given."
        )
    if "too_few_cases" in verdicts:
        text += (
            " Where the rarer class (for a kappa: all but the most frequent class) had fewer than ten, no asymptotic "
            "test was made, and no comparison entered the family."
        )
    return text


def _other_families(analysis: Analysis) -> str:
    """Tests beside the primary family, each with its own Holm correction."""
    losses = [d.comparison for m in analysis.transfer for d in m.drops if d.comparison is not None]
    changes = [c for i in analysis.interactions for c in i.contrasts]
    pairs = [x.comparison for b in analysis.together for x in b.labels if x.comparison is not None]
    pairs += [x.comparison for b in analysis.together for x in b.macro]
    named = {
        "losses in transfer against in-domain training": losses,
        "changes of differences between protocols (contrasts of four systems on the same images)": changes,
        "differences between one model per label and one for all": pairs,
    }
    found = [what for what, tests in named.items() if any(c.p_holm is not None for c in tests)]
    return f" Families of their own under Holm's method: {listed(found)}." if found else ""


def _timing(info: RunInfo, cost: CostTable) -> str:
    """How speed and memory were measured; nothing where none was."""
    speed = cost.line("throughput_best")
    if speed is None or all(cell.value is None for cell in speed.cells):
        return ""
    effort = {"quick": QUICK, "full": FULL}.get(info.suite_resolved.get("cost", {}).get("measure", ""))
    batches = listed([str(b) for b in sorted({p.batch for p in cost.sweep})])
    text = (
        f"Speed and memory were measured on {machine(info)}, with random weights, since they do not depend on the "
        f"weights. Each network was warmed up until three consecutive steps lay within {percent(SETTLED)} of each other"
    )
    if effort:
        text += (
            f", {effort.warm_up:.0f} s at most, and timed for at least {effort.seconds:.0f} s and {effort.steps} "
            f"steps, but no longer than {effort.longest:.0f} s"
        )
    text += (
        ". The device was synchronised before and after every step. Values are medians of the steps; spreads are "
        "their interquartile range as a share of the median. The throughput of the model alone is that of the best "
        f"batch size{f' of {batches}' if batches else ''}: the median of {RUNS} runs, each from the warm-up on. Values "
        f"are called noisy where the spread or the difference between runs is above {percent(NOISY_SPREAD)}, or where "
        f"other work took more than {percent(NOISY_LOAD)} of the processors."
    )
    for quantity, said in (
        ("end_to_end", "Speed from files is that of synthetic photographs"),
        ("probe", "The linear probe was timed alone"),
    ):
        line = cost.line(quantity)
        text += f" {said} ({line.how})." if line and line.how else ""
    if cost.group("computed"):
        text += " Parameters and operations follow from the architecture; a multiply-add counts as two operations."
    if cost.group("declared"):
        text += " Data and compute of pre-training are as the authors declare them."
    return text


def _tests(panels: Sequence[Panel], methods: str, numbers: _Numbers) -> str:
    """References of the tests that were made."""
    used = {
        "delong": "DeLong" in methods,
        "orh": "Hillis" in methods,
        "kappa": any(p.metric.endswith("kappa") for p in panels),
    }
    return numbers.cite(*(REFERENCES[name] for name, applies in used.items() if applies))


def _software(info: RunInfo) -> str:
    versions = ", ".join(f"{name} {version}" for name, version in info.versions.items())
    return f"Analyses used benchbench ({versions})."
