"""Reading checkpoint containers safely: no code from a file is ever run, and big files are memory-mapped.

`read` returns the nested content of a file, `tensors` the flat state dict inside the wrappers that training
code and re-hosted copies put around it, `fit` checks a state dict against a model and installs it.
"""

from __future__ import annotations

import argparse
import pickle
import zipfile
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .errors import WeightsError

if TYPE_CHECKING:
    import torch

WRAPPERS = ("model", "teacher", "state_dict", "model_state_dict")
"""Keys under which checkpoints keep their state dict, tried in this order."""
PREFIXES = ("module.", "backbone.")
"""Prefixes that parallel training and head wrappers put before every name."""


def read(path: Path) -> Mapping[str, Any]:
    """Content of a checkpoint file: safetensors, NumPy ``.npz`` or torch; tensors stay on the CPU.

    Torch files are read with ``weights_only=True`` and the few harmless classes that the official files hold
    (`argparse.Namespace`, NumPy scalars); zip-format files are memory-mapped, so that optimiser state inside
    is never read from disk.

    Raises:
        WeightsError: the file is missing, cut off, not a checkpoint, or asks for other classes.
    """
    import torch

    if not path.is_file():
        raise WeightsError("The weights file is not there.", where=str(path))
    try:
        if path.suffix == ".safetensors":
            from safetensors.torch import load_file

            return load_file(path)
        if path.suffix == ".npz":
            import numpy as np

            with np.load(path, allow_pickle=False) as arrays:
                return {name: torch.from_numpy(arrays[name]) for name in arrays.files}
        with torch.serialization.safe_globals(_harmless()):
            content = torch.load(path, map_location="cpu", weights_only=True, mmap=zipfile.is_zipfile(path))
    except pickle.UnpicklingError as error:
        raise WeightsError(
            "The weights file is not a plain checkpoint: reading it would run code from the file.",
            where=str(path),
            details=[str(error).strip().splitlines()[0][:300]],
            fix="use the official file, or save its state dict alone with torch.save(model.state_dict(), ...)",
        ) from error
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
            details=details,
            fix=f"see which file is meant with: bench weights how-to {encoder}",
        )
    model.load_state_dict({k: _as_float32(v) for k, v in state.items()}, strict=True, assign=True)


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
