"""Invalid bytes are replaced or skipped, and counted, wherever the blocks of a file end."""

import codecs
from itertools import zip_longest

import pytest
from hypothesis import given
from hypothesis import strategies as st

from charlm.text.config import TextConfig
from charlm.text.text_files import read_pieces, read_text
from tests.helpers import lawful
from tests.texts import refusal

# Pieces of several encodings, valid and invalid, to be read in each of them.
PARTS = st.sampled_from(
    [
        *(b"a", b"\n", b"\r\n", b"\0", b"\xff", b"\x80", b"\xc3", b"\xe2\x82", b"\xf0\x9f\x98"),
        *(b"\xed\xa0\x80", b"\xc0\x80", b"\xf8\x88", b"\x81", b"\x81\x30", b"\xfe\xff", b"\x1b"),
        *("灯".encode(), "é".encode(), "\U0001f600".encode(), "灯".encode("gbk")),
        *("灯".encode("cp932"), b"\xd8\x00", b"\x00\xd8", b"\x1b$B", b"+2AA-", b"\xa1"),
    ]
)
DATA = st.lists(PARTS, max_size=12).map(b"".join)
ENCODINGS = ["utf-8", "utf-8-sig", "utf-16-le", "utf-32-be", "gb18030", "cp932", "euc_kr", "ascii"]


@lawful
@given(DATA, st.sampled_from(ENCODINGS), st.integers(1, 7), st.sampled_from(["replace", "skip"]))
def test_invalid_bytes_do_not_depend_on_blocks(tmp_path_factory, data, encoding, block, errors):
    path = tmp_path_factory.getbasetemp() / "invalid.txt"
    path.write_bytes(b"line\n" + data)
    notes: list[str] = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("charlm.text.text_files.BLOCK", block)
        text = read_text(path, TextConfig(encoding=encoding, errors=errors), say=notes.append)
    invalid = found(b"line\n" + data, encoding)
    assert text == (b"line\n" + data).decode(encoding, {"skip": "ignore"}.get(errors, errors))
    if not invalid:
        assert notes == []
        return
    first, count = invalid[0][0], sum(stop - start for start, stop in invalid)
    done = {"replace": "replaced", "skip": "skipped"}[errors]
    assert notes == [
        f"{path}: {done} {count} invalid byte{'s' * (count > 1)}, the first at byte {first}, "
        f"line {(b'line' + bytes([10]) + data)[:first].count(bytes([10])) + 1}"
    ]


def found(data: bytes, encoding: str) -> list[tuple[int, int]]:
    """The starts and ends of the invalid bytes."""
    places = []

    def note(error: UnicodeDecodeError) -> tuple[str, int]:
        places.append((error.start, error.end))
        return "", error.end

    codecs.register_error("tests-note", note)
    data.decode(encoding, "tests-note")
    return places


def test_files_that_are_read_in_turn_are_counted_separately(tmp_path, monkeypatch):
    monkeypatch.setattr("charlm.text.text_files.BLOCK", 4)
    notes: list[str] = []
    config = TextConfig(errors="skip")
    (tmp_path / "one").write_bytes(b"abcd\xffefgh")
    (tmp_path / "two").write_bytes(b"ab\xff\xffcdef\xff")
    one, two = (read_pieces(tmp_path / name, config, say=notes.append) for name in ("one", "two"))
    texts = ["".join(pieces) for pieces in zip_longest(one, two, fillvalue="")]
    assert "".join(texts) == "abcdab" + "efgcdef" + "h"
    assert [note.partition(",")[0].rpartition("/")[2] for note in notes] == [
        *("two: skipped 3 invalid bytes", "one: skipped 1 invalid byte")
    ]


def test_one_invalid_byte_in_a_file_of_utf8(tmp_path):
    path = tmp_path / "text.txt"
    path.write_bytes("naïve café, “quoted”\n".encode() * 1000 + b"caf\xe9\n")
    message = refusal(lambda: read_text(path))
    assert "; most of the file is UTF-8: repair it, or pass `errors='replace'`" in message
    notes: list[str] = []
    text = read_text(path, TextConfig(errors="replace"), say=notes.append)
    assert text.endswith("caf\ufffd\n")
    assert notes == [f"{path}: replaced 1 invalid byte, the first at byte 27003, line 1001"]


@pytest.mark.parametrize(
    ("data", "has_few"),
    [
        ("今天天氣很好。\n".encode("big5") * 99, False),
        ("Мама мыла раму.\n".encode("cp1251") * 99, False),
        (b"a plain line\n" * 99 + b"caf\xe9\n", True),
        ("灯是灯。\n".encode() * 9_000 + b"\xff" + "灯是灯。\n".encode() * 99, True),
    ],
)
def test_invalid_bytes_are_replaced_where_they_are_few(tmp_path, data, has_few):
    path = tmp_path / "text.txt"
    path.write_bytes(data)
    assert ("`errors='replace'`" in refusal(lambda: read_text(path))) == has_few


def test_binary_data_is_called_binary(tmp_path):
    path = tmp_path / "data.bin"
    path.write_bytes(bytes(range(256)) * 4)
    assert refusal(lambda: read_text(path)).endswith(
        "; it looks like a binary file; specify a text file"
    )


def test_encoding_that_needs_a_mark_is_refused_with_any_errors(tmp_path):
    path = tmp_path / "text.txt"
    path.write_bytes("ab".encode("utf-16-le"))
    for errors in ("strict", "replace", "skip"):
        config = TextConfig(encoding="utf-16", errors=errors)
        message = refusal(lambda config=config: read_text(path, config))
        assert "BOM" in message
        assert "errors" not in message  # it would be refused again
