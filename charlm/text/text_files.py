"""From files to text: a piece at a time, whatever the size; compressed ones as they are."""

import codecs
import errno
import glob
import gzip
import io
import lzma
import os
import stat
import sys
import zlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import IO, cast

from charlm.config import NEWLINES
from charlm.errors import ConfigError, TextError

STDIN = "-"
NEWLINE = b"\n"
BLOCK = 1 << 20  # bytes a read
RUN = {"last.npz", "best.npz"}  # files that tell the directory of a run

OPENERS: dict[str, Callable[[IO[bytes]], IO[bytes]]] = {
    ".gz": lambda file: cast(IO[bytes], gzip.open(file)),  # noqa: SIM115
    ".xz": lambda file: cast(IO[bytes], lzma.open(file)),  # noqa: SIM115
}

# How files that are no UTF-8 begin: what they look like, and what to do with them. The mark of
# UTF-32 begins with that of UTF-16.
SIGNATURES = {
    codecs.BOM_UTF32_LE: ("UTF-32", "pass --encoding utf-32"),
    codecs.BOM_UTF32_BE: ("UTF-32", "pass --encoding utf-32"),
    codecs.BOM_UTF16_LE: ("UTF-16", "pass --encoding utf-16"),
    codecs.BOM_UTF16_BE: ("UTF-16", "pass --encoding utf-16"),
    b"\x1f\x8b": ("gzip", "unpack it, or give it a name in .gz"),
    b"\xfd7zXZ\0": ("xz", "unpack it, or give it a name in .xz"),
    b"BZh": ("bzip2", "unpack it"),
    b"PK\x03\x04": ("zip", "unpack it"),
    b"%PDF-": ("PDF", "name a file with its text instead"),
}
LONGEST = max(map(len, SIGNATURES))
COMPRESSED = {".gz": "gzip", ".xz": "xz"}
LOOKED_AT = 16  # bytes from which on NULs tell UTF-16

Advance = Callable[[int], object]
Say = Callable[[str], object]
Source = str | Path


def silent(_: object) -> None:
    """Say nothing, follow nothing."""


def expand(sources: Sequence[Source]) -> list[str]:
    """The files that some paths stand for, in the order in which they are read.

    A directory stands for all files below it whose names, and those of the directories on the way,
    do not start with a dot, but for those in the directories of runs. A glob, where `**` is any
    number of directories, stands for the files that match it, each once. Links to directories are
    followed by globs only. Both are sorted by path. Any other path stands for itself, and `-` for
    standard input.

    Raises:
        TextError: a directory cannot be read, or there are no files in it or none that match.
    """
    files: list[str] = []
    for source in map(str, sources):
        if source != STDIN and os.path.isdir(source):
            found = sorted(_files_below(source))
            if not found:
                raise TextError(f"there are no files in the directory {source}")
        elif glob.has_magic(source) and not os.path.exists(source):
            found = _each_once(filter(os.path.isfile, glob.glob(source, recursive=True)))
            if not found:
                raise TextError(f"no file matches {source}")
        else:
            found = [source]
        files += found
    return files


def _each_once(paths: Iterable[str]) -> list[str]:
    """Sorted; of paths that lead to one file, by links, the first."""
    first = {os.path.realpath(path): path for path in sorted(paths, reverse=True)}
    return sorted(first.values())


def _files_below(directory: str) -> Iterator[str]:
    def refuse(error: OSError) -> None:
        raise TextError(f"cannot read {error.filename}: {error.strerror}") from error

    for path, directories, names in os.walk(directory, onerror=refuse):
        if RUN & set(names):  # what this program writes is not what it is to read
            directories.clear()
            continue
        directories[:] = [name for name in directories if not name.startswith(".")]
        files = (os.path.join(path, name) for name in names if not name.startswith("."))
        yield from filter(os.path.isfile, files)  # no pipes, and no links that lead nowhere


def bare_name(path: Source) -> str:
    """A file's name without its ending, and without the one that says how it is compressed."""
    plain = Path(path)
    if plain.suffix.lower() in OPENERS:
        plain = plain.with_suffix("")
    return plain.stem


def read_text(
    source: Source, encoding: str = "utf-8", *, newlines: str = "keep", say: Say = silent
) -> str:
    """All of a file, or of standard input for `-`; see `read_pieces`."""
    return "".join(read_pieces(source, encoding, newlines=newlines, say=say))


def read_pieces(
    source: Source,
    encoding: str = "utf-8",
    progress: Advance = silent,
    *,
    newlines: str = "keep",
    say: Say = silent,
) -> Iterator[str]:
    """The text of a file, or of standard input for `-`, up to where its end is when it is reached.

    A byte-order mark at the start of UTF-8 is dropped. What a name in `.gz` or `.xz` says is
    compressed is read as if it were not.

    Args:
        source: the file, or a pipe or terminal; other devices may have no end.
        encoding: its encoding.
        progress: called with how many of its bytes were read since it was last called; of a pipe,
            how many characters.
        newlines: "keep" for line ends as they are, "lf" to make `\\r\\n` and `\\r` newlines.
        say: called with a line if a byte-order mark is dropped.

    Yields:
        The text in pieces.

    Raises:
        TextError: the file cannot be read, or is not in that encoding.
        ConfigError: `newlines` is something else.
    """
    source = str(source)
    name = "standard input" if source == STDIN else source
    _check_encoding(encoding)
    if newlines not in NEWLINES:
        raise ConfigError("newlines", newlines, " or ".join(NEWLINES))
    try:
        with _opened(source) as (file, below):
            done = 0
            pieces = _decoded(file, encoding, name, say)
            for text in pieces if newlines == "keep" else _with_newlines(pieces):
                yield text
                place = below.tell() if below.seekable() else done + len(text)
                progress(place - done)
                done = place
    except (OSError, ValueError, EOFError, lzma.LZMAError, zlib.error) as error:
        if isinstance(error, TextError):
            raise
        cause = getattr(error, "strerror", None) or error
        raise TextError(f"cannot read {name}: {cause}") from error


