"""A report on a corpus: its characters, and signs of common mistakes.

All figures but the pairs of characters follow from the character counts.
"""

import codecs
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from charlm.text.characters import listed
from charlm.text.corpus import Corpus
from charlm.text.encoder import Encoded
from charlm.text.vocabulary import UNK, characters_of

SHOWN = 10  # the number of most and of least frequent characters in a report
SELDOM = 5  # a character with fewer occurrences is rare: too few to learn it from

BOM = "\ufeff"
CONTROLS = frozenset(map(chr, (*range(0x20), *range(0x7F, 0xA0)))) - set("\t\n\r\f")

# Pairs of characters from UTF-8 that was decoded as Latin-1 or cp1252: the two bytes of Latin and
# Cyrillic letters, and the first two of the three bytes of dashes and quotation marks.
CONTINUATION = "".join(map(chr, range(0x80, 0xC0)))
MISREAD = (("ÂÃÐÑ", CONTINUATION), ("â", "\x80€"))
CRLF = ("\r", "\n")

SCANNED = 1 << 20  # ids per read


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
class Concern:
    """A sign of a mistake in a text.

    Attributes:
        kind: an identifier of letters and underscores.
        count: the number of occurrences; for mixed line endings, of the less frequent kind.
        message: a one-line description with the count and the remedy.
    """

    kind: str
    count: int
    message: str


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
    """Report on a corpus. The ids are read only if the characters of a suspect pair occur.

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
        tuple(_concerns(corpus, dict(by_count))),
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


def count_pairs(encoded: Encoded, kinds: Sequence[tuple[str, str]]) -> list[int]:
    """Count kinds of pairs of adjacent characters.

    Args:
        encoded: the text.
        kinds: for each kind, at most 8, the possible first characters and second characters.

    Returns:
        The number of pairs of each kind.
    """
    first, second = (_masks(encoded.points, [kind[i] for kind in kinds]) for i in (0, 1))
    counts = np.zeros(len(kinds), np.int64)
    if not np.bitwise_or.reduce(first) & np.bitwise_or.reduce(second):
        return counts.tolist()
    for start in range(0, len(encoded.ids), SCANNED):
        ids = encoded.ids[start : start + SCANNED + 1]
        starts = np.flatnonzero(first[ids[:-1]])
        hits = first[ids[starts]] & second[ids[starts + 1]]
        counts += [np.count_nonzero(hits & (1 << k)) for k in range(len(kinds))]
    return counts.tolist()


def _masks(points: NDArray[np.uint32], kinds: Sequence[str]) -> NDArray[np.uint8]:
    """A bit mask for each character, `(V,)`: bit k is set if it is in the set `kinds[k]`."""
    masks = np.zeros(len(points), np.uint8)
    for k, characters in enumerate(kinds):
        masks |= np.isin(points, [ord(c) for c in characters]).astype(np.uint8) << k
    return masks


def _concerns(corpus: Corpus, counts: dict[str, int]) -> list[Concern]:
    """The concerns about a corpus with these character counts."""
    crlf, *misread = count_pairs(corpus.encoded, [CRLF, *MISREAD])
    lf, cr = counts.get("\n", 0) - crlf, counts.get("\r", 0) - crlf
    controls = {c: n for c, n in counts.items() if c in CONTROLS}
    is_utf8 = codecs.lookup(corpus.config.encoding).name == "utf-8"
    table = [
        (
            "control_characters",
            sum(controls.values()),
            f"control characters ({listed(''.join(controls))})",
            r"remove them with: perl -CSD -pe 's/[\x00-\x08\x0b\x0e-\x1f\x7f-\x9f]//g' OLD > NEW",
        ),
        (
            "replacement_characters",
            counts.get(UNK, 0),
            "replacement characters (U+FFFD), left by a decoding error",
            "read the original file in its own encoding, for example with: --encoding cp1252",
        ),
        (
            "byte_order_marks",
            counts.get(BOM, 0),
            "byte-order marks (U+FEFF) inside the text",
            r"remove them with: perl -CSD -pe 's/\x{feff}//g' OLD > NEW",
        ),
        (
            "misread_utf8",
            sum(misread),
            "pairs such as 'Ã©' and 'â€', from UTF-8 that was decoded as another encoding",
            "decode the affected text again with: "
            + ("iconv -f utf-8 -t cp1252 OLD > NEW" if is_utf8 else "--encoding utf-8"),
        ),
        (
            "mixed_line_ends",
            min(crlf, lf),
            f"mixed line endings ({crlf:,} CRLF, {lf:,} LF), of the less frequent kind",
            "convert them with: --newlines lf",
        ),
        (
            "bare_carriage_returns",
            cr,
            "carriage returns without a newline",
            "convert them to newlines with: --newlines lf",
        ),
    ]
    return [
        Concern(kind, count, f"{what}: {count:,}; {remedy}")
        for kind, count, what, remedy in table
        if count
    ]
