"""Texts as ids, in memory or in a file, from which only what is needed is read.

A file is read by places, since pages of a mapped one count as memory of the process. What is read
is held against checksums, a block at a time.
"""

import weakref
from contextlib import suppress
from pathlib import Path
from threading import Lock
from typing import IO, Any, Protocol
from zlib import crc32

import numpy as np
from numpy.typing import NDArray

from charlm.errors import TextError
from charlm.system.arrays import Array
from charlm.text.vocabulary import Ids

BLOCK = 1 << 16  # bytes for which there is a checksum
READ = 1 << 22  # ids that `Windows` reads at once


class IdSequence(Protocol):
    """A text as ids; a one-dimensional array is one."""

    @property
    def dtype(self) -> np.dtype[Any]:
        """The type of an id."""

    def __len__(self) -> int: ...

    def __getitem__(self, places: slice, /) -> Ids:
        """The ids from one place to another."""


class IdWriter:
    """Writes ids to a file, a piece after the other.

    Args:
        file: open for reading and writing, empty.
        dtype: the type of an id.
    """

    def __init__(self, file: IO[bytes], dtype: np.dtype[Any]) -> None:
        self.file, self.dtype = file, dtype
        self.length = 0
        self.checksums: list[int] = []
        self._rest = b""
        self._closing = weakref.finalize(self, _close, file)  # if it is left before the end

    def add(self, ids: Ids) -> None:
        """Write ids of the type."""
        self.length += len(ids)
        data = self._rest + ids.tobytes()
        whole = len(data) - len(data) % BLOCK
        self._write(memoryview(data)[:whole])
        self._rest = data[whole:]

    def _write(self, data: memoryview) -> None:
        self.file.write(data)
        self.checksums += [crc32(data[k : k + BLOCK]) for k in range(0, len(data), BLOCK)]

    def finish(self) -> "IdFile":
        """All that was written, to be read."""
        self._write(memoryview(self._rest))
        self.file.flush()
        self._closing.detach()
        return IdFile(self.file, self.dtype, self.length, np.array(self.checksums, np.uint32))


def _close(file: IO[bytes]) -> None:
    with suppress(OSError):  # what could not be written has been said
        file.close()


class IdFile:
    """Ids in a file.

    Args:
        file: open for reading.
        dtype: the type of an id.
        length: how many there are.
        checksums: the CRC-32 of each block, `(blocks,)`.
        path: removed when a block turns out to be damaged, so that it is made again.
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
        weakref.finalize(self, _close, file)

    def __len__(self) -> int:
        return self.length

    def __getitem__(self, places: slice, /) -> Ids:
        """The ids from one place to another.

        Raises:
            TextError: they cannot be read, or are not those that were written.
        """
        start, stop, _ = places.indices(self.length)
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
            return TextError("the encoded text is damaged: a disk may be full or broken")
        with suppress(OSError):
            self.path.unlink()
        return TextError(
            f"{self.path}, the encoded corpus, was damaged and has been removed; the next "
            "command makes it again"
        )

    def is_whole(self) -> bool:
        """Whether all of it is as it was written."""
        blocks = range(0, len(self.checksums), READ // BLOCK)
        try:
            for k in blocks:
                self._blocks(k, min(k + READ // BLOCK, len(self.checksums)))
        except TextError:
            return False
        return True


class RecodedIds:
    """A part of a text, its ids replaced by others.

    Args:
        ids: the text.
        table: what each id is replaced by.
        start: where the part starts.
        stop: where it ends.
    """

    def __init__(self, ids: IdSequence, table: Ids, start: int, stop: int) -> None:
        self.ids, self.table = ids, table
        self.start, self.stop = start, stop

    @property
    def dtype(self) -> np.dtype[Any]:
        return self.table.dtype

    def __len__(self) -> int:
        return self.stop - self.start

    def __getitem__(self, places: slice, /) -> Ids:
        start, stop, _ = places.indices(len(self))
        return self.table[self.ids[self.start + start : self.start + stop]]


class Windows:
    """A text that is read at several places at once, each moving on at the same pace.

    Args:
        ids: the text.
        starts: the places, `(B,)`.
        first: the first row, such as -1 for the ids before the places.
        last: one after the last row.
    """

    def __init__(self, ids: IdSequence, starts: NDArray[np.intp], first: int, last: int) -> None:
        self.ids, self.starts = ids, starts
        self.last = last
        self._first = first
        self._rows: Array = np.empty((0, len(starts)), ids.dtype)

    def rows(self, first: int, last: int) -> Array:
        """The ids that are `first` … `last - 1` places on: `(last - first, B)`.

        What would be outside the text is 0.
        """
        if not self._first <= first <= last <= self._first + len(self._rows):
            count = max(last - first, READ // max(1, len(self.starts)))
            self._rows = self._read(first, max(last, min(first + count, self.last)))
            self._first = first
        return self._rows[first - self._first : last - self._first]

    def _read(self, first: int, last: int) -> Array:
        rows = np.zeros((last - first, len(self.starts)), self.ids.dtype)
        for b, start in enumerate(self.starts.tolist()):
            a, z = max(start + first, 0), min(start + last, len(self.ids))
            rows[a - start - first : max(a, z) - start - first, b] = self.ids[a : max(a, z)]
        return rows
