"""The split of a corpus into texts or documents for training and for validation.

Of each text the end is held out, so that validation stands for all of them. Of documents, whole
ones are drawn; all copies of a document are on the same side.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from charlm.errors import TextError
from charlm.text.id_sequences import IdSequence, Positions, SplicedIds
from charlm.text.vocabulary import ids_type

# The default size of the validation split: a fraction of the corpus, and a maximum in characters.
HELD_OUT, MOST_HELD_OUT = 0.1, 1_000_000
NEAR = 0.1  # of what is held out: how far a cut moves to stand after a newline
HASHED = 1 << 20  # ids hashed at once


@dataclass(frozen=True)
class Texts:
    """Texts or documents, slices of the ids of a corpus.

    Attributes:
        ids: the corpus.
        starts: the start of each text in it, `(n,)`.
        stops: the end of each, exclusive, `(n,)`.
        boundary: the id that stands before and after each document; None for texts.
    """

    ids: IdSequence
    starts: Positions
    stops: Positions
    boundary: int | None = None

    @classmethod
    def of(cls, ids: IdSequence, ends: Positions, boundary: int | None = None) -> "Texts":
        """All texts of a corpus, which end where the next one begins."""
        return cls(ids, np.concatenate([[0], ends[:-1]]), ends, boundary)

    def __len__(self) -> int:
        return len(self.starts)

    @property
    def lengths(self) -> Positions:
        """The length of each text in characters, `(n,)`."""
        return self.stops - self.starts

    @property
    def characters(self) -> int:
        """The number of characters of all texts."""
        return int(self.lengths.sum())

    @property
    def targets(self) -> int:
        """The number of predicted ids: with the end of a document, without the start of a text."""
        return self.characters + len(self) * (1 if self.boundary is not None else -1)

    def sequences(self) -> Iterator[IdSequence]:
        """The ids of each text, read on demand; those of a document with its boundaries."""
        for start, stop in zip(self.starts.tolist(), self.stops.tolist(), strict=True):
            if self.boundary is None:
                yield SplicedIds(self.ids, np.array([start]), np.array([stop]))
            else:
                edge = np.array([self.boundary], ids_type(self.boundary + 1))
                yield np.concatenate([edge, self.ids[start:stop].astype(edge.dtype), edge])

    def spread(self, characters: int, piece: int) -> "Texts":
        """Evenly spaced pieces of the texts, about so many characters in all.

        Each text is represented in proportion to its length, by pieces of equal length; all of it
        if it is not longer than that.

        Args:
            characters: the number of characters.
            piece: the length of a piece, about.
        """
        share = np.ceil(self.lengths * (characters / max(1, self.characters))).astype(np.int64)
        share = np.minimum(np.maximum(2, share), self.lengths)
        count = np.where(share < self.lengths, np.maximum(1, share // piece), 1)  # of pieces
        length, text = np.repeat(share // count, count), np.repeat(np.arange(len(self)), count)
        number = np.arange(len(text)) - np.repeat(np.cumsum(count) - count, count)  # in its text
        middle = (2 * number + 1) * self.lengths[text] // (2 * count[text])
        starts = self.starts[text] + middle - length // 2
        starts = np.minimum(np.maximum(starts, self.starts[text]), self.stops[text] - length)
        return replace(self, starts=starts, stops=starts + length)

    def some(self, selected: NDArray[np.bool_] | NDArray[np.intp] | slice) -> "Texts":
        """The selected ones of the texts."""
        return replace(self, starts=self.starts[selected], stops=self.stops[selected])

    def end_to_end(self) -> IdSequence:
        """The ids of all texts, one after the other."""
        return SplicedIds(self.ids, self.starts, self.stops)


def cut_texts(texts: Texts, val_fraction: float | None, newline: int | None) -> tuple[Texts, Texts]:
    """Hold out the end of each text, from a newline if there is one nearby.

    A text too short to be cut is used for training.

    Args:
        texts: the texts.
        val_fraction: the fraction to hold out; None for a tenth, at most a million characters; 0
            for none.
        newline: the id of the newline; None to cut anywhere.

    Raises:
        TextError: a split would have fewer than 2 characters.
    """
    fraction = _fraction(texts, val_fraction)
    if fraction == 0 and texts.targets > 0:
        return texts, texts.some(slice(0))
    held_out = np.round(texts.lengths * fraction).astype(np.int64)
    held_out[(held_out < 2) | (texts.lengths - held_out < 2)] = 0
    cuts = texts.stops - held_out
    if newline is not None:
        for k in np.flatnonzero(held_out).tolist():
            cut, near = int(cuts[k]), int(NEAR * held_out[k])
            # most of a text can be near, and each side needs 2 characters
            first = max(cut - near, int(texts.starts[k]) + 1)
            last = min(cut + near, int(texts.stops[k]) - 2)
            cuts[k] = _after_newline(texts.ids, cut, first, last, newline)
    is_cut = held_out > 0
    if not is_cut.any():
        raise _too_short(texts, fraction)
    val = replace(texts, starts=cuts[is_cut], stops=texts.stops[is_cut])
    return replace(texts, stops=cuts), val


def _fraction(texts: Texts, val_fraction: float | None) -> float:
    if val_fraction is not None:
        return val_fraction
    return min(HELD_OUT, MOST_HELD_OUT / texts.characters)


def _after_newline(ids: IdSequence, cut: int, first: int, last: int, newline: int) -> int:
    """The position after the newline that is nearest to a cut; the cut if there is none.

    The newline is one from `first` to `last`, exclusive.
    """
    found = np.flatnonzero(ids[first:last] == newline) + first + 1
    return int(found[np.abs(found - cut).argmin()]) if len(found) else cut


def _too_short(texts: Texts, fraction: float) -> TextError:
    if fraction == 0:
        return TextError("the corpus has one character; training needs at least 2")
    if len(texts) > 1:
        return TextError(
            f"none of the {len(texts):,} texts is long enough to hold out a part of it for "
            "validation; read each as a document with `files`, or use another `val_fraction`"
        )
    held_out = round(texts.characters * fraction)
    return TextError(
        f"the corpus has {texts.characters:,} characters, {held_out:,} of them in the validation "
        "split; each split needs at least 2; use a longer text or another `val_fraction`"
    )


def draw_documents(
    texts: Texts, val_fraction: float | None, random_seed: int
) -> tuple[Texts, Texts]:
    """Hold out documents that are drawn at random, with all equal ones.

    It holds out the fraction of the distinct documents, or fewer if their copies are more than the
    fraction of all documents: one that does not fit is left to training. So validation does not
    consist of the copies of a frequent document, nor training of these alone. If all distinct
    documents have too many copies, the one with the fewest is held out.

    Args:
        texts: the documents, none of them empty.
        val_fraction: the fraction of the documents to hold out; None for a tenth, but at most
            about a million characters; 0 for none.
        random_seed: determines the draw.

    Raises:
        TextError: there is only one distinct document.
    """
    fraction = _fraction(texts, val_fraction)
    if fraction == 0:
        return texts, texts.some(slice(0))
    _, first, kind, counts = np.unique(
        _hashes(texts), return_index=True, return_inverse=True, return_counts=True
    )
    D = len(counts)
    if D == 1:
        raise TextError(
            "the corpus has 1 distinct document; training and validation need at least one each"
        )
    # distinct documents are shuffled as they first occur, because their hashes depend on the ids
    order = np.argsort(first)[np.random.default_rng(random_seed).permutation(D)]
    fitting = _fitting(order, counts, max(1, round(fraction * len(texts))))
    drawn = fitting[: min(max(1, round(fraction * D)), D - 1)]
    rank = np.full(D, -1)
    rank[drawn] = np.arange(len(drawn))
    held_out = np.flatnonzero(rank[kind] >= 0)
    shuffled = held_out[np.argsort(rank[kind[held_out]], kind="stable")]
    return texts.some(rank[kind] < 0), texts.some(shuffled)


def _fitting(order: NDArray[np.intp], counts: NDArray[np.intp], most: int) -> NDArray[np.intp]:
    """The distinct documents with at most so many copies together; those that do not fit are left.

    Args:
        order: the distinct documents in the order of the draw, `(D,)`.
        counts: the number of copies of each, by its number, `(D,)`.
        most: the number of copies.

    Returns:
        The numbers of the documents, in the order of the draw; at least one, the one with the
        fewest copies if none fits.
    """
    left, drawn = most, [order[:0]]
    rest = order[counts[order] <= left]
    while len(rest):
        copies = np.cumsum(counts[rest])
        n = int(np.searchsorted(copies, left, side="right"))  # which fit one after the other
        drawn.append(rest[:n])
        left -= int(copies[n - 1])
        rest = rest[n:][counts[rest[n:]] <= left]
    fewest = order[[counts[order].argmin()]]
    return np.concatenate(drawn) if len(drawn) > 1 else fewest


def _hashes(texts: Texts) -> NDArray[np.uint64]:
    """A 64-bit hash of each document, `(n,)`: Σ_k table[id_k] · factor^k modulo 2^64."""
    rng = np.random.default_rng(0)
    table = rng.integers(1 << 63, size=1 << min(21, 8 * texts.ids.dtype.itemsize), dtype=np.uint64)
    factor = rng.integers(1 << 63, dtype=np.uint64) | np.uint64(1)
    longest = int(texts.lengths.max())
    powers = np.multiply.accumulate(np.full(longest, factor))
    hashes = np.empty(len(texts), np.uint64)
    first = 0
    while first < len(texts):
        last = int(np.searchsorted(texts.stops, texts.starts[first] + HASHED, side="right"))
        last = max(last, first + 1)
        starts = texts.starts[first:last] - texts.starts[first]
        ids = texts.ids[int(texts.starts[first]) : int(texts.stops[last - 1])]
        positions = np.arange(len(ids)) - np.repeat(starts, texts.lengths[first:last])
        values = table[ids] * powers[positions]
        hashes[first:last] = np.add.reduceat(values, starts)
        first = last
    return hashes
