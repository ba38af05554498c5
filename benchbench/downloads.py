"""Downloads of checkpoints: from the Hugging Face hub or a release address, resumable and verified.

The only module that fetches weights; `bench weights fetch` is its only caller.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

from .api import EncoderInfo, WeightsSource
from .errors import BenchError, WeightsError
from .store import Store, atomic_write, sha256_of, sync_folder
from .weights import ResolvedWeights, how_to, resolve, spelled

Progress = Callable[[int, int | None], None]
"""progress(bytes so far, bytes in all or None)"""


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
    present = resolve(info, root, store)
    if present.status != "missing":
        return present
    source = info.weights
    assert source is not None
    if not source.url and not source.hub_repo:
        raise WeightsError(f"{info.name} has no address to download from.", fix=how_to(info, root))
    _require_licence(info, source, store, accept_licence)
    target = root / source.file_name
    target.parent.mkdir(parents=True, exist_ok=True)
    if source.hub_repo:
        _from_hub(info, source, root, target)
    else:
        _from_address(info, source, root, target, progress)
    return resolve(info, root, store)


def _require_licence(info: EncoderInfo, source: WeightsSource, store: Store, accept: bool) -> None:
    """Remember an accepted licence per encoder and licence text; ask for it when there is none."""
    book = store.root / "licences.json"
    try:
        accepted = json.loads(book.read_bytes())
    except (OSError, ValueError):
        accepted = {}
    if accepted.get(info.name) == source.licence:
        return
    if not accept:
        raise BenchError(
            f"The weights of {info.name} come under this licence: {source.licence}.",
            details=[source.how_to_obtain],
            fix=f"if you accept it: bench weights fetch {spelled(info)} --accept-licence",
        )
    atomic_write(book, json.dumps({**accepted, info.name: source.licence}, indent=1).encode())


def _from_hub(info: EncoderInfo, source: WeightsSource, root: Path, target: Path) -> None:
    from huggingface_hub import hf_hub_download
    from huggingface_hub.errors import GatedRepoError, HfHubHTTPError, RepositoryNotFoundError

    assert source.hub_repo is not None
    address = f"huggingface.co/{source.hub_repo}"
    try:
        found = hf_hub_download(source.hub_repo, target.name, local_dir=target.parent)
    except (GatedRepoError, RepositoryNotFoundError) as error:
        raise WeightsError(
            f"The hub does not let you download {target.name}: access is gated, or you are not logged in.",
            where=address,
            fix=f"open {address} in a browser, ask for access, create a token, run `hf auth login`, and repeat "
            f"the command. {how_to(info, root)}",
        ) from error
    except (HfHubHTTPError, OSError) as error:
        raise _unreachable(info, address, root, error) from error
    _check(info, source, Path(found))


def _from_address(
    info: EncoderInfo, source: WeightsSource, root: Path, target: Path, progress: Progress
) -> None:
    import httpx

    assert source.url is not None
    part = target.with_name(target.name + ".part")
    done = part.stat().st_size if part.exists() else 0
    try:
        headers = {"Accept-Encoding": "identity"} | ({"Range": f"bytes={done}-"} if done else {})
        with httpx.stream("GET", source.url, headers=headers, follow_redirects=True, timeout=60) as reply:
            if reply.status_code == 416:  # nothing is left to send: the part is complete
                reply.read()
            else:
                reply.raise_for_status()
                resumed = reply.status_code == 206
                done = done if resumed else 0
                length = reply.headers.get("content-length")
                total = done + int(length) if length else source.size_bytes
                with part.open("ab" if resumed else "wb") as stream:
                    for chunk in reply.iter_bytes():
                        stream.write(chunk)
                        done += len(chunk)
                        progress(done, total)
    except httpx.HTTPError as error:
        raise _unreachable(info, source.url, root, error) from error
    _check(info, source, part)
    part.replace(target)
    sync_folder(target.parent)


def _check(info: EncoderInfo, source: WeightsSource, path: Path) -> None:
    """Refuse and remove a file that is not the official one, where size or hash are known."""
    size = path.stat().st_size
    if source.size_bytes and size != source.size_bytes:
        problem = f"it has {size} bytes, and should have {source.size_bytes}"
    elif source.sha256 and (found := sha256_of(path)) != source.sha256:
        problem = f"its sha256 is {found}, and should be {source.sha256}"
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
        fix=f"with a network, repeat the command: it carries on where it stopped. Without one: {how_to(info, root)}",
    )


def slim(info: EncoderInfo, found: ResolvedWeights, out: Path) -> int:
    """Write the encoder's own tensors of a checkpoint as safetensors, prove that they give the same module,
    and return the bytes written.

    Raises:
        WeightsError: the encoder's plugin offers no slim form, or the slim file would load differently.
    """
    import torch
    from safetensors.torch import save_file

    from .weights import SLIM_SOURCE, slim_source

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
        temporary.replace(out)
    finally:
        temporary.unlink(missing_ok=True)
    return out.stat().st_size


def verify(info: EncoderInfo, root: Path | None, store: Store) -> tuple[ResolvedWeights, str]:
    """Compare the checkpoint of an encoder with the official hash; returns what was found and one sentence about it."""
    found = resolve(info, root, store)
    if found.path is None:
        return found, "has no weights by design" if found.status == "untrained" else "not here"
    official = info.weights.sha256 if info.weights else None
    if found.status in ("verified", "package"):
        return found, "is the official file"
    if official:
        return found, f"is NOT the official file: sha256 {found.sha256}, expected {official}"
    return found, f"cannot be compared: no official sha256 is known; it has {found.sha256}"
