"""Images: decode, prepare for an encoder, and keep prepared images."""

from .decoding import codecs, decode, find_unreadable, image_size
from .preparing import prepare, prepare_many
from .tensor import on_device, to_input

__all__ = [
    "codecs",
    "decode",
    "find_unreadable",
    "image_size",
    "on_device",
    "prepare",
    "prepare_many",
    "to_input",
]
