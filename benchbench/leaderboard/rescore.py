"""The board: every submission of a spec, scored from its predictions and compared with all others.

Nothing that a submitter says about scores is read here. The statistics are those of the report: estimates with
intervals, every pair of entries tested on the same images, Holm's correction over the whole spec, and tie groups.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from .bundle import Bundle
from .guard import Refused, shown
from .spec import Labels, Spec, SpecPanel, SpecTask, read_labels, read_specs, same_name
from .validate import check_place, validate

if TYPE_CHECKING:
    import numpy as np

    from ..analysis.cases import Cases
    from ..analysis.judge import Rules
    from ..analysis.model import Comparison, Estimate

SELF_REPORTED, RESCORED, REPRODUCED = "self-reported", "re-scored", "reproduced"
TIERS = {
    SELF_REPORTED: "The labels are not here, so nothing was scored and no score is shown.",
    RESCORED: "Every score was computed here from the submitted predictions.",
    REPRODUCED: "Somebody else ran the same weights under the same spec, and every score agreed within the spec's "
    "tolerance.",
}


@dataclass(frozen=True)
class Entry:
    """One submission on the board."""

    id: str
    bundle: Bundle
    tier: str
    superseded_by: str = ""
    reproduced_by: str = ""
    """Submitter of the second run, where there is one."""
    largest_deviation: float | None = None
    """Between the two runs, over the spec's panels."""
    twins: tuple[str, ...] = ()
    """Entries with exactly the same predictions."""


@dataclass(frozen=True)
class BoardPanel:
    """One panel of the spec with the current entries' results.

    Attributes:
        estimates: Best first; empty where the labels are not here.
    """

    panel: SpecPanel
    task: SpecTask
    n: int
    n_patients: int | None
    counts: tuple[tuple[str, int], ...]
    rescored: bool
    estimates: tuple[Estimate, ...] = ()
    comparisons: tuple[Comparison, ...] = ()
    notes: tuple[str, ...] = ()

    def estimate(self, entry: str) -> Estimate | None:
        """The estimate of an entry."""
        return next((e for e in self.estimates if e.encoder == entry), None)

    @property
    def ranks(self) -> dict[str, tuple[int, int]]:
        """Entry -> best and worst rank that the significant differences leave open."""
        return {e.encoder: e.ranks for e in self.estimates if e.ranks is not None}


@dataclass(frozen=True)
class Board:
    """All submissions of one spec, scored."""

    spec: Spec
    entries: tuple[Entry, ...]
    """Current and superseded ones, in the order of their identifiers."""
    panels: tuple[BoardPanel, ...]
    past: Mapping[str, Mapping[str, Estimate]] = dataclasses.field(default_factory=dict)
    """Superseded entry -> panel -> its estimate, which takes part in no comparison."""

    @property
    def current(self) -> tuple[Entry, ...]:
        """Entries that no later one replaces."""
        return tuple(e for e in self.entries if not e.superseded_by)

    @property
    def withheld(self) -> tuple[str, ...]:
        """Data sets whose labels are not here."""
        return tuple(dict.fromkeys(p.panel.dataset for p in self.panels if not p.rescored))

    def entry(self, id: str) -> Entry:
        """The entry with this identifier."""
        return next(e for e in self.entries if e.id == id)

    def leads(self, id: str) -> int:
        """On how many panels no other entry is better than this one."""
        return sum(id in p.ranks and p.ranks[id][0] == 1 for p in self.panels)


PLACEHOLDERS = (".gitkeep", "README.md")
"""Files that may lie beside the folders of submissions."""


def read_boards(root: Path, label_folders: Iterable[Path] = ()) -> tuple[Board, ...]:
    """Validate and score everything in a leaderboard's folder.

    Args:
        root: The folder that holds spec/ and submissions/.
        label_folders: Further places to look for labels files.

    Raises:
        Refused: a submission that breaks a rule.
    """
    specs = read_specs(root)
    for kind in ("submissions", "reproductions"):
        for path in _folders(root / kind):
            if path.name not in specs:
                raise Refused(
                    [f"{kind}/{shown(path.name)} belongs to no spec of this leaderboard"], str(root)
                )
    folders = (root / "spec", *label_folders)
    boards = []
    for spec in specs.values():
        bundles = _read_all(root / "submissions" / spec.name, specs)
        second_runs = _read_all(root / "reproductions" / spec.name, specs)
        boards.append(score_board(spec, bundles, read_labels(spec, folders), second_runs))
    return tuple(boards)


def _read_all(folder: Path, specs: Mapping[str, Spec]) -> dict[str, Bundle]:
    found: dict[str, Bundle] = {}
    for path in (entry for who in _folders(folder) for entry in _folders(who)):
        bundle = validate(path, specs)
        check_place(path, bundle)
        found[bundle.submission.folder] = bundle
    return found


def _folders(folder: Path) -> list[Path]:
    """The folders in `folder`, which may hold nothing else."""
    found = sorted(p for p in folder.iterdir() if p.name not in PLACEHOLDERS) if folder.is_dir() else []
    faults = [
        f"{shown(p.name)} is {'a symbolic link' if p.is_symlink() else 'a file'}; only folders belong here"
        for p in found
        if p.is_symlink() or not p.is_dir()
    ]
    if faults:
        raise Refused(faults, str(folder))
    return found


