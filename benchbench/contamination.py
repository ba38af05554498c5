"""Did an encoder see a dataset in pre-training? Answered from its own card, with where that is stated."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Literal

from .api import DatasetInfo, EncoderInfo
from .results import AuditFinding
from .weights import GIVEN_BY_HAND

Contamination = Literal["in pretraining", "declared clean", "unknown"]


def contamination(encoder: EncoderInfo, dataset: DatasetInfo) -> tuple[Contamination, str]:
    """The state, and why.

    An encoder that saw the set from which a dataset was made saw the dataset; one that is clean of all of them is
    clean of it. A card that lists its pre-training in full is clean of whatever it does not list.
    """
    if encoder.weights is None and not encoder.pretraining:
        return "declared clean", "its weights are random"
    names = {_plain(n) for n in (dataset.name, *dataset.aliases)}
    sources = {_plain(n) for n in dataset.derived_from}
    for seen in encoder.pretraining:
        name = _plain(seen.name)
        if name in names | sources:
            how = "" if name in names else f", from which {dataset.name} was made"
            number = f" ({seen.images:,} images)" if seen.images else ""
            return "in pretraining", f"{seen.name}{number}{how}; {seen.source}"
    clean = {_plain(n) for n in encoder.declared_clean}
    if names & clean or (sources and sources <= clean):
        return "declared clean", "by the encoder's authors"
    if encoder.pretraining_complete:
        listed = ", ".join(s.name for s in encoder.pretraining)
        return "declared clean", f"pre-trained on {listed}; {encoder.pretraining_complete}"
    if encoder.weights is not None and encoder.weights.source == GIVEN_BY_HAND:
        return "unknown", GIVEN_BY_HAND
    return "unknown", "neither listed in its pre-training nor excluded by its authors"


def _plain(name: str) -> str:
    return "".join(c for c in name.casefold() if c.isalnum())


def grid(
    findings: Iterable[AuditFinding],
) -> tuple[tuple[str, ...], tuple[str, ...], Mapping[tuple[str, str], AuditFinding]]:
    """Encoders, datasets, and the audit's finding on each pair of them, in order of appearance."""
    cells = {(f.encoder, f.dataset): f for f in findings if f.code == "contamination" and f.state}
    encoders = tuple(dict.fromkeys(e for e, _ in cells))
    datasets = tuple(dict.fromkeys(d for _, d in cells))
    return encoders, datasets, cells