def _check_encoding(encoding: str) -> None:
    try:
        b" ".decode(encoding, "replace")  # nothing at all would do in any
        codecs.getincrementaldecoder(encoding)
    except (LookupError, ValueError) as error:
        raise TextError(f"{encoding!r} is not an encoding that Python knows") from error


@contextmanager
def _opened(source: str) -> Iterator[tuple[IO[bytes], IO[bytes]]]:
    """What to read from, and the file below it."""
    if source == STDIN:
        if sys.stdin is None:
            raise TextError("cannot read standard input: it is closed")
        _refuse_device(sys.stdin.buffer, "standard input")
        yield sys.stdin.buffer, sys.stdin.buffer
        return
    with ExitStack() as stack:
        below = stack.enter_context(open(source, "rb"))
        _refuse_device(below, source)
        ending = Path(source).suffix.lower()
        if ending not in OPENERS:
            yield below, below
            return
        _check_compression(below.peek(LONGEST), ending, source)
        yield stack.enter_context(OPENERS[ending](below)), below


def _refuse_device(file: IO[bytes], name: str) -> None:
    try:
        mode = os.fstat(file.fileno()).st_mode
    except io.UnsupportedOperation:  # what stands for standard input is no file
        return
    if stat.S_ISBLK(mode) or (stat.S_ISCHR(mode) and not file.isatty()):
        raise TextError(
            f"cannot read {name}: it is a device, which may have no end; name a file or a pipe"
        )


def _check_compression(start: bytes, ending: str, name: str) -> None:
    """See that a file begins as its name says; what is too short to tell is for its opener."""
    kind = COMPRESSED[ending]
    if len(start) >= LONGEST and _signature(start)[0] != kind:
        raise TextError(
            f"cannot read {name}: it is not {kind}; give it a name that does not end in {ending}"
        )


def _signature(start: bytes) -> tuple[str, str]:
    """What a file looks like that begins so, and what to do with it; empty if like nothing."""
    for signature, found in SIGNATURES.items():
        if start.startswith(signature):
            return found
    return "", ""


def _with_newlines(pieces: Iterable[str]) -> Iterator[str]:
    """A text whose line ends are all newlines, wherever it is cut."""
    decoder = io.IncrementalNewlineDecoder(None, translate=True)
    for piece in pieces:
        if text := decoder.decode(piece):
            yield text
    if text := decoder.decode("", final=True):
        yield text


def _decoded(file: IO[bytes], encoding: str, name: str, say: Say) -> Iterator[str]:
    """The text of an open file in pieces."""
    decoder = codecs.getincrementaldecoder(encoding)()
    is_utf8 = codecs.lookup(encoding).name == "utf-8"
    place = lines = 0  # of the next block: the bytes and the newlines before it
    block = _block(file)
    start_of_file = block[:LONGEST] if is_utf8 else b""
    if is_utf8 and (other := _unmarked_utf16(block)):
        raise TextError(
            f"{name} is not {encoding}: every second byte is a NUL; it looks like UTF-16: pass "
            f"--encoding {other}"
        )
    if is_utf8 and block.startswith(codecs.BOM_UTF8):
        say(f"{name}: its byte-order mark is dropped")
        place = len(codecs.BOM_UTF8)
        block = block[place:]
    while True:
        pending = decoder.getstate()[0]
        try:
            text = decoder.decode(block, final=not block)
        except UnicodeError as error:
            # what the decoder looked at ends where the block does, wherever it starts
            data, start = getattr(error, "object", pending + block), getattr(error, "start", 0)
            lines += data.count(NEWLINE, 0, start) - pending.count(NEWLINE)
            raise TextError(
                f"{name} is not {encoding}: {getattr(error, 'reason', error)} at byte "
                f"{place + len(block) - len(data) + start}, line {lines + 1}; "
                f"{_advice(start_of_file)}"
            ) from error
        if text:
            yield text
        if not block:
            return
        place += len(block)
        lines += block.count(NEWLINE)
        block = _block(file)


def _block(file: IO[bytes]) -> bytes:
    """What is next in a file; nothing at its end."""
    block: bytes | None = file.read(BLOCK)
    if block is None:  # the end of a pipe that whoever made it has told not to wait
        raise BlockingIOError(errno.EAGAIN, os.strerror(errno.EAGAIN))
    return block


def _unmarked_utf16(block: bytes) -> str:
    """The UTF-16 that bytes look like, by where more than half have a NUL; empty if like none."""
    nuls = block[::2].count(0), block[1::2].count(0)
    is_marked = block.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE))
    if is_marked or len(block) < LOOKED_AT or min(nuls) > 0 or max(nuls) <= len(block) // 4:
        return ""
    return "utf-16-be" if nuls[0] else "utf-16-le"


def _advice(start: bytes) -> str:
    """What to do with a file that begins so and is not in its encoding."""
    kind, what_to_do = _signature(start)
    if kind:
        return f"it looks like {kind}: {what_to_do}"
    return "name the right --encoding, or mend the file if it mixes two"
