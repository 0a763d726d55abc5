"""Files that are not text, by their first bytes: their format, and the way to their text.

A pattern matches the whole header of a format, so that text which only mentions a format, or
begins with its letters, is read.
"""

import bz2
import lzma
import os
import re
import zlib
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from charlm.system.shell import quoted
from charlm.text.compressed_files import COMPRESSIONS

TAR_HEADER = 512  # bytes
CONTENT = 1 << 16  # bytes that are decompressed to find the format of the content
MOST_LAYERS = 4  # a compressed file can contain itself
NO_TEXT = "it has no text to read; specify text files only, with a pattern such as '*.txt'"
AS_TEXT = "save it as plain text first"
TABLE = "write its text to a file first"

# Names of archives in a format whose content is not looked into.
TAR_NAME = re.compile(r"\.(tar\.\w+|tbz2?|tzst|tlz|tlz4|tgz|txz)$", re.IGNORECASE)


@dataclass(frozen=True)
class Format:
    """A format of files that are not text.

    Attributes:
        name: its name.
        remedy: how to get the text, with `{old}` for the file and `{new}` for a file of its text.
        magic: bytes at the start of each file.
        header: a regular expression for the start, if the magic bytes can be a part of a text.
        offset: the position of the magic bytes.
    """

    name: str
    remedy: str
    magic: bytes
    header: bytes = b""
    offset: int = 0

    def matches(self, start: bytes) -> bool:
        """Whether a file with these first bytes has this format."""
        if not start.startswith(self.magic, self.offset):
            return False
        return re.match(self.header, start, re.DOTALL) is not None


def _converted(command: str) -> str:
    return f"convert it to text first, for example with: {command}"


def _extracted(command: str) -> str:
    return f"extract it, for example with: {command}"


ZIP = b"PK\x03\x04"


def _office(name: str, part: bytes, remedy: str) -> Format:
    """A zip archive of Office Open XML with this folder."""
    first = rb".{30}(?:\[Content_Types\]\.xml|_rels/|docProps/|customXml/|%s).*?%s/"
    return Format(name, remedy, ZIP, first % (part, part))


def _open_document(name: str, kind: bytes, remedy: str) -> Format:
    """A zip archive whose first member is its type."""
    return Format(name, remedy, ZIP, rb".{30}mimetype.{0,64}?application/" + kind)


TAR = Format("tar", _extracted("tar -xf {old}"), b"")  # recognized by the checksum of its header
ARCHIVES = (
    _office("docx", b"word", _converted("pandoc -f docx -t plain {old} -o {new}")),
    _office("xlsx", b"xl", TABLE),
    _office("pptx", b"ppt", AS_TEXT),
    _open_document("epub", rb"epub\+zip", _converted("pandoc -f epub -t plain {old} -o {new}")),
    _open_document(
        "odt",
        rb"vnd\.oasis\.opendocument\.text",
        _converted("pandoc -f odt -t plain {old} -o {new}"),
    ),
    _open_document("OpenDocument", rb"vnd\.oasis", AS_TEXT),
    Format("npz", "it has arrays, such as those of a model", ZIP, rb".{30}[\w./-]{1,99}\.npy"),
    Format("zip", _extracted("unzip {old}"), ZIP),
    Format("zip", _extracted("unzip {old}"), b"PK\x05\x06\0"),
    Format("7z", _extracted("7z x {old}"), b"7z\xbc\xaf\x27\x1c"),
    Format("rar", _extracted("unrar x {old}"), b"Rar!\x1a\x07"),
    Format("deb", "extract it first", b"!<arch>\n", rb".{66}`\n"),
    Format("rpm", "extract it first", b"\xed\xab\xee\xdb"),
    Format("cpio", _extracted("cpio -i < {old}"), b"07070", rb".{5}[12][\dA-Fa-f]{104}"),
)


def _compressed(name: str, program: str, magic: bytes, header: bytes = b"") -> Format:
    """A compressed format, and the program that decompresses it to its standard output."""
    return Format(
        name, f"decompress it, for example with: {program} -dc {{old}} > {{new}}", magic, header
    )


STREAMS = (
    _compressed("gzip", "gzip", b"\x1f\x8b\x08"),
    _compressed("xz", "xz", b"\xfd7zXZ\0"),
    _compressed("bzip2", "bzip2", b"BZh", rb"BZh[1-9](1AY&SY|\x17rE8P\x90)"),
    _compressed("zstd", "zstd", b"\x28\xb5\x2f\xfd"),
    _compressed("lz4", "lz4", b"\x04\x22\x4d\x18"),
    _compressed("lzip", "lzip", b"LZIP\x01"),
    _compressed("lzma", "xz", b"\x5d\0\0", rb".{5}\xff{8}"),
    _compressed("compress", "gzip", b"\x1f\x9d"),
)

DOCUMENTS = (
    Format("PDF", _converted("pdftotext {old} {new}"), b"%PDF-", rb".{5}[12]\.\d\s{0,4}[\r\n]"),
    Format(
        "an old Office document",
        f"{AS_TEXT}, for example with: libreoffice --convert-to txt {{old}}",
        b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1",
    ),
    Format("mobi", _converted("ebook-convert {old} {new}"), b"BOOKMOBI", rb".{0,59}\0", 60),
    Format("DjVu", _converted("djvutxt {old} {new}"), b"AT&TFORM", rb".{12}DJV"),
    Format(
        "SQLite",
        f"{TABLE}, for example with: sqlite3 {{old}} .dump > {{new}}",
        b"SQLite format 3\0",
    ),
    Format("Parquet", TABLE, b"PAR1", rb".{4}[\0-\x08\x0e-\x1f]"),
    Format("Arrow", TABLE, b"ARROW1\0\0"),
    Format("Feather", TABLE, b"FEA1", rb".{4}[\0-\x08]"),
    Format("Avro", TABLE, b"Obj\x01"),
    Format("HDF5", TABLE, b"\x89HDF\r\n\x1a\n"),
    Format("NumPy", TABLE, b"\x93NUMPY"),
    Format("pickle", TABLE, b"\x80", rb".[\x02-\x05][\x95(}\]c]"),
)

