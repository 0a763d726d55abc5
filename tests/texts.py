"""Helpers for tests of texts and their files."""

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

# Any character, including astral ones, NUL and lone surrogates.
CHARACTERS = st.one_of(
    st.characters(),
    st.characters(categories=["Cs"]),
    st.sampled_from("\0\t\n\r\ufeff\ufffd\ud800\udfff\uffff\U0001f600\U0010ffff"),
)
TEXTS = st.text(CHARACTERS, min_size=1)


def distinct(count: int) -> str:
    """The first `count` characters of Unicode, each once."""
    return "".join(map(chr, range(count)))


def cut(text: str, positions: list[int]) -> list[str]:
    """Cut a text into pieces at these positions, modulo its length."""
    edges = [0, *sorted(position % (len(text) + 1) for position in positions), len(text)]
    return [text[i:j] for i, j in pairwise(edges) if i < j]


def text_of(encoded: Encoded) -> str:
    return characters_of(encoded.points[encoded.ids[:]])


def new_bytes() -> io.BytesIO:
    """A file in memory."""
    return io.BytesIO()


def old_file(path: Path, data: str | bytes) -> Path:
    """Write a file with an old modification time, which the cache trusts."""
    path.write_bytes(data if isinstance(data, bytes) else data.encode())
    os.utime(path, (1e9, 1e9))
    return path


def refusal(call: Callable[[], object]) -> str:
    """The message of the TextError that a call raises; it must be one line."""
    with pytest.raises(TextError) as info:
        call()
    message = str(info.value)
    assert len(message.splitlines()) == 1
    return message


def flipped(data: bytes, position: int) -> bytes:
    """The data with some bits of one byte flipped."""
    return data[:position] + bytes([data[position] ^ 0x41]) + data[position + 1 :]
