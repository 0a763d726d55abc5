"""Bits per character of general-purpose compressors, given the training text.

The bits of a held-out text are 8 · (|compress(train + held-out)| - |compress(train)|), with the
lengths in bytes of UTF-8 (Benedetto, Caglioti and Loreto 2002).
What a compressor remembers of the training text is limited: gzip the last 32 KB, bz2 its block of
900 KB, xz and zstd 8 MB. A difference of lengths is coarse: of a text of less than a thousand
characters it says little, and it can even be 0 or negative.

- Dario Benedetto, Emanuele Caglioti and Vittorio Loreto. 2002. Language trees and zipping. Physical
  Review Letters 88.
"""

import lzma
import zlib
from collections.abc import Callable
from importlib import import_module
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from charlm.text.splits import Texts
from charlm.text.vocabulary import characters_of

GZIP = 16 + zlib.MAX_WBITS  # with the header and checksum of a .gz
ZSTD_LEVEL = 19  # the highest without a larger window


class Compressor(Protocol):
    """What compresses one text."""

    def compress(self, data: bytes, /) -> bytes:
        """Compress the next part of the text."""

    def flush(self) -> bytes:
        """The end of the compressed text."""


def compressors() -> dict[str, Callable[[], Compressor]]:
    """The compressors of this Python by name: gzip, bz2, xz and, where it is installed, zstd.

    Zstandard is that of Python 3.14, or the package `zstandard`.
    """
    found: dict[str, Callable[[], Compressor]] = {"gzip": lambda: zlib.compressobj(9, wbits=GZIP)}
    if bz2 := _module("bz2"):  # some builds of Python lack it
        found["bz2"] = bz2.BZ2Compressor
    found["xz"] = lzma.LZMACompressor
    if zstd := _module("compression.zstd"):
        found["zstd"] = lambda: zstd.ZstdCompressor(level=ZSTD_LEVEL)
    elif package := _module("zstandard"):
        found["zstd"] = lambda: package.ZstdCompressor(level=ZSTD_LEVEL).compressobj()
    return found


def _module(name: str) -> Any:
    """A module, or None where it is not installed."""
    try:
        return import_module(name)
    except ImportError:
        return None


def as_bytes(texts: Texts, points: NDArray[np.uint32]) -> bytes:
    """Texts in UTF-8, one after the other; each document ends with its boundary.

    Args:
        texts: the texts.
        points: the code point of each id, and that which stands for the boundary, `(symbols,)`.
    """
    ids = texts.end_to_end()[:]
    if texts.boundary is not None:
        ids = np.insert(ids.astype(np.intp), np.cumsum(texts.lengths), texts.boundary)
    return characters_of(points[ids]).encode("utf-8", "surrogatepass")


class Compressed:
    """A training text, and how long each compressor makes it.

    Args:
        train: the training text.
    """

    def __init__(self, train: bytes) -> None:
        self.train = train
        self.sizes = {name: _size(make(), train) for name, make in compressors().items()}

    def bits(self, held_out: bytes) -> dict[str, int]:
        """The bits that each compressor needs for a text after the training text."""
        return {
            name: 8 * (_size(make(), self.train, held_out) - self.sizes[name])
            for name, make in compressors().items()
        }


def _size(compressor: Compressor, *parts: bytes) -> int:
    """The length of the compressed parts, in bytes."""
    return sum(len(compressor.compress(part)) for part in parts) + len(compressor.flush())
