"""From files to ids: reading a corpus, its vocabulary, its split, its streams."""

import codecs
import hashlib
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from charlm.arrays import Array
from charlm.errors import TextError

Ids = NDArray[np.unsignedinteger[Any]]

STDIN = "-"
NEWLINE = b"\n"


def code_points(text: str) -> NDArray[np.uint32]:
    """The code point of each character, lone surrogates included."""
    return np.frombuffer(text.encode("utf-32-le", "surrogatepass"), np.uint32)


class Vocabulary:
    """The distinct characters of a text, numbered in the order of their code points.

    Args:
        points: code points, strictly increasing.
    """

    def __init__(self, points: NDArray[np.uint32]) -> None:
        self.points = points

    @classmethod
    def of(cls, text: str) -> "Vocabulary":
        """The vocabulary of all that occurs in a text.

        Raises:
            TextError: the text is empty.
        """
        if not text:
            raise TextError("an empty text has no characters to learn")
        return cls(np.unique(code_points(text)))

    def __len__(self) -> int:
        return len(self.points)

    @property
    def characters(self) -> str:
        """All characters, in the order of their ids."""
        return self.decode(np.arange(len(self)))

    def encode(self, text: str) -> tuple[Ids, str]:
        """The ids of a text's known characters, and its unknown characters.

        Returns:
            Ids of the smallest unsigned type, `(number of known characters,)`; and each
            character that the vocabulary lacks as often as it occurs, in the text's order.
        """
        points = code_points(text)
        ids = np.searchsorted(self.points, points)
        ids[ids == len(self)] = 0
        known = self.points[ids] == points
        unknown = points[~known].tobytes().decode("utf-32-le", "surrogatepass")
        return ids[known].astype(np.min_scalar_type(len(self) - 1)), unknown

    def decode(self, ids: Array) -> str:
        """The text of ids, `(N,)`."""
        return self.points[ids].tobytes().decode("utf-32-le", "surrogatepass")


def read_text(path: str | Path, encoding: str = "utf-8") -> str:
    """The text of a file, or of standard input for `-`, its newlines as they are.

    A byte-order mark at the start of UTF-8 is dropped.

    Raises:
        TextError: the file cannot be read, or is not in that encoding.
    """
    name = "standard input" if path == STDIN else str(path)
    if path == STDIN and sys.stdin is None:
        raise TextError("cannot read standard input: it is closed")
    try:
        data = sys.stdin.buffer.read() if path == STDIN else Path(path).read_bytes()
    except (OSError, ValueError) as error:  # a path with a NUL is a ValueError
        cause = getattr(error, "strerror", None) or error
        raise TextError(f"cannot read {name}: {cause}") from error
    try:
        is_marked = codecs.lookup(encoding).name == "utf-8" and data.startswith(codecs.BOM_UTF8)
        mark = len(codecs.BOM_UTF8) if is_marked else 0
        return data[mark:].decode(encoding)
    except UnicodeDecodeError as error:
        start = mark + error.start
        raise TextError(
            f"{name} is not {encoding}: {error.reason} at byte {start}, "
            f"line {data.count(NEWLINE, 0, start) + 1}; name the right --encoding"
        ) from error
    except (LookupError, ValueError) as error:
        raise TextError(f"{encoding!r} is not an encoding that Python knows") from error


def listed(characters: str, most: int = 10) -> str:
    """Distinct characters for a message, as 'a', '\\n' and U+4E2D where it cannot be shown."""
    distinct = sorted(set(characters))
    shown = ", ".join(
        repr(c) if c.isprintable() or c.isspace() else f"U+{ord(c):04X}" for c in distinct[:most]
    )
    rest = len(distinct) - most
    return f"{shown} and {rest} more" if rest > 0 else shown


