"""A text as streams that training reads side by side."""

from typing import NamedTuple

import numpy as np

from charlm.system.arrays import Array
from charlm.text.id_sequences import IdSequence, Windows


class Chunk(NamedTuple):
    """What a pass over the network reads.

    Attributes:
        x: input ids `(T, B)`.
        y: the id that follows each, `(T, B)`.
        after: the ids that follow y, `(R, B)`, fewer at the end of an epoch.
        is_first: whether an epoch starts here, so that the streams have no state to carry.
    """

    x: Array
    y: Array
    after: Array
    is_first: bool


class Streams:
    """A text cut into contiguous streams that are read side by side, a chunk at a time.

    Stream b starts with character b·L, L = (N-1) // B, and its targets are the L characters
    after that. The input of a chunk and its targets are views of one array, one character apart.

    Args:
        ids: `(N,)`, at least two.
        batch_size: B; fewer where the text has not a chunk for each.
        seq_len: T; the last chunk of an epoch may be shorter.
        lookahead: R, how many characters after its targets come with a chunk.
    """

    def __init__(self, ids: IdSequence, batch_size: int, seq_len: int, lookahead: int = 0) -> None:
        targets = len(ids) - 1
        self.batch_size = max(1, min(batch_size, targets // seq_len))
        self.seq_len, self.lookahead = seq_len, lookahead
        self.length = targets // self.batch_size
        self._ids = ids
        self.keep(slice(0, self.batch_size))

    def keep(self, columns: slice) -> None:
        """Read some of the streams only: chunks have no other columns from now on."""
        starts = np.arange(self.batch_size)[columns] * self.length
        self._windows = Windows(self._ids, starts, 0, self.length + 1)

    @property
    def chunks_per_epoch(self) -> int:
        """The chunks in one pass over the text."""
        return -(-self.length // self.seq_len)

    def place(self, number: int) -> int:
        """Where in each stream chunk `number` starts, counted from 0 over all epochs."""
        return number % self.chunks_per_epoch * self.seq_len

    def chunk(self, number: int) -> Chunk:
        """Chunk `number`."""
        start = self.place(number)
        stop = min(start + self.seq_len, self.length)
        end = min(stop + 1 + self.lookahead, self.length + 1)
        ids, T = self._windows.rows(start, end), stop - start
        return Chunk(ids[:T], ids[1 : T + 1], ids[T + 1 :], start == 0)
