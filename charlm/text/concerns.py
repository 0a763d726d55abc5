"""Signs of common mistakes in a text, each with a remedy that loses nothing of it.

All follow from the character counts, but repeated files, markup, which is recognized by the start
of the text, and pairs of characters, which are counted in the ids.
"""

import codecs
import re
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from charlm.text.characters import listed_characters
from charlm.text.corpus import Corpus
from charlm.text.encoder import Encoded
from charlm.text.source_files import STDIN
from charlm.text.vocabulary import UNK, characters_of

BOM = "\ufeff"
CONTROLS = frozenset(map(chr, (*range(0x20), 0x7F))) - set("\t\n\r\f")
C1 = frozenset(map(chr, range(0x80, 0xA0)))

# Pairs of characters from UTF-8 that was decoded as Latin-1 or cp1252: the two bytes of Latin and
# Cyrillic letters, and the first two of the three bytes of dashes and quotation marks.
CONTINUATION = "".join(map(chr, range(0x80, 0xC0)))
MISREAD = (("ÂÃÐÑ", CONTINUATION), ("â", "\x80€"))
CRLF = ("\r", "\n")
TO_WIDE = ("\x1b", "$")  # in ISO 2022: to characters of two bytes each, all of them ASCII
SHIFT_OUT = "\x0e"  # the same, in iso2022_kr

SCANNED = 1 << 20  # ids per read
FEW = 1 << 26  # characters, whose pairs are counted in a fifth of a second

# What the text of an encoding may be instead: its letters are the same or nearly so, but there are
# quotation marks, dashes and letters from byte 80 to 9F. The last ones have letters there.
WINDOWS = {
    "iso8859-1": "cp1252",
    "iso8859-2": "cp1250",
    "iso8859-7": "cp1253",
    "iso8859-8": "cp1255",
    "iso8859-9": "cp1254",
    "iso8859-11": "cp874",
    "iso8859-13": "cp1257",
    "iso8859-15": "cp1252",
}
OTHERS = ("mac_roman", "cp437", "cp850")

# The first character of a tag, and the start of a text, by the name of the format in pandoc.
MARKUP = {
    "html": ("<", re.compile(r"\s*(<\?xml[^>]*>\s*)?<(!doctype html|html)\b", re.IGNORECASE)),
    "rtf": ("\\", re.compile(r"{\\rtf1\b")),
}
BEGINNING = 1_000  # characters

# Commands that read the file OLD and write NEW.
WITHOUT_ESCAPES = r"perl -pe 's/\e\[[0-?]*[ -\/]*[@-~]//g' OLD > NEW"
WITHOUT_OVERPRINTING = "col -bx < OLD > NEW"
WITHOUT_CONTROLS = r"LC_ALL=C tr '\000-\010\013\016-\037\177' ' ' < OLD > NEW"
WITHOUT_MARKS = r"perl -pe 's/\xef\xbb\xbf//g' OLD > NEW"
WITH_QUOTES = (
    r"perl -CSD -MEncode -pe 's/([\x80\x82-\x8c\x8e\x91-\x9c\x9e\x9f])/"
    r"""decode("cp1252",chr ord $1)/ge' OLD > NEW"""
)


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


