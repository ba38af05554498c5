"""Datasets on disk: found, read, checked, split and fingerprinted."""

from .loading import find_root, load_dataset, resolve_options
from .model import LoadedDataset

__all__ = ["LoadedDataset", "find_root", "load_dataset", "resolve_options"]
