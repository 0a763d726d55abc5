"""Unicode normalization of a text in pieces; the result does not depend on where they end.

A text is a sequence of segments: each begins with a character that no other can change (a starter
that does not combine with the one before it), followed by those that can, such as accents, vowel
signs and the jamo of Hangul. The segments can be normalized separately. A piece is normalized up to
its last segment, which may continue in the next piece.

The time of `unicodedata.normalize` is quadratic in the length of a segment. So segments of more
than `LONGEST` characters, which no language has, stay as they are.
"""

import unicodedata
from collections.abc import Iterable, Iterator
from functools import cache
from typing import Literal

LONGEST = 256  # characters of a segment that is normalized

# Where the characters are that continue a segment. The others are ideographs, syllables of Hangul,
# and private use.
RANGES = ((0x300, 0x3400), (0xA000, 0xAC00), (0xF900, 0x1FFFF), (0xE0000, 0xE1000))
JAMO = (*range(0x1161, 0x1176), *range(0x11A8, 0x11C3))  # vowels, and consonants after one

Form = Literal["NFC", "NFD", "NFKC", "NFKD"]


def normalized(pieces: Iterable[str], form: Form) -> Iterator[str]:
    """Normalize a text in pieces."""
    held = ""  # the start of a segment, at most `LONGEST` characters
    is_long = False  # whether the pieces are in the middle of a segment that is too long
    for piece in pieces:
        start = 0
        if is_long:
            while start < len(piece) and piece[start] in _continuing(form):
                start += 1
            is_long = start == len(piece)
        text = held + piece[start:]
        stop = _last_segment(text, form)
        held = text[stop:]
        if len(held) > LONGEST:
            stop, held, is_long = len(text), "", True
        if done := piece[:start] + _normalized(text[:stop], form):
            yield done
    if held:
        yield unicodedata.normalize(form, held)


def _last_segment(text: str, form: Form) -> int:
    """The start of the last segment."""
    if text.isascii():
        return max(0, len(text) - 1)
    return max(0, _before(text, len(text), _continuing(form)) - 1)


def _normalized(text: str, form: Form) -> str:
    """Normalize whole segments, except those that are too long."""
    if text.isascii():
        return text
    parts, done = [], 0
    for start, stop in _too_long(text, _continuing(form)):
        parts += [unicodedata.normalize(form, text[done:start]), text[start:stop]]
        done = stop
    return "".join([*parts, unicodedata.normalize(form, text[done:])])


def _too_long(text: str, continuing: frozenset[str]) -> Iterator[tuple[int, int]]:
    """The starts and ends of the segments that are too long: each has a multiple of `LONGEST`."""
    stop = 0
    for position in range(LONGEST, len(text), LONGEST):
        if position >= stop and text[position] in continuing:
            start = max(stop, _before(text, position, continuing) - 1)
            stop = position
            while stop < len(text) and text[stop] in continuing:
                stop += 1
            if stop - start > LONGEST:
                yield start, stop


def _before(text: str, stop: int, continuing: frozenset[str]) -> int:
    """The end of the text before `stop` without the characters at its end that continue."""
    while stop > 0 and text[stop - 1] in continuing:
        stop -= 1
    return stop


@cache
def _continuing(form: Form) -> frozenset[str]:
    """The characters that continue a segment."""
    decomposed: Form = "NFKD" if form in ("NFKC", "NFKD") else "NFD"
    second = _second_characters()
    starts = ((c, unicodedata.normalize(decomposed, c)[0]) for c in _all())
    return frozenset(c for c, start in starts if unicodedata.combining(start) or start in second)


@cache
def _second_characters() -> frozenset[str]:
    """The starters that combine with the character before them."""
    pairs = (unicodedata.decomposition(c).split() for c in _all())
    second = (chr(int(pair[1], 16)) for pair in pairs if len(pair) == 2)
    return frozenset((*map(chr, JAMO), *second))


def _all() -> Iterator[str]:
    """The characters of `RANGES`."""
    return (chr(point) for first, stop in RANGES for point in range(first, stop))
