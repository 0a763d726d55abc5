"""The n-grams of a text, from one sort of its positions.

The ids before each position, read backwards, are sorted: x_t, x_{t-1}, …, x_{t-n+1}. All
occurrences of an n-gram x_{t-k+1} … x_t then stand together, for every length k, so one pass per
length finds all n-grams. They form a trie: the parent of an n-gram is the same without its first
symbol.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from charlm.system.arrays import Array
from charlm.text.splits import Texts

Numbers = NDArray[np.intp]

WORD = 64  # bits of a number that is sorted
NONE = -1  # the number of an n-gram that does not occur


@dataclass(frozen=True)
class Sequences:
    """Texts or documents as the models read them, one after the other.

    Attributes:
        ids: the ids of all of them, of documents with their boundaries, `(N,)`.
        depths: the number of ids before each in its own sequence, but at most `longest`, `(N,)`.
        symbols: the number of ids that there can be.
        longest: the maximum length of an n-gram.
    """

    ids: Array
    depths: NDArray[np.uint8]
    symbols: int
    longest: int

    @classmethod
    def of(cls, texts: Texts, symbols: int, longest: int) -> "Sequences":
        """The sequences of some texts."""
        ids, lengths = texts.end_to_end()[:], texts.lengths
        if texts.boundary is not None:
            inner = ids
            lengths = lengths + 2
            stops = np.cumsum(lengths)
            is_inner = np.ones(int(lengths.sum()), np.bool_)
            is_inner[stops - 1] = is_inner[stops - lengths] = False
            ids = np.full(len(is_inner), texts.boundary, np.min_scalar_type(texts.boundary))
            ids[is_inner] = inner
        depths = np.full(len(ids), longest, np.uint8)
        starts = np.cumsum(lengths) - lengths
        for depth in range(longest):
            depths[starts[lengths > depth] + depth] = depth
        return cls(ids, depths, symbols, longest)

    def __len__(self) -> int:
        return len(self.ids)

    def part(self, start: int, stop: int) -> "Sequences":
        """The ids from `start` to `stop`, which know how many stand before them."""
        return replace(self, ids=self.ids[start:stop], depths=self.depths[start:stop])

    @property
    def are_predicted(self) -> NDArray[np.bool_]:
        """Which ids are predicted: all but the first of each sequence, `(N,)`."""
        are_predicted: NDArray[np.bool_] = self.depths > 0
        return are_predicted

    def before(self, distance: int) -> Array:
        """One more than the id at a distance before each, in its own sequence; or 0, `(N,)`."""
        found = np.zeros(len(self), np.min_scalar_type(self.symbols))
        found[distance:] = self.ids[: max(0, len(self) - distance)]
        found[distance:] += 1
        found[self.depths < distance] = 0
        return found

    def backward_order(self) -> Numbers:
        """The positions, sorted by the ids that end at each, read backwards, `(N,)`."""
        bits = self.symbols.bit_length()
        per_word = WORD // bits
        words = []
        for first in range(0, self.longest, per_word):
            word = np.zeros(len(self), np.uint64)
            for distance in range(first, min(first + per_word, self.longest)):
                word = word << np.uint64(bits) | self.before(distance)
            words.append(word)
        return np.argsort(words[0]) if len(words) == 1 else np.lexsort(words[::-1])


@dataclass(frozen=True)
class Level:
    """The n-grams of one length k.

    Attributes:
        keys: the parent of each n-gram times the number of symbols, plus its first symbol; `(n,)`,
            rising.
        contexts: the number of each without its last symbol, among those of length k-1, `(n,)`.
        occurrences: how often each occurs, `(n,)`.
        neighbors: the number of distinct symbols before each, `(n,)`. What stands before the start
            of a text is different for each text.
    """

    keys: Numbers
    contexts: Numbers
    occurrences: Numbers
    neighbors: Numbers


def count_ngrams(sequences: Sequences) -> Iterator[Level]:
    """The n-grams of each length 1, 2, …, `longest`; the neighbors of the last are not counted.

    Time and memory grow with N · `longest`; memory at once is about 60 bytes for each id, besides
    the levels.
    """
    N, S = len(sequences), sequences.symbols
    order = sequences.backward_order()
    depths = sequences.depths[order]
    parents = np.zeros(N, np.intp)  # the (k-1)-gram of each position, in sorted order
    ends = np.zeros(N, np.intp)  # the same, by position in the text
    differs = np.arange(N) == 0  # whether the k-gram is not the one before, in sorted order
    keys = contexts = occurrences = np.zeros(0, np.intp)
    for k in range(1, sequences.longest + 1):
        symbols = sequences.before(k - 1)[order]
        differs[1:] |= symbols[1:] != symbols[:-1]
        exists = symbols > 0
        first = np.flatnonzero(differs & exists)
        if k > 1:
            neighbors = np.bincount(parents[first], minlength=len(keys))
            if k > 2:  # of a start alone nothing is predicted
                neighbors += np.bincount(parents[depths == k - 2], minlength=len(keys))
            yield Level(keys, contexts, occurrences, neighbors)
        keys = parents[first] * S + symbols[first] - 1
        contexts = ends[order[first] - 1] if k > 1 else np.zeros(len(first), np.intp)
        parents = np.cumsum(differs & exists) - 1
        predicted = parents[exists & (depths > 0)]
        occurrences = np.bincount(predicted, minlength=len(keys))
        ends[order] = parents
    yield Level(keys, contexts, occurrences, occurrences)
