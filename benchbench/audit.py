"""What could make a result too good: leaks between splits, contamination, thin classes, unclear splits.

The audit looks at datasets as they are used and at the encoders' own declarations. It finds; the reader judges. A
``leak`` is certain (a test image, or its patient, was trained on), a ``warning`` needs a thought, a ``note`` is
provenance.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Sequence
from typing import TYPE_CHECKING

from .contamination import contamination
from .datasets.duplicates import Pair, find_pairs
from .datasets.local import OWN
from .results import AuditFinding
from .store import Store
from .weights import GIVEN_BY_HAND, spelled

if TYPE_CHECKING:
    from .api import EncoderInfo
    from .datasets import LoadedDataset

LOW_SUPPORT = 10
"""A class with fewer test images is reported: intervals are wide and tests nearly powerless."""
_SEVERITIES = ("leak", "warning", "note")
Crossing = tuple[str, str, str]
"""Dataset trained on, dataset tested on, and which part of the latter: "test" or "all"."""


def audit(
    datasets: Sequence[LoadedDataset],
    encoders: Sequence[EncoderInfo],
    tasks: Sequence[str],
    *,
    store: Store | None = None,
    crossings: Collection[Crossing] = (),
    pairs: Sequence[Pair] | None = None,
    progress: Callable[[int, int, str], None] | None = None,
) -> tuple[AuditFinding, ...]:
    """Every finding about these datasets, encoders and tasks (``dataset/task``), the worst first.

    `crossings` are the pairs of datasets of which one is trained on and the other tested on, see `Plan.crossings`.
    """
    findings: list[AuditFinding] = []
    pairs = find_pairs(datasets, store or Store(), progress) if pairs is None else pairs
    for dataset in datasets:
        findings += _patients(dataset)
        findings += _identical(dataset)
        findings += _images_without_patient(dataset)
        findings += _eyes_without_patients(dataset)
        findings += _provenance(dataset)
        wanted = [t.rpartition("/")[2] for t in tasks if t.rpartition("/")[0] == dataset.name]
        for task in wanted:
            findings += _low_support(dataset, task)
        findings += _conflicts(dataset, wanted)
        for encoder in encoders:
            findings.append(_contamination(encoder, dataset))
    findings += _near(pairs, crossings)
    findings += _shared_sources(datasets, crossings)
    return tuple(sorted(findings, key=lambda f: _SEVERITIES.index(f.severity)))


def _contamination(encoder: EncoderInfo, dataset: LoadedDataset) -> AuditFinding:
    state, why = contamination(encoder, dataset.info)
    name = spelled(encoder)
    if encoder.weights is not None and encoder.weights.source == GIVEN_BY_HAND:
        name += f" +{encoder.weights.file_name}"  # a suite may hold the official checkpoint beside it
    severity = "warning" if state == "in pretraining" and not dataset.simulated else "note"
    message = f"{dataset.name} and the pre-training of {name}: {state} ({why})"
    return AuditFinding(severity, "contamination", message, dataset.name, name, state=state)


def _patients(dataset: LoadedDataset) -> Iterator[AuditFinding]:
    column = dataset.info.cluster
    if column is None or column not in dataset.frame:
        return
    frame = dataset.frame[(dataset.frame["split"] != "") & (dataset.frame[column] != "")]
    parts = frame.groupby(column)["split"].agg(set)
    crossing = parts[[("test" in p) and len(p) > 1 for p in parts]]
    if len(crossing):
        images = frame[frame[column].isin(crossing.index) & (frame["split"] == "test")]["image_id"]
        total = int((frame["split"] == "test").sum())
        yield AuditFinding(
            "leak",
            "shared_patients",
            f"{dataset.name}: {len(crossing)} patients are in the test split and also in training or validation; "
            f"{len(images)} of {total} test images are theirs (split {dataset.split})",
            dataset.name,
            images=tuple(images),
        )


def _identical(dataset: LoadedDataset) -> Iterator[AuditFinding]:
    frame = dataset.frame[dataset.frame["split"] != ""]
    repeated = frame[frame.duplicated("sha256", keep=False)]
    crossing = []
    for _, same in repeated.groupby("sha256"):
        parts = set(same["split"])
        if "test" in parts and len(parts) > 1:
            crossing.append(tuple(same["image_id"]))
    if crossing:
        yield AuditFinding(
            "leak",
            "identical_files",
            f"{dataset.name}: {len(crossing)} sets of identical files lie in the test split and also in training or "
            f"validation, for instance {' = '.join(crossing[0])} (split {dataset.split})",
            dataset.name,
            images=tuple(i for same in crossing for i in same),
        )
    inside = repeated["sha256"].nunique() - len(crossing)
    if inside:
        yield AuditFinding(
            "note",
            "identical_files",
            f"{dataset.name}: {inside} further sets of identical files stay within one part of the split",
            dataset.name,
        )


def _conflicts(dataset: LoadedDataset, tasks: Sequence[str]) -> Iterator[AuditFinding]:
    """Identical files with different labels: at least one of the labels is wrong."""
    import numpy as np

    repeated = dataset.frame.duplicated("sha256", keep=False).to_numpy()
    if not repeated.any():
        return
    for task in tasks:
        labels = np.atleast_2d(dataset.labels(task).T).T
        wrong: list[tuple[str, ...]] = []
        for _, rows in dataset.frame[repeated].groupby("sha256").indices.items():
            positions = np.flatnonzero(repeated)[rows]
            values = labels[positions]
            if len({tuple(v) for v in values if not np.isnan(v).any()}) > 1:
                wrong.append(tuple(dataset.image_ids[p] for p in positions))
        if wrong:
            yield AuditFinding(
                "warning",
                "conflicting_labels",
                f"{dataset.name}/{task}: {len(wrong)} sets of identical files carry different labels, "
                f"for instance {' and '.join(wrong[0])}; perfect agreement is impossible",
                dataset.name,
                images=tuple(i for same in wrong for i in same),
            )


def _images_without_patient(dataset: LoadedDataset) -> Iterator[AuditFinding]:
    column = dataset.info.cluster
    if dataset.info.access.route == OWN and column is None and not dataset.info.paired_eyes:
        yield AuditFinding(
            "warning",
            "no_patient_ids",
            f"{dataset.name}: no patient column: every image counts as a patient of its own; where a person has "
            "several, the same person may be trained on and tested, and intervals are too narrow",
            dataset.name,
        )
    empty = int((dataset.frame[column] == "").sum()) if column in dataset.frame else 0
    if empty:
        yield AuditFinding(
            "warning",
            "no_patient_ids",
            f"{dataset.name}: {empty} of {len(dataset)} images have no patient; each of them counts as a patient of "
            "its own, and may share one with the other part of the split",
            dataset.name,
        )


def _eyes_without_patients(dataset: LoadedDataset) -> Iterator[AuditFinding]:
    if dataset.info.paired_eyes and dataset.info.cluster is None:
        yield AuditFinding(
            "warning",
            "no_patient_ids",
            f"{dataset.name}: patients usually have several images, but no identifiers are distributed, so no split "
            "can keep them together and no p-value is given",
            dataset.name,
        )


def _provenance(dataset: LoadedDataset) -> Iterator[AuditFinding]:
    sizes = dataset.frame["split"].value_counts()
    counts = ", ".join(f"{part} {int(sizes.get(part, 0))}" for part in ("train", "val", "test"))
    kept = "whole patients" if dataset.info.cluster else "identical files together"
    how = {
        "official": "as published, or as given with the data",
        "retfound": "image level and per class, the recipe of RETFound's released splits",
    }.get(dataset.split.kind, f"made by benchbench, {kept}, balanced by {dataset.info.tasks[0].name!r}")
    message = (
        f"{dataset.name}: split {dataset.split} ({counts}), {how}; fingerprint {dataset.split_fingerprint}"
    )
    yield AuditFinding("note", "split_provenance", message, dataset.name)


def _low_support(dataset: LoadedDataset, task: str) -> Iterator[AuditFinding]:
    counts = dataset.counts(task)["test"]
    if dataset.info.task(task).kind == "multilabel":
        rows = len(dataset.part(task, "test"))
        counts |= {f"not {name}": rows - n for name, n in counts.items()}
    thin = {name: n for name, n in counts.items() if n < LOW_SUPPORT}
    if thin:
        listed = ", ".join(f"{name}: {n}" for name, n in thin.items())
        yield AuditFinding(
            "warning",
            "low_support",
            f"{dataset.name}/{task}: fewer than {LOW_SUPPORT} test images of a class ({listed}); "
            "read its interval before its estimate",
            dataset.name,
        )


def _near(pairs: Sequence[Pair], crossings: Collection[Crossing]) -> Iterator[AuditFinding]:
    """Near duplicates; identical files inside a dataset are reported on their own."""
    inside: dict[tuple[str, bool], list[Pair]] = {}
    across: dict[tuple[str, str], list[Pair]] = {}
    trained: dict[tuple[str, str], list[Pair]] = {}
    for pair in pairs:
        names = (pair.first[0], pair.second[0])
        if names[0] != names[1]:
            way = _trained_and_tested(pair, crossings)
            (trained if way else across).setdefault(way or names, []).append(pair)
        elif not pair.identical:
            inside.setdefault((names[0], pair.crosses), []).append(pair)
    for (name, crosses), found in inside.items():
        where = "one in the test split and one outside" if crosses else "in one part of the split"
        yield _pairs_finding(
            "leak" if crosses else "note", f"{name}: {len(found)} near duplicates, {where}", name, found
        )
    for names, found in trained.items():
        what = f"{len(found)} images that {names[1]} is tested on are also among the training images of {names[0]}"
        yield _pairs_finding("leak", what, names[1], found)
    for names, found in across.items():
        what = (
            f"{names[0]} and {names[1]} share {len(found)} images: do not train on one and test on the other"
        )
        yield _pairs_finding("warning", what, names[0], found)


def _trained_and_tested(pair: Pair, crossings: Collection[Crossing]) -> tuple[str, str] | None:
    """(dataset trained on, dataset tested on) if the suite does both with the two images of this pair."""
    for seen, asked in ((pair.first, pair.second), (pair.second, pair.first)):
        parts = [part for a, b, part in crossings if (a, b) == (seen[0], asked[0])]
        if seen[2] in ("train", "val") and ("all" in parts or ("test" in parts and asked[2] == "test")):
            return seen[0], asked[0]
    return None


def _pairs_finding(severity: str, message: str, dataset: str, pairs: Sequence[Pair]) -> AuditFinding:
    example = f"{pairs[0].first[1]} and {pairs[0].second[1]}, correlation {pairs[0].correlation:.2f}"
    images = tuple(i for p in pairs for i in (p.first[1], p.second[1]))
    return AuditFinding(
        severity, "near_duplicates", f"{message} (for instance {example})", dataset, images=images
    )


def _shared_sources(
    datasets: Sequence[LoadedDataset], crossings: Collection[Crossing]
) -> Iterator[AuditFinding]:
    for i, first in enumerate(datasets):
        for second in datasets[i + 1 :]:
            a, b = first.info, second.info
            if (
                a.name in b.derived_from
                or b.name in a.derived_from
                or set(a.derived_from) & set(b.derived_from)
            ):
                crossed = any({x, y} == {a.name, b.name} for x, y, _ in crossings)
                advice = (
                    "this suite trains on one and tests on the other, so patients may be on both sides"
                    if crossed
                    else "do not train on one and test on the other"
                )
                yield AuditFinding(
                    "warning",
                    "shared_source",
                    f"{a.name} and {b.name} have a common source: {advice}",
                    a.name,
                )
