"""From a folder to a `LoadedDataset`: find, read, validate, hash, check, group, split."""

from __future__ import annotations

import dataclasses
import hashlib
import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from ..api import DatasetInfo, Task
from ..errors import PLUGIN_FAULTS, BenchError, DataError, SuiteError, did_you_mean, reason_of
from ..hashing import HashCache
from ..origin import named
from ..splits import PARTS, SplitSpec, make_split, split_fingerprint
from ..store import Store, atomic_write
from .images import Progress
from .images import check_images as find_faults
from .model import SIMULATED_MARKER, LoadedDataset, label_files
from .reading import IMAGE_SUFFIXES, LISTED, FileFaults, Problems, content

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd

COLUMNS = ("image_id", "path", "patient_id", "eye", "split")


def find_root(info: DatasetInfo, data_root: Path) -> Path:
    """The folder of a dataset: ``data_root/<name>``, or an alias of the name.

    Raises:
        DataError: it is not there; says so when `data_root` is one folder too high or too low.
    """
    for name in (info.name, *info.aliases):
        if (data_root / name).is_dir():
            return data_root / name
    raise DataError(
        f"{info.title} is not there.",
        where=str(data_root / info.name),
        details=[f"{data_root} holds: {content(data_root)}"],
        fix=_better_root(info, data_root) or f"bench data how-to {info.name}",
    )


def _better_root(info: DatasetInfo, data_root: Path) -> str:
    """What to do where the dataset lies at another level or under another name, or an empty string."""
    names = (info.name, *info.aliases)
    for folder in (data_root, *data_root.parents[:2]):
        if folder.name in names and folder.is_dir():
            return f"the data root is too low: use --data-root {folder.parent}"
    for pattern in ("*", "*/*"):
        for inside in sorted(p for name in names for p in data_root.glob(f"{pattern}/{name}") if p.is_dir()):
            return f"the data root is too high: use --data-root {inside.parent}"
    for spelled in sorted(data_root.glob("*")):
        if spelled.is_dir() and spelled.name.casefold() in names:
            return f"rename {spelled} to {info.name}"
    inner = [line[2:] for line in info.access.layout.splitlines() if line[:2] == "  " != line[2:4]]
    first = [re.split(r"/|\s{2,}", line.strip())[0] for line in inner]
    if any(name and (data_root / name).exists() for name in first):
        return f"its files lie in the data root itself: move them into the folder {data_root / info.name}"
    return ""


def resolve_options(info: DatasetInfo, options: Mapping[str, str]) -> dict[str, str]:
    """Every option of the dataset with its value; raises `SuiteError` on an unknown name or choice."""
    known = {o.name: o for o in info.options}
    for name, value in options.items():
        if name not in known:
            hint = did_you_mean(name, known)
            raise SuiteError(
                f"Dataset {info.name!r} has no option {name!r}{'; ' + hint if hint else '.'}",
                fix=f"options: {', '.join(known) or 'none'}",
            )
        if str(value) not in known[name].choices:
            raise SuiteError(
                f"Option {name!r} of {info.name!r} cannot be {value!r}.",
                fix=f"choose one of: {', '.join(known[name].choices)}",
            )
    return {name: str(options.get(name, o.default)) for name, o in known.items()}