def concerns(corpus: Corpus, most: int | None = None) -> list[Concern]:
    """The signs of mistakes in a corpus.

    Args:
        corpus: the corpus.
        most: the characters at the start of the text in which pairs and line endings are counted,
            and one more if that would cut a CRLF in two; None for all.

    Raises:
        TextError: the encoded text cannot be read, or is damaged.
    """
    most = min(len(corpus), most or len(corpus))
    if most < len(corpus):
        most += _cuts_line_end(corpus.encoded, most)  # its CR is counted, so its LF must be
    extent = f" (in the first {most:,} characters)" if most < len(corpus) else ""
    crlf, *misread = count_pairs(corpus.encoded, [CRLF, *MISREAD], most)
    cr, lf = (_occurrences(corpus.encoded, c, most) - crlf for c in CRLF)
    counts = dict(zip(_characters(corpus), corpus.encoded.counts.tolist(), strict=True))
    controls, between = ({c: n for c, n in counts.items() if c in kind} for kind in (CONTROLS, C1))
    markup, tag = _markup(corpus)
    repeated = [file for file, n in Counter(corpus.files).items() if n > 1 and file != STDIN]
    table: list[tuple[str, int, str, Callable[[], str]]] = [
        (
            "repeated_files",
            len(repeated),
            f"files that are read more than once, such as {next(iter(repeated), '')}",
            lambda: "specify each once, or validation is on text that the model has seen",
        ),
        (
            "markup",
            counts.get(tag, 0),
            f"tags of {markup.upper()} ({tag!r}), which the model learns too",
            lambda: f"convert it to text, for example with: pandoc -f {markup} -t plain OLD -o NEW",
        ),
        (
            "control_characters",
            sum(controls.values()),
            f"control characters ({listed_characters(controls)})",
            lambda: _without_controls(corpus, controls),
        ),
        (
            "c1_characters",
            sum(between.values()),
            f"characters from U+0080 to U+009F ({listed_characters(between)})",
            lambda: _with_quotes(corpus, is_misread=any(misread)),
        ),
        (
            "replacement_characters",
            counts.get(UNK, 0),
            "replacement characters (U+FFFD), in place of what could not be decoded",
            lambda: _with_originals(corpus),
        ),
        (
            "byte_order_marks",
            counts.get(BOM, 0),
            "byte-order marks (U+FEFF) inside the text",
            lambda: _without_marks(corpus),
        ),
        (
            "misread_utf8",
            sum(misread),
            f"pairs such as 'Ã©' and 'â€', from UTF-8 that was decoded as another encoding{extent}",
            lambda: _decoded_again(corpus),
        ),
        (
            "mixed_line_ends",
            min(crlf, lf),
            f"mixed line endings ({crlf:,} CRLF, {lf:,} LF), of the less frequent kind{extent}",
            lambda: "convert them with: `newlines='lf'`",
        ),
        (
            "bare_carriage_returns",
            cr,
            f"carriage returns without a newline{extent}",
            lambda: "convert them to newlines with: `newlines='lf'`",
        ),
    ]
    return [
        Concern(kind, count, f"{what}: {count:,}; {remedy()}")
        for kind, count, what, remedy in table
        if count
    ]


def _cuts_line_end(encoded: Encoded, at: int) -> bool:
    """Whether a CRLF stands around a position in a text."""
    return tuple(characters_of(encoded.points[encoded.ids[at - 1 : at + 1]])) == CRLF


def _characters(corpus: Corpus) -> str:
    """The distinct characters of a corpus, by id."""
    return characters_of(corpus.encoded.points)


def _codec(corpus: Corpus) -> str:
    return codecs.lookup(corpus.config.encoding).name


def _markup(corpus: Corpus) -> tuple[str, str]:
    """The format of a text with markup, and the first character of a tag; empty without it."""
    characters = _characters(corpus)
    start = "".join(characters[i] for i in corpus.encoded.ids[:BEGINNING])
    found = ((name, tag) for name, (tag, pattern) in MARKUP.items() if pattern.match(start))
    return next(found, ("", ""))


def _fits(corpus: Corpus, encoding: str) -> bool:
    """Whether an encoding has all characters of a corpus."""
    try:
        return bool(_characters(corpus).encode(encoding))
    except UnicodeEncodeError:
        return False


def _decoded_again(corpus: Corpus) -> str:
    """The remedy for misread UTF-8."""
    if _codec(corpus) != "utf-8":
        return "decode the text as UTF-8: `encoding='utf-8'`"
    for encoding in ("cp1252", "latin1"):
        if _fits(corpus, encoding):
            return f"undo the conversion with: iconv -f utf-8 -t {encoding} OLD > NEW"
    return "convert the original of the affected part again, as UTF-8"


