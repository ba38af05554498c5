"""Is a folder the dataset that it should be, and what is wrong with the dataset itself?"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from ..api import DatasetInfo
from ..audit import audit
from ..results import AuditFinding
from ..splits import PARTS, SplitSpec
from ..store import Store
from .duplicates import Pair, find_pairs
from .loading import label_columns, load_dataset
from .model import LoadedDataset

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
    pairs = find_pairs([dataset], store, progress)
    tasks = [f"{info.name}/{t.name}" for t in info.tasks if t.positive is None]
    findings = audit([dataset], [], tasks, store=store)
    return Verification(
        dataset=dataset,
        checks=() if dataset.simulated else (*_count_checks(info, counts), *_checksum_checks(dataset)),
        counts=counts,
        identical=identical,
        conflicting=tuple(s for s in identical if _labels_differ(dataset, s)),
        near=tuple(p for p in pairs if not p.identical),
        findings=findings,
    )


def count(frame: pd.DataFrame, columns: list[str], cluster: str | None) -> dict[str, int]:
    """Images by ``total``, ``<split>``, ``<column>=<code>`` and ``<split>/<column>=<code>``; ``patients`` as well."""
    counts = {"total": len(frame)}
    if cluster:
        counts["patients"] = int(frame[frame[cluster] != ""][cluster].nunique())
    official = frame["official_split"]
    for column in columns:
        for value, n in frame[column].dropna().value_counts().sort_index().items():
            counts[f"{column}={value:g}"] = int(n)
    for part in PARTS:
        rows = frame[official == part]
        if len(rows):
            counts[part] = len(rows)
            for column in columns:
                for value, n in rows[column].dropna().value_counts().sort_index().items():
                    counts[f"{part}/{column}={value:g}"] = int(n)
    return counts


def _count_checks(info: DatasetInfo, counts: Mapping[str, int]) -> list[Check]:
    return [
        Check(name, str(wanted), str(counts.get(name, 0)), counts.get(name, 0) == wanted)
        for name, wanted in info.expected.items()
    ]


def _checksum_checks(dataset: LoadedDataset) -> list[Check]:
    """Compare with the official checksums by the end of the path, whatever the wrapper folder is called."""
    if dataset.info.checksums is None:
        return []
    official = dataset.info.checksums()
    by_name: dict[str, list[str]] = {}
    for known in official:
        by_name.setdefault(known.rsplit("/", 1)[-1], []).append(known)
    equal, differ, unknown = 0, [], 0
    for path, digest in zip(dataset.paths, dataset.sha256, strict=True):
        text = path.as_posix()
        match = [k for k in by_name.get(path.name, []) if text.endswith("/" + k)]
        if not match:
            unknown += 1
        elif official[match[0]] == digest:
            equal += 1
        else:
            differ.append(path.name)
    known_files = equal + len(differ)
    if known_files and not equal:
        return [Check("sha256", "the original files", "re-encoded or resized copies of all files", True)]
    found = f"{equal} of {known_files} equal"
    if differ:
        found += "; different: " + ", ".join(differ[:_LISTED]) + (" ..." if len(differ) > _LISTED else "")
    return [Check("sha256", f"{known_files} files", found, not differ and not unknown)]


def identical_sets(dataset: LoadedDataset) -> tuple[tuple[str, ...], ...]:
    """Image ids of files with the same bytes, in table order."""
    repeated = dataset.frame[dataset.frame.duplicated("sha256", keep=False)]
    return tuple(tuple(same["image_id"]) for _, same in repeated.groupby("sha256", sort=False))


def _labels_differ(dataset: LoadedDataset, image_ids: tuple[str, ...]) -> bool:
    columns = list(label_columns(dataset.info.tasks))
    rows = dataset.frame[dataset.frame["image_id"].isin(image_ids)][columns]
    return bool((rows.nunique(dropna=True) > 1).any())
