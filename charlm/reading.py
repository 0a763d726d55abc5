"""From files to text: a piece at a time, whatever the size; compressed ones as they are."""

import codecs
import glob
import gzip
import lzma
import os
import sys
import zlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import IO, cast

from charlm.errors import TextError

STDIN = "-"
NEWLINE = b"\n"
BLOCK = 1 << 20  # bytes a read
RUN = {"last.npz", "best.npz"}  # files that tell the directory of a run

OPENERS: dict[str, Callable[[IO[bytes]], IO[bytes]]] = {
    ".gz": lambda file: cast(IO[bytes], gzip.open(file)),  # noqa: SIM115
    ".xz": lambda file: cast(IO[bytes], lzma.open(file)),  # noqa: SIM115
}

Progress = Callable[[int], object]
Source = str | Path


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


def read_text(source: Source, encoding: str = "utf-8") -> str:
    """All of a file, or of standard input for `-`; see `read_pieces`."""
    return "".join(read_pieces(source, encoding))


def read_pieces(
    source: Source, encoding: str = "utf-8", progress: Progress = lambda size: None
) -> Iterator[str]:
    """The text of a file, or of standard input for `-`, its newlines as they are.

    A byte-order mark at the start of UTF-8 is dropped. What a name in `.gz` or `.xz` says is
    compressed is read as if it were not.

    Args:
        source: the file.
        encoding: its encoding.
        progress: called with how many of its bytes were read since it was last called; of a pipe,
            how many characters.

    Yields:
        The text in pieces.

    Raises:
        TextError: the file cannot be read, or is not in that encoding.
    """
    source = str(source)
    name = "standard input" if source == STDIN else source
    _check_encoding(encoding)
    try:
        with _opened(source) as (file, below):
            done = 0
            for text in _decoded(file, encoding, name):
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
        yield sys.stdin.buffer, sys.stdin.buffer
        return
    with ExitStack() as stack:
        below = stack.enter_context(open(source, "rb"))
        opener = OPENERS.get(Path(source).suffix.lower())
        yield stack.enter_context(opener(below)) if opener else below, below


def _decoded(file: IO[bytes], encoding: str, name: str) -> Iterator[str]:
    """The text of an open file in pieces."""
    decoder = codecs.getincrementaldecoder(encoding)()
    place = lines = 0  # of the next block: the bytes and the newlines before it
    block = file.read(BLOCK)
    if codecs.lookup(encoding).name == "utf-8" and block.startswith(codecs.BOM_UTF8):
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
                "name the right --encoding, or mend the file if it mixes two"
            ) from error
        if text:
            yield text
        if not block:
            return
        place += len(block)
        lines += block.count(NEWLINE)
        block = file.read(BLOCK)
