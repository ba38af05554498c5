"""Is a folder the dataset that it should be, and what is wrong with the dataset itself?"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from ..api import DatasetInfo
from ..audit import audit
from ..results import AuditFinding
from ..splits import PARTS, SplitSpec
from ..store import Store
from .duplicates import Pair, find_pairs
from .loading import conflicting_copies, expected_counts, label_columns, load_dataset
from .model import LoadedDataset
from .reading import IMAGE_SUFFIXES

if TYPE_CHECKING:
    import pandas as pd

_LISTED = 10


@dataclass(frozen=True)
class Check:
    """One expectation and what was found."""

    name: str
    expected: str
    found: str
    ok: bool


@dataclass(frozen=True)
class Verification:
    """Everything that `bench data verify` knows about a folder."""

    dataset: LoadedDataset
    checks: tuple[Check, ...]
    """Counts and checksums against what the original has."""
    counts: Mapping[str, int]
    """Images per part, class, and both, keyed like `DatasetInfo.expected`."""
    identical: tuple[tuple[str, ...], ...]
    """Sets of image ids whose files have the same bytes."""
    conflicting: tuple[tuple[str, ...], ...]
    """Those of them whose labels differ."""
    near: tuple[Pair, ...]
    """Near duplicates that are not identical files."""
    findings: tuple[AuditFinding, ...]

    @property
    def ok(self) -> bool:
        """Counts and checksums are those of the original."""
        return all(c.ok for c in self.checks)


def verify(
    info: DatasetInfo,
    data_root: Path,
    *,
    options: Mapping[str, str] | None = None,
    store: Store | None = None,
    progress: Callable[[int, int, str], None] | None = None,
) -> Verification:
    """Check the dataset below ``data_root/<name>``, with the official split where there is one.

    Raises:
        DataError: missing, unreadable or contradictory files, all together.
    """
    store = store or Store()
    dataset = load_dataset(info, data_root, options=options, split=None, store=store, progress=progress)
    official = set(dataset.frame["official_split"])
    if {"train", "test"} <= official and dataset.split.kind != "official":
        split = SplitSpec("official")
        dataset = load_dataset(
            info, data_root, options=options, split=split, store=store, check_images=False, progress=progress
        )
    counts = count(dataset.frame, list(label_columns(info.tasks)), info.cluster)
    identical = identical_sets(dataset)
    differ = conflicting_copies(dataset.frame, list(label_columns(info.tasks)))
    conflicts = dict(zip(dataset.image_ids, differ, strict=True))
    pairs = find_pairs([dataset], store, progress)
    tasks = [f"{info.name}/{t.name}" for t in info.tasks if t.positive is None]
    findings = audit([dataset], [], tasks, store=store, pairs=pairs)
    return Verification(
        dataset=dataset,
        checks=() if dataset.simulated else (*_count_checks(dataset, counts), *_checksum_checks(dataset)),
        counts=counts,
        identical=identical,
        conflicting=tuple(s for s in identical if conflicts[s[0]]),
        near=tuple(p for p in pairs if not p.identical),
        findings=findings,
    )


def count(frame: pd.DataFrame, columns: list[str], cluster: str | None) -> dict[str, int]:
    """Images by ``total``, ``<split>``, ``<column>=<code>`` and ``<split>/<column>=<code>``; ``patients`` as well.

    ``<column> not labelled`` is there where a label is missing.
    """
    counts = {"total": len(frame)}
    if cluster:
        counts["patients"] = int(frame[frame[cluster] != ""][cluster].nunique())
    official = frame["official_split"]
    for column in columns:
        for value, n in frame[column].dropna().value_counts().sort_index().items():
            counts[f"{column}={value:g}"] = int(n)
        if unlabelled := int(frame[column].isna().sum()):
            counts[f"{column} not labelled"] = unlabelled
    for part in PARTS:
        rows = frame[official == part]
        if len(rows):
            counts[part] = len(rows)
            for column in columns:
                for value, n in rows[column].dropna().value_counts().sort_index().items():
                    counts[f"{part}/{column}={value:g}"] = int(n)
    return counts


def _count_checks(dataset: LoadedDataset, counts: Mapping[str, int]) -> list[Check]:
    return [
        Check(name, " or ".join(map(str, wanted)), str(counts.get(name, 0)), counts.get(name, 0) in wanted)
        for name, wanted in expected_counts(dataset.info, dataset.options).items()
    ]


def _checksum_checks(dataset: LoadedDataset) -> list[Check]:
    """Label tables and images against the official checksums, whatever the wrapper folder is called.

    Labels are never re-encoded, so a table that differs is a fault. Images that all differ are resized copies.
    """
    if dataset.info.checksums is None:
        return []
    official = dataset.info.checksums()
    known = _KnownFiles(official)
    images = [
        (p, d, k) for p, d in zip(dataset.paths, dataset.sha256, strict=True) if (k := known.path_of(p))
    ]
    differ = [p.name for p, digest, k in images if digest != official[k]]
    checks = _table_checks(dataset.root, official, known)
    if images and len(differ) == len(images):
        return [
            *checks,
            Check("image sha256", "the original files", "re-encoded or resized copies of all", True),
        ]
    strange = len(dataset) - len(images)
    found = f"{len(images) - len(differ)} of {len(dataset)} images are the original files"
    if differ:
        found += "; different: " + _shortened(differ)
    if strange:
        found += f"; {strange} under names that the original does not have"
    return [*checks, Check("image sha256", f"{len(dataset)} images", found, not differ and not strange)]


def _table_checks(root: Path, official: Mapping[str, str], known: _KnownFiles) -> list[Check]:
    """Every known file that is no image and is there; a missing label table has stopped the reading before."""
    others = [p for p in sorted(root.rglob("*")) if p.suffix.lower() not in IMAGE_SUFFIXES]
    pairs = [(p, official[k]) for p in others if (k := known.path_of(p)) and p.is_file()]
    differ = [p.name for p, digest in pairs if hashlib.sha256(p.read_bytes()).hexdigest() != digest]
    if not pairs:
        return []
    found = f"{len(pairs) - len(differ)} of {len(pairs)} are the original files"
    if differ:
        found += "; different: " + _shortened(differ)
    return [Check("label and other files, sha256", f"{len(pairs)} original files", found, not differ)]


class _KnownFiles:
    """Official paths, found by a file's name, and by its folders as well where several official files share it."""

    def __init__(self, official: Mapping[str, str]) -> None:
        self._by_name: dict[str, list[str]] = {}
        for path in official:
            self._by_name.setdefault(path.rsplit("/", 1)[-1], []).append(path)

    def path_of(self, file: Path) -> str:
        """The official path of a file, or an empty string."""
        paths = self._by_name.get(file.name, [])
        if len(paths) == 1:  # copies in class folders keep the name alone
            return paths[0]
        text = file.as_posix()
        return next((k for k in paths if text.endswith("/" + k)), "")


def _shortened(names: Sequence[str]) -> str:
    return ", ".join(names[:_LISTED]) + (" ..." if len(names) > _LISTED else "")


def identical_sets(dataset: LoadedDataset) -> tuple[tuple[str, ...], ...]:
    """Image ids of files with the same bytes, in table order."""
    repeated = dataset.frame[dataset.frame.duplicated("sha256", keep=False)]
    return tuple(tuple(same["image_id"]) for _, same in repeated.groupby("sha256", sort=False))
