"""How characters are shown in messages, so that a reader can tell them apart."""

import unicodedata
from collections.abc import Iterable

SHOWN = 10  # characters in a list

ESCAPED = "\t\n\r"  # whose escapes are well known
BLANK = "\u115f\u1160\u3164\uffa0\u2800\ufffc"  # letters and symbols that show nothing

# Characters that look like others: of Cyrillic and Greek like Latin ones, and marks like those of
# ASCII. Those that are compatible with another character, such as fullwidth ones, need no entry.
LOOKALIKES = str.maketrans(
    "АВЕКМНОРСТУХЅІЈԚԜаеорсухѕіјһԁԛԝӏΑΒΕΖΗΙΚΜΝΟΡΤΥΧονρı‘’‛ʼʹ′“”„‟″‐‑‒–—―−‚∶ǃ∕",
    "ABEKMHOPCTYXSIJQWaeopcyxsijhdqwlABEZHIKMNOPTYXovpi''''''\"\"\"\"\"-------,:!/",
)


def shown(text: str) -> str:
    """A character for a message: quoted, as 'a' or '\\n', or U+0301 if it is not visible alone.

    Not visible alone are marks that combine with the character before them, spaces other than the
    usual one, controls, joiners and selectors, private and unassigned code points, and blanks. A
    text of several characters that contains one is shown character by character.
    """
    if all(map(_is_visible_alone, text)):
        return repr(text)
    return _code_point(text) if len(text) == 1 else " ".join(map(shown, text))


def _is_visible_alone(character: str) -> bool:
    """Whether a character can be told from others; for `errors.is_visible`, it may be in a word."""
    is_visible = unicodedata.category(character)[0] not in "MCZ" and character not in BLANK
    return is_visible or character in ESCAPED + " "


def listed_characters(
    characters: Iterable[str], known: Iterable[str] = "", most: int = SHOWN
) -> str:
    """Distinct characters for a message, each as `shown`, at most `most`.

    One that looks like a known character has its code point and that character beside it.
    """
    distinct = sorted(set(characters))
    similar = {_skeleton(c): c for c in known}
    first = ", ".join(_beside(c, similar.get(_skeleton(c), c)) for c in distinct[:most])
    rest = len(distinct) - most
    return f"{first} and {rest} more" if rest > 0 else first


def as_normalized(unknown: Iterable[str], known: str) -> str:
    """What to do if unknown characters are known in a normalization form; empty if none is.

    Args:
        unknown: the unknown characters of a text.
        known: the characters of a vocabulary.
    """
    distinct, vocabulary = sorted(set(unknown)), frozenset(known)
    for mark in filter(unicodedata.combining, distinct):
        for composed in known:
            if mark in unicodedata.normalize("NFD", composed) and composed != mark:
                return _advice(f"the composed {shown(composed)} is known", "NFC")
    for form in ("NFC", "NFD", "NFKC"):
        for c in distinct:
            parts = unicodedata.normalize(form, c)
            if parts != c and vocabulary.issuperset(parts):
                are = "is" if len(parts) == 1 else "are"
                return _advice(f"{' and '.join(map(shown, parts))} {are} known", form)
    return ""


def _advice(why: str, form: str) -> str:
    return f"{why}: normalize the text, as by `normalize='{form}'`"


def _beside(character: str, similar: str) -> str:
    """A character, with its code point if another is similar to it."""
    if character == similar:
        return shown(character)
    point = "" if shown(character).startswith("U+") else f"{_code_point(character)}, "
    return f"{shown(character)} ({point}looks like {shown(similar)})"


def _code_point(character: str) -> str:
    return f"U+{ord(character):04X}"


def _skeleton(character: str) -> str:
    """What characters that look the same have in common."""
    if character < "\x7f":
        return character
    compatible = unicodedata.normalize("NFKC", character)
    return (compatible if len(compatible) == 1 else character).translate(LOOKALIKES)
