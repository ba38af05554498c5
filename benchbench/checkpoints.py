"""Reading checkpoint containers safely: no code from a file is ever run, and big files are memory-mapped.

`read` returns the nested content of a file, `tensors` the flat state dict inside the wrappers that training
code and re-hosted copies put around it, `fit` checks a state dict against a model and installs it.
"""

from __future__ import annotations

import argparse
import pickle
import re
import zipfile
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .errors import PluginError, WeightsError

if TYPE_CHECKING:
    import torch

WRAPPERS = ("model", "teacher", "state_dict", "model_state_dict")
"""Keys under which checkpoints keep their state dict, tried in this order."""
_ZIP, _PICKLE = b"PK\x03\x04", b"\x80"
PREFIXES = ("module.", "backbone.")
"""Prefixes that parallel training and head wrappers put before every name."""


def read(path: Path) -> Mapping[str, Any]:
    """Content of a checkpoint file: safetensors, NumPy ``.npz`` or torch; tensors stay on the CPU.

    The format is told by the first bytes, whatever the name says. Torch files are read with ``weights_only=True``
    and the few harmless classes that the official files hold (`argparse.Namespace`, NumPy scalars); zip-format
    files are memory-mapped, so that optimiser state inside is never read from disk.

    Raises:
        WeightsError: the file is missing, cut off, not a checkpoint, or asks for other classes.
    """
    if not path.is_file():
        raise WeightsError("The weights file is not there.", where=str(path))
    reader = _reader(path)
    try:
        content = reader(path)
    except pickle.UnpicklingError as error:
        raise _refused_pickle(path, str(error)) from error
    except Exception as error:  # each library raises its own kind for damaged files
        raise WeightsError(
            f"The weights file cannot be read ({type(error).__name__}: {str(error).strip()[:300]}).",
            where=str(path),
            fix="download it again; compare its size and sha256 with: bench weights verify",
        ) from error
    if not isinstance(content, Mapping):
        raise WeightsError(
            f"The weights file holds a {type(content).__name__}, not named tensors.", where=str(path)
        )
    return content


def _reader(path: Path) -> Callable[[Path], Any]:
    """What reads this file, by its first bytes."""
    with path.open("rb") as stream:
        head = stream.read(64)
    if head.startswith(_ZIP):
        return _read_npz if path.suffix == ".npz" else _read_torch
    if head[8:9] == b"{" and int.from_bytes(head[:8], "little") < path.stat().st_size:
        return _read_safetensors
    if head.startswith(_PICKLE):
        return _read_torch
    begins = f"it starts with {head[:24].decode('ascii', errors='replace')!r}" if head else "it is empty"
    page = ": a web page, perhaps one that asks to log in" if head.lstrip()[:1] == b"<" else ""
    raise WeightsError(
        f"The weights file is not a checkpoint: {begins}{page}.",
        where=str(path),
        fix="download the file itself (bench weights how-to ENCODER says where from), or give another file",
    )


def _read_safetensors(path: Path) -> Any:
    from safetensors.torch import load_file

    return load_file(path)


def _read_npz(path: Path) -> Any:
    import numpy as np
    import torch

    with np.load(path, allow_pickle=False) as arrays:
        return {name: torch.from_numpy(arrays[name]) for name in arrays.files}


def _read_torch(path: Path) -> Any:
    import torch

    with torch.serialization.safe_globals(_harmless()):
        return torch.load(path, map_location="cpu", weights_only=True, mmap=zipfile.is_zipfile(path))


def _refused_pickle(path: Path, message: str) -> WeightsError:
    """torch's own words are not passed on: they advise to read the file without protection."""
    asked = re.search(r"GLOBAL ([\w.]+)", message)
    if asked is None:
        return WeightsError(
            "The weights file is damaged, or it is a pickle that torch did not write.",
            where=str(path),
            fix="download it again; compare its size and sha256 with: bench weights verify",
        )
    return WeightsError(
        "The weights file is not a plain checkpoint: reading it would run code from the file.",
        where=str(path),
        details=[f"it asks for {asked[1]}, which is no tensor and no plain container"],
        fix="use the official file, or ask its author for the state dict alone, saved as safetensors",
    )


def _harmless() -> list[Any]:
    import numpy as np
    import torch

    scalar = np._core.multiarray.scalar if hasattr(np, "_core") else np.core.multiarray.scalar  # type: ignore
    kinds = (np.float64, np.float32, np.int64, np.int32, np.bool_)
    allowed: list[Any] = [argparse.Namespace, np.dtype, *(type(np.dtype(k)) for k in kinds)]
    if tuple(int(part) for part in torch.__version__.split(".")[:2]) < (2, 7):
        return [*allowed, scalar]
    # NumPy 2 moved this function; files name it as the NumPy that wrote them did.
    return [*allowed, (scalar, "numpy.core.multiarray.scalar"), (scalar, "numpy._core.multiarray.scalar")]


