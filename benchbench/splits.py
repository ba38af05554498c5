"""Splits into training, validation and test images: how they are asked for, made, written and fingerprinted.

A split is made once per dataset, not per task, so that no image is trained on for one task and tested for another.
Images of one group (a patient, or identical files) stay together, except where a published split forces otherwise;
the audit then measures the overlap.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from typing import TYPE_CHECKING, Any, Literal, get_args

from .errors import DataError, SuiteError, did_you_mean

if TYPE_CHECKING:
    import numpy as np

SplitKind = Literal["official", "retfound", "grouped_stratified", "kfold"]
Duplicates = Literal["group", "keep", "drop_conflicts"]
KINDS: tuple[SplitKind, ...] = get_args(SplitKind)
PARTS = ("train", "val", "test")
RETFOUND_SEED = 1  # the seed of DERETFound's published notebook; the other seeds were not published
_EXAMPLE = "split: official, or split: {kind: grouped_stratified, seed: 0, ratios: [56, 14, 30]}"


@dataclass(frozen=True)
class SplitSpec:
    """Which split of a dataset is wanted.

    * ``official``: the split that the dataset's authors distribute.
    * ``retfound``: image level and per class, as RETFound's released splits were made: 30 % test and then 20 % of
      the rest validation; where an official test split exists, it is kept. Ignores groups, because the original did.
    * ``grouped_stratified``: `ratios` (train, validation, test) with whole groups and balanced classes.
    * ``kfold``: fold number `fold` of `folds` is the test split, whole groups, balanced classes, no validation split.

    `duplicates` says what becomes of files with the same bytes: ``group`` keeps them in one part where groups count,
    ``keep`` takes them for different images, ``drop_conflicts`` is ``group`` without those whose labels differ.
    """

    kind: SplitKind
    seed: int = 0
    ratios: tuple[int, int, int] = (56, 14, 30)
    fold: int = 0
    folds: int = 5
    duplicates: Duplicates = "group"

    def __post_init__(self) -> None:
        problem = _problem(self)
        if problem:
            raise SuiteError(f"This split cannot be made: {problem}.", fix=f"write for instance {_EXAMPLE}")

    def __str__(self) -> str:
        """Canonical form, for instance ``grouped_stratified(seed=0, 56:14:30)``."""
        settings = {
            "official": [],
            "retfound": [f"seed={self.seed}"],
            "grouped_stratified": [f"seed={self.seed}", ":".join(map(str, self.ratios))],
            "kfold": [f"seed={self.seed}", f"fold={self.fold} of {self.folds}"],
        }[self.kind]
        if self.duplicates != "group":
            settings.append(f"duplicates={self.duplicates}")
        return f"{self.kind}({', '.join(settings)})" if settings else self.kind

    @classmethod
    def parse(cls, value: str | Mapping[str, Any] | SplitSpec) -> SplitSpec:
        """A split from what a suite file says: a kind, a canonical form, or a mapping of the fields."""
        if isinstance(value, SplitSpec):
            return value
        return _from_text(value) if isinstance(value, str) else _from_mapping(value)


def _problem(spec: SplitSpec) -> str:
    if spec.kind not in KINDS:
        return f"no kind of split is called {spec.kind!r} {did_you_mean(str(spec.kind), KINDS)}".strip()
    if spec.duplicates not in get_args(Duplicates):
        return f"duplicates cannot be {spec.duplicates!r}; choose {', '.join(get_args(Duplicates))}"
    numbers = (spec.seed, spec.fold, spec.folds, *spec.ratios)
    if not all(isinstance(n, int) and not isinstance(n, bool) for n in numbers):
        return "seed, fold, folds and ratios must be whole numbers"
    if len(spec.ratios) != 3 or min(spec.ratios) < 0 or spec.ratios[0] < 1 or spec.ratios[2] < 1:
        return "ratios are train, validation, test, with train and test above 0"
    if spec.folds < 2 or not 0 <= spec.fold < spec.folds:
        return f"fold {spec.fold} of {spec.folds} does not exist (folds count from 0)"
    return ""


def _from_text(text: str) -> SplitSpec:
    match = re.fullmatch(r"\s*(\w+)\s*(?:\((.*)\))?\s*", text)
    if match is None:
        raise SuiteError(f"{text!r} is not a split.", fix=f"write for instance {_EXAMPLE}")
    mapping: dict[str, Any] = {"kind": match[1]}
    for piece in filter(None, (p.strip() for p in (match[2] or "").split(","))):
        if re.fullmatch(r"\d+:\d+:\d+", piece):
            mapping["ratios"] = tuple(int(n) for n in piece.split(":"))
        elif found := re.fullmatch(r"fold\s*=\s*(\d+)\s+of\s+(\d+)", piece):
            mapping |= {"fold": int(found[1]), "folds": int(found[2])}
        elif found := re.fullmatch(r"(\w+)\s*=\s*(\w+)", piece):
            mapping[found[1]] = int(found[2]) if found[2].isdigit() else found[2]
        else:
            raise SuiteError(f"{piece!r} is not a setting of a split.", where=text, fix=f"write {_EXAMPLE}")
    return _from_mapping(mapping)


def _from_mapping(mapping: Mapping[str, Any]) -> SplitSpec:
    names = [f.name for f in fields(SplitSpec)]
    for key in mapping:
        if key not in names:
            raise SuiteError(
                f"A split has no setting {key!r}; {did_you_mean(str(key), names)}".rstrip("; ") + ".",
                fix=f"settings are: {', '.join(names)}",
            )
    if "kind" not in mapping:
        raise SuiteError("A split needs its kind.", fix=f"write for instance {_EXAMPLE}")
    settings = dict(mapping)
    if isinstance(settings.get("ratios"), str):
        settings["ratios"] = [int(n) if n.isdigit() else -1 for n in settings["ratios"].split(":")]
    if "ratios" in settings:
        settings["ratios"] = tuple(settings["ratios"])
    spec = SplitSpec(**settings)
    return replace(spec, seed=RETFOUND_SEED) if spec.kind == "retfound" and "seed" not in mapping else spec


def make_split(
    spec: SplitSpec,
    image_ids: list[str],
    official: list[str],
    classes: np.ndarray,
    groups: list[str],
    dataset: str = "",
) -> list[str]:
    """The part ("train", "val", "test" or "" for unused) of every image.

    Args:
        classes: (n, C) what is balanced: one column of 0 and 1 per class or label. A row of zeros has no label.
        groups: the group of each image; whole groups are assigned, except by ``official`` and ``retfound``.
    """
    import numpy as np

    if spec.kind == "official":
        parts = list(official)
        if not {"train", "test"} & set(
            parts
        ):  # one of the two alone is a fault of the files, and said so elsewhere
            raise DataError(
                f"{dataset or 'This dataset'} has no official split into training and test images.",
                fix="choose another, for instance " + _EXAMPLE.split(", or ")[1],
            )
        return parts
    labelled = np.asarray(classes).sum(axis=1) > 0
    if spec.kind == "retfound":
        return _retfound(spec.seed, image_ids, official, np.asarray(classes), labelled)
    if spec.kind == "kfold":
        shares = [1.0 / spec.folds] * spec.folds
        fold_of = _grouped(spec.seed, shares, np.asarray(classes), groups)
        return ["test" if f == spec.fold else "train" for f in fold_of]
    shares = [r / sum(spec.ratios) for r in spec.ratios]
    return [PARTS[i] for i in _grouped(spec.seed, shares, np.asarray(classes), groups)]


def _grouped(seed: int, shares: list[float], classes: np.ndarray, groups: list[str]) -> list[int]:
    """Whole groups to parts, greedily: the largest first, each to the part that lacks most of what it holds."""
    import numpy as np

    names, inverse = np.unique(np.asarray(groups, dtype=object).astype(str), return_inverse=True)
    columns = np.column_stack([classes, np.ones(len(classes))]).astype(np.float64)
    content = np.zeros((len(names), columns.shape[1]))
    np.add.at(content, inverse, columns)
    wanted = np.outer(shares, content.sum(axis=0))
    scale = np.maximum(wanted, 1e-12)
    rarity = 1.0 / np.maximum(content.sum(axis=0), 1.0)
    # The order depends on names and seed alone, not on a random generator that may change between versions.
    order = sorted(range(len(names)), key=lambda g: (-content[g, -1], _ticket(seed, str(names[g]))))
    part_of = np.zeros(len(names), dtype=np.int64)
    lacking = wanted.copy()
    closed = [share == 0 for share in shares]
    for g in order:
        held = content[g] > 0
        need = (lacking[:, held] / scale[:, held]) @ (content[g] * rarity)[held]
        part_of[g] = part = int(np.argmax(np.where(closed, -np.inf, need)))
        lacking[part] -= content[g]
    return [int(part_of[i]) for i in inverse]


def _ticket(seed: int, name: str) -> bytes:
    return hashlib.sha256(f"{seed}:{name}".encode()).digest()


def _retfound(
    seed: int, image_ids: list[str], official: list[str], classes: np.ndarray, labelled: np.ndarray
) -> list[str]:
    import numpy as np
    from sklearn.model_selection import train_test_split

    parts = np.array([""] * len(image_ids), dtype=object)
    keep_test = "test" in official and "train" in official
    if keep_test:
        parts[[p == "test" for p in official]] = "test"
    code = np.argmax(classes, axis=1)
    for c in range(classes.shape[1]):
        rest = np.flatnonzero(labelled & (code == c) & (parts != "test"))
        for part, share in (("val", 0.2),) if keep_test else (("test", 0.3), ("val", 0.2)):
            if len(rest) >= 2:
                rest, chosen = train_test_split(rest, test_size=share, random_state=seed)
                parts[chosen] = part
        parts[rest] = "train"
    return list(parts)


def split_text(image_ids: list[str], parts: list[str]) -> str:
    """The split as text: one ``image_id<tab>part`` a line, sorted by image."""
    return "".join(f"{i}\t{p}\n" for i, p in sorted(zip(image_ids, parts, strict=True)))


def split_fingerprint(image_ids: list[str], parts: list[str]) -> str:
    """32 hex digits over `split_text`: equal if and only if every image is in the same part."""
    return hashlib.sha256(split_text(image_ids, parts).encode()).hexdigest()[:32]
