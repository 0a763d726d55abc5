"""Corpora that are available by name: `get(find("python-docs"), Path("python-docs.txt"))`.

Two were written for this project and are part of it, one comes from the standard library, and one
is downloaded and verified. Every failure raises a `TextError`, and leaves an existing file
unchanged.
"""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from http.client import HTTPException
from pathlib import Path
from queue import Empty, Queue
from threading import Event, Thread
from time import monotonic
from typing import NamedTuple
from urllib.error import HTTPError, URLError
from urllib.request import urlopen

from charlm.errors import TextError, cause_of
from charlm.system.atomic_files import write_atomically
from charlm.system.callbacks import Progress, ignore

READ_TIMEOUT = 10.0  # seconds per read
TOTAL_TIME = 600.0  # seconds per download
CHUNK = 1 << 16  # bytes per read

_Part = tuple[bytes, int | None] | Exception  # a chunk and the announced size, or what went wrong


@dataclass(frozen=True)
class Download:
    """A text on the web, with its expected size in bytes and SHA-256."""

    url: str
    size: int
    sha256: str

    def fetch(self, progress: Progress = ignore) -> bytes:
        """Download the text in UTF-8.

        Raises:
            TextError: the download fails or is incomplete, or its hash is wrong.
        """
        try:
            data = self._receive(progress)
        except HTTPError as error:
            error.close()
            raise TextError(
                f"cannot download {self.url}: server returned status {error.code}; try again later"
            ) from error
        except (OSError, HTTPException) as error:
            raise TextError(
                f"cannot download {self.url}: {_cause(error)}; check the network and try again"
            ) from error
        if (got := hashlib.sha256(data).hexdigest()) != self.sha256:
            raise TextError(
                f"{self.url} has unexpected content, with SHA-256 {got} instead of "
                f"{self.sha256}; check for a proxy or login page, or try again later"
            )
        return data

    def _receive(self, progress: Progress) -> bytes:
        """The content, received by a thread: any step, also finding the server, could hang."""
        parts: Queue[_Part] = Queue()
        is_over = Event()
        Thread(target=self._send_to, args=(parts, is_over), daemon=True).start()
        end = monotonic() + TOTAL_TIME
        data = bytearray()
        try:
            # One byte more than expected proves that the text is wrong.
            while len(data) <= self.size:
                part = parts.get(timeout=max(0.0, end - monotonic()))
                if isinstance(part, Exception):
                    raise part
                chunk, announced = part
                if not chunk:
                    break
                data += chunk
                progress(len(data), announced)
        except Empty:
            raise TextError(
                f"the download of {self.url} took more than {TOTAL_TIME:g} s, for {len(data):,} of "
                f"{self.size:,} bytes; check the network and try again"
            ) from None
        finally:
            is_over.set()
        if announced is not None and len(data) < min(announced, self.size + 1):
            raise TextError(
                f"the download of {self.url} stopped after {len(data):,} of {announced:,} bytes; "
                "check the network and try again"
            )
        return bytes(data)

    def _send_to(self, parts: "Queue[_Part]", is_over: Event) -> None:
        """Put what is received into a queue, an empty chunk at the end, or an exception."""
        try:
            with urlopen(self.url, timeout=READ_TIMEOUT) as response:
                announced: int | None = response.length
                chunk = b"..."
                while chunk and not is_over.is_set():
                    chunk = response.read1(CHUNK)  # what there is: `read` waits for all of it
                    parts.put((chunk, announced))
        except Exception as error:
            parts.put(error)


@dataclass(frozen=True)
class Local:
    """A text that needs no download."""

    read: Callable[[], str]

    @property
    def sha256(self) -> str:
        return hashlib.sha256(self.fetch()).hexdigest()

    def fetch(self, progress: Progress = ignore) -> bytes:
        """The text in UTF-8; `progress` is not called."""
        return self.read().encode()


@dataclass(frozen=True)
class Dataset:
    """A named text and its source."""

    name: str
    description: str
    license: str
    source: Download | Local