OTHERS = (
    Format("PNG", NO_TEXT, b"\x89PNG\r\n\x1a\n"),
    Format("JPEG", NO_TEXT, b"\xff\xd8\xff", rb".{3}[\xc0-\xfe]"),
    Format("GIF", NO_TEXT, b"GIF8", rb".{4}[79]a.{6}\0"),
    Format("WebP", NO_TEXT, b"WEBPVP8", rb"RIFF", 8),
    Format("WAV", NO_TEXT, b"WAVE", rb"RIFF", 8),
    Format("AVI", NO_TEXT, b"AVI LIST", rb"RIFF", 8),
    Format("TIFF", NO_TEXT, b"II\x2a\0"),
    Format("TIFF", NO_TEXT, b"MM\0\x2a"),
    Format("BMP", NO_TEXT, b"BM", rb".{6}\0{4}.{2}\0{2}"),
    Format("MP4", NO_TEXT, b"ftyp", rb"\0{3}", 4),
    Format("Matroska", NO_TEXT, b"\x1a\x45\xdf\xa3"),
    Format("MP3", NO_TEXT, b"ID3", rb".{3}[\x02-\x04]\0"),
    Format("Ogg", NO_TEXT, b"OggS\0"),
    Format("FLAC", NO_TEXT, b"fLaC", rb".{4}[\0\x80]\0"),
    Format("ELF", NO_TEXT, b"\x7fELF"),
    Format("a Windows program", NO_TEXT, b"MZ", rb".{1,1024}PE\0\0"),
    Format("a macOS program", NO_TEXT, b"\xcf\xfa\xed\xfe"),
    Format("a Java class", NO_TEXT, b"\xca\xfe\xba\xbe\0"),
    Format("WebAssembly", NO_TEXT, b"\0asm\x01"),
    Format("Python bytecode", NO_TEXT, b"\r\n", rb".{4}[\0-\x03]\0{3}", 2),
)
FORMATS = (*ARCHIVES, *STREAMS, *DOCUMENTS, *OTHERS)


def refusal(start: bytes, path: str, *outer: str) -> str:
    """Why a file is not text; empty if it may be text.

    Args:
        start: its first bytes, or those of its content.
        path: its path, or `-` for standard input.
        outer: the compressed formats in which the content is.

    Returns:
        The format and the remedy, in one line.
    """
    found = _layers(start, path)
    if not found:
        return ""
    innermost, names = found[-1], [*outer, *(each.name for each in found)]
    looks = f"it looks like {' in '.join(reversed(names))}"
    return f"{looks}; {_remedy(innermost, path, wrapped=len(names) > 1)}"


def _layers(start: bytes, path: str) -> list[Format]:
    """The formats of a file and of its content, from the outside."""
    layers: list[Format] = []
    while len(layers) < MOST_LAYERS and (found := _format_of(start)):
        layers.append(found)
        start = _content(start, found)
    if layers and layers[-1] in STREAMS and TAR_NAME.search(path):
        layers.append(TAR)
    return layers


def _format_of(start: bytes) -> Format | None:
    if _is_tar(start):
        return TAR
    return next((each for each in FORMATS if each.matches(start)), None)


def _is_tar(start: bytes) -> bool:
    """Whether the bytes begin with a header of tar, whose checksum is right."""
    header = start[:TAR_HEADER]
    if len(header) < TAR_HEADER or b"\0" not in header:
        return False
    import tarfile

    try:
        tarfile.TarInfo.frombuf(header, "utf-8", "surrogateescape")
    except (tarfile.HeaderError, ValueError):
        return False
    return True


def _content(start: bytes, found: Format) -> bytes:
    """The first bytes of the content of a compressed file; none if they are unknown."""
    new: dict[str, Callable[[], Any]] = {"bzip2": bz2.BZ2Decompressor}
    new |= {each.name: each.decompressor for each in COMPRESSIONS.values()}
    if found.name in new:
        with suppress(OSError, ValueError, EOFError, lzma.LZMAError, zlib.error):
            content: bytes = new[found.name]().decompress(start, CONTENT)
            return content
    return b""


def _remedy(innermost: Format, path: str, *, wrapped: bool) -> str:
    """How to get the text of a file; the innermost format may be in compressed ones."""
    if innermost in STREAMS:
        endings = {each.name: ending for ending, each in COMPRESSIONS.items()}
        if wrapped:
            return "decompress it until it is text"
        if innermost.name in endings:
            return f"decompress it, or rename it to end in {endings[innermost.name]}"
    file = Path("FILE" if path == "-" else path)
    first = ""
    if wrapped and innermost is not TAR and innermost.remedy != NO_TEXT:  # tar decompresses
        first, file = "decompress it, then ", file.with_suffix("")
    new = file.with_suffix(".txt")
    if new == file or os.path.lexists(new):
        new = Path(f"{file}.txt")
    while os.path.lexists(new):
        new = Path(f"{new}.txt")
    return first + innermost.remedy.format(old=quoted(file), new=quoted(new))
