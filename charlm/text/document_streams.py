"""Batches of documents: parallel streams, each of which is ⊥ d ⊥ d ⊥ …, where ⊥ is the boundary.

Whenever a stream has no document left, it takes the next one in a shuffled order that all streams
share. So documents are begun in this order, each once per epoch, and nothing is padded or left out.

A stream cannot leave a document before its end, and the others read on meanwhile. So that they do
not begin further epochs, there are at most as many streams as the longest document goes into the
corpus. When an epoch ends, only the documents that streams are in are still unfinished.
"""

from collections.abc import Iterator
from heapq import heapreplace

import numpy as np
from numpy.typing import NDArray

from charlm.system.arrays import Array
from charlm.text.batches import Chunk
from charlm.text.splits import Texts
from charlm.text.vocabulary import ids_type

# Documents are shuffled in blocks of about so many characters, and the blocks among each other, so
# that a corpus of any size is read from the disk in large parts.
BLOCK = 1 << 22


def streams_of(batch_size: int, seq_len: int, targets: int, longest: int) -> int:
    """The number of streams, B ≤ `batch_size`, at least 1.

    An epoch has a full chunk for each stream, B·T ≤ N, and is as long as the longest document in
    each, B·(L+1) ≤ N. At a position p of all streams, the documents begun so far have at least B·p
    ids and at most B·L more, less than an epoch. So after e epochs each has been begun e or e+1
    times, and of the ids that were dealt, streams keep at most B·L and a block.

    Args:
        batch_size: the maximum.
        seq_len: T.
        targets: N, the ids of all documents, with a boundary after each.
        longest: L, the length of the longest document.
    """
    return max(1, min(batch_size, targets // seq_len, targets // (longest + 1)))


class DocumentStreams:
    """Documents in B parallel streams, which are read in chunks of T steps.

    Args:
        documents: the documents.
        batch_size: B; reduced as by `streams_of`, to 1 if one document is most of the corpus.
        seq_len: T.
        lookahead: R, the number of ids after the targets that a chunk includes.
        random_seed: determines the order of the documents.
    """

    def __init__(
        self,
        documents: Texts,
        batch_size: int,
        seq_len: int,
        lookahead: int = 0,
        random_seed: int = 0,
    ) -> None:
        assert documents.boundary is not None
        self.documents, self.boundary = documents, documents.boundary
        longest = int(documents.lengths.max())
        self.batch_size = streams_of(batch_size, seq_len, documents.targets, longest)
        self.seq_len, self.lookahead, self.random_seed = seq_len, lookahead, random_seed
        self.dtype = ids_type(self.boundary + 1)
        self.keep(slice(0, self.batch_size))

    def keep(self, columns: slice) -> None:
        """Restrict all chunks to these columns; the other streams are not kept."""
        self.columns = range(self.batch_size)[columns]
        self._restart()

    def _restart(self) -> None:
        """Go back to the first chunk."""
        self._next = 0  # the number of the next chunk
        self._blocks = self._shuffled()
        self._lengths = [(1, b) for b in range(self.batch_size)]  # a heap: of all that was dealt
        boundary = np.array([self.boundary], self.dtype)
        self._ids = [boundary for _ in self.columns]  # what was dealt and not yet read

    @property
    def chunks_per_epoch(self) -> float:
        """The number of chunks in one epoch, which can end within a chunk."""
        return self.documents.targets / (self.batch_size * self.seq_len)

    def chunk(self, number: int) -> Chunk:
        """Chunk `number`, counted from 0 over all epochs. Chunks are read in rising order."""
        if number < self._next:
            self._restart()
        while self._next < number:
            self._fill()
            self._advance()
        self._fill()
        T, rows = self.seq_len, self.seq_len + 1 + self.lookahead
        ids = np.stack([ids[:rows] for ids in self._ids], axis=1) if self._ids else self._nothing()
        self._advance()
        return Chunk(ids[:T], ids[1 : T + 1], ids[T + 1 :], None)

    def _nothing(self) -> Array:
        return np.empty((self.seq_len + 1 + self.lookahead, 0), self.dtype)

    def _advance(self) -> None:
        self._ids = [ids[self.seq_len :] for ids in self._ids]
        self._next += 1

    def _fill(self) -> None:
        """Deal blocks of documents until each stream has the rows of the next chunk."""
        needed = (self._next + 1) * self.seq_len + 1 + self.lookahead
        while self._lengths[0][0] < needed:
            self._deal(*next(self._blocks))

    def _deal(self, ids: Array, lengths: NDArray[np.int64]) -> None:
        """Give each document to the stream that has been dealt the least.

        Args:
            ids: the documents, one after the other, with a boundary after each.
            lengths: their lengths with the boundary, `(n,)`.
        """
        owners = np.empty(len(lengths), np.intp)
        for k, length in enumerate(lengths.tolist()):
            dealt, owner = self._lengths[0]
            owners[k] = owner
            heapreplace(self._lengths, (dealt + length, owner))
        owner_of_id = np.repeat(owners, lengths)
        for k, b in enumerate(self.columns):
            self._ids[k] = np.concatenate([self._ids[k], ids[owner_of_id == b]])

    def _shuffled(self) -> Iterator[tuple[Array, NDArray[np.int64]]]:
        """Blocks of documents in the order of training, epoch by epoch without end."""
        positions = np.cumsum(self.documents.lengths + 1)
        block_of = (positions - 1) // BLOCK
        blocks = np.split(np.arange(len(positions)), np.flatnonzero(np.diff(block_of)) + 1)
        epoch = 0
        while True:
            rng = np.random.default_rng((self.random_seed, epoch))
            for n in rng.permutation(len(blocks)).tolist():
                yield self._read(blocks[n], rng.permutation(len(blocks[n])))
            epoch += 1

    def _read(
        self, numbers: NDArray[np.intp], order: NDArray[np.intp]
    ) -> tuple[Array, NDArray[np.int64]]:
        """The ids of consecutive documents in another order, and their lengths; see `_deal`."""
        block = self.documents.some(numbers)
        lengths = block.lengths[order] + 1
        starts = (np.cumsum(block.lengths) - block.lengths)[order]
        text = np.append(block.end_to_end()[:], np.array([0], self.dtype))  # of the wider type
        ends = np.cumsum(lengths)
        within = np.arange(ends[-1]) - np.repeat(ends - lengths, lengths)
        ids = text[np.repeat(starts, lengths) + within]
        ids[ends - 1] = self.boundary
        return ids, lengths
