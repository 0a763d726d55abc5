"""Reading text files: unchanged text at any block size, and errors with a position."""

import gzip
import io
import lzma
import os
import sys
from threading import Thread

import pytest
from hypothesis import given
from hypothesis import strategies as st

from charlm.errors import ConfigError
from charlm.text.config import TextConfig
from charlm.text.source_files import expand
from charlm.text.text_files import read_pieces, read_text
from tests.helpers import lawful
from tests.texts import refusal

NEWLINE = b"\n"
COMPRESSORS = {".gz": gzip.compress, ".xz": lzma.compress}
TEXT = "one\r\ntwo\rthree\n\0\ufeff\U0001f600 灯\n" * 20


def test_text_is_read_unchanged(tmp_path):
    path = tmp_path / "text.txt"
    text = "one\r\ntwo\rthree\n\0\ufeff\U0001f600"
    path.write_bytes(text.encode())
    assert read_text(path) == read_text(str(path)) == text
    path.write_bytes(b"")
    assert read_text(path) == ""
    path.write_bytes("é".encode("latin-1"))
    assert read_text(path, TextConfig(encoding="latin-1")) == "é"


@pytest.mark.parametrize("encoding", ["utf-8", "UTF-8", "utf8", "utf_8", "U8"])
def test_byte_order_mark_of_utf8_is_dropped_once(tmp_path, encoding):
    path = tmp_path / "text.txt"
    path.write_bytes("\ufeff\ufeffab".encode())
    assert read_text(path, TextConfig(encoding=encoding)) == "\ufeffab"


def test_standard_input_is_read_as_bytes(monkeypatch, tmp_path):
    (tmp_path / "-").mkdir()
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO("\ufeffé\r\n".encode())))
    assert expand(["-"]) == ["-"]
    assert read_text("-") == "é\r\n"
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"a\xff")))
    assert refusal(lambda: read_text("-")).startswith("standard input is not valid utf-8")


def test_closed_standard_input_is_an_error(monkeypatch):
    monkeypatch.setattr(sys, "stdin", None)
    assert "closed" in refusal(lambda: read_text("-"))


@pytest.mark.parametrize("name", ["pipe", "pipe.gz"])
def test_pipe_is_read_like_a_file(tmp_path, name):
    path = tmp_path / name
    os.mkfifo(path)
    data = gzip.compress(TEXT.encode()) if name.endswith(".gz") else TEXT.encode()
    writer = Thread(target=path.write_bytes, args=(data,))
    writer.start()
    read: list[int] = []
    assert "".join(read_pieces(path, progress=read.append)) == TEXT
    writer.join()
    assert sum(read) == len(TEXT)


def test_file_that_cannot_be_read_is_named(tmp_path):
    missing = tmp_path / "missing.txt"
    inside = tmp_path / "file" / "text.txt"
    inside.parent.write_text("")
    for path in (missing, tmp_path, inside):
        assert str(path) in refusal(lambda path=path: read_text(path))
    assert "null" in refusal(lambda: read_text("a\0b"))


@pytest.mark.parametrize("encoding", ["klingon", "", "hex", "rot13", "undefined", 8, None])
def test_invalid_encoding_is_named(encoding):
    with pytest.raises(ConfigError, match=f"encoding must be .* got {encoding!r}"):
        TextConfig(encoding=encoding)


# In pieces

ALPHABETS = {
    "utf-8": "ab\n\r\0é灯\ufeff\U0001f600",
    "utf-8-sig": "ab\n\r\0é灯\U0001f600",
    "utf-16": "ab\né灯ਊ\U0001f600",
    "utf-16-be": "ab\né灯ਊ\U0001f600",
    "utf-32": "ab\né灯\U0001f600",
    "utf-7": "ab\né灯+",
    "gbk": "ab\n灯碗，",
    "gb18030": "ab\né灯\U0001f600",
    "shift_jis": "ab\nランプ",
    "iso2022_jp": "ab\nランプ",
    "latin-1": "ab\né",
}
BLOCKS = st.integers(4, 9)  # at least a byte-order mark and a byte


