"""Whether a submission answers its spec; the same check for its author, for continuous integration and for the site.

A submission is data from a stranger: `guard` reads it, nothing in it is executed, no name in it is opened as a path.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from pydantic import ValidationError

from ..errors import BenchError, did_you_mean
from ..store import canonical
from .bundle import SUBMISSION_SCHEMA, Bundle, Cost, Environment, Result, Submission
from .guard import (
    JSON_FILES,
    LIMITS,
    Limits,
    Refused,
    check_sizes,
    gunzip,
    parse_json,
    parse_scores,
    read_bundle,
    shown,
)
from .spec import Spec, SpecPanel, Strict, same_name

if TYPE_CHECKING:
    import numpy as np

Record = TypeVar("Record", bound=Strict)
LONGEST_NAME = 200
"""Characters of a file name, all of one byte; most file systems end at 255."""
DEMONSTRATION_ONLY = {
    "SYNTHETIC": "its images are simulated",
    "UNTRAINED": "its weights are random",
    "DEMO": "its protocol was shortened",
}


def validate(path: Path, specs: Mapping[str, Spec], limits: Limits = LIMITS) -> Bundle:
    """Read and check a submission, a folder or a zip archive.

    Args:
        path: The submission.
        specs: The leaderboard's specs, by name.

    Raises:
        Refused: every fault that was found, by file.
    """
    return validate_files(read_bundle(path, limits), specs, str(path), limits)


def validate_files(
    files: Mapping[str, bytes], specs: Mapping[str, Spec], where: str, limits: Limits = LIMITS
) -> Bundle:
    """`validate` of files that were read, or are not written yet.

    Args:
        files: Content by name within the submission, as `bundle.bundle_files` gives it.
        specs: The leaderboard's specs, by name.
        where: Whose files they are, for the message.

    Raises:
        Refused: every fault that was found, by file.
    """
    check_sizes({name: len(data) for name, data in files.items()}, limits)
    try:
        return _checked(files, specs, limits)
    except Refused as refused:
        raise Refused(refused.faults, where) from refused


def _checked(files: Mapping[str, bytes], specs: Mapping[str, Spec], limits: Limits) -> Bundle:
    absent = [name for name in JSON_FILES if name not in files]
    if absent:
        raise Refused([f"{name} is missing" for name in absent])
    submission = _record(Submission, files, "submission.json", limits)
    spec = _spec_of(submission, specs)
    faults = [*_card_faults(submission, spec), *_result_faults(submission, spec), *_file_faults(files, spec)]
    cost = _collect(faults, lambda: _record(Cost, files, "cost.json", limits))
    environment = _collect(faults, lambda: _record(Environment, files, "environment.json", limits))
    scores: dict[tuple[str, int], np.ndarray] = {}
    for panel in spec.panels:
        for seed in panel.seeds:
            if panel.file(seed) in files:
                found = _collect(faults, lambda p=panel, s=seed: _scores(files, spec, p, s))  # type: ignore[misc]
                if found is not None:
                    scores[panel.id, seed] = found
    if faults or cost is None or environment is None:
        raise Refused(faults)
    return Bundle(submission, cost, environment, scores, digest_of(files))


def digest_of(files: Mapping[str, bytes]) -> str:
    """sha256 over the names and bytes of a submission's files."""
    lines = [f"{name}\t{hashlib.sha256(files[name]).hexdigest()}\n" for name in sorted(files)]
    return hashlib.sha256("".join(lines).encode()).hexdigest()


T = TypeVar("T")


def _collect(faults: list[str], step: Callable[[], T]) -> T | None:
    """The result of a step, or None after its faults were added to `faults`."""
    try:
        return step()
    except Refused as refused:
        faults.extend(refused.faults)
        return None


