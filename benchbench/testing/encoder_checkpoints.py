"""Does an encoder take exactly its checkpoint: refuse every other file, and use what is in its own?

The checks write changed copies of a checkpoint and load them. The copy is made of the checkpoint at hand, in its own
container; without one, of the state dict of the module with random weights, which says nothing where the loader
expects other names.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..api import EncoderInfo
from ..errors import PLUGIN_FAULTS, BenchError

if TYPE_CHECKING:
    import numpy as np
    import torch

    Embed = Callable[[Any], np.ndarray]
    """Embeddings by a module of the same few images each time."""

Place = tuple[str, ...]
"""Keys from the top of a container down to a tensor."""


def refusal_problems(info: EncoderInfo) -> Iterator[str]:
    """Files that are no checkpoint of this encoder must be refused, and by a `WeightsError`."""
    import torch
    from safetensors.torch import save_file

    with tempfile.TemporaryDirectory() as folder:
        other, text = Path(folder) / "other.safetensors", Path(folder) / "text.pth"
        save_file({"encoder.weight": torch.zeros(3, 3)}, other)
        text.write_text("this is not a checkpoint")
        for what, path in (("a checkpoint of something else", other), ("a file that is no checkpoint", text)):
            yield from _must_be_refused(info, path, what)


def use_problems(info: EncoderInfo, module: Any, path: Path | None, embed: Embed) -> Iterator[str]:
    """A tensor less must be refused, a changed one must change the embeddings."""
    if path is not None and not _differ(embed(module), embed(info.load(None, "cpu"))):
        yield "the checkpoint makes no difference: embeddings are those of random weights"
    with tempfile.TemporaryDirectory() as folder:
        copy = _copy_of(path, module, Path(folder)) if path is not None else None
        copy = copy or _copy_of_state(module, Path(folder))
        try:
            before = embed(info.load(copy.write({}), "cpu"))
        except BenchError:
            if path is not None and copy.of_file:
                yield "a copy of the checkpoint, written anew, is refused"
            return  # the module's own names are not the checkpoint's: nothing to learn from them
        what = f"a checkpoint without {copy.last[-1]}"
        yield from _must_be_refused(info, copy.write({copy.last: None}), what)
        changed = copy.tensor(copy.first).float().flip(0) * 2 + 0.1
        if not _differ(before, embed(info.load(copy.write({copy.first: changed}), "cpu"))):
            yield f"other numbers in {copy.first[-1]} give the same embeddings: is the file's content used?"


def _differ(a: np.ndarray, b: np.ndarray) -> bool:
    import numpy as np

    return a.shape != b.shape or not np.array_equal(a, b)


def _must_be_refused(info: EncoderInfo, path: Path, what: str) -> Iterator[str]:
    try:
        info.load(path, "cpu")
    except BenchError:
        return
    except PLUGIN_FAULTS as error:
        yield f"{what} raises {type(error).__name__}, not WeightsError, which would say what was expected"
    else:
        yield f"{what} is loaded without an error: compare names and shapes (benchbench.checkpoints.fit)"


@dataclass(frozen=True)
class _Copy:
    """A container to write changed copies of."""

    content: Mapping[str, Any]
    target: Path
    """Its suffix decides the format."""
    used: tuple[Place, ...]
    """Tensors that the encoder uses, in the order of the file."""
    of_file: bool

    @property
    def last(self) -> Place:
        """The tensor to leave out: a loader that begins well may still let the end go."""
        return self.used[-1]

    @property
    def first(self) -> Place:
        """The tensor to change: the first convolution, if any, through which everything goes that is seen."""
        return next((p for p in self.used if self.tensor(p).ndim == 4), self.used[0])

    def tensor(self, place: Place) -> torch.Tensor:
        """The tensor at a place."""
        found: Any = self.content
        for key in place:
            found = found[key]
        tensor: torch.Tensor = found
        return tensor

    def write(self, changes: Mapping[Place, torch.Tensor | None]) -> Path:
        """Write the container with other tensors at some places; None leaves a tensor out."""
        import numpy as np
        import torch
        from safetensors.torch import save_file

        content = dict(_edited(self.content, changes))
        if self.target.suffix == ".safetensors":
            save_file({k: v.contiguous().clone() for k, v in content.items()}, self.target)
        elif self.target.suffix == ".npz":
            np.savez(self.target, **{k: v.numpy() for k, v in content.items()})
        else:
            torch.save(content, self.target)
        return self.target


def _edited(content: Mapping[str, Any], changes: Mapping[Place, Any], above: Place = ()) -> dict[str, Any]:
    result = {}
    for key, value in content.items():
        place = (*above, key)
        if place in changes:
            value = changes[place]
            if value is None:
                continue
        elif isinstance(value, Mapping) and any(p[: len(place)] == place for p in changes):
            value = _edited(value, changes, place)
        result[key] = value
    return result


def _copy_of(path: Path, module: Any, folder: Path) -> _Copy | None:
    """The container of a file, reduced to the parts that reach the module; None where no tensor arrives unchanged."""
    from ..checkpoints import read

    content = read(path)
    used = tuple(_used(content, module.state_dict()))
    if not used:
        return None
    needed = {place[0] for place in used}
    kept = {
        k: v for k, v in content.items() if k in needed or not isinstance(v, Mapping)
    }  # no optimiser state
    return _Copy(kept, folder / f"copy{path.suffix}", used, of_file=True)


def _used(
    content: Mapping[str, Any], state: Mapping[str, torch.Tensor], above: Place = ()
) -> Iterator[Place]:
    """Places of the tensors, with rows and columns, that are in the module as they are in the file."""
    import torch

    def equal(a: torch.Tensor, b: torch.Tensor) -> bool:
        begin = torch.equal(
            a.flatten()[:8], b.flatten()[:8].float()
        )  # spares reading gigabytes of optimiser state
        return begin and torch.equal(a, b.float())

    for key, value in content.items():
        if isinstance(value, Mapping):
            yield from _used(value, state, (*above, key))
            continue
        fits = isinstance(value, torch.Tensor) and value.ndim > 1 and value.is_floating_point()
        if fits and any(equal(t, value) for t in state.values() if t.shape == value.shape):
            yield (*above, key)


def _copy_of_state(module: Any, folder: Path) -> _Copy:
    state = module.state_dict()
    places = tuple((k,) for k, v in state.items() if v.ndim > 1 and v.is_floating_point())
    return _Copy(state, folder / "copy.safetensors", places or tuple((k,) for k in state), of_file=False)
