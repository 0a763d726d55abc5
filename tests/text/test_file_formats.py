"""Files that are not text are rejected with their format and a way to their text."""

import bz2
import gzip
import io
import lzma
import re
import shutil
import sqlite3
import subprocess
import tarfile
import zipfile

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from charlm.text.config import TextConfig
from charlm.text.file_formats import FORMATS, refusal
from charlm.text.text_files import read_text
from tests.helpers import lawful
from tests.texts import refusal as refused

TEXT = "a line of text\n"
DATA = TEXT.encode() * 200
COMPRESSORS = {"gzip": gzip.compress, "xz": lzma.compress, "bzip2": bz2.compress}


def tar(kind: int, name: str = "one.txt") -> bytes:
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w", format=kind) as archive:
        member = tarfile.TarInfo(name)
        member.size = len(DATA)
        archive.addfile(member, io.BytesIO(DATA))
    return file.getvalue()


def zipped(*names: str, mimetype: str = "") -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        if mimetype:
            archive.writestr("mimetype", f"application/{mimetype}")
        for name in names:
            archive.writestr(name, DATA)
    return file.getvalue()


def npz() -> bytes:
    file = io.BytesIO()
    np.savez(file, **{"params/h.W": np.arange(3)})
    return file.getvalue()


def database(path) -> bytes:
    connection = sqlite3.connect(path)
    connection.execute("create table t (line text)")
    connection.commit()
    connection.close()
    return path.read_bytes()


TARS = {
    "ustar": tar(tarfile.USTAR_FORMAT),
    "gnu": tar(tarfile.GNU_FORMAT, "a long name " * 20),
    "pax": tar(tarfile.PAX_FORMAT, "灯" * 50),
}
V7 = bytearray(TARS["ustar"])  # the format before ustar, which has a checksum only
V7[257:265] = bytes(8)
V7[148:156] = b"%06o\0 " % (sum(V7[:148]) + sum(V7[156:512]) + 8 * 32)
TARS["v7"] = bytes(V7)