def read_in_blocks(path, encoding: str, block: int) -> str:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("charlm.text.text_files.BLOCK", block)
        return read_text(path, TextConfig(encoding=encoding))


@lawful
@given(st.data(), st.sampled_from(sorted(ALPHABETS)), BLOCKS)
def test_text_is_independent_of_block_size(tmp_path_factory, data, encoding, block):
    text = data.draw(st.text(st.sampled_from(ALPHABETS[encoding]), max_size=30))
    path = tmp_path_factory.getbasetemp() / "cut.txt"
    path.write_bytes(text.encode(encoding))
    marked = encoding == "utf-8" and text.startswith("\ufeff")
    assert read_in_blocks(path, encoding, block) == text[marked:]


def bad_byte(data: bytes, encoding: str) -> int | None:
    """The position of the first invalid byte."""
    try:
        data.decode(encoding)
    except UnicodeDecodeError as error:
        return error.start + (data.startswith(b"\xef\xbb\xbf") and encoding == "utf-8-sig") * 3
    return None


@lawful
@given(
    st.sampled_from(["utf-8", "utf-8-sig", "utf-16-le", "gbk", "shift_jis"]),
    st.binary(max_size=40),
    st.booleans(),
    st.sampled_from([4, 5, 7, 11, 1 << 20]),
)
def test_invalid_bytes_are_reported_with_position_and_line(
    tmp_path_factory, encoding, data, has_mark, block
):
    path = tmp_path_factory.getbasetemp() / "bad.txt"
    good = "灯\n".join("abc").encode(encoding)
    data = "\ufeff".encode() * (has_mark and encoding == "utf-8") + good + data
    path.write_bytes(data)
    bad = bad_byte(data, encoding)
    if bad is None:
        without_mark = "utf-8-sig" if encoding == "utf-8" else encoding
        assert read_in_blocks(path, encoding, block) == data.decode(without_mark)
        return
    message = refusal(lambda: read_in_blocks(path, encoding, block))
    assert str(path) in message
    assert f"at byte {bad}, line {data[:bad].count(NEWLINE) + 1};" in message
    assert "`encoding" in message or "binary" in message or "`errors" in message


def test_utf16_without_a_byte_order_mark_is_rejected(tmp_path):
    path = tmp_path / "text.txt"
    path.write_bytes("ab".encode("utf-16-le"))
    assert "BOM" in refusal(lambda: read_text(path, TextConfig(encoding="utf-16")))


def test_progress_adds_up_to_the_size_of_the_file(tmp_path, monkeypatch):
    monkeypatch.setattr("charlm.text.text_files.BLOCK", 100)
    for ending, compress in {"": bytes, **COMPRESSORS}.items():
        path = tmp_path / f"text{ending}"
        path.write_bytes(compress(TEXT.encode()))
        read: list[int] = []
        assert len(list(read_pieces(path, progress=read.append))) > 5
        assert sum(read) == path.stat().st_size
        assert min(read) >= 0


# Line endings


@lawful
@given(st.text(st.sampled_from("a\r\n灯\0")), st.integers(1, 9))
def test_line_endings_become_newlines_at_any_block_size(tmp_path_factory, text, block):
    path = tmp_path_factory.getbasetemp() / "ends.txt"
    path.write_bytes(text.encode("utf-16-le"))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("charlm.text.text_files.BLOCK", block)
        assert read_text(path, TextConfig(encoding="utf-16-le", newlines="keep")) == text
        pieces = list(read_pieces(path, TextConfig(encoding="utf-16-le", newlines="lf")))
    assert "".join(pieces) == text.replace("\r\n", "\n").replace("\r", "\n")
    assert all(pieces)


@pytest.mark.parametrize("newlines", ["", "LF", "crlf", None])
def test_invalid_newlines_are_a_config_error(newlines):
    with pytest.raises(ConfigError, match=r"newlines must be one of keep, lf, got "):
        TextConfig(newlines=newlines)


