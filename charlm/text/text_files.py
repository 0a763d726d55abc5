"""Read text files of any size in pieces, also compressed ones."""

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
from typing import IO, Any

from charlm.config import PLAIN_TEXT, TextConfig
from charlm.errors import TextError
from charlm.system.callbacks import Advance, Notify, ignore

STDIN = "-"
NEWLINE = b"\n"
BLOCK = 1 << 20  # bytes per read
RUN_FILES = {"last.npz", "best.npz"}  # a directory that contains one is a run directory

# The compressed formats by file extension: the name of the format, and the function to open it.
COMPRESSED: dict[str, tuple[str, Callable[[IO[bytes]], Any]]] = {
    ".gz": ("gzip", gzip.open),
    ".xz": ("xz", lzma.open),
}

# The first bytes of files that are not UTF-8, with their format and the remedy. UTF-32 comes
# before UTF-16, because its little-endian byte-order mark begins with that of UTF-16.
SIGNATURES = {
    codecs.BOM_UTF32_LE: ("UTF-32", "pass `encoding='utf-32'`"),
    codecs.BOM_UTF32_BE: ("UTF-32", "pass `encoding='utf-32'`"),
    codecs.BOM_UTF16_LE: ("UTF-16", "pass `encoding='utf-16'`"),
    codecs.BOM_UTF16_BE: ("UTF-16", "pass `encoding='utf-16'`"),
    b"\x1f\x8b": ("gzip", "decompress it, or rename it to end in .gz"),
    b"\xfd7zXZ\0": ("xz", "decompress it, or rename it to end in .xz"),
    b"BZh": ("bzip2", "decompress it"),
    b"PK\x03\x04": ("zip", "extract it"),
    b"%PDF-": ("PDF", "extract its text to a file first"),
}
LONGEST = max(map(len, SIGNATURES))
MIN_UTF16 = 16  # bytes needed to detect UTF-16 by its NULs

Source = str | Path


def expand(sources: Sequence[Source]) -> list[str]:
    """Expand paths, directories and globs to files, in reading order.

    A directory expands to all files below it, except hidden ones (names that start with a dot, of
    files or directories) and run directories. A glob expands to the files that match; `**` matches
    any number of directories, and a file that matches through several links counts once. Only
    globs follow links to directories. Both are sorted by path. Any other path, and `-` for standard
    input, is returned unchanged.

    Raises:
        TextError: a directory cannot be read or has no files, or no file matches a glob.
    """
    files: list[str] = []
    for source in map(str, sources):
        if source != STDIN and os.path.isdir(source):
            found = sorted(_files_below(source))
            if not found:
                raise TextError(f"no files found in the directory {source}")
        elif glob.has_magic(source) and not os.path.exists(source):
            found = _distinct(filter(os.path.isfile, glob.glob(source, recursive=True)))
            if not found:
                raise TextError(f"no file matches {source}")
        else:
            found = [source]
        files += found
    return files


def _distinct(paths: Iterable[str]) -> list[str]:
    """The sorted paths of distinct files; of several paths to one file, the first."""
    first = {os.path.realpath(path): path for path in sorted(paths, reverse=True)}
    return sorted(first.values())


def _files_below(directory: str) -> Iterator[str]:
    def fail(error: OSError) -> None:
        raise TextError(f"cannot read {error.filename}: {error.strerror}") from error

    for path, directories, names in os.walk(directory, onerror=fail):
        if RUN_FILES & set(names):
            directories.clear()
            continue
        directories[:] = [name for name in directories if not name.startswith(".")]
        files = (os.path.join(path, name) for name in names if not name.startswith("."))
        yield from filter(os.path.isfile, files)  # no pipes and no broken links


def bare_name(path: Source) -> str:
    """The name of a file without its extension, and without that of a compressed format."""
    plain = Path(path)
    if plain.suffix.lower() in COMPRESSED:
        plain = plain.with_suffix("")
    return plain.stem


def read_text(source: Source, config: TextConfig = PLAIN_TEXT, *, say: Notify = ignore) -> str:
    """Read a whole file, or standard input for `-`; see `read_pieces`."""
    return "".join(read_pieces(source, config, say=say))


def read_pieces(
    source: Source,
    config: TextConfig = PLAIN_TEXT,
    progress: Advance = ignore,
    *,
    say: Notify = ignore,
) -> Iterator[str]:
    """Read a file, or standard input for `-`, in pieces.

    Drops a byte-order mark at the start of UTF-8, and decompresses files in `.gz` and `.xz`. A
    file that grows while it is read is read up to its new end.

    Args:
        source: a file, pipe or terminal; other devices may be endless.
        config: how the bytes of the file become text.
        progress: called with the number of bytes read since the last call; for a pipe, the number
            of characters.
        say: called with a note if a byte-order mark is dropped.

    Yields:
        The text in pieces.

    Raises:
        TextError: the file cannot be read, or is not in this encoding.
    """
    source = str(source)
    name = "standard input" if source == STDIN else source
    try:
        with _opened(source, name) as (file, raw):
            done = 0
            pieces = _decoded(file, config.encoding, name, say)
            for text in converted(pieces, config):
                yield text
                position = raw.tell() if raw.seekable() else done + len(text)
                progress(position - done)
                done = position
    except (OSError, ValueError, EOFError, lzma.LZMAError, zlib.error) as error:
        if isinstance(error, TextError):
            raise
        cause = getattr(error, "strerror", None) or error
        raise TextError(f"cannot read {name}: {cause}") from error


