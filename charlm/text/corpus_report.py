"""What a text consists of, and what looks wrong with it.

All but pairs of characters is known from how often each character occurs.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from charlm.text.corpus import Corpus
from charlm.text.encoder import Encoded
from charlm.text.vocabulary import UNK, characters_of, listed

SHOWN = 10  # characters at either end
SELDOM = 5  # occurrences: a character that has fewer is hardly learned

BOM = "\ufeff"
CONTROLS = frozenset(map(chr, (*range(0x20), *range(0x7F, 0xA0)))) - set("\t\n\r\f")

# Two bytes of UTF-8 read as two characters: of Latin letters and signs, of Cyrillic ones, and
# of dashes and quotes, of which the third is left out.
CONTINUED = "".join(map(chr, range(0x80, 0xC0)))
MISREAD = (("ÂÃÐÑ", CONTINUED), ("â", "\x80€"))
CRLF = ("\r", "\n")

SCANNED = 1 << 20  # ids


@dataclass(frozen=True)
class Rare:
    """What `--min-count` makes one sign for what is unknown.

    Attributes:
        min_count: how often a character has to occur not to be among them.
        distinct: how many distinct characters occur less often.
        characters: how often they occur together.
    """

    min_count: int
    distinct: int
    characters: int


@dataclass(frozen=True)
class Concern:
    """Something in a text that looks wrong.

    Attributes:
        kind: what it is, in one word of letters and underscores.
        count: how often it occurs; of two kinds of line ends, the one that occurs less often.
        message: what it is, how often, and what to do, in one line.
    """

    kind: str
    count: int
    message: str


@dataclass(frozen=True)
class Inspection:
    """What a corpus consists of.

    Attributes:
        characters: its length.
        vocabulary: how many distinct characters it has.
        id_bytes: the size of an encoded character.
        path: where it is kept encoded, None if it is not.
        found: whether it was kept before.
        most_frequent: the most frequent characters, and how often each occurs.
        least_frequent: the least frequent ones, the rarest first.
        rare: those that occur fewer than `SELDOM` times.
        concerns: what looks wrong.
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
    """Look at a corpus. It is read again, a block at a time, if it has what begins a suspect pair.

    Raises:
        TextError: its encoded text cannot be read, or is damaged.
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
    """Each character and how often it occurs, the most frequent first, equals by code point."""
    order = np.lexsort((encoded.points, -encoded.counts))
    characters = characters_of(encoded.points[order])
    return list(zip(characters, encoded.counts[order].tolist(), strict=True))


def rare(corpus: Corpus, min_count: int) -> Rare:
    """The characters of a corpus that occur fewer than `min_count` times."""
    distinct = int((corpus.encoded.counts < min_count).sum())
    return Rare(min_count, distinct, corpus.rare_characters(min_count))


def count_pairs(encoded: Encoded, kinds: Sequence[tuple[str, str]]) -> list[int]:
    """How often pairs of adjacent characters occur in a text.

    Args:
        encoded: the text.
        kinds: of the pairs, 8 at most: the characters that may come first, and those that may
            come second.

    Returns:
        The number of pairs of each kind.
    """
    first, second = (_marks(encoded.points, [kind[i] for kind in kinds]) for i in (0, 1))
    counts = np.zeros(len(kinds), np.int64)
    if not np.bitwise_or.reduce(first) & np.bitwise_or.reduce(second):
        return counts.tolist()
    for start in range(0, len(encoded.ids), SCANNED):
        ids = encoded.ids[start : start + SCANNED + 1]
        places = np.flatnonzero(first[ids[:-1]])
        hits = first[ids[places]] & second[ids[places + 1]]
        counts += [np.count_nonzero(hits & (1 << k)) for k in range(len(kinds))]
    return counts.tolist()


def _marks(points: NDArray[np.uint32], kinds: Sequence[str]) -> NDArray[np.uint8]:
    """For each character, of which of some sets it is one, a bit each: `(V,)`."""
    marks = np.zeros(len(points), np.uint8)
    for k, characters in enumerate(kinds):
        marks |= np.isin(points, [ord(c) for c in characters]).astype(np.uint8) << k
    return marks


def _concerns(corpus: Corpus, counts: dict[str, int]) -> list[Concern]:
    crlf, *misread = count_pairs(corpus.encoded, [CRLF, *MISREAD])
    found = [
        _controls({c: n for c, n in counts.items() if c in CONTROLS}),
        _replaced(counts.get(UNK, 0)),
        _marked(counts.get(BOM, 0)),
        _misread(sum(misread), corpus.encoding),
        _mixed(crlf, counts.get("\n", 0) - crlf),
        _bare(counts.get("\r", 0) - crlf),
    ]
    return [concern for concern in found if concern.count]


def _controls(counts: dict[str, int]) -> Concern:
    count = sum(counts.values())
    return Concern(
        "control_characters",
        count,
        f"control characters: {count:,} ({listed(''.join(counts))}); remove them, as with: "
        r"perl -CSD -pe 's/[\x00-\x08\x0b\x0e-\x1f\x7f-\x9f]//g' OLD > NEW",
    )


def _replaced(count: int) -> Concern:
    return Concern(
        "replacement_characters",
        count,
        f"U+FFFD, which stands for what could not be decoded: {count:,}; decode the original "
        "again, as with: --encoding cp1252",
    )


def _marked(count: int) -> Concern:
    return Concern(
        "byte_order_marks",
        count,
        f"byte-order marks (U+FEFF) inside the text: {count:,}; remove them, as with: "
        r"perl -CSD -pe 's/\x{feff}//g' OLD > NEW",
    )


def _misread(count: int, encoding: str) -> Concern:
    is_utf8 = encoding.lower().replace("_", "-") in ("utf-8", "utf8", "u8")
    way = "iconv -f utf-8 -t cp1252 OLD > NEW" if is_utf8 else "--encoding utf-8"
    return Concern(
        "misread_utf8",
        count,
        f"pairs such as 'Ã©' and 'â€': {count:,}, of UTF-8 that was read in another encoding, or "
        f"of two encodings mixed; decode such parts again, as with: {way}",
    )


def _mixed(crlf: int, newlines: int) -> Concern:
    return Concern(
        "mixed_line_ends",
        min(crlf, newlines),
        f"line ends of two kinds: {crlf:,} CRLF and {newlines:,} LF; make them one, as with: "
        "--newlines lf",
    )


def _bare(count: int) -> Concern:
    return Concern(
        "bare_carriage_returns",
        count,
        f"carriage returns without a newline: {count:,}; make them newlines, as with: "
        "--newlines lf",
    )
