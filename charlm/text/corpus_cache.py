"""A cache of encoded texts on disk.

    <sha256>.ids    the ids
    <sha256>.npz    the code point and count of each id, the ends of the texts or documents, the
                    checksums of the ids, and a checksum of this file; it is written last, and ids
                    without it are ignored
    <key>.json      the key, the source files with sizes and modification times, the notes of
                    reading them, and the hash of their text

`sha256` is the hash of the text; `key` is a hash of the paths of the source files and of the
settings with which they were read. The files are in `$CHARLM_CACHE` or in the user's cache
directory, and can be removed at any time. Files of other users, links and pipes are ignored. Ids
are locked while they are used, and the modification time of a `.npz` file is that of its last use.
"""

import hashlib
import json
import math
import os
import stat
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict, replace
from pathlib import Path
from tempfile import TemporaryFile
from typing import IO, Any, BinaryIO
from unicodedata import unidata_version

import numpy as np
from numpy.typing import DTypeLike

from charlm.errors import TextError, cause_of
from charlm.system import npz
from charlm.system.arrays import Array
from charlm.system.atomic_files import (
    discard,
    new_temporary,
    remove_left_overs,
    rename,
    write_atomically,
)
from charlm.system.regular_files import close_quietly, lock
from charlm.text.cache_folder import LIMIT, cache_folder, read_json, read_own, shrink
from charlm.text.config import TextConfig
from charlm.text.encoder import Encoded
from charlm.text.id_sequences import IdFile
from charlm.text.source_files import STDIN

FORMAT = 4
META = 1_000  # maximum number of characters of `meta`
VERIFIED = 1 << 28  # bytes up to which an encoded text is verified as a whole when it is loaded
SETTLED = 2.0  # seconds after which another change certainly changes the modification time

State = tuple[str, int, int]  # the path, size and modification time of a file


def state_of(files: Sequence[str]) -> list[State] | None:
    """The state of each file; None if one is not a regular file or cannot be accessed."""
    states = []
    for file in files:
        try:
            status = os.stat(file)
        except (OSError, ValueError):
            return None
        if file == STDIN or not stat.S_ISREG(status.st_mode):
            return None
        states.append((os.path.abspath(file), status.st_size, status.st_mtime_ns))
    return states


def new_file() -> IO[bytes]:
    """An unnamed temporary file for an encoded text; in the cache directory if possible.

    Raises:
        OSError: there is no directory for temporary files; see `temporary_error`.
    """
    with suppress(OSError, RuntimeError):
        return TemporaryFile(dir=_create(cache_folder()))
    return TemporaryFile()


def temporary_error(error: OSError) -> TextError:
    """The error for an encoded text that cannot be written to a file from `new_file`."""
    return TextError(
        f"cannot write the encoded text to a temporary file: {cause_of(error)}; set "
        "CHARLM_CACHE to a directory with free space"
    )


def _create(folder: Path) -> Path:
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    return folder


