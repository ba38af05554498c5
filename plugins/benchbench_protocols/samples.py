"""Labelled images of one or several datasets, as what a classifier is trained on."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import TYPE_CHECKING

from benchbench.api import Preprocess
from benchbench.context import CellContext, ImageSource, Part

if TYPE_CHECKING:
    import numpy as np


@dataclass(frozen=True)
class Samples:
    """The images of some parts, one after the other; all labels are in the codes of one task."""

    parts: tuple[Part, ...]

    @classmethod
    def of(cls, part: Part | None) -> Samples | None:
        """The images of one part; None stays None."""
        return None if part is None else cls((part,))

    def __len__(self) -> int:
        return sum(len(p) for p in self.parts)

    @property
    def image_ids(self) -> tuple[str, ...]:
        """Identifiers as the datasets give them; two datasets may use the same one."""
        return tuple(i for p in self.parts for i in p.image_ids)

    @property
    def groups(self) -> tuple[str, ...]:
        """Patient of each image, unique over datasets."""
        return tuple(f"{p.dataset}/{g}" for p in self.parts for g in p.groups)

    @property
    def labels(self) -> np.ndarray:
        """(n,) class codes, or (n, L) with NaN."""
        import numpy as np

        known = [p.labels for p in self.parts if p.labels is not None]
        assert len(known) == len(self.parts), "test labels are nobody's to read"
        return np.concatenate(known)

    def take(self, index: np.ndarray) -> Samples:
        """The images at the increasing positions `index`."""
        import numpy as np

        taken, start = [], 0
        for p in self.parts:
            inside = index[(index >= start) & (index < start + len(p))] - start
            taken.append(p.take(np.asarray(inside, dtype=int)))
            start += len(p)
        return Samples(tuple(p for p in taken if len(p)))

    def features(self, context: CellContext) -> np.ndarray:
        """(n, D) float32 embeddings."""
        import numpy as np

        return np.concatenate([context.features(p) for p in self.parts])

    def images(self, context: CellContext, preprocess: Preprocess | None = None) -> ImageSource:
        """Prepared images, as the encoder's preprocess makes them or as `preprocess` does."""
        if preprocess is not None and preprocess != context.encoder.preprocess:
            encoder = dataclasses.replace(context.encoder, preprocess=preprocess)
            context = dataclasses.replace(context, encoder=encoder)
        sources = tuple(context.images(p) for p in self.parts)
        return sources[0] if len(sources) == 1 else _Joined(sources)


@dataclass(frozen=True)
class _Joined:
    """Several image sources of one shape, one after the other."""

    sources: tuple[ImageSource, ...]

    def __len__(self) -> int:
        return sum(len(s) for s in self.sources)

    def __getitem__(self, index: np.ndarray) -> np.ndarray:
        import numpy as np

        starts = np.cumsum([0, *(len(s) for s in self.sources)])
        which = np.searchsorted(starts, index, side="right") - 1
        rows = [self.sources[w][np.array([i - starts[w]])][0] for w, i in zip(which, index, strict=True)]
        return np.stack(rows)