def load_dataset(
    info: DatasetInfo,
    data_root: Path,
    *,
    options: Mapping[str, str] | None = None,
    split: SplitSpec | None = None,
    store: Store | None = None,
    hashes: HashCache | None = None,
    check_images: bool = True,
    progress: Progress | None = None,
) -> LoadedDataset:
    """Read, check, group and split the dataset below ``data_root/<name>``.

    Image checks are remembered in `store`, file hashes in `hashes` (by default those of the store). Without `split`
    the dataset's default is used.

    Raises:
        DataError: every fault of the table or of the image files, together and by name.
        SuiteError: an option that does not exist.
    """
    store = store or Store()
    split = split or SplitSpec.parse(info.default_split)
    root = find_root(info, data_root.expanduser())
    chosen = resolve_options(info, options or {})
    frame = _read(info, root, chosen, store, hashes or HashCache(store), check_images, progress)
    frame["group"] = group_images(frame, info.cluster, identical=split.duplicates != "keep")
    if info.cluster and not (frame[info.cluster] != "").any():
        # Without any identifier, nothing downstream may take single images for single patients.
        info = dataclasses.replace(info, cluster=None)
    frame["official_split"] = frame["split"]
    image_ids, groups = list(frame["image_id"]), list(frame["group"])
    classes = balanced_classes(info.tasks[0], frame)
    frame["split"] = make_split(split, image_ids, list(frame["split"]), classes, groups, info.name)
    _check_split(info, frame, split, root)
    simulated = (root / SIMULATED_MARKER).is_file()
    if split.duplicates == "drop_conflicts":
        frame.loc[conflicting_copies(frame, list(label_columns(info.tasks))), "split"] = ""
    return LoadedDataset(
        info=info,
        root=root,
        frame=frame,
        options=chosen,
        split=split,
        simulated=simulated,
        split_fingerprint=split_fingerprint(image_ids, list(frame["split"])),
        image_fingerprint=_digest(f"{i}\t{h}\n" for i, h in zip(image_ids, frame["sha256"], strict=True)),
        notes=(*info.notes, *_notes(frame, split), *_incomplete(info, len(frame), chosen, simulated)),
    )


def _read(
    info: DatasetInfo,
    root: Path,
    options: Mapping[str, str],
    store: Store,
    hashes: HashCache,
    check_images: bool,
    progress: Progress | None,
) -> pd.DataFrame:
    """The plugin's table, checked and with the column ``sha256``; faults of rows and of images come together."""
    faults: FileFaults | None = None
    try:
        frame = _checked(info, _table(info, root, options), root)
        paths = [Path(p) for p in frame["path"]]
    except FileFaults as error:
        if not check_images:
            raise
        faults = error
        paths = sorted(p for p in root.rglob("*") if p.suffix.lower() in IMAGE_SUFFIXES and p.is_file())
    sha256 = _hash_files(info, paths, hashes, progress)
    broken = find_faults(paths, sha256, store, progress) if check_images else {}
    if faults or broken:
        raise _together(info, root, store, faults, [f"{_below(p, root)} {f}" for p, f in broken.items()])
    frame["sha256"] = sha256
    return frame


def _table(info: DatasetInfo, root: Path, options: Mapping[str, str]) -> pd.DataFrame:
    try:
        return info.load(root, options)
    except BenchError:
        raise
    except PLUGIN_FAULTS as error:
        raise DataError(
            reason_of(error, named("dataset", info.name, info.origin)),
            where=str(root),
            fix=f"compare the folder with `bench data how-to {info.name}`; if it is right, tell the plugin's author",
        ) from error


def _together(
    info: DatasetInfo, root: Path, store: Store, faults: FileFaults | None, broken: list[str]
) -> DataError:
    """One error for all that is wrong with a dataset's files; a long list is also written to a file."""
    what, fix, lines = [], [], [*(faults.details if faults else ()), *broken]
    if faults:
        what.append(faults.what)
        fix.append(faults.fix)
    if broken:
        what.append(f"{info.name}: {len(broken)} image file(s) cannot be used.")
        fix.append("download these image files again; the download may have been cut short")
    shown = lines[:LISTED]
    if len(lines) > LISTED:
        path = store.root / "problems" / f"{info.name}.txt"
        # Names of files need not be UTF-8.
        atomic_write(path, "".join(f"{line}\n" for line in lines).encode(errors="backslashreplace"))
        shown.append(f"... and {len(lines) - LISTED} more; all {len(lines)} are listed in {path}")
    return DataError(" ".join(what), where=str(root), details=shown, fix="; ".join(fix))