def _record(kind: type[Record], files: Mapping[str, bytes], name: str, limits: Limits) -> Record:
    parsed = parse_json(files[name], name, limits)
    version = parsed.get("schema_version") if isinstance(parsed, dict) else None
    if kind is Submission and isinstance(version, int) and version > SUBMISSION_SCHEMA:
        raise Refused([f"{name} was written by a newer benchbench (schema_version {version})"])
    if kind is Submission and isinstance(version, int) and version < SUBMISSION_SCHEMA:
        raise Refused(
            [
                f"{name} was written by an older benchbench (schema_version {version}), which did not say all that is "
                "compared now: pack the run again with bench submit"
            ]
        )
    try:
        return kind.model_validate_json(json.dumps(parsed))
    except ValidationError as error:
        faults = []
        for fault in error.errors(include_url=False, include_context=False)[:20]:
            where = ".".join(shown(part, 40).strip("'") for part in fault["loc"])
            text = f"{name}: {where or 'the file'}: {fault['msg'][:200]}"
            if fault["type"] not in ("missing", "extra_forbidden"):
                text += f" (found {shown(fault['input'])})"
            faults.append(text)
        raise Refused(faults) from error


def _spec_of(submission: Submission, specs: Mapping[str, Spec]) -> Spec:
    spec = specs.get(submission.spec)
    if spec is None:
        hint = did_you_mean(submission.spec, specs)
        raise Refused([f"submission.json: there is no spec {shown(submission.spec)} here {hint}".rstrip()])
    if submission.spec_sha256 != spec.sha256:
        raise Refused([f"submission.json: spec_sha256 is not that of {spec.name}: it answers another spec"])
    return spec


def _card_faults(submission: Submission, spec: Spec) -> Iterable[str]:
    card = submission.encoder
    page = f"{submission.folder}.html".replace("/", "__")  # the longest name that is made from these two
    if len(page) > LONGEST_NAME:
        yield (
            f"submission.json: submitter.name and encoder.name make a file name of {len(page)} characters; "
            f"{LONGEST_NAME} are allowed: shorten one of them"
        )
    tomorrow = (
        (datetime.now(UTC) + timedelta(days=1)).date().isoformat()
    )  # today, where the day began earlier
    if submission.submitted > tomorrow:
        yield f"submission.json: submitted is {submission.submitted}, a day that has not come yet"
    if card.weights_sha256 is None and card.weights_status != "untrained":
        yield "submission.json: encoder.weights_sha256 is missing: trained weights are named by their file's sha256"
    if card.weights_status == "untrained" and not spec.demonstration:
        yield "submission.json: the encoder is UNTRAINED: its weights are random"
    declared = [c.dataset for c in submission.contamination]
    for dataset in spec.datasets:
        if declared.count(dataset.name) != 1:
            how = "is missing" if dataset.name not in declared else "is there twice"
            yield f"submission.json: contamination: the declaration for {dataset.name} {how}"
    names = {d.name for d in spec.datasets}
    for name in dict.fromkeys(declared):
        if name not in names:
            yield f"submission.json: contamination: {shown(name)} is not a data set of the spec"
    trained_on = {p.name for p in card.pretraining}
    for declaration in submission.contamination:
        if declaration.dataset in trained_on and declaration.status != "seen":
            yield (
                f"submission.json: contamination: {shown(declaration.dataset)} is declared {declaration.status}, "
                "but the encoder's card lists it among the pre-training data"
            )


def _result_faults(submission: Submission, spec: Spec) -> Iterable[str]:
    wanted = {(panel.id, seed): panel for panel in spec.panels for seed in panel.seeds}
    seen: set[tuple[str, int]] = set()
    for result in submission.results:
        key = (result.panel, result.seed)
        name = f"submission.json: results: {shown(result.panel, 150)}, seed {result.seed}"
        if key not in wanted:
            yield f"{name} is not a cell of {spec.name}"
        elif key in seen:
            yield f"{name} is there twice"
        else:
            yield from (f"{name}: {fault}" for fault in _cell_faults(result, wanted[key], spec))
        seen.add(key)
    for panel, seed in wanted:
        if (panel, seed) not in seen:
            yield f"submission.json: results: {panel}, seed {seed} is missing: a submission answers the whole spec"


