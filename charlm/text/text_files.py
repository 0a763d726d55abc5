"""Read text files of any size in pieces, also compressed ones."""

import io
import os
import stat
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import IO, cast

from charlm.errors import TextError, cause_of
from charlm.system.callbacks import Advance, Notify, ignore
from charlm.text.compressed_files import COMPRESSIONS, CompressedFile, Compression, read_some
from charlm.text.config import PLAIN_TEXT, TextConfig
from charlm.text.decoding import Decoding
from charlm.text.file_formats import refusal
from charlm.text.normalization import Form, normalized
from charlm.text.source_files import STDIN, Source, shown_name

BLOCK = 1 << 20  # bytes per read


def read_text(source: Source, config: TextConfig = PLAIN_TEXT, *, say: Notify = ignore) -> str:
    """Read a whole file, or standard input for `-`, and convert it; see `read_pieces`."""
    return "".join(converted(read_pieces(source, config, say=say), config))


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
        say: called with a note if a byte-order mark is dropped, and after the last piece if invalid
            bytes were replaced or skipped.

    Yields:
        The text in pieces, converted as `converted_file` does.

    Raises:
        TextError: the file cannot be read, or is not in this encoding.
    """
    source = str(source)
    name = shown_name(source)
    try:
        with _opened(source, name) as (raw, content):
            first, done = _block(content), 0
            outer = [] if raw is content else [COMPRESSIONS[Path(source).suffix.lower()].name]
            if why := refusal(first, source, *outer):
                raise TextError(f"cannot read {name}: {why}")
            pieces = Decoding(config, name, say).texts(first, lambda: _block(content))
            for text in converted_file(pieces, config):
                yield text
                position = raw.tell() if raw.seekable() else done + len(text)
                progress(position - done)
                done = position
    except (OSError, ValueError, EOFError) as error:
        if isinstance(error, TextError):
            raise
        raise TextError(f"cannot read {name}: {cause_of(error)}") from error


def converted(pieces: Iterable[str], config: TextConfig) -> Iterable[str]:
    """A text with its line endings and its normalization as configured, in pieces.

    The result does not depend on where the pieces end, and converting it again changes nothing.
    """
    if config.newlines == "lf":
        pieces = _with_newlines(pieces)
    if config.normalize != "none":
        pieces = normalized(pieces, cast(Form, config.normalize))
    return pieces


def converted_text(text: str, config: TextConfig) -> str:
    """A text or document in memory, with its line endings and its normalization as configured."""
    is_as_it_is = text.isascii() and "\r" not in text
    return text if is_as_it_is else "".join(converted([text], config))


def converted_file(pieces: Iterable[str], config: TextConfig) -> Iterable[str]:
    """The text of a file as its documents are found in it, in pieces.

    Records are parsed before they are normalized, because NFKC makes a comma of a fullwidth one,
    which would end a value. Their line endings stand between them, and are converted here.
    """
    if config.column or config.field:
        config = replace(config, normalize="none")
    return converted(pieces, config)


@contextmanager
def _opened(source: str, name: str) -> Iterator[tuple[IO[bytes], IO[bytes] | CompressedFile]]:
    """The file, and its content: decompressed, or the same object."""
    if source == STDIN:
        if sys.stdin is None:
            raise TextError(f"cannot read {name}: it is closed")
        _check_not_device(sys.stdin.buffer, name)
        yield sys.stdin.buffer, sys.stdin.buffer
        return
    with open(source, "rb") as raw:
        _check_not_device(raw, name)
        compression = COMPRESSIONS.get(Path(source).suffix.lower())
        yield raw, _decompressed(raw, compression, source) if compression else raw


def _decompressed(raw: IO[bytes], compression: Compression, source: str) -> CompressedFile:
    """The content of a file whose extension is that of a compressed format."""
    content = CompressedFile(raw, compression)
    if not content.start:
        raise TextError(f"{source}: the file is empty")
    if not content.start.startswith(compression.magic):
        why = refusal(content.start, source) or "rename it without the extension"
        raise TextError(f"cannot read {source}: it is not in {compression.name} format; {why}")
    return content


def _check_not_device(file: IO[bytes], name: str) -> None:
    try:
        mode = os.fstat(file.fileno()).st_mode
    except io.UnsupportedOperation:  # standard input has been replaced by an object without a file
        return
    if stat.S_ISBLK(mode) or (stat.S_ISCHR(mode) and not file.isatty()):
        raise TextError(f"cannot read {name}: devices are not supported; use a file or a pipe")


def _with_newlines(pieces: Iterable[str]) -> Iterator[str]:
    """Convert all line endings to newlines, also where a `\\r\\n` is split between pieces."""
    decoder = io.IncrementalNewlineDecoder(None, translate=True)
    for piece in pieces:
        if text := decoder.decode(piece):
            yield text
    if text := decoder.decode("", final=True):
        yield text


def _block(file: IO[bytes] | CompressedFile) -> bytes:
    """The next block of a file; empty at its end."""
    return read_some(file, BLOCK)
