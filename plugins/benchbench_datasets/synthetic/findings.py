"""From a diagnosis to what is seen: lesion counts per DR grade, discs per glaucoma class.

Counts for grades 2 to 4 follow medians and quartiles measured on the IDRiD images with lesion masks; grades 0 and
1 follow the clinical definition.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from .anatomy import Findings

_LESIONS = {
    # grade: (median, upper quartile) of microaneurysms, haemorrhages, exudates
    2: ((25, 43), (11, 21), (69, 118)),
    3: ((63, 77), (34, 44), (113, 240)),
    4: ((80, 98), (37, 51), (234, 348)),
}
_QUARTILE = 0.6745
LABEL_NOISE = 0.06
HEALTHY_CUP = (0.40, 0.10)
GLAUCOMA_CUPS = {0: HEALTHY_CUP, 1: (0.72, 0.12), 2: (0.55, 0.10)}
"""Vertical cup-to-disc ratio (mean, SD) by PAPILA's codes: 0 healthy, 1 glaucoma, 2 suspect."""


def seen_grade(label: int, rng: np.random.Generator) -> int:
    """The grade that is painted: now and then a neighbour of the label, as two graders differ."""
    if rng.random() >= LABEL_NOISE:
        return label
    return int(np.clip(label + rng.choice([-1, 1]), 0, 4))


def dr_findings(grade: int, dme_risk: int, rng: np.random.Generator) -> Findings:
    """Lesions of one eye with this grade (0 to 4) and macular oedema risk (0 to 2)."""
    healthy = Findings(
        cup_to_disc=float(np.clip(rng.normal(*HEALTHY_CUP), 0.15, 0.7)),
        drusen=int(rng.integers(4, 70)) if rng.random() < 0.40 else 0,
        specks=int(rng.integers(2, 30)) if rng.random() < 0.45 else 0,
        visibility=float(np.clip(rng.lognormal(np.log(0.45), 0.45), 0.12, 1.0)),
    )
    if grade == 0:
        return healthy
    if grade == 1:
        return replace(healthy, microaneurysms=int(rng.integers(1, 9)))
    ma, he, ex = (_count(median, upper, rng) for median, upper in _LESIONS[grade])
    lesions = replace(
        healthy,
        microaneurysms=ma,
        haemorrhages=he,
        exudates=ex if dme_risk else 0,
        exudates_at_macula=dme_risk == 2,
        cotton_wool=int(rng.poisson((0.7, 1.3, 0.8)[grade - 2])),
        beading=float(rng.uniform(0.4, 1.0)) if grade >= 3 else 0.0,
    )
    if grade < 4:
        return lesions
    return replace(
        lesions,
        new_vessels=True,
        preretinal=bool(rng.random() < 0.6),
        fibrosis=bool(rng.random() < 0.4),
        laser=int(rng.integers(25, 70)) if rng.random() < 0.5 else 0,
    )


def _count(median: float, upper: float, rng: np.random.Generator) -> int:
    sigma = np.log(upper / median) / _QUARTILE
    return max(1, round(median * float(np.exp(np.clip(rng.normal(0, sigma), -1.8 * sigma, 1.8 * sigma)))))


def glaucoma_findings(diagnosis: int, cup_shift: float, rng: np.random.Generator) -> Findings:
    """Disc of one eye: 0 healthy, 1 glaucoma, 2 suspect; `cup_shift` is the patient's own."""
    mean, sd = GLAUCOMA_CUPS[diagnosis]
    likely = (0.10, 0.65, 0.30)[diagnosis]
    return Findings(
        cup_to_disc=float(np.clip(mean + cup_shift + rng.normal(0, 0.85 * sd), 0.15, 0.92)),
        rim_notch=float(rng.choice([-1, 1, 1]) * rng.uniform(0.3, 1.0)) if rng.random() < likely else 0.0,
        atrophy=float(rng.uniform(0.15, 0.45)) if rng.random() < 0.15 + 0.5 * likely else 0.0,
        nerve_fibre_defect=bool(rng.random() < 0.6 * likely),
    )
