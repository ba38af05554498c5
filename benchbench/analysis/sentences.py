"""The verdict in plain words. Every sentence is made from a panel's comparisons, and nothing else."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from .model import Comparison, Panel, Wins, turned

MARKS = {"rare_class": " (a class of fewer than 10 cases)", "small": " (small sample)"}
"""What stands beside a number whose verdict asks for care."""
METRIC_NAMES = {
    "auroc": "AUROC",
    "macro_auroc": "macro AUROC",
    "quadratic_kappa": "quadratic-weighted kappa",
    "linear_kappa": "linear-weighted kappa",
    "unweighted_kappa": "kappa",
    "balanced_accuracy": "balanced accuracy",
    "accuracy": "accuracy",
    "average_precision": "average precision",
    "f1": "F1",
    "sensitivity_at_specificity_0.9": "sensitivity at specificity 0.9",
    "brier": "Brier score",
    "ece": "calibration error (15 bins)",
}


def metric_name(metric: str) -> str:
    """A metric's name as a reader writes it."""
    return METRIC_NAMES.get(metric, metric.replace("_", " "))


def listed(names: Sequence[str]) -> str:
    """``A``, ``A and B``, ``A, B and C``."""
    names = list(names)
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}" if names else ""


def p_text(p: float | None) -> str:
    """``p = .004``, ``p < .001``, or a dash: no leading zero, since a p-value cannot exceed 1."""
    if p is None:
        return "–"
    if p < 0.001:
        return "< .001"
    if p >= 0.9995:
        return "1"
    return f"{p:.3f}".lstrip("0") if p < 0.1 else f"{p:.2f}".lstrip("0")


def p_phrase(name: str, p: float | None) -> str:
    """``Holm p = .004`` or ``Holm p < .001``."""
    text = p_text(p)
    joined = f"{name} {text}" if text.startswith("<") else f"{name} = {text}"
    return joined.replace(" ", "\u00a0")


def signed(value: float) -> str:
    """Three decimals with a true minus sign."""
    return f"{value:+.3f}".replace("-", "−").replace("+", "")


def where(panel: Panel, many_protocols: bool) -> str:
    """How a sentence names a panel."""
    text = f"On {panel.title}"
    if not panel.in_domain:
        text += f", trained on {panel.source_title}"
    if many_protocols:
        text += f", {panel.protocol.replace('_', ' ')}"
    return text


def panel_sentence(panel: Panel, titles: Mapping[str, str], many_protocols: bool) -> str:
    """What one panel shows, in one or two sentences."""
    place = where(panel, many_protocols)
    tested = [c for c in panel.comparisons if c.outcome != "untested"]
    if not panel.estimates:
        return " ".join([f"{place}, no result could be analysed.", *panel.notes])
    if len(panel.estimates) < 2:
        return f"{place}, only one encoder has a result, so nothing is compared."
    if not tested:
        why = next((c.note for c in panel.comparisons if c.note), "")
        return f"{place}, no comparison could be tested. {why}".strip()
    wins = sorted((c for c in tested if c.winner), key=lambda c: abs(c.difference or 0.0))
    if not wins:
        return f"{place}, {_nobody(panel, tested)}{_detectable(panel)}"
    named = {e.encoder: titles.get(e.encoder, e.encoder) for e in panel.estimates}
    return f"{place}, {_wins(panel, wins, named)}"


def _nobody(panel: Panel, tested: Sequence[Comparison]) -> str:
    encoders = {e for c in tested for e in (c.first, c.second)}
    subject = "the two encoders" if len(encoders) == 2 else f"the {len(encoders)} encoders"
    mark = next((text for verdict, text in MARKS.items() if any(c.verdict == verdict for c in tested)), "")
    return f"{subject} cannot be told apart{mark}."


def _detectable(panel: Panel) -> str:
    if panel.detectable is None:
        return ""
    return (
        f" With {panel.n} test images, one uncorrected test finds a true difference of {panel.detectable:.3f} "
        f"in {metric_name(panel.metric)} with 80 % chance, and smaller ones less often."
    )


