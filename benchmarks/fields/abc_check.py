"""A small check of tunes of one voice in ABC notation.

A tune is accepted if it has the header fields X, T, M and K, if its body consists of notes, rests,
chords, tuplets and bar lines, and if its bars are balanced: none is longer than the meter, and one
that is shorter stands where a section begins or ends, like an upbeat and its complement.
"""

import re
from dataclasses import dataclass, field
from fractions import Fraction

FIELD = re.compile(r"([A-Za-z]):\s*(.*)")
LENGTH = r"\d*/*\d*"
PITCH = r"(?:\^\^?|__?|=)?[A-Ga-gxz][,']*"
TOKEN = re.compile(
    rf"""(?P<symbol>"[^"\n]*")
    | (?P<bar>[:|]*\|[]:|]*|::|\[\|)
    | (?P<ending>\[?[12](?![\d/]))
    | \((?P<tuplet>[2-4])
    | (?P<note>{PITCH}|\[(?:{PITCH}{LENGTH}[\s-]*)+\])(?P<length>{LENGTH})
    | (?P<other>[\s\\~()-])""",
    re.VERBOSE,
)
TUPLETS = {2: Fraction(3, 2), 3: Fraction(2, 3), 4: Fraction(3, 4)}  # the factor of their notes
COMMON = {"C": "4/4", "C|": "2/2"}


def fault(tune: str) -> str:
    """What is wrong with a tune; empty if it is accepted."""
    names = [match[1] for line in tune.splitlines() if (match := FIELD.match(line))]
    header = names[: names.index("K") + 1] if "K" in names else []
    if header[:1] != ["X"] or not {"T", "M"} <= set(header):
        return "the header needs the fields X, T, M and K"
    body = _Body()
    try:
        for line in tune.splitlines():
            body.read(line)
        body.end_bar(is_edge=True)
    except (ValueError, ZeroDivisionError) as error:
        return str(error)
    if not body.bars:
        return "there are no notes"
    for number, (length, meter, is_edge) in enumerate(body.bars, 1):
        if length > meter or (length < meter and not is_edge):
            return f"bar {number} lasts {length} and not {meter}"
    return ""


@dataclass
class _Body:
    """The bars that were read: length, meter, and whether a section begins or ends with it."""

    bars: list[tuple[Fraction, Fraction, bool]] = field(default_factory=list)
    meter: Fraction = Fraction(0)
    unit: Fraction = Fraction(0)
    length: Fraction = Fraction(0)  # of the bar so far, in whole notes
    begins: bool = True  # whether a section begins with it

    def read(self, line: str) -> None:
        """Read a line; ValueError if it is no ABC."""
        if match := FIELD.match(line):
            self._set(*match.groups())
        elif not line.startswith("%"):
            self._notes(line)

    def end_bar(self, *, is_edge: bool) -> None:
        """End a bar; `is_edge` if a section ends with it."""
        if self.length:
            self.bars.append((self.length, self.meter, is_edge or self.begins))
            self.begins = False
        elif is_edge and self.bars:
            self.bars[-1] = (*self.bars[-1][:2], True)
        self.begins |= is_edge
        self.length = Fraction(0)

    def _set(self, name: str, value: str) -> None:
        self.end_bar(is_edge=True)
        if name == "M":
            self.meter = _fraction(value)
            self.unit = Fraction(1, 8 if self.meter >= Fraction(3, 4) else 16)
        elif name == "L":
            self.unit = _fraction(value)

    def _notes(self, line: str) -> None:
        position, left, factor = 0, 0, Fraction(1)  # left: the notes of the tuplet
        while position < len(line):
            token = TOKEN.match(line, position)
            if not token:
                raise ValueError(f"{line[position:][:10]!r} is not ABC")
            position = token.end()
            if token["bar"]:
                self.end_bar(is_edge=token["bar"] != "|")
            elif token["tuplet"]:
                left = int(token["tuplet"])
                factor = TUPLETS[left]
            elif token["note"]:
                times = _duration(token["note"], token["length"])
                self.length += self.unit * times * (factor if left else 1)
                left = max(0, left - 1)


def _duration(note: str, length: str) -> Fraction:
    """The length of a note in units; of a chord that of its first note, times its own."""
    inner = re.match(rf"\[{PITCH}({LENGTH})", note)
    return _factor(length) * (_factor(inner[1]) if inner else 1)


def _factor(length: str) -> Fraction:
    """What a length such as `3/2`, `/2` or `//` stands for."""
    match = re.fullmatch(r"(\d*)(/*)(\d*)", length)
    assert match
    above, slashes, below = match.groups()
    return Fraction(int(above or 1), int(below) if below else 2 ** len(slashes))


def _fraction(text: str) -> Fraction:
    """A meter or a unit, such as `6/8`; ValueError if it is none."""
    text = COMMON.get(text.strip(), text.strip())
    if not re.fullmatch(r"[1-9]\d?/[1-9]\d?", text):
        raise ValueError(f"{text!r} is not a meter or a length")
    return Fraction(text)
