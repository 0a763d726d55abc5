"""Which files a path, directory or glob stands for."""

import fnmatch
import os
import re
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from glob import has_magic
from pathlib import Path

from charlm.errors import TextError, cause_of
from charlm.text.compressed_files import COMPRESSIONS

STDIN = "-"
RUN_FILES = {"last.npz", "best.npz"}  # a directory that contains one is a run directory
ANY_DEPTH = "**"
SEPARATORS = f"[{re.escape(os.sep + (os.altsep or ''))}]+"  # between the parts of a path

Source = str | Path


def shown_name(source: Source) -> str:
    """The name of a source in a message."""
    return "standard input" if str(source) == STDIN else str(source)


def expand(sources: Sequence[Source]) -> list[str]:
    """Expand paths, directories and globs to files, in reading order.

    A directory expands to all files below it, except hidden ones (names that start with a dot, of
    files or directories) and run directories. A glob expands to the files that match; `**` matches
    any number of directories, and a file that matches through several links counts once. Only
    globs follow links to directories, and `**` each directory once. Both are sorted by path. Any
    other path, and `-` for standard input, is returned unchanged.

    Raises:
        TextError: a directory cannot be read or has no files, or no file matches a glob.
    """
    files: list[str] = []
    for source in map(str, sources):
        if source != STDIN and os.path.isdir(source):
            found = sorted(_files_below(source))
            if not found:
                raise TextError(f"no files found in the directory {source}")
        elif has_magic(source) and not os.path.lexists(source):
            found = _distinct(filter(os.path.isfile, _matches(source)))
            if not found:
                raise TextError(f"no file matches {source}")
        else:
            found = [source]
        files += found
    return files


def bare_name(path: Source) -> str:
    """The name of a file without its extension, and without that of a compressed format."""
    plain = Path(path)
    if plain.suffix.lower() in COMPRESSIONS:
        plain = plain.with_suffix("")
    return plain.stem


def _distinct(paths: Iterable[str]) -> list[str]:
    """The sorted paths of distinct files; of several paths to one file, the first."""
    first = {os.path.realpath(path): path for path in sorted(paths, reverse=True)}
    return sorted(first.values())


def _files_below(directory: str) -> Iterator[str]:
    """The files below a directory; no pipes and no dangling links."""
    folders = [directory]
    while folders:  # not by recursion: they can be nested deeply
        entries = _entries(folders.pop())
        if RUN_FILES.isdisjoint(entry.name for entry in entries):
            shown = [entry for entry in entries if not entry.name.startswith(".")]
            yield from (entry.path for entry in shown if _is_file(entry))
            folders += [entry.path for entry in shown if entry.is_dir(follow_symlinks=False)]


def _entries(folder: str) -> list[os.DirEntry[str]]:
    """What is in a directory. Unlike the functions of `os.path` it skips no path for its length."""
    try:
        with os.scandir(folder) as entries:
            return list(entries)
    except OSError as error:
        raise TextError(f"cannot read {folder}: {cause_of(error)}") from error


def _is_file(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_file()
    except OSError:  # a link to itself
        return False


def _matches(pattern: str) -> list[str]:
    """The paths that match a glob, as by `glob.glob`, but with each directory once for a `**`.

    `glob.glob` follows links to a directory that contains them until the path is too long.
    """
    anchor = Path(pattern).anchor
    paths = [anchor]
    for part in re.split(SEPARATORS, pattern[len(anchor) :]):
        paths = list(_extended(paths, part))
    return paths


def _extended(paths: list[str], part: str) -> Iterator[str]:
    """The paths that consist of one of some paths and a match of the next part of a glob."""
    if part == ANY_DEPTH:
        yield from _at_any_depth(paths)
    elif has_magic(part):
        for path in paths:
            with suppress(OSError):  # a file, or a directory that cannot be read: as by the shell
                names = fnmatch.filter(os.listdir(path or os.curdir), part)
                shown = (name for name in names if name[0] != "." or part[0] == ".")
                yield from (os.path.join(path, name) for name in shown)
    else:
        yield from filter(os.path.lexists, (os.path.join(path, part) for path in paths))


def _at_any_depth(paths: list[str]) -> Iterator[str]:
    """Some paths, and everything below them that is not hidden."""
    seen: set[tuple[int, int]] = set()
    paths = sorted(paths, reverse=True)
    while paths:
        path = paths.pop()
        yield path
        if os.path.isdir(path or os.curdir):
            status = os.stat(path or os.curdir)
            if (key := (status.st_dev, status.st_ino)) not in seen:
                seen.add(key)
                names = sorted(entry.name for entry in _entries(path or os.curdir))
                shown = (name for name in reversed(names) if not name.startswith("."))
                paths += [os.path.join(path, name) for name in shown]
