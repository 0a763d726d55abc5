"""Encoding a text of any length in one pass: its characters become numbers as they turn up."""

import hashlib
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from charlm.text.id_sequences import IdSequence, IdWriter
from charlm.text.vocabulary import Ids, code_points, ids_type

COUNTED = 1 << 16  # characters looked up and counted at once, so that the cache holds them
COPIED = 1 << 20  # ids


@dataclass(frozen=True)
class Encoded:
    """A text as ids, numbered as its characters first occur, however it is cut into pieces.

    Attributes:
        ids: the text.
        points: the code point of each id, `(V,)`.
        counts: how often each occurs, `(V,)`.
        sha256: the hash of the text as UTF-8.
    """

    ids: IdSequence
    points: NDArray[np.uint32]
    counts: NDArray[np.int64]
    sha256: str


class Alphabet:
    """Characters, numbered as they turn up, and how often they occur."""

    def __init__(self) -> None:
        self._ids = np.full(0x110000, -1, np.int32)
        self._points: list[int] = []
        self._counts = np.zeros(0, np.int64)

    def __len__(self) -> int:
        return len(self._points)

    @property
    def points(self) -> NDArray[np.uint32]:
        """The code point of each id, `(V,)`."""
        return np.array(self._points, np.uint32)

    @property
    def counts(self) -> NDArray[np.int64]:
        """How often each occurs, `(V,)`."""
        return self._counts

    def encode(self, text: str) -> Ids:
        """The ids of a text, of the smallest type for all characters so far."""
        try:
            return self._encode_bytes(text.encode("latin-1"))
        except UnicodeEncodeError:
            return self._encode_points(code_points(text))

    def _encode_bytes(self, data: bytes) -> Ids:
        """As `_encode_points`, of code points below 256: several times as fast."""
        points = np.frombuffer(data, np.uint8)
        counts = np.zeros(256, np.int64)
        for start in range(0, len(points), COUNTED):
            counts += np.bincount(points[start : start + COUNTED], minlength=256)
        present = np.flatnonzero(counts)
        new = present[self._ids[present] < 0].astype(np.uint8)
        self._add(np.array(sorted(new, key=lambda byte: data.index(bytes([byte]))), np.uint32))
        self._counts[self._ids[present]] += counts[present]
        table = self._ids[:256].astype(ids_type(len(self)))
        if table.itemsize > 1:
            return table[points]
        return np.frombuffer(data.translate(table.tobytes()), np.uint8)

    def _encode_points(self, points: NDArray[np.uint32]) -> Ids:
        starts = range(0, len(points), COUNTED)
        parts = [self._encode_part(points[start : start + COUNTED]) for start in starts]
        return np.concatenate(parts)  # of the last one's type, which is the widest

    def _encode_part(self, points: NDArray[np.uint32]) -> Ids:
        ids = self._ids.take(points)
        if ids.min() < 0:
            new, first = np.unique(points[ids < 0], return_index=True)
            self._add(new[np.argsort(first)])
            ids = self._ids.take(points)
        self._counts += np.bincount(ids, minlength=len(self))
        return ids.astype(ids_type(len(self)))

    def _add(self, points: NDArray[np.integer]) -> None:
        """Number characters that are new, in their order in the text."""
        self._ids[points] = np.arange(len(self), len(self) + len(points))
        self._points += points.tolist()
        self._counts = np.concatenate([self._counts, np.zeros(len(points), np.int64)])


def encode_text(text: str) -> Encoded:
    """Encode a text that is in memory."""
    alphabet = Alphabet()
    ids = alphabet.encode(text)
    sha256 = hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()
    return Encoded(ids, alphabet.points, alphabet.counts, sha256)


def encode(pieces: Iterable[str], new_file: Callable[[], IO[bytes]]) -> Encoded:
    """Encode a text into a file.

    Args:
        pieces: the text.
        new_file: gives an empty file; asked again when there are more characters than the type
            of the ids in the last one can number.
    """
    alphabet, digest = Alphabet(), hashlib.sha256()
    writer = IdWriter(new_file(), np.dtype(np.uint8))
    for text in pieces:
        digest.update(text.encode("utf-8", "surrogatepass"))
        ids = alphabet.encode(text)
        if ids.dtype != writer.dtype:
            writer = _widened(writer, new_file(), ids.dtype)
        writer.add(ids)
    return Encoded(writer.finish(), alphabet.points, alphabet.counts, digest.hexdigest())


def _widened(narrow: IdWriter, file: IO[bytes], dtype: np.dtype[Any]) -> IdWriter:
    """A writer of a wider type that has written the same."""
    written, wide = narrow.finish(), IdWriter(file, dtype)
    for start in range(0, len(written), COPIED):
        wide.add(written[start : start + COPIED].astype(dtype))
    return wide
