"""Where encoded texts are kept from one run to the next.

    <sha256>.ids    the ids, nothing else
    <sha256>.npz    which character each id is, how often it occurs, checksums of the ids and of
                    this file; it is written last, and what comes without it is not there
    <key>.json      which files the text was read from, how large and how old they were

The first two are named for the hash of the text, the third for the paths of its files and the way
they were read. They are in `$CHARLM_CACHE`, or else where the user's caches are, and may be removed
at any time.
"""

import hashlib
import json
import math
import os
import secrets
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryFile
from typing import IO, Any

import numpy as np
from numpy.typing import DTypeLike

from charlm.system import npz
from charlm.system.arrays import Array
from charlm.system.atomic_files import LEFT_OVER, remove_left_overs, write_atomically
from charlm.text.encoder import Encoded
from charlm.text.id_sequences import IdFile
from charlm.text.text_files import STDIN

FORMAT = 2
META = 1_000  # characters at most
VERIFIED = 1 << 28  # bytes up to which an encoded text is always read as a whole at first
SETTLED = 2.0  # seconds without a change after which a change would show in a file's time


def cache_folder() -> Path:
    """`$CHARLM_CACHE`, or `charlm` where the system keeps the user's caches."""
    if named := os.environ.get("CHARLM_CACHE"):
        return Path(named)
    if sys.platform == "darwin":
        return Path.home() / "Library" / "Caches" / "charlm"
    if sys.platform == "win32":
        return Path(os.environ.get("LOCALAPPDATA", Path.home())) / "charlm" / "Cache"
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "charlm"


def state_of(files: Sequence[str]) -> list[tuple[str, int, int]] | None:
    """Path, size and time of each file; None if one is no regular file or cannot be looked at."""
    states = []
    for file in files:
        try:
            found = os.stat(file)
        except (OSError, ValueError):
            return None
        if file == STDIN or not os.path.isfile(file):
            return None
        states.append((os.path.abspath(file), found.st_size, found.st_mtime_ns))
    return states


def new_file() -> IO[bytes]:
    """A file without a name, for what is as large as a text: beside the cache, if that can be."""
    with suppress(OSError, RuntimeError):
        return TemporaryFile(dir=_made(cache_folder()))
    return TemporaryFile()


def _made(folder: Path) -> Path:
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    return folder


class Cache:
    """A folder of encoded texts.

    Args:
        folder: made if it is not there.

    Raises:
        OSError, RuntimeError: it cannot be made, or there is no home to make it in.
    """

    def __init__(self, folder: Path | None = None) -> None:
        self.folder = _made(folder or cache_folder())
        remove_left_overs(self.folder, older_than=LEFT_OVER)

    def is_writable(self) -> bool:
        """Whether texts can be put there, as far as permissions say."""
        return os.access(self.folder, os.W_OK | os.X_OK)

    @contextmanager
    def new_files(self) -> Iterator[Callable[[], IO[bytes]]]:
        """Files to write ids to; those that were not kept by then are removed at the end."""
        files: list[IO[bytes]] = []

        def new() -> IO[bytes]:
            path = self.folder / f".{secrets.token_hex(8)}.tmp"
            files.append(path.open("x+b"))
            return files[-1]

        try:
            yield new
        finally:
            for file in files:
                if os.path.exists(file.name):  # it was not kept
                    with suppress(OSError):  # a disk that is full has no room for the last block
                        file.close()
                    os.unlink(file.name)

    def keep(self, encoded: Encoded) -> Encoded:
        """Put a text into the cache, whose ids are in one of its `new_files`.

        Raises:
            OSError: that cannot be done.
        """
        ids = encoded.ids
        assert isinstance(ids, IdFile)
        meta = {
            "format": FORMAT,
            "dtype": ids.dtype.name,
            "length": ids.length,
            "sha256": encoded.sha256,
        }
        path = self._ids(encoded.sha256)
        ids.file.close()  # or Windows would not rename it
        os.replace(ids.file.name, path)
        arrays: dict[str, Any] = {
            "meta": np.array(json.dumps(meta)),
            "points": encoded.points,
            "counts": encoded.counts,
            "checksums": ids.checksums,
        }
        write_atomically(path.with_suffix(".npz"), lambda opened: npz.write(opened, arrays))
        kept = IdFile(path.open("rb"), ids.dtype, ids.length, ids.checksums, path)
        return replace(encoded, ids=kept)

    def load(self, sha256: str, *, verify: bool = False) -> Encoded | None:
        """The text with that hash; None if it is not there, or damaged.

        Args:
            sha256: the hash.
            verify: read all of it, however large it is.
        """
        path = self._ids(sha256)
        try:
            with npz.reading(path.with_suffix(".npz")) as arrays:
                meta = json.loads(arrays.text("meta", META))
                points = _vector(arrays, "points", np.uint32)
                counts = _vector(arrays, "counts", np.int64)
                checksums = _vector(arrays, "checksums", np.uint32)
                arrays.finish(has_checksum=True)
            if (meta["format"], meta["sha256"]) != (FORMAT, sha256):
                return None
            dtype, length = np.dtype(meta["dtype"]), int(meta["length"])
            file = path.open("rb")
        except Exception:  # whatever zip, NumPy and JSON make of bytes that are not theirs
            return None
        ids = IdFile(file, dtype, length, checksums, path)
        size = len(ids) * dtype.itemsize
        if os.fstat(file.fileno()).st_size != size:
            return None
        if (verify or size <= VERIFIED) and not ids.is_whole():
            return None
        return Encoded(ids, points, counts, sha256)

    def _ids(self, sha256: str) -> Path:
        return self.folder / f"{sha256}.ids"

    def note(
        self, states: list[tuple[str, int, int]], encoding: str, newlines: str, sha256: str
    ) -> None:
        """Remember which text was read from files.

        Args:
            states: of the files, before they were read and after it.
            encoding: theirs.
            newlines: what was made of their line ends.
            sha256: the hash of their text.
        """
        newest = max(time_ns for _, _, time_ns in states)
        if newest > time.time_ns() - SETTLED * 1e9:
            return  # another change would not show
        entry = json.dumps({"files": states, "sha256": sha256}).encode()
        write_atomically(self._index(states, encoding, newlines), lambda file: file.write(entry))

    def find(
        self,
        states: list[tuple[str, int, int]],
        encoding: str,
        newlines: str,
        *,
        verify: bool = False,
    ) -> Encoded | None:
        """The text of files that are as they were when it was read; None if it is not there.

        Args:
            states: of the files.
            encoding: theirs.
            newlines: what is made of their line ends.
            verify: as for `load`.
        """
        try:
            entry = json.loads(self._index(states, encoding, newlines).read_bytes())
            unchanged = [tuple(state) for state in entry["files"]] == states
            return self.load(entry["sha256"], verify=verify) if unchanged else None
        except (OSError, ValueError, KeyError, TypeError, RecursionError):
            return None

    def _index(self, states: list[tuple[str, int, int]], encoding: str, newlines: str) -> Path:
        key = json.dumps([encoding, newlines, *(path for path, _, _ in states)])
        return self.folder / f"{hashlib.sha256(key.encode('utf-8', 'replace')).hexdigest()}.json"


def _vector(arrays: npz.Reader, name: str, dtype: DTypeLike) -> Array:
    _, shape = arrays.form(name)
    return arrays.read(name, np.dtype(dtype), (math.prod(shape),))