def _without_controls(corpus: Corpus, controls: dict[str, int]) -> str:
    """The remedy for control characters."""
    if _codec(corpus).startswith(("utf-16", "utf-32")):
        return "they stay as characters like any other"
    if "\x1b" in controls:
        if any(count_pairs(corpus.encoded, [TO_WIDE], min(len(corpus), FEW))):
            name = "iso2022_kr" if SHIFT_OUT in controls else "iso2022_jp"
            return f"they switch between character sets: read the text with: `encoding='{name}'`"
        return f"if they are colors of a terminal, take them out with: {WITHOUT_ESCAPES}"
    if "\b" in controls:
        return f"if they print over characters, resolve them with: {WITHOUT_OVERPRINTING}"
    return f"replace them with spaces by: {WITHOUT_CONTROLS}"


def _with_originals(corpus: Corpus) -> str:
    """The remedy for replacement characters."""
    if corpus.config.errors == "replace":
        return "if they are many, another `encoding` may be right"
    return "the originals are lost in this file; convert the original file again"


def _with_quotes(corpus: Corpus, *, is_misread: bool) -> str:
    """The remedy for characters from U+0080 to U+009F, which hardly any text has."""
    codec = _codec(corpus)
    if codec in WINDOWS:
        data = _characters(corpus).encode(codec, "ignore")  # U+FFFD, or decomposed ones
        names = [name for name in (WINDOWS[codec], *OTHERS) if _decodes(data, name)]
        first, *others = names[: 1 if names[0] == WINDOWS[codec] else None]
        more = f" (or {', '.join(others)})" if others else ""
        return f"read the text with: `encoding='{first}'`{more}"
    if is_misread:
        return "they are of misread UTF-8; see the warning about it"
    if codec != "utf-8":
        return "if they are quotation marks and dashes of Windows, convert the original file again"
    return (
        "if they were quotation marks and dashes of Windows, which were converted as Latin-1, "
        f"restore them with: {WITH_QUOTES}"
    )


def _decodes(data: bytes, encoding: str) -> bool:
    try:
        return bool(data.decode(encoding))
    except UnicodeDecodeError:
        return False


def _without_marks(corpus: Corpus) -> str:
    """The remedy for byte-order marks inside a text."""
    codec = _codec(corpus)
    if codec == "utf-8":
        return f"they show nothing; take them out with: {WITHOUT_MARKS}"
    if codec.startswith(("utf-16", "utf-32")):
        return f"those at the start of a file are dropped with: `encoding='{codec[:6]}'`"
    return "they stay as characters like any other"


# Counts


def count_pairs(
    encoded: Encoded, kinds: Sequence[tuple[str, str]], most: int | None = None
) -> list[int]:
    """Count kinds of pairs of adjacent characters.

    Args:
        encoded: the text.
        kinds: for each kind, the possible first characters and second characters.
        most: the characters at the start of the text that are read; None for all.

    Returns:
        The number of pairs of each kind.
    """
    counts = [0] * len(kinds)
    tables = []  # kinds, with the ids of their first characters and a mask of the second, `(V,)`
    for k, kind in enumerate(kinds):
        first, second = (np.isin(encoded.points, [ord(c) for c in each]) for each in kind)
        if first.any() and second.any():
            tables.append((k, np.flatnonzero(first), second))
    if not tables:
        return counts
    for start in range(0, most or len(encoded.ids), SCANNED):
        stop = min(start + SCANNED, most or len(encoded.ids))
        block = encoded.ids[start : stop + 1]
        for k, ids, mask in tables:
            for each in ids:
                starts = np.flatnonzero(block[:-1] == each)
                counts[k] += int(np.count_nonzero(mask[block[starts + 1]]))
    return counts


def _occurrences(encoded: Encoded, character: str, most: int) -> int:
    """The number of occurrences of a character among the first ones."""
    (ids,) = np.nonzero(encoded.points == ord(character))
    if not len(ids):
        return 0
    if most >= len(encoded.ids):
        return int(encoded.counts[ids[0]])
    blocks = range(0, most, SCANNED)
    return sum(
        int(np.count_nonzero(encoded.ids[start : min(start + SCANNED, most)] == ids[0]))
        for start in blocks
    )