def converted(pieces: Iterable[str], config: TextConfig) -> Iterable[str]:
    """A text with its line endings and its normalization as configured, in pieces.

    The result does not depend on where the pieces end, and converting it again changes nothing.
    """
    return pieces if config.newlines == "keep" else _with_newlines(pieces)


@contextmanager
def _opened(source: str, name: str) -> Iterator[tuple[IO[bytes], IO[bytes]]]:
    """The decompressed file and the raw file; the same object without compression."""
    if source == STDIN:
        if sys.stdin is None:
            raise TextError(f"cannot read {name}: it is closed")
        _check_not_device(sys.stdin.buffer, name)
        yield sys.stdin.buffer, sys.stdin.buffer
        return
    with ExitStack() as stack:
        raw = stack.enter_context(open(source, "rb"))
        _check_not_device(raw, name)
        extension = Path(source).suffix.lower()
        if extension not in COMPRESSED:
            yield raw, raw
            return
        kind, opener = COMPRESSED[extension]
        start = raw.peek(LONGEST)
        if len(start) >= LONGEST and _signature(start)[0] != kind:
            raise TextError(
                f"cannot read {name}: it is not in {kind} format; rename it without the extension "
                f"{extension}"
            )
        yield stack.enter_context(opener(raw)), raw


def _check_not_device(file: IO[bytes], name: str) -> None:
    try:
        mode = os.fstat(file.fileno()).st_mode
    except io.UnsupportedOperation:  # standard input has been replaced by an object without a file
        return
    if stat.S_ISBLK(mode) or (stat.S_ISCHR(mode) and not file.isatty()):
        raise TextError(f"cannot read {name}: devices are not supported; use a file or a pipe")


def _signature(start: bytes) -> tuple[str, str]:
    """The format of a file by its first bytes, and the remedy; empty strings if unknown."""
    matches = (entry for signature, entry in SIGNATURES.items() if start.startswith(signature))
    return next(matches, ("", ""))


def _with_newlines(pieces: Iterable[str]) -> Iterator[str]:
    """Convert all line endings to newlines, also where a `\\r\\n` is split between pieces."""
    decoder = io.IncrementalNewlineDecoder(None, translate=True)
    for piece in pieces:
        if text := decoder.decode(piece):
            yield text
    if text := decoder.decode("", final=True):
        yield text


def _decoded(file: IO[bytes], encoding: str, name: str, say: Notify) -> Iterator[str]:
    """Decode an open file in pieces."""
    decoder = codecs.getincrementaldecoder(encoding)()
    is_utf8 = codecs.lookup(encoding).name == "utf-8"
    position = lines = 0  # the bytes and the newlines before the current block
    block = _block(file)
    start_of_file = block[:LONGEST] if is_utf8 else b""
    if is_utf8 and (other := _unmarked_utf16(block)):
        raise TextError(
            f"{name} is not valid {encoding}: every second byte is NUL; the file looks like "
            f"UTF-16; pass `encoding='{other}'`"
        )
    if is_utf8 and block.startswith(codecs.BOM_UTF8):
        say(f"{name}: ignoring the byte-order mark")
        position = len(codecs.BOM_UTF8)
        block = block[position:]
    while True:
        pending = decoder.getstate()[0]
        try:
            text = decoder.decode(block, final=not block)
        except UnicodeError as error:
            # The data of the error ends with the block, but may start before it.
            data, start = getattr(error, "object", pending + block), getattr(error, "start", 0)
            lines += data.count(NEWLINE, 0, start) - pending.count(NEWLINE)
            raise TextError(
                f"{name} is not valid {encoding}: {getattr(error, 'reason', error)} at byte "
                f"{position + len(block) - len(data) + start}, line {lines + 1}; "
                f"{_advice(start_of_file)}"
            ) from error
        if text:
            yield text
        if not block:
            return
        position += len(block)
        lines += block.count(NEWLINE)
        block = _block(file)


def _block(file: IO[bytes]) -> bytes:
    """The next block of a file; empty at its end."""
    block: bytes | None = file.read(BLOCK)
    if block is None:  # a non-blocking pipe without data
        raise BlockingIOError(errno.EAGAIN, os.strerror(errno.EAGAIN))
    return block


def _unmarked_utf16(block: bytes) -> str:
    """The UTF-16 encoding of a block without byte-order mark; empty if it is not UTF-16.

    More than half of the high bytes must be NUL, and none of the low bytes.
    """
    nuls = block[::2].count(0), block[1::2].count(0)
    is_marked = block.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE))
    if is_marked or len(block) < MIN_UTF16 or min(nuls) > 0 or max(nuls) <= len(block) // 4:
        return ""
    return "utf-16-be" if nuls[0] else "utf-16-le"


def _advice(start: bytes) -> str:
    """The remedy for a file with these first bytes that is not in its encoding."""
    kind, remedy = _signature(start)
    if kind:
        return f"the file looks like {kind}; {remedy}"
    return "pass the correct `encoding`, or repair the file if it mixes encodings"
