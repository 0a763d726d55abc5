"""Encode a text of any length in one pass; characters get ids in the order they first occur."""

import hashlib
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from charlm.text.documents import Part
from charlm.text.id_sequences import IdSequence, IdWriter
from charlm.text.vocabulary import Ids, code_points, ids_type

COUNTED = 1 << 16  # characters per lookup and count, few enough for the CPU cache
COPIED = 1 << 20  # ids per copy


@dataclass(frozen=True)
class Encoded:
    """An encoded text. Ids are numbered in the order in which characters first occur.

    Attributes:
        ids: the text as ids.
        points: the code point of each id, `(V,)`.
        counts: the number of occurrences of each id, `(V,)`.
        sha256: the SHA-256 of the text in UTF-8; if it consists of several texts or documents, of
            that hash and of their ends.
        ends: where each text or document ends, in rising order, `(n,)`.
    """

    ids: IdSequence
    points: NDArray[np.uint32]
    counts: NDArray[np.int64]
    sha256: str
    ends: NDArray[np.int64]


class Alphabet:
    """A growing set of characters with their counts, numbered in the order they first occur.

    Attributes:
        counts: the number of occurrences of each id, `(V,)`.
    """

    def __init__(self) -> None:
        self.counts = np.zeros(0, np.int64)
        self._ids = np.full(0x110000, -1, np.int32)
        self._points: list[int] = []

    def __len__(self) -> int:
        return len(self._points)

    @property
    def points(self) -> NDArray[np.uint32]:
        """The code point of each id, `(V,)`."""
        return np.array(self._points, np.uint32)

    def encode(self, text: str) -> Ids:
        """The ids of a text, of the smallest type for all characters so far; new ones are added."""
        try:
            return self._encode_bytes(text.encode("latin-1"))
        except UnicodeEncodeError:
            return self._encode_points(code_points(text))

    def _encode_bytes(self, data: bytes) -> Ids:
        """`_encode_points` for code points below 256; several times as fast."""
        points = np.frombuffer(data, np.uint8)
        counts = np.zeros(256, np.int64)
        for start in range(0, len(points), COUNTED):
            counts += np.bincount(points[start : start + COUNTED], minlength=256)
        present = np.flatnonzero(counts)
        new = present[self._ids[present] < 0].astype(np.uint8)
        self._add(np.array(sorted(new, key=lambda byte: data.index(bytes([byte]))), np.uint32))
        self.counts[self._ids[present]] += counts[present]
        table = self._ids[:256].astype(ids_type(len(self)))
        if table.itemsize > 1:
            return table[points]
        return np.frombuffer(data.translate(table.tobytes()), np.uint8)

    def _encode_points(self, points: NDArray[np.uint32]) -> Ids:
        starts = range(0, len(points), COUNTED)
        parts = [self._encode_part(points[start : start + COUNTED]) for start in starts]
        return np.concatenate(parts)  # of the widest type, that of the last part

    def _encode_part(self, points: NDArray[np.uint32]) -> Ids:
        ids = self._ids.take(points)
        if ids.min() < 0:
            new, first = np.unique(points[ids < 0], return_index=True)
            self._add(new[np.argsort(first)])
            ids = self._ids.take(points)
        self.counts += np.bincount(ids, minlength=len(self))
        return ids.astype(ids_type(len(self)))

    def _add(self, points: NDArray[np.integer]) -> None:
        """Add new characters, in the order of the text."""
        self._ids[points] = np.arange(len(self), len(self) + len(points))
        self._points += points.tolist()
        self.counts = np.concatenate([self.counts, np.zeros(len(points), np.int64)])


def encode_text(*texts: str) -> Encoded:
    """Encode a text, or several texts or documents, in memory."""
    alphabet, text = Alphabet(), "".join(texts)
    ids, ends = alphabet.encode(text), np.cumsum([len(each) for each in texts])
    digest = hashlib.sha256(text.encode("utf-8", "surrogatepass"))
    return Encoded(ids, alphabet.points, alphabet.counts, _identity(digest, ends), ends)


def _identity(digest: "hashlib._Hash", ends: NDArray[np.int64]) -> str:
    """The hash of a text, given that of its characters, and of its ends if there are several."""
    if len(ends) > 1:
        digest.update(ends.astype("<i8").tobytes())
    return digest.hexdigest()


def encode(parts: Iterable[Part], new_file: Callable[[], IO[bytes]]) -> Encoded:
    """Encode a text into a file.

    Args:
        parts: the text. What follows the last end is one more text.
        new_file: returns an empty file. Called again whenever the ids need a wider type; the
            previous file is copied.
    """
    alphabet, digest = Alphabet(), hashlib.sha256()
    writer = IdWriter(new_file(), np.dtype(np.uint8))
    ends: list[NDArray[np.int64]] = []
    for text, ends_of_part in parts:
        ends.append(len(writer) + np.array(ends_of_part, np.int64))
        digest.update(text.encode("utf-8", "surrogatepass"))
        ids = alphabet.encode(text)
        if ids.dtype != writer.dtype:
            writer = _widened(writer, new_file(), ids.dtype)
        writer.add(ids)
    written = writer.finish()
    all_ends = np.concatenate([*ends, np.zeros(0, np.int64)])
    if len(written) and (not len(all_ends) or all_ends[-1] < len(written)):
        all_ends = np.append(all_ends, len(written))
    identity = _identity(digest, all_ends)
    return Encoded(written, alphabet.points, alphabet.counts, identity, all_ends)


def _widened(narrow: IdWriter, file: IO[bytes], dtype: np.dtype[Any]) -> IdWriter:
    """Copy the ids of a writer to one of a wider type."""
    written, wide = narrow.finish(), IdWriter(file, dtype)
    for start in range(0, len(written), COPIED):
        wide.add(written[start : start + COPIED].astype(dtype))
    return wide
