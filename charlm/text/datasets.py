"""The corpora one can get by name: `get(find("python-docs"), Path("python-docs.txt"))`.

Two are written for this project and come with it, one is made from the standard library, and
one is downloaded and checked. Whatever goes wrong is a `TextError`, and what was at the path
before is then still there, untouched.
"""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from http.client import HTTPException
from pathlib import Path
from typing import NamedTuple
from urllib.error import HTTPError, URLError
from urllib.request import urlopen

from charlm.errors import TextError
from charlm.system.atomic_files import write_atomically

READ_TIMEOUT = 10.0  # seconds a read
CHUNK = 1 << 16  # bytes a read

# Called with the bytes that have arrived and the bytes announced, None where none were.
Progress = Callable[[int, int | None], None]


@dataclass(frozen=True)
class Download:
    """A text on the web, known by its size in bytes and its SHA-256."""

    url: str
    size: int
    sha256: str

    def fetch(self, progress: Progress | None = None) -> bytes:
        """The text in UTF-8.

        Raises:
            TextError: there is no connection, it breaks off, or it brings another text.
        """
        try:
            data = self._receive(progress)
        except HTTPError as error:
            error.close()
            raise TextError(
                f"cannot download {self.url}: the server answered {error.code}; try later"
            ) from error
        except (OSError, HTTPException) as error:
            raise TextError(
                f"cannot download {self.url}: {_cause(error)}; check the network, or try later"
            ) from error
        if (got := hashlib.sha256(data).hexdigest()) != self.sha256:
            raise TextError(
                f"{self.url} brought another text, of SHA-256 {got} where {self.sha256} was "
                "expected; look whether something on the way answers in its place, or try later"
            )
        return data

    def _receive(self, progress: Progress | None) -> bytes:
        data = bytearray()
        with urlopen(self.url, timeout=READ_TIMEOUT) as response:
            announced: int | None = response.length
            # One byte too many is enough to know that it is another text.
            while len(data) <= self.size and (chunk := response.read(CHUNK)):
                data += chunk
                if progress:
                    progress(len(data), announced)
        if announced is not None and len(data) < min(announced, self.size + 1):
            raise TextError(
                f"the download of {self.url} broke off after {len(data):,} of {announced:,} bytes; "
                "check the network, or try later"
            )
        return bytes(data)


@dataclass(frozen=True)
class Local:
    """A text that is already on this machine."""

    read: Callable[[], str]

    @property
    def sha256(self) -> str:
        return hashlib.sha256(self.fetch()).hexdigest()

    def fetch(self, progress: Progress | None = None) -> bytes:
        """The text in UTF-8; there is no progress to follow."""
        return self.read().encode()


@dataclass(frozen=True)
class Dataset:
    """A text with a name, and where it comes from."""

    name: str
    description: str
    license: str
    source: Download | Local


class Saved(NamedTuple):
    """What `get` did."""

    characters: int
    written: bool  # False: the file was there already, with this very text


def find(name: str) -> Dataset:
    """The corpus of that name.

    Raises:
        TextError: there is none; the message lists those there are.
    """
    if name not in DATASETS:
        raise TextError(f"there is no corpus {name!r}; the corpora are {', '.join(DATASETS)}")
    return DATASETS[name]


def get(
    corpus: Dataset, path: Path, *, force: bool = False, progress: Progress | None = None
) -> Saved:
    """Write the text of `corpus` to the file `path` in UTF-8, all of it or nothing.

    Missing folders are made. A file that already holds this text is kept, one that holds
    anything else is replaced only with `force`. `progress` follows a download.

    Raises:
        TextError: the text cannot be had, or `path` is taken or cannot be written.
    """
    existing = _digest(path)
    if existing == corpus.source.sha256:
        return Saved(len(path.read_bytes().decode()), written=False)
    if existing is not None and not force:
        raise TextError(
            f"{path} exists and is not {corpus.name}; use --force to replace it, or another path"
        )
    data = corpus.source.fetch(progress)
    try:
        write_atomically(path, lambda file: file.write(data))
    except OSError as error:
        raise TextError(f"cannot write {path}: {_cause(error)}; choose another path") from error
    return Saved(len(data.decode()), written=True)


def _digest(path: Path) -> str | None:
    """The SHA-256 of the file, None where there is none."""
    try:
        if not path.exists():
            return None
        if not path.is_file():  # a folder, or a device that must not be replaced
            raise TextError(f"{path} is not a regular file; choose another path")
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise TextError(f"cannot read {path}: {_cause(error)}; choose another path") from error


def _cause(error: Exception) -> str:
    """What happened, on one line, without the wrapping and without naming the path again."""
    if isinstance(error, URLError) and isinstance(error.reason, OSError):
        return _cause(error.reason)
    if isinstance(error, OSError):
        return error.strerror or str(error)
    return repr(error)  # it may quote what the server sent, line breaks and all


def _python_docs() -> str:
    try:
        from pydoc_data.topics import topics  # half a megabyte that nothing else needs
    except ImportError as error:
        raise TextError(
            "this Python came without pydoc_data, which python-docs is made from; "
            "use a complete Python or another corpus"
        ) from error
    return "\n\n".join(topics[name].strip() for name in sorted(topics)) + "\n"


def _bundled(name: str) -> str:
    """A text of the folder `corpora`: in the package when installed, beside it in a checkout."""
    package = Path(__file__).parents[1]
    for folder in (package / "_corpora", package.parent / "corpora"):
        if (file := folder / f"{name}.txt").is_file():
            return file.read_text(encoding="utf-8")
    raise TextError(f"the text of {name} is missing from this installation; reinstall charlm")


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
