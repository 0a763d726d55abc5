"""Batches: a text cut into parallel streams for training."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from charlm.system.arrays import Array
from charlm.text.id_sequences import IdSequence, Windows


class Chunk(NamedTuple):
    """The input and targets of one forward and backward pass.

    Attributes:
        x: input ids, `(T, B)`.
        y: target ids: the id that follows each input, `(T, B)`.
        after: the ids that follow y, `(R, B)`; fewer at the end of an epoch.
        begins: where a text begins in x, after it, and in `after`, `(T+1+R, B)`; see
            `CharLM.loss_and_grad`. None for documents, which have boundaries.
    """

    x: Array
    y: Array
    after: Array
    begins: NDArray[np.bool_] | None

    def columns(self, columns: slice) -> "Chunk":
        """The chunk of some of the streams."""
        begins = None if self.begins is None else self.begins[:, columns]
        return Chunk(self.x[:, columns], self.y[:, columns], self.after[:, columns], begins)

    @property
    def characters(self) -> int:
        """The number of targets that are predicted: all but the first of a text."""
        is_ignored = self.begins[1 : len(self.y) + 1] if self.begins is not None else 0
        return self.y.size - int(np.sum(is_ignored))


class Streams:
    """Texts cut into B contiguous parallel streams, which are read in chunks of T steps.

    The texts stand one after the other. Stream b starts at character b·L, L = (N-1) // B, and its
    targets are the L characters after that. The inputs and targets of a chunk are views of one
    array, shifted by one row.

    An epoch begins from zeros in every stream, because the state at the end of the one before
    belongs to other text. Stream 0 then stands at the beginning of a text, where prompts stand too;
    the others stand anywhere, mostly within a line. That is once per stream and epoch.

    Args:
        ids: the texts, `(N,)`, at least 2 ids.
        batch_size: B; reduced if the text is too short for a full chunk in each stream.
        seq_len: T; the last chunk of an epoch may be shorter.
        lookahead: R, the number of characters after the targets that a chunk includes.
        starts: where each text begins, in rising order; by default there is one text.
    """

    def __init__(
        self,
        ids: IdSequence,
        batch_size: int,
        seq_len: int,
        lookahead: int = 0,
        starts: Sequence[int] | NDArray[np.int64] = (0,),
    ) -> None:
        targets = len(ids) - 1
        self.batch_size = max(1, min(batch_size, targets // seq_len))
        self.seq_len, self.lookahead = seq_len, lookahead
        self.length = targets // self.batch_size
        self._ids, self._texts = ids, np.asarray(starts)
        self.keep(slice(0, self.batch_size))

    def keep(self, columns: slice) -> None:
        """Restrict all chunks to these columns; the other streams are not read."""
        starts = np.arange(self.batch_size)[columns] * self.length
        self._windows = Windows(self._ids, starts, 0, self.length + 1)

    @property
    def chunks_per_epoch(self) -> int:
        """The number of chunks in one epoch."""
        return -(-self.length // self.seq_len)

    def offset(self, number: int) -> int:
        """The start of chunk `number` in each stream; chunks are counted over all epochs."""
        return number % self.chunks_per_epoch * self.seq_len

    def chunk(self, number: int) -> Chunk:
        """Chunk `number`, counted from 0 over all epochs."""
        start = self.offset(number)
        stop = min(start + self.seq_len, self.length)
        end = min(stop + 1 + self.lookahead, self.length + 1)
        ids, T = self._windows.rows(start, end), stop - start
        begins = self._begins(start, end)
        begins[0] |= start == 0  # the state is zeros at the start of an epoch, also within a line
        return Chunk(ids[:T], ids[1 : T + 1], ids[T + 1 :], begins)

    def _begins(self, start: int, end: int) -> NDArray[np.bool_]:
        """Where a text begins in these rows of the streams."""
        origins = self._windows.starts  # (B,)
        begins = np.zeros((end - start, len(origins)), np.bool_)
        first, last = np.searchsorted(self._texts, (origins + start, origins + end))
        for b in np.flatnonzero(first < last).tolist():
            begins[self._texts[first[b] : last[b]] - origins[b] - start, b] = True
        return begins