def _checked(info: DatasetInfo, frame: pd.DataFrame, root: Path) -> pd.DataFrame:
    """The plugin's table if it keeps the contract, on a fresh index."""
    import pandas as pd

    if not isinstance(frame, pd.DataFrame):
        raise _table_fault(info, root, f"`load` returned {type(frame).__name__}, not a pandas DataFrame")
    wanted = dict.fromkeys([*COLUMNS, *label_columns(info.tasks), *([info.cluster] if info.cluster else [])])
    lacking = [c for c in wanted if c not in frame.columns]
    if lacking:
        raise DataError(
            f"{info.name}: the plugin's table lacks the column(s) {', '.join(lacking)}.",
            where=str(root),
            fix=f"report it to the plugin's author, or run: bench check {info.name}",
        )
    if frame.empty:
        raise DataError(
            f"{info.name}: no image was found.", where=str(root), fix=f"bench data how-to {info.name}"
        )
    _check_values(info, frame, root)
    frame = frame.reset_index(drop=True).copy()
    problems = Problems(info.name)
    ids = frame["image_id"].astype(str)
    for repeated in ids[ids.duplicated()].unique():
        problems.add(f"{repeated}: this image id occurs more than once")
    for path, image_id in zip(frame["path"], ids, strict=True):
        if not Path(path).is_file():
            problems.add(f"{image_id}: the image file is missing: {path}")
    for column, allowed in (("split", ("", *PARTS)), ("eye", ("", "OD", "OS"))):
        for image_id, value in zip(ids, frame[column], strict=True):
            if value not in allowed:
                problems.add(
                    f"{image_id}: {column} is {value!r}, which is none of {', '.join(filter(None, allowed))}"
                )
    for column, size in label_columns(info.tasks).items():
        _check_codes(frame, column, size, problems)
    problems.stop(where=str(root))
    return frame


def _check_values(info: DatasetInfo, frame: pd.DataFrame, root: Path) -> None:
    """Ids are text, labels are numbers, and no patient is None: what else breaks far from its cause."""
    import numpy as np

    for image_id in frame["image_id"]:
        if not isinstance(image_id, str):
            what = (
                f"image_id holds {image_id!r} ({type(image_id).__name__}); ids must be text: write str(...)"
            )
            raise _table_fault(info, root, what)
    if info.cluster and frame[info.cluster].isna().any():
        what = f"{info.cluster} holds None or NaN; write an empty text where the patient is not known"
        raise _table_fault(info, root, what)
    for column in label_columns(info.tasks):
        try:
            frame[column].to_numpy(dtype=np.float64)
        except (TypeError, ValueError) as error:
            what = f"{column} is no column of numbers ({error}); write class codes 0, 1, ... and NaN where not labelled"
            raise _table_fault(info, root, what) from error


def _table_fault(info: DatasetInfo, root: Path, what: str) -> DataError:
    return DataError(
        f"{named('dataset', info.name, info.origin)}: {what}.",
        where=str(root),
        fix=f"correct `load` of the plugin, or report it to its author; check with: bench check {info.name}",
    )


def label_columns(tasks: Sequence[Task]) -> dict[str, int]:
    """Label columns of a dataset, each with the number of codes it may hold (0: not bounded by its tasks)."""
    sizes: dict[str, int] = {}
    for task in tasks:
        if task.kind == "multilabel":
            sizes |= dict.fromkeys(task.columns, 2)
        elif task.positive is None:
            sizes[task.column] = max(sizes.get(task.column, 0), len(task.classes))
        else:
            sizes.setdefault(task.column, 0)
    return sizes


def _check_codes(frame: pd.DataFrame, column: str, size: int, problems: Problems) -> None:
    import numpy as np

    values = frame[column].to_numpy(dtype=np.float64)
    bad = ~np.isnan(values) & (
        (values < 0) | (values != np.floor(values)) | ((values >= size) if size else False)
    )
    for i in np.flatnonzero(bad):
        limit = f"0 to {size - 1}" if size else "a whole number from 0"
        problems.add(f"{frame['image_id'][i]}: {column} is {values[i]:g}, outside the scheme ({limit})")


def _hash_files(
    info: DatasetInfo, paths: list[Path], hashes: HashCache, progress: Progress | None
) -> list[str]:
    def tell(done: int, total: int) -> None:
        if progress:
            progress(done, total, "hashing images")

    try:
        return hashes.sha256_many(paths, tell)
    except OSError as error:
        raise DataError(
            f"{info.name}: an image file cannot be read: {error.strerror}.", where=str(error.filename)
        ) from error