class Saved(NamedTuple):
    """The result of `get`."""

    characters: int
    written: bool  # False if the file already had this content


def find(name: str) -> Dataset:
    """The corpus with this name.

    Raises:
        TextError: the name is unknown; the message lists the known ones.
    """
    if name not in DATASETS:
        raise TextError(f"unknown corpus {name!r}; choose one of {', '.join(DATASETS)}")
    return DATASETS[name]


def get(corpus: Dataset, path: Path, *, force: bool = False, progress: Progress = ignore) -> Saved:
    """Write a corpus to a file in UTF-8, atomically.

    Creates missing directories. A file that already has this content is not written again.

    Args:
        corpus: the corpus.
        path: the file.
        force: replace a file that has other content.
        progress: called during a download.

    Raises:
        TextError: the text is unavailable, or `path` has other content or cannot be written.
    """
    existing = _digest(path)
    if existing == corpus.source.sha256:
        return Saved(len(path.read_bytes().decode()), written=False)
    if existing is not None and not force:
        raise TextError(
            f"{path} exists, but its content is not {corpus.name}; pass `force=True` to replace "
            "it, or choose another path"
        )
    data = corpus.source.fetch(progress)
    try:
        write_atomically(path, lambda file: file.write(data))
    except OSError as error:
        raise TextError(f"cannot write {path}: {_cause(error)}; choose another path") from error
    return Saved(len(data.decode()), written=True)


def _digest(path: Path) -> str | None:
    """The SHA-256 of a file; None if it does not exist."""
    try:
        if not path.exists():
            return None
        if not path.is_file():  # a directory, or a device that must not be replaced
            raise TextError(f"{path} is not a regular file; choose another path")
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise TextError(f"cannot read {path}: {_cause(error)}; choose another path") from error


def _cause(error: Exception) -> str:
    """The cause of an error on one line, without its path."""
    if isinstance(error, URLError) and isinstance(error.reason, OSError):
        return _cause(error.reason)
    if isinstance(error, OSError):
        return cause_of(error)
    return repr(error)  # its message may contain line breaks sent by the server


def _python_docs() -> str:
    try:
        from pydoc_data.topics import topics  # 0.5 MB, so only imported here
    except ImportError as error:
        raise TextError(
            "the module pydoc_data, the source of python-docs, is missing from this Python; "
            "install the complete standard library, or choose another corpus"
        ) from error
    return "\n\n".join(topics[name].strip() for name in sorted(topics)) + "\n"


def _bundled(name: str) -> str:
    """A text of this project: inside the installed package, or in `corpora` of a checkout."""
    package = Path(__file__).parents[1]
    for folder in (package / "_corpora", package.parent / "corpora"):
        if (file := folder / f"{name}.txt").is_file():
            return file.read_text(encoding="utf-8")
    raise TextError(f"the corpus {name} is missing from this installation; reinstall charlm")


DATASETS = {
    corpus.name: corpus
    for corpus in (
        Dataset(
            "ordinary-things",
            "English essays on everyday machines, written for this project",
            "MIT",
            Local(partial(_bundled, "ordinary-things")),
        ),
        Dataset(
            "xunchang-qiwu",
            "Chinese essays on household objects, written for this project",
            "MIT",
            Local(partial(_bundled, "xunchang-qiwu")),
        ),
        Dataset(
            "python-docs",
            "English reference manual of Python, 0.5 MB, from its standard library",
            "PSF-2.0",
            Local(_python_docs),
        ),
        Dataset(
            "tiny-shakespeare",
            "English plays by Shakespeare, 1.1 MB, downloaded from Karpathy's char-rnn",
            "public domain",
            Download(
                url="https://raw.githubusercontent.com/karpathy/char-rnn/master/data/tinyshakespeare/input.txt",
                size=1_115_394,
                sha256="86c4e6aa9db7c042ec79f339dcb96d42b0075e16b8fc2e86bf0ca57e2dc565ed",
            ),
        ),
    )
}