def unwrap(content: Mapping[str, Any], wrappers: Iterable[str] = WRAPPERS) -> Mapping[str, Any]:
    """The innermost mapping that holds tensors; a wrapper ``a/b`` names a path of keys."""
    found: Mapping[str, Any] | None = content
    while found is not None:  # a loop: files may be nested as deeply as their author likes
        content, found = found, _inner(found, wrappers)
    return content


def _inner(content: Mapping[str, Any], wrappers: Iterable[str]) -> Mapping[str, Any] | None:
    for wrapper in wrappers:
        inner: Any = content
        for key in wrapper.split("/"):
            inner = inner.get(key) if isinstance(inner, Mapping) else None
        if isinstance(inner, Mapping) and inner:
            return inner
    return None


def tensors(
    path: Path, wrappers: Iterable[str] = WRAPPERS, prefixes: Iterable[str] = PREFIXES
) -> dict[str, torch.Tensor]:
    """The flat state dict of a checkpoint file, without wrappers, and without prefixes that all names share.

    A prefix is removed when at least one tensor has it and it is listed in `prefixes`; it need not be on all
    tensors (heads often stand beside a prefixed backbone).
    """
    content = unwrap(read(path), wrappers)
    state = {str(k): v for k, v in content.items() if _is_tensor(v)}
    if not state:
        raise WeightsError(
            "The weights file holds no named tensors where they were looked for.",
            where=str(path),
            details=[
                f"top-level keys found: {', '.join(sorted(map(str, content))[:12]) or 'none'}",
                f"wrapper keys understood: {', '.join(wrappers)}",
            ],
        )
    changed = True
    while changed:
        changed = False
        for prefix in prefixes:
            bare = {k.removeprefix(prefix): v for k, v in state.items()}
            if any(k.startswith(prefix) for k in state) and len(bare) == len(state):
                state, changed = bare, True
    return state


def drop(state: Mapping[str, torch.Tensor], names: Iterable[str]) -> dict[str, torch.Tensor]:
    """The tensors whose name is none of `names`; a name that ends in a dot stands for all below it."""
    names = tuple(names)
    exact = {n for n in names if not n.endswith(".")}
    below = tuple(n for n in names if n.endswith("."))
    return {k: v for k, v in state.items() if k not in exact and not (below and k.startswith(below))}


def fit(model: torch.nn.Module, state: Mapping[str, torch.Tensor], path: Path, encoder: str) -> None:
    """Install a state dict in a model; the names and shapes must be exactly the model's.

    Tensors are taken as they are (memory-mapped ones stay mapped, copy-on-write), converted to float32 where
    they are in another floating type.

    Raises:
        WeightsError: names or shapes differ; says which were expected and which were found.
    """
    expected = {k: tuple(v.shape) for k, v in model.state_dict().items()}
    found = {k: tuple(v.shape) for k, v in state.items()}
    details = [
        *_listed("missing", [k for k in expected if k not in found], lambda k: f"{k} {expected[k]}"),
        *_listed("unexpected", [k for k in found if k not in expected], lambda k: f"{k} {found[k]}"),
        *_listed(
            "of another shape",
            [k for k in expected if k in found and expected[k] != found[k]],
            lambda k: f"{k}: expected {expected[k]}, found {found[k]}",
        ),
    ]
    if details:
        raise WeightsError(
            f"The weights file is not a checkpoint of {encoder}: its tensors are not the ones expected "
            f"({len(expected)} expected, {len(found)} found).",
            where=str(path),
            details=[*details, *_hashes(path, encoder)],
            fix=f"see which file is meant with: bench weights how-to {encoder}",
        )
    model.load_state_dict({k: _as_float32(v) for k, v in state.items()}, strict=True, assign=True)


def _hashes(path: Path, encoder: str) -> list[str]:
    """The official sha256 beside that of the file, one line; none where there is no file (a state dict in memory)."""
    from .plugins import registry
    from .store import sha256_of

    if not path.is_file():
        return []
    try:
        source = registry().encoder(encoder).weights
    except PluginError:  # a loader may call itself otherwise than its card
        source = None
    expected = source.sha256 if source and source.sha256 else "none published"
    return [f"sha256: expected {expected}, found {sha256_of(path)}"]


def _listed(kind: str, names: list[str], describe: Callable[[str], str]) -> list[str]:
    if not names:
        return []
    shown = "; ".join(describe(n) for n in names[:4])
    more = f"; and {len(names) - 4} more" if len(names) > 4 else ""
    return [f"{len(names)} {kind}: {shown}{more}"]


def _as_float32(tensor: torch.Tensor) -> torch.Tensor:
    tensor = tensor.float() if tensor.is_floating_point() else tensor
    return (
        tensor.contiguous()
    )  # a transposed layout in the file would choose other kernels, with other rounding


def _is_tensor(value: Any) -> bool:
    import torch

    return isinstance(value, torch.Tensor)