DOCX = zipped("[Content_Types].xml", "_rels/.rels", "word/document.xml", "word/styles.xml")
# The start of a file, the name of its format, and a word of the remedy.
OTHERS = [
    (DOCX, "docx", "pandoc -f docx"),
    (zipped("_rels/.rels", "docProps/app.xml", "word/document.xml"), "docx", "pandoc -f docx"),
    (zipped("docProps/app.xml", "xl/workbook.xml"), "xlsx", "write its text to a file"),
    (zipped("[Content_Types].xml", "ppt/presentation.xml"), "pptx", "save it as plain text"),
    (zipped("META-INF/container.xml", mimetype="epub+zip"), "epub", "pandoc -f epub"),
    (zipped("content.xml", mimetype="vnd.oasis.opendocument.text"), "odt", "pandoc -f odt"),
    (zipped("a.xml", mimetype="vnd.oasis.opendocument.spreadsheet"), "OpenDocument", "save it"),
    (npz(), "npz", "arrays"),
    (zipped("one.txt", "word/list.txt"), "zip", "unzip"),
    (zipped(), "zip", "unzip"),
    (b"7z\xbc\xaf\x27\x1c\0\4", "7z", "7z x"),
    (b"Rar!\x1a\x07\1\0", "rar", "unrar x"),
    (b"!<arch>\ndebian-binary   1281484809  0     0     100644  4         `\n2.0\n", "deb", "ext"),
    (b"070701" + b"0000AC1D" * 13 + b"one.txt\0", "cpio", "cpio -i"),
    (b"\x28\xb5\x2f\xfd\x24\x10", "zstd", "zstd -dc"),
    (b"\x04\x22\x4d\x18\x64", "lz4", "lz4 -dc"),
    (b"LZIP\x01\x0c", "lzip", "lzip -dc"),
    (lzma.compress(DATA, lzma.FORMAT_ALONE), "lzma", "xz -dc"),
    (b"\x1f\x9d\x90\x61\xc4", "compress", "gzip -dc"),
    (b"%PDF-1.7\n%\xe2\xe3\xcf\xd3\n", "PDF", "pdftotext"),
    (b"%PDF-1.4\r\n1 0 obj", "PDF", "pdftotext"),
    (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(8), "an old Office document", "libreoffice"),
    (b"a book" + bytes(26) + bytes(28) + b"BOOKMOBI\0", "mobi", "ebook-convert"),
    (b"AT&TFORM\0\0\1\2DJVMDIRM", "DjVu", "djvutxt"),
    (b"PAR1\x15\x04\x15", "Parquet", "write its text to a file first"),
    (b"ARROW1\0\0\xff\xff", "Arrow", "write its text to a file first"),
    (b"Obj\x01\x04\x16avro", "Avro", "write its text to a file first"),
    (b"\x89HDF\r\n\x1a\n\0", "HDF5", "write its text to a file first"),
    (b"\x93NUMPY\1\0v\0", "NumPy", "write its text to a file first"),
    (b"\x80\x04\x95\x0b\0\0\0", "pickle", "write its text to a file first"),
    (b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR", "PNG", "no text"),
    (b"\xff\xd8\xff\xe0\0\x10JFIF", "JPEG", "no text"),
    (b"GIF89a\x40\1\xf0\0\xf7\0\0", "GIF", "no text"),
    (b"RIFF\x24\0\0\0WEBPVP8 ", "WebP", "no text"),
    (b"RIFF\x24\0\0\0WAVEfmt ", "WAV", "no text"),
    (b"II\x2a\0\x08\0\0\0", "TIFF", "no text"),
    (b"BM\x36\0\x0c\0\0\0\0\0\x36\0\0\0", "BMP", "no text"),
    (b"\0\0\0\x18ftypmp42", "MP4", "no text"),
    (b"ID3\x04\0\0", "MP3", "no text"),
    (b"OggS\0\2", "Ogg", "no text"),
    (b"fLaC\0\0\0\x22", "FLAC", "no text"),
    (b"\x7fELF\2\1\1", "ELF", "no text"),
    (b"MZ\x90\0" + bytes(124) + b"PE\0\0", "a Windows program", "no text"),
    (b"\xa7\x0d\x0d\x0a\0\0\0\0", "Python bytecode", "no text"),
]


def said(data: bytes, name: str, remedy: str) -> str:
    return rf"it looks like {re.escape(name)}; .*{re.escape(remedy)}"


@pytest.mark.parametrize(("data", "name", "remedy"), OTHERS)
def test_format_is_named_with_the_way_to_its_text(tmp_path, data, name, remedy):
    path = tmp_path / "a text.txt"
    path.write_bytes(data)
    for config in (TextConfig(), TextConfig(encoding="latin-1", errors="replace")):
        message = refused(lambda config=config: read_text(path, config))
        assert message.startswith(f"cannot read {path}: ")
        assert re.search(said(data, name, remedy), message)
    for ending, compress in {".gz": gzip.compress, ".xz": lzma.compress}.items():
        kind = {".gz": "gzip", ".xz": "xz"}[ending]
        inner = tmp_path / f"text{ending}"
        inner.write_bytes(compress(data))
        first = "it has no text to read" if remedy == "no text" else "decompress it"
        message = refused(lambda inner=inner: read_text(inner))
        assert f"it looks like {name} in {kind}; {first}" in message
        inner = inner.rename(tmp_path / "other.txt")
        assert f"it looks like {name} in {kind}; {first}" in refused(
            lambda inner=inner: read_text(inner)
        )


def test_every_format_is_tested(tmp_path):
    tested = {name for _, name, _ in OTHERS} | {"SQLite", *COMPRESSORS}
    untested = {"rpm", "Feather", "AVI", "Matroska", "a macOS program", "a Java class"}
    assert {each.name for each in FORMATS} - tested <= untested | {"WebAssembly"}
    data = database(tmp_path / "data.db")
    assert "sqlite3 data.db .dump > data.txt" in refusal(data, "data.db")


@pytest.mark.parametrize("kind", TARS)
@pytest.mark.parametrize(
    "name",
    ["x.tar", "x.tar.gz", "x.tgz", "x.tar.xz", "x.txz", "x.tar.bz2", "x.txt", "x.gz", "x.xz"],
)
def test_advice_for_tar_leads_to_the_text(tmp_path, monkeypatch, kind, name):
    monkeypatch.chdir(tmp_path)
    compress = {"gz": gzip.compress, "xz": lzma.compress, "bz2": bz2.compress, "tar": bytes}
    kinds = {"tgz": "gz", "txz": "xz", "txt": "gz"}
    ending = name.rpartition(".")[2]
    data = compress[kinds.get(ending, ending)](TARS[kind])
    (tmp_path / name).write_bytes(data)
    message = refused(lambda: read_text(name))
    assert message.startswith(f"cannot read {name}: it looks like tar")
    assert message.endswith(f"; extract it, for example with: tar -xf {name}")
    if shutil.which("tar"):
        (tmp_path / "out").mkdir()
        command = message.partition("with: ")[2]
        subprocess.run(f"{command} -C out", shell=True, check=True, capture_output=True)
        (path,) = [each for each in (tmp_path / "out").rglob("*") if each.is_file()]
        assert read_text(path) == TEXT * 200


@pytest.mark.parametrize("name", ["x.tar.zst", "x.TZST", "x.tar.lz4"])
def test_tar_in_a_format_that_is_not_looked_into_is_recognized_by_its_name(name):
    message = refusal(b"\x28\xb5\x2f\xfd\x24\x10", name)
    assert message == f"it looks like tar in zstd; extract it, for example with: tar -xf {name}"


@pytest.mark.parametrize("kind", COMPRESSORS)
@pytest.mark.parametrize("name", ["text", "text.dump", "-text.txt", "my text.txt"])
def test_advice_for_compressed_text_leads_to_the_text(tmp_path, monkeypatch, kind, name):
    monkeypatch.chdir(tmp_path)
    path = tmp_path / name
    path.write_bytes(COMPRESSORS[kind](DATA))
    message = refused(lambda: read_text(name))
    if kind != "bzip2":
        ending = {"gzip": ".gz", "xz": ".xz"}[kind]
        assert message.endswith(
            f"it looks like {kind}; decompress it, or rename it to end in {ending}"
        )
        assert read_text(path.rename(tmp_path / f"{name}{ending}")) == TEXT * 200
    elif shutil.which("bzip2"):
        before = set(tmp_path.iterdir())
        command = message.partition("with: ")[2]
        subprocess.run(command, shell=True, check=True)
        (new,) = set(tmp_path.iterdir()) - before
        assert read_text(new) == TEXT * 200


def test_compressed_files_in_one_another():
    twice = gzip.compress(lzma.compress(DATA))
    assert refusal(twice, "x.txt") == "it looks like xz in gzip; decompress it until it is text"
    assert refusal(lzma.compress(DATA), "x.gz", "gzip") == refusal(twice, "x.txt")
    assert refusal(gzip.compress(gzip.compress(TARS["gnu"])), "x").startswith(
        "it looks like tar in gzip in gzip; "
    )


def test_file_that_contains_itself_is_rejected(monkeypatch):
    def content(start, found):
        return start

    monkeypatch.setattr("charlm.text.file_formats._content", content)
    message = refusal(gzip.compress(DATA), "x")
    assert message.startswith("it looks like gzip in gzip")
    assert message.endswith("; decompress it until it is text")


def test_remedy_does_not_replace_a_file(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert refusal(DOCX, "-a b.docx").endswith("plain './-a b.docx' -o './-a b.txt'")
    (tmp_path / "book.txt").touch()
    assert refusal(DOCX, "book.docx").endswith("plain book.docx -o book.docx.txt")
    assert refusal(DOCX, "-").endswith("plain FILE -o FILE.txt")
    (tmp_path / "book.docx.txt").touch()
    assert refusal(DOCX, "book.docx").endswith("plain book.docx -o book.docx.txt.txt")
    # What gzip leaves of a.txt.gz and of a.gz, from which the text is to be gotten.
    assert refusal(gzip.compress(DOCX), "a.txt.gz").endswith("plain a.txt -o a.txt.txt")
    assert refusal(gzip.compress(DOCX), "a.gz").endswith("plain a -o a.txt")


# Text


def test_text_with_the_letters_of_formats_is_text():
    at_257 = "x" * 257 + "ustar" + "  is the magic of tar\n" * 30
    for text in (
        at_257,
        at_257.replace("ustar ", "ustar\0"),
        "BZh is the magic of bzip2\n",
        "BZh9 too\n",
        "PK is a name\n",
        "GIF89a was a format of pictures\n",
        "%PDF-1.4 is a version\n",
        "%PDF- is how it begins\n",
        "MZ are the letters of Mark Zbikowski\n" * 90,
        "BM25 ranks documents\n",
        "ID3 tags name songs, RIFF and WAVE sounds\n",
        "RIFF and WAVE are\n",
        "PAR1 is Parquet, FEA1 is Feather\n",
        "fLaC and OggS\n",
        "!<arch>\nis the first line of a library of Unix, and there are many more of them, I\n",
        "070701" + "0123456789\n" * 20,
        "{\\rtf1 is text}\n",
        "<html>is text</html>\n",
        "\0" * 1024,
    ):
        assert refusal(text.encode(), "text.txt") == ""


LETTERS = [
    each.magic for each in FORMATS if each.magic.isascii() and each.magic.decode().isprintable()
]


@lawful
@given(st.sampled_from(LETTERS), st.integers(0, 80), st.text(st.characters(min_codepoint=32)))
def test_printable_text_is_never_rejected(letters, offset, text):
    data = b"x" * (offset % 9) + letters + text.encode("utf-8", "replace")
    assert refusal(data, "text.txt") == "" or data[:2] == b"MZ"


@lawful
@given(st.binary(max_size=600), st.sampled_from([b"", *(each.magic for each in FORMATS)]))
def test_any_bytes_have_a_format_or_none(data, magic):
    message = refusal(magic + data, "x y.txt")
    assert len(message.splitlines()) <= 1
