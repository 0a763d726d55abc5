"""A report on a corpus: its characters, and signs of common mistakes."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from charlm.text.concerns import Concern, concerns
from charlm.text.corpus import Corpus
from charlm.text.encoder import Encoded
from charlm.text.vocabulary import characters_of

SHOWN = 10  # the number of most and of least frequent characters in a report
SELDOM = 5  # a character with fewer occurrences is rare: too few to learn it from


@dataclass(frozen=True)
class Rare:
    """The characters that `--min-count` would replace with the unknown token `<unk>`.

    Attributes:
        min_count: the minimum number of occurrences of a character that is kept.
        distinct: the number of distinct characters below it.
        characters: the number of their occurrences in the text.
    """

    min_count: int
    distinct: int
    characters: int


@dataclass(frozen=True)
class Inspection:
    """A report on a corpus.

    Attributes:
        characters: the length of the text.
        vocabulary: the number of distinct characters.
        id_bytes: the size of an id in bytes.
        path: the file of the encoded text in the cache; None if it is not cached.
        found: whether the text was already in the cache.
        most_frequent: the most frequent characters with their counts.
        least_frequent: the least frequent characters with their counts, the rarest first.
        rare: the characters that occur fewer than `SELDOM` times.
        concerns: the signs of mistakes.
    """

    characters: int
    vocabulary: int
    id_bytes: int
    path: Path | None
    found: bool
    most_frequent: tuple[tuple[str, int], ...]
    least_frequent: tuple[tuple[str, int], ...]
    rare: Rare
    concerns: tuple[Concern, ...]


def inspect(corpus: Corpus) -> Inspection:
    """Report on a corpus.

    Of the ids, only the beginning is read, unless the characters of a suspect pair occur.

    Raises:
        TextError: the encoded text cannot be read, or is damaged.
    """
    by_count = _by_count(corpus.encoded)
    return Inspection(
        len(corpus),
        len(by_count),
        corpus.encoded.ids.dtype.itemsize,
        corpus.path,
        corpus.found,
        tuple(by_count[:SHOWN]),
        tuple(by_count[: -SHOWN - 1 : -1]),
        rare(corpus, SELDOM),
        tuple(concerns(corpus)),
    )


def _by_count(encoded: Encoded) -> list[tuple[str, int]]:
    """The characters with their counts, by decreasing count, then by code point."""
    order = np.lexsort((encoded.points, -encoded.counts))
    characters = characters_of(encoded.points[order])
    return list(zip(characters, encoded.counts[order].tolist(), strict=True))


def rare(corpus: Corpus, min_count: int) -> Rare:
    """Count the characters of a corpus that occur fewer than `min_count` times."""
    distinct = int((corpus.encoded.counts < min_count).sum())
    return Rare(min_count, distinct, corpus.rare_characters(min_count))
