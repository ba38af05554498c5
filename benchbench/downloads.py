"""Downloads of checkpoints: from the Hugging Face hub or a release address, resumable and verified.

The only module that fetches weights; `bench weights fetch` is its only caller.
"""

from __future__ import annotations

import json
import shutil
import zipfile
from pathlib import Path

from .api import EncoderInfo, WeightsSource
from .claims import guarded
from .errors import BenchError, WeightsError
from .hashing import HashCache
from .resumable import Progress, download
from .store import Store, atomic_write, sha256_of, sync_folder
from .weights import (
    SLIM_SOURCE,
    SLIM_SUFFIX,
    ResolvedWeights,
    file_names,
    hash_prefix,
    how_to,
    resolve,
    slim_source,
    spelled,
    stem,
)


def fetch(
    info: EncoderInfo,
    root: Path,
    store: Store,
    *,
    accept_licence: bool = False,
    progress: Progress = lambda done, total: None,
) -> ResolvedWeights:
    """Download the checkpoint of an encoder into the weights root, unless it is there already.

    Raises:
        BenchError: the licence has not been accepted.
        WeightsError: no address is known, the network or the host refuses, or the file is not the official one.
    """
    present = resolve(info, root, HashCache(store))
    source = info.weights
    if present.status == "unknown" and source is not None and source.sha256:
        raise WeightsError(
            f"The weights root has a file for {info.name} that is not the official one: its sha256 is "
            f"{present.sha256}, and should be {source.sha256}.",
            where=str(present.path),
            fix="move it away and repeat the command; to use it as it is, name it under `weights:` in a suite",
        )
    if present.status != "missing":
        return present
    assert source is not None
    if not (source.url or source.hub_repo or source.archive):
        raise WeightsError(f"{info.name} has no address to download from.", fix=how_to(info, root))
    _require_licence(info, source, store, accept_licence)
    target = root / source.file_name
    target.parent.mkdir(parents=True, exist_ok=True)
    if source.hub_repo:
        _from_hub(info, source, root, target)
    else:
        _from_address(info, source, root, target, progress)
    return resolve(info, root, HashCache(store))


def _require_licence(info: EncoderInfo, source: WeightsSource, store: Store, accept: bool) -> None:
    """Remember an accepted licence per encoder and licence text; ask for it when there is none."""
    book = store.root / "licences.json"
    if _read(book).get(info.name) == source.licence:
        return
    if not accept:
        raise BenchError(
            f"The weights of {info.name} come under this licence: {source.licence}.",
            details=[source.how_to_obtain],
            fix=f"if you accept it: bench weights fetch {spelled(info)} --accept-licence",
        )
    with guarded(book):
        accepted = {**_read(book), info.name: source.licence}
        atomic_write(book, json.dumps(accepted, indent=1).encode())


def _read(book: Path) -> dict[str, str]:
    try:
        accepted = json.loads(book.read_bytes())
    except (OSError, ValueError):
        return {}
    return accepted if isinstance(accepted, dict) else {}


def _from_hub(info: EncoderInfo, source: WeightsSource, root: Path, target: Path) -> None:
    import httpx
    from huggingface_hub import constants, hf_hub_download
    from huggingface_hub.errors import GatedRepoError, HfHubHTTPError, RepositoryNotFoundError

    assert source.hub_repo is not None
    address = f"{constants.ENDPOINT.removeprefix('https://')}/{source.hub_repo}"
    try:
        # One plain question first: the hub's client would try again for half a minute, and say so each time.
        httpx.head(constants.ENDPOINT, timeout=20, follow_redirects=True)
        found = hf_hub_download(source.hub_repo, target.name, local_dir=target.parent)
    except (GatedRepoError, RepositoryNotFoundError) as error:
        raise WeightsError(
            f"The hub does not let you download {target.name}: access is gated, or you are not logged in.",
            where=address,
            fix=f"open {address} in a browser, ask for access, create a token, run `hf auth login`, and repeat "
            f"the command. Otherwise, by hand: {how_to(info, root, by_hand=True)}",
        ) from error
    except (HfHubHTTPError, httpx.HTTPError, OSError) as error:
        raise _unreachable(info, address, root, error) from error
    _check(info, Path(found), source.size_bytes, source.sha256 or "")


def _from_address(
    info: EncoderInfo, source: WeightsSource, root: Path, target: Path, progress: Progress
) -> None:
    archive = source.archive
    url, size, sha256 = (
        (source.url, source.size_bytes, source.sha256)
        if archive is None
        else (archive.url, archive.size_bytes, archive.sha256)
    )
    import httpx

    assert url is not None
    part = target.with_name(target.name + (".part" if archive is None else ".zip.part"))
    try:
        download(url, part, verifiable=bool(sha256), size=size, progress=progress)
    except httpx.HTTPError as error:
        raise _unreachable(info, url, root, error) from error
    _check(info, part, size, sha256 or hash_prefix(url))
    if archive is None:
        part.replace(target)
    else:
        _unpack(part, archive.member, target)
        part.unlink()
    sync_folder(target.parent)


