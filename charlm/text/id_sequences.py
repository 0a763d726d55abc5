"""Sequences of ids, in memory or in a file that is read on demand.

Files are read by offset and not memory-mapped, because the pages of a mapping count as memory of
the process. Each block has a checksum, which is verified whenever the block is read.
"""

import weakref
from contextlib import suppress
from itertools import pairwise
from pathlib import Path
from threading import Lock
from typing import IO, Any, Protocol
from zlib import crc32

import numpy as np
from numpy.typing import NDArray

from charlm.errors import TextError
from charlm.system.arrays import Array
from charlm.system.regular_files import close_quietly
from charlm.text.vocabulary import Ids

BLOCK = 1 << 16  # bytes per checksum
READ = 1 << 22  # ids per read of `Windows` and `SplicedIds`
NEAR = 1 << 12  # ids between two slices that are read at once

Positions = NDArray[np.int64]


class IdSequence(Protocol):
    """A sequence of ids, such as a one-dimensional array."""

    @property
    def dtype(self) -> np.dtype[Any]:
        """The integer type of the ids."""

    def __len__(self) -> int: ...

    def __getitem__(self, positions: slice, /) -> Ids:
        """The ids of a contiguous slice."""


class IdWriter:
    """Writes ids to a file in pieces.

    Args:
        file: an empty file, open for reading and writing.
        dtype: the type of the ids.
    """

    def __init__(self, file: IO[bytes], dtype: np.dtype[Any]) -> None:
        self.file, self.dtype = file, dtype
        self.length = 0
        self.checksums: list[int] = []
        self._rest = b""
        self._closing = weakref.finalize(self, close_quietly, file)  # if not finished

    def __len__(self) -> int:
        return self.length

    def add(self, ids: Ids) -> None:
        """Append ids of this type."""
        self.length += len(ids)
        data = self._rest + ids.tobytes()
        whole = len(data) - len(data) % BLOCK
        self._write(memoryview(data)[:whole])
        self._rest = data[whole:]

    def _write(self, data: memoryview) -> None:
        self.file.write(data)
        self.checksums += [crc32(data[k : k + BLOCK]) for k in range(0, len(data), BLOCK)]

    def finish(self) -> "IdFile":
        """Flush the file, and return the ids for reading."""
        self._write(memoryview(self._rest))
        self.file.flush()
        self._closing.detach()
        return IdFile(self.file, self.dtype, self.length, np.array(self.checksums, np.uint32))


