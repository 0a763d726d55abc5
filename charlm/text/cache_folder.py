"""The directory of the cache: where it is, what in it is the user's, and what is removed from it.

Only regular files of the user are read, counted and removed: whoever else can write to the
directory could plant others.
"""

import json
import os
import re
import stat
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from charlm.system.atomic_files import remove_left_overs
from charlm.system.regular_files import open_regular, remove_unlocked

LIMIT = 20_000_000_000  # bytes, beyond which the texts that were not used for longest are removed

NAME = re.compile(r"[0-9a-f]{64}\.(ids|npz|json)")


def cache_folder() -> Path:
    """`$CHARLM_CACHE`, or the directory `charlm` among the user's caches."""
    if named := os.environ.get("CHARLM_CACHE"):
        return Path(named)
    if sys.platform == "darwin":
        return Path.home() / "Library" / "Caches" / "charlm"
    if sys.platform == "win32":
        return Path(os.environ.get("LOCALAPPDATA", Path.home())) / "charlm" / "Cache"
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "charlm"


@dataclass(frozen=True)
class Usage:
    """What a cache occupies.

    Attributes:
        texts: the number of encoded texts.
        bytes: the size of all files of the cache.
    """

    texts: int
    bytes: int


def usage(folder: Path) -> Usage:
    """What the user's files in a cache directory occupy; nothing if it does not exist.

    Raises:
        OSError: the directory cannot be read.
    """
    files = dict(_files(folder))
    texts = sum(path.suffix == ".ids" for path in files)
    return Usage(texts, sum(status.st_size for status in files.values()))


def shrink(folder: Path, limit: int) -> None:
    """Remove the texts that were not used for longest, until a cache is not larger than a limit.

    A text that a process uses stays. So does any on a file system without locks.

    Args:
        folder: the cache directory.
        limit: its size in bytes, 0 to remove all that can be removed.

    Raises:
        OSError: the directory cannot be read.
    """
    remove_left_overs(folder)
    files = dict(_files(folder))
    left = sum(status.st_size for status in files.values())
    if left <= limit:
        return
    parts: dict[str, list[Path]] = {}  # `.ids` before `.npz`, since ids are what is locked
    for path in sorted(files):
        if path.suffix != ".json":
            parts.setdefault(path.stem, []).append(path)
    last_use = {name: max(files[path].st_mtime_ns for path in parts[name]) for name in parts}
    for name in sorted(parts, key=last_use.__getitem__):
        if left <= limit:
            break
        if all(remove_unlocked(path) for path in parts[name]):
            left -= sum(files[path].st_size for path in parts[name])
    for path in files:
        if path.suffix == ".json" and not (folder / f"{_text_of(path)}.ids").exists():
            remove_unlocked(path)


def read_own(path: Path) -> int:
    """Open a regular file of this user for reading, and return the descriptor.

    Raises:
        OSError: it cannot be opened, is not a regular file, or is another user's.
    """
    file = open_regular(path, os.O_RDONLY)
    if not _is_own(os.fstat(file)):
        os.close(file)
        raise PermissionError("it belongs to another user")
    return file


def _is_own(status: os.stat_result) -> bool:
    return not hasattr(os, "geteuid") or status.st_uid == os.geteuid()


def _files(folder: Path) -> Iterator[tuple[Path, os.stat_result]]:
    """The user's files of a cache."""
    if not folder.is_dir():
        return
    with os.scandir(folder) as entries:
        for entry in entries:
            if NAME.fullmatch(entry.name):
                status = entry.stat(follow_symlinks=False)
                if stat.S_ISREG(status.st_mode) and _is_own(status):
                    yield Path(entry.path), status


def _text_of(index: Path) -> str:
    """The hash of the text that a `.json` names; empty if it is damaged."""
    try:
        return str(read_json(index)["sha256"])
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return ""


def read_json(path: Path) -> dict[str, Any]:
    """The content of a `.json` of this user."""
    with open(read_own(path), "rb") as file:
        content: dict[str, Any] = json.load(file)
    return content