def _below(path: Path, root: Path) -> str:
    return str(path.relative_to(root)) if path.is_relative_to(root) else str(path)


def conflicting_copies(frame: pd.DataFrame, columns: Sequence[str]) -> pd.Series:
    """(n,) True for files with the same bytes of which some label differs."""
    kinds = frame.groupby("sha256")[list(columns)].transform("nunique")
    return (kinds > 1).any(axis=1)


def group_images(frame: pd.DataFrame, cluster: str | None, *, identical: bool = True) -> list[str]:
    """Group of each image: patients joined with `identical` files, so that neither can straddle a split.

    A group carries the smallest patient id in it, or the smallest image id where there are no patients.
    """
    parent = list(range(len(frame)))

    def find(i: int) -> int:
        while parent[i] != i:
            parent[i] = parent[parent[i]]
            i = parent[i]
        return i

    patients = list(frame[cluster].astype(str)) if cluster else [""] * len(frame)
    first: dict[tuple[str, str], int] = {}
    for i, (patient, digest) in enumerate(zip(patients, frame["sha256"], strict=True)):
        keys = ([("sha256", digest)] if identical else []) + ([("patient", patient)] if patient else [])
        for key in keys:
            other = find(first.setdefault(key, i))
            parent[find(i)] = other
    names: dict[int, str] = {}
    for i, (patient, image_id) in enumerate(zip(patients, frame["image_id"], strict=True)):
        head, name = find(i), patient or (f"image:{image_id}" if cluster else image_id)
        names[head] = min(names.get(head, name), name)
    return [names[find(i)] for i in range(len(frame))]


def balanced_classes(task: Task, frame: pd.DataFrame) -> np.ndarray:
    """(n, C) of 0 and 1: what a stratified split balances, from the dataset's first task."""
    import numpy as np

    labels = task.labels(frame)
    if labels.ndim == 2:
        return np.nan_to_num(labels)
    return (labels[:, None] == np.arange(len(task.classes))[None, :]).astype(np.float64)


def _check_split(info: DatasetInfo, frame: pd.DataFrame, split: SplitSpec, root: Path) -> None:
    empty = [part for part in ("train", "test") if not (frame["split"] == part).any()]
    if split.kind == "official" and len(empty) < 2:
        return  # a set that is all for training or all for testing; a task that lacks its part says so
    for part in empty:
        raise DataError(
            f"{info.name}: the split {split} leaves the {part} part empty ({len(frame)} images in all).",
            where=label_files(root),
            fix=f"choose other ratios or another split, or check the files with: bench data verify {info.name}",
        )


def _notes(frame: pd.DataFrame, split: SplitSpec) -> tuple[str, ...]:
    notes = []
    unused = int((frame["split"] == "").sum())
    if unused:
        notes.append(f"{unused} images are in no part of the split {split}")
    repeated = frame[frame.duplicated("sha256", keep=False)]
    if len(repeated):
        notes.append(f"{repeated['sha256'].nunique()} sets of identical files ({len(repeated)} images)")
    return tuple(notes)


def expected_counts(info: DatasetInfo, options: Mapping[str, str]) -> Mapping[str, tuple[int, ...]]:
    """Counts of the original, each with every release's number; none where an option changes the table."""
    if any(options.get(o.name, o.default) != o.default for o in info.options):
        return {}
    return {k: (n,) if isinstance(n, int) else tuple(n) for k, n in info.expected.items()}


def _incomplete(info: DatasetInfo, images: int, options: Mapping[str, str], simulated: bool) -> list[str]:
    """A folder that lost a part may still read without a fault; then its results must not look like the whole's."""
    wanted = expected_counts(info, options).get("total", (images,))
    if simulated or images in wanted:
        return []
    original = " or ".join(f"{n:,}" for n in wanted)
    return [f"{images:,} images here, {original} in the original: see bench data verify {info.name}"]


def _digest(lines: Iterable[str]) -> str:
    digest = hashlib.sha256()
    for line in lines:
        digest.update(line.encode())
    return digest.hexdigest()[:32]