def _wins(panel: Panel, wins: Sequence[Comparison], named: Mapping[str, str]) -> str:
    """Who is unbeaten, what the best of them beats with numbers, and how much else holds."""
    beaten = {c.first if c.winner == c.second else c.second for c in wins}
    tested = {e for c in panel.comparisons if c.outcome != "untested" for e in (c.first, c.second)}
    top = [e.encoder for e in panel.estimates if e.encoder in tested and e.encoder not in beaten]
    winner = next(e.encoder for e in panel.estimates if any(c.winner == e.encoder for c in wins))
    own = [c for c in wins if c.winner == winner]
    clause = _clause(winner, own, named)
    if len(top) > 1 and panel.all_pairs:
        text = f"{listed([named[n] for n in top])} cannot be told apart, and nothing beats them; {clause}."
    else:
        text = f"{clause}."
    rest = len(wins) - len(own)
    return text + (f" {rest} more of the {len(panel.comparisons)} differences hold." if rest else "")


def _clause(winner: str, comparisons: Sequence[Comparison], named: Mapping[str, str]) -> str:
    closest = comparisons[0]
    loser, difference, interval = _as_won(closest, winner)
    text = (
        f"{named[winner]} beats {named[loser]} by {difference:.3f}{interval}, "
        f"{p_phrase('Holm p', closest.p_holm)}{MARKS.get(closest.verdict, '')}"
    )
    others = [named[_as_won(c, winner)[0]] for c in comparisons[1:]]
    return text + (f", and also beats {listed(others)}" if others else "")


def _as_won(c: Comparison, winner: str) -> tuple[str, float, str]:
    """The loser, by how much, and the interval in brackets where there is one."""
    if c.first != winner:
        c = turned(c)
    known = c.ci_low is not None and c.ci_high is not None
    interval = f" [{signed(c.ci_low or 0.0)}, {signed(c.ci_high or 0.0)}]" if known else ""
    return c.second, c.difference or 0.0, interval


def overall_sentences(
    wins: Wins, panels: Sequence[Panel], titles: Mapping[str, str], failures: int, reference: str | None
) -> list[str]:
    """What the whole run shows: how many differences hold, and who is never beaten."""
    if not panels:
        return ["No cell of this run has a result yet."]
    sentences = []
    if wins.tests:
        held = (
            "no difference holds" if not wins.holm else f"{wins.holm} hold" + ("s" if wins.holm == 1 else "")
        )
        sentences.append(
            f"Of {wins.tests} paired comparisons on {_places(panels)}, {held} after Holm's correction; "
            f"{wins.uncorrected} would pass uncorrected, where equal encoders would be expected to give "
            f"{wins.expected_by_chance:.1f} by chance."
        )
    else:
        sentences.append("No comparison between encoders could be tested.")
    if wins.holm and reference is None:
        sentences += _never_beaten(wins, titles)
    if reference is not None:
        sentences.append(
            f"Every encoder was compared with {titles.get(reference, reference)}, and with no other."
        )
    if failures:
        sentences.append(
            f"{_count(failures, 'cell')} of the suite {'has' if failures == 1 else 'have'} no result."
        )
    return sentences


def _never_beaten(wins: Wins, titles: Mapping[str, str]) -> list[str]:
    """Who was tested wherever anything was and is beaten nowhere; who was tested on less is said to be."""
    unbeaten = [w for w in wins.counts if w.panels and w.never_beaten == w.panels]
    top = [titles.get(w.encoder, w.encoder) for w in unbeaten if w.panels == wins.tested]
    partly = [w for w in unbeaten if w.panels < wins.tested]
    if not unbeaten:
        return ["Every encoder is beaten somewhere."]
    found = [f"{listed(top)} {'is' if len(top) == 1 else 'are'} beaten nowhere."] if top else []
    return found + [
        f"{titles.get(w.encoder, w.encoder)} is not beaten where it was tested, which is {w.panels} of the "
        f"{wins.tested} places."
        for w in partly
    ]


def _places(panels: Sequence[Panel]) -> str:
    """``3 tasks``, or ``3 tasks under 2 protocols``."""
    text = _count(len({p.task for p in panels}), "task")
    protocols = len({p.protocol for p in panels})
    return text + (f" under {protocols} protocols" if protocols > 1 else "")


def _count(n: int, word: str) -> str:
    return f"{n} {word}" if n == 1 else f"{n} {word}s"