def _unpack(archive: Path, member: str, target: Path) -> None:
    """Take one file out of a zip archive; the name inside decides nothing about where it is written."""
    temporary = target.with_name(f".{target.name}.tmp")
    try:
        with zipfile.ZipFile(archive) as opened, opened.open(member) as inner, temporary.open("wb") as out:
            shutil.copyfileobj(inner, out, 1 << 20)
        temporary.replace(target)
    except (KeyError, zipfile.BadZipFile) as error:
        raise WeightsError(f"The downloaded archive holds no sound {member}.", where=str(archive)) from error
    finally:
        temporary.unlink(missing_ok=True)


def _check(info: EncoderInfo, path: Path, size_bytes: int | None, sha256: str) -> None:
    """Refuse and remove a file that is not the official one, where size, hash or the hash's first digits are known."""
    size = path.stat().st_size
    if size_bytes and size != size_bytes:
        problem = f"it has {size} bytes, and should have {size_bytes}"
    elif sha256 and not (found := sha256_of(path)).startswith(sha256):
        problem = f"its sha256 is {found}, and should be {sha256}{'' if len(sha256) == 64 else '...'}"
    else:
        return
    path.unlink()
    raise WeightsError(
        f"The downloaded weights of {info.name} are not the official file: {problem}. They were removed.",
        where=str(path),
        fix="repeat the command; if it happens again, the hosted file has changed",
    )


def _unreachable(info: EncoderInfo, address: str, root: Path, error: Exception) -> WeightsError:
    return WeightsError(
        f"The weights of {info.name} could not be downloaded ({type(error).__name__}: {str(error)[:200]}).",
        where=address,
        fix="with a network, repeat the command: it carries on where it stopped. Without one: "
        + how_to(info, root, by_hand=True),
    )


def slim_path(info: EncoderInfo, root: Path, found: ResolvedWeights, explicit: Path | None) -> Path:
    """Where the slim form of a checkpoint goes: the encoder's own name only for its own checkpoint.

    Raises:
        WeightsError: a file of the user's would be taken for the encoder's own later.
    """
    if explicit is None or found.status == "verified":
        return root / (stem(info) + SLIM_SUFFIX)
    out = root / (explicit.stem + SLIM_SUFFIX)
    if out.name in file_names(info):
        raise WeightsError(
            f"{out.name} is the name of the encoder's own slim form, and {explicit.name} is not its official file.",
            where=str(explicit),
            fix="rename your file first",
        )
    return out


def slim(info: EncoderInfo, found: ResolvedWeights, out: Path) -> int:
    """Write the encoder's own tensors of a checkpoint as safetensors, prove that they give the same module,
    and return the bytes written.

    Raises:
        WeightsError: the encoder's plugin offers no slim form, or the slim file would load differently.
    """
    import torch
    from safetensors.torch import save_file

    pick = getattr(getattr(info.load, "__self__", None), "slim", None)
    if pick is None or found.path is None:
        raise WeightsError(f"{info.name} has no slim form.", fix="use the official file")
    out.parent.mkdir(parents=True, exist_ok=True)
    temporary = out.with_name(f".{out.name}.tmp.safetensors")
    header = {"format": "pt", SLIM_SOURCE: slim_source(found.path) or found.sha256}
    try:
        save_file({k: v.contiguous() for k, v in pick(found.path).items()}, temporary, header)
        before = info.load(found.path, "cpu").state_dict()
        after = info.load(temporary, "cpu").state_dict()
        if before.keys() != after.keys() or not all(torch.equal(before[k], after[k]) for k in before):
            raise WeightsError(f"The slim form of {info.name} would not load to the same encoder.")
        shutil.copymode(found.path, temporary)  # safetensors writes for the owner alone
        temporary.replace(out)
    finally:
        temporary.unlink(missing_ok=True)
    return out.stat().st_size


def verify(
    info: EncoderInfo, root: Path | None, hashes: HashCache
) -> tuple[ResolvedWeights, bool | None, str]:
    """Compare the checkpoint of an encoder with the official hash.

    Returns:
        What was found, whether it is the official file (None where that cannot be told), and one sentence about it.
    """
    found = resolve(info, root, hashes)
    if found.path is None:
        return found, None, "has no weights by design" if found.status == "untrained" else "not here"
    official = info.weights.sha256 if info.weights else None
    if found.status in ("verified", "package"):
        return found, True, "is the official file"
    if official:
        return found, False, f"is NOT the official file: sha256 {found.sha256}, expected {official}"
    digits = hash_prefix(info.weights.file_name) if info.weights else ""
    if digits and found.path.name == Path(info.weights.file_name).name:  # type: ignore[union-attr]
        if found.sha256.startswith(digits):
            return found, True, "has the sha256 whose first digits the official name carries"
        return found, False, f"is NOT the official file: sha256 {found.sha256}, expected {digits}..."
    return found, None, f"cannot be compared: no official sha256 is known; it has {found.sha256}"