class IdFile:
    """Ids in a file.

    Args:
        file: the file, open for reading.
        dtype: the type of the ids.
        length: the number of ids.
        checksums: the CRC-32 of each block, `(blocks,)`.
        path: the path of a cached file, which is removed if a block is damaged; else None.
    """

    def __init__(
        self,
        file: IO[bytes],
        dtype: np.dtype[Any],
        length: int,
        checksums: NDArray[np.uint32],
        path: Path | None = None,
    ) -> None:
        self.file, self.dtype, self.length = file, dtype, length
        self.checksums, self.path = checksums, path
        self._lock = Lock()
        weakref.finalize(self, close_quietly, file)

    def __len__(self) -> int:
        return self.length

    def __getitem__(self, positions: slice, /) -> Ids:
        """The ids of a contiguous slice.

        Raises:
            TextError: the file cannot be read, or a block is damaged.
        """
        start, stop, _ = positions.indices(self.length)
        stop = max(start, stop)
        size = self.dtype.itemsize
        first, last = start * size // BLOCK, -(-stop * size // BLOCK)
        data = self._blocks(first, last)
        return np.frombuffer(data, self.dtype)[start - first * BLOCK // size :][: stop - start]

    def _blocks(self, first: int, last: int) -> bytes:
        try:
            with self._lock:
                self.file.seek(first * BLOCK)
                data = self.file.read((last - first) * BLOCK)
        except OSError as error:
            name = self.path or "the encoded text"
            raise TextError(f"cannot read {name}: {error.strerror}") from error
        blocks = memoryview(data)
        for k in range(first, last):
            if crc32(blocks[(k - first) * BLOCK : (k - first + 1) * BLOCK]) != self.checksums[k]:
                raise self._damaged()
        return data

    def _damaged(self) -> TextError:
        if self.path is None:
            return TextError("the encoded text is damaged; check the disk used for temporary files")
        with suppress(OSError):
            self.path.unlink()
        return TextError(
            f"{self.path}: the encoded corpus was damaged and has been removed; run the command "
            "again to encode the text"
        )

    def is_whole(self) -> bool:
        """Whether all blocks can be read and match their checksums."""
        blocks = range(0, len(self.checksums), READ // BLOCK)
        try:
            for k in blocks:
                self._blocks(k, min(k + READ // BLOCK, len(self.checksums)))
        except TextError:
            return False
        return True


class RecodedIds:
    """A sequence whose ids are mapped to those of another vocabulary.

    Args:
        ids: the sequence.
        table: the new id of each id, `(V,)`.
    """

    def __init__(self, ids: IdSequence, table: Ids) -> None:
        self.ids, self.table = ids, table

    @property
    def dtype(self) -> np.dtype[Any]:
        return self.table.dtype

    def __len__(self) -> int:
        return len(self.ids)

    def __getitem__(self, positions: slice, /) -> Ids:
        return self.table[self.ids[positions]]


class SplicedIds:
    """Slices of a sequence, one after the other.

    Args:
        ids: the sequence.
        starts: the start of each slice, `(n,)`.
        stops: the end of each, exclusive, `(n,)`.
    """

    def __init__(self, ids: IdSequence, starts: Positions, stops: Positions) -> None:
        self.ids, self.starts, self.stops = ids, starts, stops
        self._ends = np.cumsum(stops - starts)

    @property
    def dtype(self) -> np.dtype[Any]:
        return self.ids.dtype

    def __len__(self) -> int:
        return int(self._ends[-1]) if len(self._ends) else 0

    def __getitem__(self, positions: slice, /) -> Ids:
        start, stop, _ = positions.indices(len(self))
        if start >= stop:
            return np.empty(0, self.dtype)
        first, last = np.searchsorted(self._ends, [start, stop - 1], side="right").tolist()
        starts, stops = self.starts[first : last + 1], self.stops[first : last + 1]
        shifts = stops - self._ends[first : last + 1]  # from here to positions in ids
        begins, ends = np.maximum(start + shifts, starts), np.minimum(stop + shifts, stops)
        parts = [self._near(begins[run], ends[run]) for run in _runs(begins, ends)]
        return np.concatenate(parts)

    def _near(self, begins: Positions, ends: Positions) -> Ids:
        """Slices in rising order, of one read."""
        ids = self.ids[int(begins[0]) : int(ends[-1])]
        lengths = np.stack([ends - begins, np.append(begins[1:], ends[-1]) - ends], axis=1)
        is_kept = np.repeat(np.tile([True, False], len(begins)), lengths.ravel())
        kept: Ids = ids[is_kept]
        return kept


def _runs(begins: Positions, ends: Positions) -> list[slice]:
    """Groups of slices that follow each other closely, none of which spans more than a read."""
    gaps = begins[1:] - ends[:-1]
    is_near = (gaps >= 0) & (gaps <= NEAR) & (begins[1:] // READ == begins[:-1] // READ)
    edges = [0, *(np.flatnonzero(~is_near) + 1).tolist(), len(begins)]
    return [slice(a, b) for a, b in pairwise(edges)]


class Joined:
    """Two sequences, one after the other.

    Args:
        first: a short sequence, in memory.
        second: the other, whose ids are of the same type or a narrower one.
    """

    def __init__(self, first: Ids, second: IdSequence) -> None:
        self.first, self.second = first, second

    @property
    def dtype(self) -> np.dtype[Any]:
        return self.first.dtype

    def __len__(self) -> int:
        return len(self.first) + len(self.second)

    def __getitem__(self, positions: slice, /) -> Ids:
        start, stop, _ = positions.indices(len(self))
        n = len(self.first)
        rest = self.second[max(0, start - n) : max(0, stop - n)]
        return np.concatenate([self.first[start:stop], rest.astype(self.dtype)])


class Windows:
    """Parallel windows over a sequence, which advance together.

    Row k consists of the ids at `starts + k`.

    Args:
        ids: the sequence.
        starts: the position of row 0 in each column, `(B,)`.
        first: the first row that will be read; -1 for the ids before `starts`.
        last: the end of the rows, exclusive.
    """

    def __init__(self, ids: IdSequence, starts: NDArray[np.intp], first: int, last: int) -> None:
        self.ids, self.starts = ids, starts
        self.last = last
        self._first = first
        self._rows: Array = np.empty((0, len(starts)), ids.dtype)

    def rows(self, first: int, last: int) -> Array:
        """Rows `first` to `last - 1`, `(last - first, B)`; ids outside the sequence are 0."""
        if not self._first <= first <= last <= self._first + len(self._rows):
            count = max(last - first, READ // max(1, len(self.starts)))
            self._rows = self._read(first, max(last, min(first + count, self.last)))
            self._first = first
        return self._rows[first - self._first : last - self._first]

    def _read(self, first: int, last: int) -> Array:
        rows = np.zeros((last - first, len(self.starts)), self.ids.dtype)
        for b, start in enumerate(self.starts.tolist()):
            origin = start + first
            begin = max(origin, 0)
            end = max(begin, min(start + last, len(self.ids)))
            rows[begin - origin : end - origin, b] = self.ids[begin:end]
        return rows