class Cache:
    """A directory of encoded texts.

    Args:
        folder: the directory, created if missing; `cache_folder()` by default.

    Raises:
        OSError, RuntimeError: it cannot be created, or the user has no home directory.
    """

    def __init__(self, folder: Path | None = None) -> None:
        self.folder = _create(folder or cache_folder())
        remove_left_overs(self.folder)

    def is_writable(self) -> bool:
        """Whether the permissions of the directory allow writing."""
        return os.access(self.folder, os.W_OK | os.X_OK)

    @contextmanager
    def new_files(self) -> Iterator[Callable[[], IO[bytes]]]:
        """A function that creates files for ids; files that were not kept are removed on exit."""
        files: list[BinaryIO] = []

        def new() -> BinaryIO:
            files.append(new_temporary(self.folder))
            return files[-1]

        try:
            yield new
        finally:
            for file in files:
                if os.path.exists(file.name):  # `keep` has not renamed it
                    discard(file)

    def keep(self, encoded: Encoded) -> Encoded:
        """Add a text to the cache; its ids must be in a file from `new_files`.

        Returns:
            The text in the cache; the same one if files of another user are in its place.

        Raises:
            OSError: the files cannot be written.
        """
        ids = encoded.ids
        assert isinstance(ids, IdFile)
        meta = {
            "format": FORMAT,
            "dtype": ids.dtype.name,
            "length": ids.length,
            "sha256": encoded.sha256,
        }
        arrays: dict[str, Any] = {
            "meta": np.array(json.dumps(meta)),
            "points": encoded.points,
            "counts": encoded.counts,
            "checksums": ids.checksums,
            "ends": encoded.ends,
        }
        path = self._ids(encoded.sha256)
        try:
            rename(ids.file, path)
            _share(ids.file)
            write_atomically(path.with_suffix(".npz"), lambda opened: npz.write(opened, arrays))
        except PermissionError:  # in a shared directory: the file there is another user's
            if ids.file.closed:
                raise
            with suppress(OSError):
                os.unlink(ids.file.name)
            return encoded
        if ids.file.closed:  # as on Windows
            ids = IdFile(path.open("rb"), ids.dtype, ids.length, ids.checksums)
        ids.path = path
        shrink(self.folder, LIMIT)
        return replace(encoded, ids=ids)

    def load(self, sha256: str, *, verify: bool = False) -> Encoded | None:
        """The text with this hash; None if it is missing or damaged.

        Args:
            sha256: the hash.
            verify: verify all ids, even if the text is larger than `VERIFIED`.
        """
        path = self._ids(sha256)
        try:
            with npz.reading(read_own(path.with_suffix(".npz"))) as arrays:
                meta = json.loads(arrays.text("meta", META))
                points = _vector(arrays, "points", np.uint32)
                counts = _vector(arrays, "counts", np.int64)
                checksums = _vector(arrays, "checksums", np.uint32)
                ends = _vector(arrays, "ends", np.int64)
                arrays.finish(has_checksum=True)
            if (meta["format"], meta["sha256"]) != (FORMAT, sha256):
                return None
            dtype, length = np.dtype(meta["dtype"]), int(meta["length"])
            file = _open_ids(path)
        except Exception:  # zipfile, NumPy and JSON raise many types on damaged files
            return None
        ids = IdFile(file, dtype, length, checksums, path)
        size = len(ids) * dtype.itemsize
        if os.fstat(file.fileno()).st_size != size:
            return None
        if (verify or size <= VERIFIED) and not ids.is_whole():
            return None
        with suppress(OSError):  # a directory that is only read
            os.utime(path.with_suffix(".npz"))
        return Encoded(ids, points, counts, sha256, ends)

    def _ids(self, sha256: str) -> Path:
        return self.folder / f"{sha256}.ids"

    def record(
        self, states: list[State], config: TextConfig, notes: list[str], sha256: str
    ) -> None:
        """Record the text of source files, unless one has changed too recently to trust its time.

        Args:
            states: the states of the files, the same before and after reading.
            config: how their bytes became text.
            notes: the notes of reading them.
            sha256: the hash of their text.
        """
        newest = max(time_ns for _, _, time_ns in states)
        if newest > time.time_ns() - SETTLED * 1e9:
            return
        path = self._index(states, config)
        entry = {"key": path.stem, "files": states, "notes": notes, "sha256": sha256}
        with suppress(PermissionError):  # in a shared directory: the file there is another user's
            write_atomically(path, lambda file: file.write(json.dumps(entry).encode()))

    def find(
        self, states: list[State], config: TextConfig, notes: list[str], *, verify: bool = False
    ) -> Encoded | None:
        """The text of source files; None if it is missing, or a file has changed.

        Args:
            states: the states of the files.
            config: how their bytes became text.
            notes: receives the notes of reading them.
            verify: as for `load`.
        """
        try:
            path = self._index(states, config)
            entry = read_json(path)
            if entry["key"] != path.stem or [tuple(state) for state in entry["files"]] != states:
                return None  # renamed by another user of the directory, or the files have changed
            told = [str(note) for note in entry["notes"]]
            encoded = self.load(entry["sha256"], verify=verify)
        except (OSError, ValueError, KeyError, TypeError, RecursionError):
            return None
        if encoded:
            notes += told
        return encoded

    def _index(self, states: list[State], config: TextConfig) -> Path:
        tables = "" if config.normalize == "none" else unidata_version  # of Unicode, in this Python
        key = json.dumps([asdict(config), tables, *(path for path, _, _ in states)])
        return self.folder / f"{hashlib.sha256(key.encode('utf-8', 'replace')).hexdigest()}.json"


def _open_ids(path: Path) -> IO[bytes]:
    """Open ids of this user, and lock them against removal.

    Raises:
        OSError: they cannot be opened, are another user's, or are being removed.
    """
    file = os.fdopen(read_own(path), "rb")
    try:
        lock(file.fileno(), shared=True)
    except BaseException:
        close_quietly(file)
        raise
    return file


def _share(file: IO[bytes]) -> None:
    """Allow others to read a file that this process has locked to write it."""
    with suppress(BlockingIOError):  # it is being removed, but stays open here
        if not file.closed:
            lock(file.fileno(), shared=True)


def _vector(arrays: npz.Reader, name: str, dtype: DTypeLike) -> Array:
    _, shape = arrays.form(name)
    return arrays.read(name, np.dtype(dtype), (math.prod(shape),))
