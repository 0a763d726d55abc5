"""What the tests of texts and their files share."""

import io
import os
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import strategies as st

from charlm.errors import TextError
from charlm.text.encoder import Encoded
from charlm.text.vocabulary import characters_of

# Any character: those of the astral planes, NUL, and surrogates that stand alone.
CHARACTERS = st.one_of(
    st.characters(),
    st.characters(categories=["Cs"]),
    st.sampled_from("\0\t\n\r\ufeff\ufffd\ud800\udfff\uffff\U0001f600\U0010ffff"),
)
TEXTS = st.text(CHARACTERS, min_size=1)


def distinct(count: int) -> str:
    """So many characters, each once."""
    return "".join(map(chr, range(count)))


def cut(text: str, places: list[int]) -> list[str]:
    """The pieces of a text that is cut at some places."""
    edges = [0, *sorted(place % (len(text) + 1) for place in places), len(text)]
    return [text[i:j] for i, j in pairwise(edges) if i < j]


def text_of(encoded: Encoded) -> str:
    return characters_of(encoded.points[encoded.ids[:]])


def new_bytes() -> io.BytesIO:
    """A file in memory."""
    return io.BytesIO()


def old_file(path: Path, data: str | bytes) -> Path:
    """A file that was last changed long ago."""
    path.write_bytes(data if isinstance(data, bytes) else data.encode())
    os.utime(path, (1e9, 1e9))
    return path


def refusal(call: Callable[[], object]) -> str:
    """The one line in which a text is refused."""
    with pytest.raises(TextError) as info:
        call()
    message = str(info.value)
    assert len(message.splitlines()) == 1
    return message


def flipped(data: bytes, place: int) -> bytes:
    """Bytes of which one is another."""
    return data[:place] + bytes([data[place] ^ 0x41]) + data[place + 1 :]
