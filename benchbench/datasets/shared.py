"""Pictures that two datasets share: identical files, and copies of another size, format or quality."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..store import Store
from .duplicates import find_pairs

if TYPE_CHECKING:
    from .model import LoadedDataset

_found: dict[tuple[str, ...], tuple[tuple[str, str], ...]] = {}


def shared_pictures(first: LoadedDataset, second: LoadedDataset, store: Store) -> tuple[tuple[str, str], ...]:
    """(image of the first, image of the second) for every picture that both hold; labels are not looked at.

    Found as the audit finds near duplicates, and remembered in this process by the datasets' image fingerprints:
    every cell of a transfer asks for the same pairs.
    """
    key = (str(store.root), first.name, first.image_fingerprint, second.name, second.image_fingerprint)
    if key not in _found:
        pairs = []
        for pair in find_pairs((first, second), store):
            (a, image_a, *_), (b, image_b, *_) = pair.first, pair.second
            if (a, b) == (first.name, second.name):
                pairs.append((image_a, image_b))
            elif (a, b) == (second.name, first.name):
                pairs.append((image_b, image_a))
        _found[key] = tuple(pairs)
    return _found[key]