def _cell_faults(result: Result, panel: SpecPanel, spec: Spec) -> Iterable[str]:
    images = spec.dataset(panel.dataset).image_fingerprint
    if result.image_fingerprint != images:
        yield (
            f"image_fingerprint is {shown(result.image_fingerprint)}, the spec says {images!r}: other images were "
            "used, for instance another release, or copies that were resized, re-encoded or retouched"
        )
    split = spec.dataset(panel.dataset).split_fingerprint
    if result.split_fingerprint != split:
        yield f"split_fingerprint is {shown(result.split_fingerprint)}, the spec says {split!r}: another split was used"
    labels = spec.task(panel.task).label_fingerprint
    if result.label_fingerprint != labels:
        found = shown(result.label_fingerprint)
        yield f"label_fingerprint is {found}, the spec says {labels!r}: other labels were used"
    config = _collect([], lambda: parse_json(result.config.encode(), "config"))
    if config is None or canonical(config) != canonical(dict(panel.config)):
        yield f"config is {shown(result.config)}, which is not the protocol's setting in the spec"
    for field in ("protocol_version", "protocol_plugin"):
        found, wanted = getattr(result, field), getattr(panel, field)
        if found != wanted:
            yield f"{field} is {shown(found)}, the spec says {wanted!r}: another version of the protocol was used"
    if not spec.demonstration:
        for stamp, why in DEMONSTRATION_ONLY.items():
            if stamp in result.stamps.split():
                yield f"the result is {stamp}: {why}"


def _file_faults(files: Mapping[str, bytes], spec: Spec) -> Iterable[str]:
    expected = {panel.file(seed) for panel in spec.panels for seed in panel.seeds}
    for name in sorted(expected - set(files)):
        yield f"{name} is missing"
    for name in sorted(set(files) - expected - set(JSON_FILES)):
        yield f"{shown(name, 200)} belongs to no cell of {spec.name}"


def _scores(files: Mapping[str, bytes], spec: Spec, panel: SpecPanel, seed: int) -> np.ndarray:
    name = panel.file(seed)
    images, width = spec.images(panel), spec.task(panel.task).width
    largest = 200 + len(images) * (30 + width * (LIMITS.number_digits + 1))
    scores: np.ndarray = parse_scores(gunzip(files[name], name, largest), name, images, width)
    return scores


def check_place(path: Path, bundle: Bundle) -> None:
    """Refuse a submission that lies in another one's folder, or replaces another submitter's entry."""
    submission = bundle.submission
    faults = []
    found = "/".join(path.absolute().parts[-3:])
    wanted = f"{submission.spec}/{submission.folder}"
    if found != wanted:
        faults.append(f"the submission lies in {shown(found, 200)}; by its content it belongs in {wanted!r}")
    faults += _clashes(path.absolute())
    if submission.supersedes:
        faults += _replacing(submission, path.absolute().parents[1])
    if faults:
        raise Refused(faults, str(path))


def _clashes(path: Path) -> Iterable[str]:
    """Folders that differ from this one by their case alone: on many machines they would be one folder."""
    for own in (path.parent, path):
        for other in own.parent.iterdir() if own.parent.is_dir() else ():
            if other.name != own.name and other.name.casefold() == own.name.casefold():
                yield f"{shown(own.name, 150)} differs from {shown(other.name, 150)} by upper and lower case alone"


def _replacing(submission: Submission, folder: Path) -> Iterable[str]:
    """Why an entry may not replace another one; `folder` holds the entries of the spec."""
    replaced = submission.supersedes
    if replaced == submission.folder:
        yield "supersedes names the submission itself"
    elif not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]*/[A-Za-z0-9][A-Za-z0-9._-]*", replaced):
        yield f"supersedes is {shown(replaced)}, which is not the identifier of an entry"
    elif not (folder / replaced / "submission.json").is_file():
        yield f"supersedes names {shown(replaced)}, which does not exist"
    else:
        earlier = _collect(
            [], lambda: _record(Submission, read_bundle(folder / replaced), "submission.json", LIMITS)
        )
        mine = same_name(submission.submitter.name)
        if earlier is None or same_name(earlier.submitter.name) != mine:
            yield f"supersedes names {shown(replaced)}, which is not an earlier entry of the same submitter"


def find_leaderboard(path: Path | None = None) -> Path:
    """The leaderboard that a submission lies in, or ./leaderboard."""
    for folder in path.absolute().parents if path else ():
        if (folder / "spec").is_dir():
            return folder
    if Path("leaderboard/spec").is_dir():
        return Path("leaderboard")
    raise BenchError(
        "No leaderboard was found here.",
        fix="name its folder, the one that holds spec/, with --leaderboard DIR",
    )