def score_board(
    spec: Spec,
    bundles: Mapping[str, Bundle],
    labels: Mapping[str, Labels],
    second_runs: Mapping[str, Bundle] | None = None,
) -> Board:
    """Score validated submissions.

    Args:
        spec: Their spec.
        bundles: By identifier.
        labels: By panel, as far as they are here.
        second_runs: Runs of the same weights by somebody else.
    """
    replaced = {b.submission.supersedes: id for id, b in bundles.items() if b.submission.supersedes}
    current = {id: b for id, b in bundles.items() if id not in replaced}
    panels = tuple(_panel(spec, panel, labels.get(panel.id), current) for panel in spec.panels)
    panels = _corrected(panels, spec)
    entries = []
    for id, bundle in sorted(bundles.items()):
        tier, by, deviation = _tier(spec, bundle, labels, second_runs or {})
        twins = _twins(id, bundles)
        entries.append(Entry(id, bundle, tier, replaced.get(id, ""), by, deviation, twins))
    past = {id: _alone(spec, id, bundles[id], labels) for id in bundles if id in replaced}
    return Board(spec, tuple(entries), panels, past)


def _alone(spec: Spec, id: str, bundle: Bundle, labels: Mapping[str, Labels]) -> dict[str, Estimate]:
    """The estimates of one entry without comparisons, by panel."""
    scored = {p.id: _panel(spec, p, labels[p.id], {id: bundle}) for p in spec.panels if p.id in labels}
    return {name: panel.estimates[0] for name, panel in scored.items() if panel.estimates}


def _panel(spec: Spec, panel: SpecPanel, labels: Labels | None, bundles: Mapping[str, Bundle]) -> BoardPanel:
    from ..analysis.judge import judge
    from ..analysis.panels import counts, patients

    task = spec.task(panel.task)
    n = len(spec.images(panel))
    if labels is None:
        return BoardPanel(panel, task, n, None, (), rescored=False)
    scores = {
        id: {seed: bundle.scores[panel.id, seed] for seed in panel.seeds} for id, bundle in bundles.items()
    }
    cases = _cases(spec, panel, labels, scores)
    judged = judge(cases, panel.id, spec.name, task.metric, task.classes, _rules(spec))
    estimates = sorted(judged.estimates, key=lambda e: (-_ordered(e.value), e.encoder))
    return BoardPanel(
        panel,
        task,
        n,
        patients(cases),
        counts(cases, task.classes),
        rescored=True,
        estimates=tuple(estimates),
        comparisons=judged.comparisons,
        notes=judged.notes,
    )


def _ordered(value: float | None) -> float:
    return float("-inf") if value is None else value


def _rules(spec: Spec) -> Rules:
    from ..analysis.judge import Rules

    return Rules(reference=None, alpha=spec.alpha, margin=None)


def _cases(
    spec: Spec, panel: SpecPanel, labels: Labels, scores: Mapping[str, Mapping[int, np.ndarray]]
) -> Cases:
    import numpy as np

    from ..analysis.cases import Cases, Scored, patients_of

    images = np.array(spec.images(panel), dtype=object)
    groups, identified = patients_of(
        Scored(images, labels.patients, labels.values, np.empty((len(images), 0)))
    )
    return Cases(
        key=(panel.task, panel.source_task, panel.protocol, tuple(sorted(panel.axes.items()))),
        labels=labels.values,
        groups=groups,
        identified=identified,
        image_ids=images,
        scores=scores,
        validation={},
        rows={},
        refused={},
        paired_eyes=spec.dataset(panel.dataset).paired_eyes,
    )


def _corrected(panels: tuple[BoardPanel, ...], spec: Spec) -> tuple[BoardPanel, ...]:
    """Holm over every comparison of the spec, then tie groups and open ranks."""
    from ..analysis.panels import correct, tied

    by_panel: dict[str, list[Comparison]] = {}
    for comparison in correct([c for p in panels for c in p.comparisons], spec.alpha):
        by_panel.setdefault(comparison.panel, []).append(comparison)
    done = []
    for panel in panels:
        comparisons = tuple(by_panel.get(panel.panel.id, ()))
        estimates = tied(panel.estimates, comparisons, _rules(spec))
        done.append(dataclasses.replace(panel, estimates=estimates, comparisons=comparisons))
    return tuple(done)


def values_of(spec: Spec, bundle: Bundle, labels: Mapping[str, Labels]) -> dict[str, float | None]:
    """The re-scored value of every panel whose labels are here."""
    return {panel: e.value for panel, e in _alone(spec, "this", bundle, labels).items()}


def _tier(
    spec: Spec, bundle: Bundle, labels: Mapping[str, Labels], second_runs: Mapping[str, Bundle]
) -> tuple[str, str, float | None]:
    """Tier, who reproduced it, and by how much the two runs differ."""
    if not labels:
        return SELF_REPORTED, "", None
    card, submitter = bundle.submission.encoder, bundle.submission.submitter.name
    for second in second_runs.values():
        other = second.submission
        same = (other.encoder.weights_sha256, other.encoder.preprocess, other.encoder.pooling)
        if card.weights_sha256 is None or same != (card.weights_sha256, card.preprocess, card.pooling):
            continue
        if same_name(other.submitter.name) == same_name(submitter):
            continue
        first_values, second_values = values_of(spec, bundle, labels), values_of(spec, second, labels)
        pairs = [(first_values[p], second_values[p]) for p in first_values]
        deviation = max(abs(_ordered(a) - _ordered(b)) if a != b else 0.0 for a, b in pairs)
        tier = REPRODUCED if deviation <= spec.reproduction_tolerance else RESCORED
        return tier, other.submitter.name, deviation
    return RESCORED, "", None


def _twins(id: str, bundles: Mapping[str, Bundle]) -> tuple[str, ...]:
    """Other entries whose predictions are the same to the last digit: resubmitted, reproduced, or copied."""
    own = bundles[id].scores
    return tuple(
        other
        for other, bundle in sorted(bundles.items())
        if other != id and all((own[key] == bundle.scores[key]).all() for key in own)
    )