@dataclass(frozen=True)
class Corpus:
    """A text to train on, and where it came from.

    Attributes:
        text: all of it; the vocabulary is that of the whole.
        sources: the files it was read from, or `-`; empty for a text given from Python.
        encoding: the encoding it was read in.
    """

    text: str
    sources: tuple[str, ...] = ()
    encoding: str = "utf-8"

    @classmethod
    def read(cls, sources: Sequence[str | Path], encoding: str = "utf-8") -> "Corpus":
        """The texts of files, one after the other.

        Raises:
            TextError: as `read_text`.
        """
        text = "".join(read_text(source, encoding) for source in sources)
        if not text:
            raise TextError(f"{', '.join(map(str, sources))}: an empty text, nothing to learn from")
        names = tuple(
            STDIN if source == STDIN else str(Path(source).resolve()) for source in sources
        )
        return cls(text, names, encoding)

    @property
    def name(self) -> str:
        """What a run on it is called: its first file's name, made safe for a directory's."""
        if not self.sources:
            return "text"
        stem = "stdin" if self.sources[0] == STDIN else Path(self.sources[0]).stem
        return "".join(c if c.isalnum() or c in "-_" else "-" for c in stem) or "text"

    @property
    def sha256(self) -> str:
        """The hash of the text as UTF-8."""
        return hashlib.sha256(self.text.encode("utf-8", "surrogatepass")).hexdigest()

    def split(self, vocabulary: Vocabulary, val_fraction: float) -> tuple[Ids, Ids]:
        """The ids to train on, and those of the last part, which is held out.

        Raises:
            TextError: the text is too short for two characters in either part.
        """
        ids, _ = vocabulary.encode(self.text)
        held_out = round(len(ids) * val_fraction)
        if held_out < 2 or len(ids) - held_out < 2:
            raise TextError(
                f"the corpus has {len(ids):,} characters, of which {held_out:,} would be held out "
                f"for validation; training and validation need at least 2 each"
            )
        return ids[: len(ids) - held_out], ids[len(ids) - held_out :]


class Chunk(NamedTuple):
    """What a step of training reads.

    Attributes:
        x: input ids `(T, B)`.
        y: the id that follows each, `(T, B)`.
        after: the ids that follow y, `(R, B)`, fewer at the end of an epoch.
        is_first: whether an epoch starts here, so that the streams have no state to carry.
    """

    x: Array
    y: Array
    after: Array
    is_first: bool


class Streams:
    """A text cut into contiguous streams that are read side by side, a chunk at a time.

    Stream b starts with character b·L, L = (N-1) // B, and its targets are the L characters
    after that. The streams lie in one time-major array `(L+1, B)`; the input of a chunk and its
    targets are views of it, one character apart.

    Args:
        ids: `(N,)`, at least two.
        batch_size: B; fewer where the text has not a chunk for each.
        seq_len: T; the last chunk of an epoch may be shorter.
        lookahead: R, how many characters after its targets come with a chunk.
    """

    def __init__(self, ids: Ids, batch_size: int, seq_len: int, lookahead: int = 0) -> None:
        targets = len(ids) - 1
        self.batch_size = max(1, min(batch_size, targets // seq_len))
        self.seq_len, self.lookahead = seq_len, lookahead
        self.length = targets // self.batch_size
        self._columns = np.empty((self.length + 1, self.batch_size), ids.dtype)
        for b in range(self.batch_size):
            start = b * self.length
            self._columns[:, b] = ids[start : start + self.length + 1]

    @property
    def steps_per_epoch(self) -> int:
        """The chunks in one pass over the text."""
        return -(-self.length // self.seq_len)

    def chunk(self, step: int) -> Chunk:
        """The chunk of step `step`, counted from 0 over all epochs."""
        start = step % self.steps_per_epoch * self.seq_len
        stop = min(start + self.seq_len, self.length)
        x, rest = self._columns[start:stop], self._columns[start + 1 :]
        y, after = rest[: len(x)], rest[len(x) : len(x) + self.lookahead]
        return Chunk(x, y, after, start == 0)