@pytest.mark.parametrize("kind", [{}, {"lines": True}, {"column": "a"}, {"field": "a"}])
def test_a_text_is_converted_whatever_the_documents_of_a_model_are(tmp_path, kind):
    path = tmp_path / "text.txt"
    path.write_bytes("e\u0301,\r\n".encode())
    assert read_text(path, TextConfig(newlines="lf", normalize="NFC", **kind)) == "é,\n"


# Files that are not UTF-8 text


@pytest.mark.parametrize(("data", "count"), [("\ufeffab\ufeff", 1), ("ab\ufeff", 0), ("", 0)])
def test_note_for_a_dropped_byte_order_mark(tmp_path, monkeypatch, data, count):
    monkeypatch.setattr("charlm.text.text_files.BLOCK", 4)
    path = tmp_path / "text.txt"
    path.write_bytes(data.encode())
    lines: list[str] = []
    read_text(path, say=lines.append)
    assert lines == [f"{path}: ignoring the byte-order mark"] * count
    read_text(
        path,
        TextConfig(encoding="utf-16-le" if len(data) % 2 == 0 else "latin-1"),
        say=lines.append,
    )
    assert len(lines) == count


ENGLISH = "the cat sat on the mat\n"
UTF = {
    "utf-16": ENGLISH.encode("utf-16"),
    "utf-16-le": ENGLISH.encode("utf-16-le"),
    "utf-16-be": "“the” cat\n".encode("utf-16-be"),
    "utf-32": ENGLISH.encode("utf-32"),
    "utf-32-le": "“the” cat\n".encode("utf-32-le"),
    "utf-32-be": ENGLISH.encode("utf-32-be"),
}


@pytest.mark.parametrize("encoding", UTF)
def test_error_names_the_encoding_of_utf16_and_utf32(tmp_path, encoding):
    path = tmp_path / "text.txt"
    path.write_bytes(UTF[encoding])
    message = refusal(lambda: read_text(path))
    assert message.startswith(f"{path} is not valid utf-8: ")
    assert message.endswith(f"looks like {encoding[:6].upper()}; pass `encoding='{encoding}'`")
    assert read_text(path, TextConfig(encoding=encoding)).endswith("\n")


@lawful
@given(st.text(st.sampled_from("ab\0\0\0"), max_size=15), st.sampled_from(["\0\0", "ab"]))
def test_nuls_alone_are_text(tmp_path_factory, text, even):
    path = tmp_path_factory.getbasetemp() / "nuls.txt"
    # Too short to decide, or NULs at even and odd positions, or none.
    for each in (text, even + text * 2 + even):
        path.write_bytes(each.encode())
        if each is text or even == "\0\0":
            assert read_text(path) == each


def test_device_is_rejected_before_it_is_read(tmp_path, monkeypatch):
    link = tmp_path / "text.txt"
    link.symlink_to(os.devnull)
    for source in (os.devnull, link):
        line = f"cannot read {source}: devices are not supported"
        assert refusal(lambda source=source: read_text(source)).startswith(line)
    with open(os.devnull) as file:
        monkeypatch.setattr(sys, "stdin", file)
        assert "cannot read standard input: devices are not supported" in refusal(
            lambda: read_text("-")
        )


def test_terminal_is_read_up_to_end_of_file():
    pty = pytest.importorskip("pty")
    typed, terminal = pty.openpty()
    os.write(typed, b"the cat\n\x04\x04")  # the first ends a read, the second the file
    assert read_text(os.ttyname(terminal)) == "the cat\n"
    os.close(typed)
    os.close(terminal)


def test_non_blocking_standard_input_is_an_error(monkeypatch):
    end, other = os.pipe()
    os.set_blocking(end, False)
    os.write(other, b"the cat ")
    with open(end) as file, open(other, "w"):
        monkeypatch.setattr(sys, "stdin", file)
        assert "unavailable" in refusal(lambda: read_text("-"))
