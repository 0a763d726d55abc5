"""The text to train on: read once, encoded, and kept."""

import errno
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from charlm.errors import TextError
from charlm.text.corpus_cache import Cache, cache_folder, new_file, state_of
from charlm.text.encoder import Encoded, encode, encode_text
from charlm.text.id_sequences import IdFile, IdSequence, RecodedIds
from charlm.text.text_files import STDIN, Say, Source, bare_name, expand, read_pieces, silent
from charlm.text.vocabulary import Vocabulary, characters_of

HELD_OUT, MOST_HELD_OUT = 0.1, 1_000_000  # of a corpus by default, and characters at most
PIECE = 1 << 20  # ids decoded at once

# Called with the bytes of the files that were read, and those there are, None if that is not known.
Progress = Callable[[int, int | None], object]


def _silent(done: int, total: int | None) -> None:
    """Follow nothing."""


@dataclass(frozen=True)
class Corpus:
    """A text to train on, and where it came from.

    Attributes:
        encoded: all of it; `Corpus.of` and `Corpus.read` make it.
        sources: the files, directories and globs it was read from, or `-`; empty for a text given
            from Python.
        encoding: the encoding it was read in.
        found: whether it was in the cache, so that no file had to be read.
        newlines: "keep" if its line ends are those of the files, "lf" if all were made newlines.
    """

    encoded: Encoded
    sources: tuple[str, ...] = ()
    encoding: str = "utf-8"
    found: bool = False
    newlines: str = "keep"

    @classmethod
    def of(cls, text: str) -> "Corpus":
        """A text that is in memory.

        Raises:
            TextError: it is empty.
        """
        if not text:
            raise TextError("an empty text has no characters to learn")
        return cls(encode_text(text))

    @classmethod
    def read(
        cls,
        sources: Source | Sequence[Source],
        encoding: str = "utf-8",
        progress: Progress = _silent,
        *,
        newlines: str = "keep",
        verify: bool = False,
        say: Say = silent,
    ) -> "Corpus":
        """The texts of files, one after the other, encoded now or before.

        An encoded text is kept in the user's cache, and used again while the path, the size and
        the time of each file are what they were; the ids stay in the file and are read as they
        are needed.

        Args:
            sources: a file, directory, glob or `-`, or several; see `text_files.expand`.
            encoding: of all of them.
            progress: called as the files are read; not where that has been done before.
            newlines: "keep" for line ends as they are, "lf" to make all of them newlines.
            verify: whether to read all of an encoded text that was kept, and to make it again if
                it is damaged, even if that takes long; else damage to a large one is noticed
                when what is damaged is needed.
            say: called with a line for each file, as it is read, whose byte-order mark is dropped.

        Raises:
            TextError: a file cannot be read or is not in that encoding; there is no text in
                them; or there is no room for the encoded text.
            ConfigError: `newlines` is something else.
        """
        sources = [sources] if isinstance(sources, (str, Path)) else sources
        files = expand(sources)
        read = partial(read_pieces, encoding=encoding, newlines=newlines, say=say)
        pieces = _pieces(files, read, progress)
        encoded, found = _encoded(files, pieces, encoding, newlines, verify=verify)
        if not len(encoded.ids):
            raise TextError(f"{', '.join(map(str, sources))}: an empty text, nothing to learn from")
        names = (name if name == STDIN else os.path.abspath(name) for name in map(str, sources))
        return cls(encoded, tuple(names), encoding, found, newlines)

    @classmethod
    def prepare(
        cls,
        sources: Source | Sequence[Source],
        encoding: str = "utf-8",
        progress: Progress = _silent,
        *,
        newlines: str = "keep",
        say: Say = silent,
    ) -> "Corpus":
        """As `read`, to be read again later: what is kept is verified.

        Raises:
            TextError: as `read`; or an encoded text cannot be kept.
            ConfigError: as `read`.
        """
        try:
            cache = Cache()
            if not cache.is_writable():
                raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))
        except (OSError, RuntimeError) as error:
            raise _not_kept(error) from error
        return cls.read(sources, encoding, progress, newlines=newlines, verify=True, say=say)

    def __len__(self) -> int:
        return len(self.encoded.ids)

    @property
    def path(self) -> Path | None:
        """The file in the cache that holds the encoded text; None if it is not kept."""
        return self.encoded.ids.path if isinstance(self.encoded.ids, IdFile) else None

    @property
    def name(self) -> str:
        """What a run on it is called: its first file's name, made safe for a directory's."""
        if not self.sources:
            return "text"
        stem = "stdin" if self.sources[0] == STDIN else bare_name(self.sources[0])
        return "".join(c if c.isalnum() or c in "-_" else "-" for c in stem) or "text"

    def vocabulary(self, min_count: int = 1) -> Vocabulary:
        """The characters that occur so often, and a sign for the others, if there are any.

        Raises:
            TextError: none occurs so often.
        """
        return Vocabulary.frequent(self.encoded.points, self.encoded.counts, min_count)

    def rare_characters(self, min_count: int) -> int:
        """How many of its characters occur less often, each counted as often as it does."""
        counts = self.encoded.counts
        return int(counts[counts < min_count].sum())

    def split(
        self, vocabulary: Vocabulary, val_fraction: float | None = None
    ) -> tuple[IdSequence, IdSequence]:
        """The ids to train on, and those of the last part, which is held out.

        Args:
            vocabulary: of the corpus.
            val_fraction: the part to hold out; None for a tenth, but a million characters at most.

        Raises:
            TextError: the text is too short for two characters in either part.
        """
        start, stop = self._held_out(val_fraction), len(self)
        table = vocabulary.table(self.encoded.points)
        return RecodedIds(self.encoded.ids, table, 0, start), RecodedIds(
            self.encoded.ids, table, start, stop
        )

    def held_out(self, val_fraction: float | None = None) -> Iterator[str]:
        """The last part, which `split` holds out, in pieces.

        Raises:
            TextError: the text is too short to be split.
        """
        for start in range(self._held_out(val_fraction), len(self), PIECE):
            yield characters_of(self.encoded.points[self.encoded.ids[start : start + PIECE]])

    def _held_out(self, val_fraction: float | None) -> int:
        """Where the held-out part starts."""
        held_out = round(len(self) * (HELD_OUT if val_fraction is None else val_fraction))
        if val_fraction is None:
            held_out = min(held_out, MOST_HELD_OUT)
        if held_out < 2 or len(self) - held_out < 2:
            raise TextError(
                f"the corpus has {len(self):,} characters, of which {held_out:,} would be held out "
                f"for validation; training and validation need at least 2 each"
            )
        return len(self) - held_out


def _encoded(
    files: list[str], pieces: Iterable[str], encoding: str, newlines: str, *, verify: bool
) -> tuple[Encoded, bool]:
    """The text of files, and whether it was in the cache; if not, it is put there."""
    states = state_of(files)
    try:
        cache = Cache()
    except (OSError, RuntimeError):  # no folder can be made there, or nobody is at home
        return encode(pieces, new_file), False
    if states and (found := cache.find(states, encoding, newlines, verify=verify)):
        return found, True
    if not cache.is_writable():
        return encode(pieces, new_file), False
    try:
        with cache.new_files() as new:
            encoded = encode(pieces, new)
            encoded = cache.load(encoded.sha256, verify=verify) or cache.keep(encoded)
        if states and states == state_of(files):
            cache.note(states, encoding, newlines, encoded.sha256)
    except OSError as error:
        raise _not_kept(error) from error
    return encoded, False


def _not_kept(error: OSError | RuntimeError) -> TextError:
    where = f" in {cache_folder()}" if isinstance(error, OSError) else ""
    cause = getattr(error, "strerror", None) or error
    return TextError(
        f"cannot write the encoded corpus{where}: {cause}; name another folder in the variable "
        "CHARLM_CACHE"
    )


def _pieces(
    files: list[str], read: Callable[..., Iterator[str]], progress: Progress
) -> Iterator[str]:
    """The text of files, one after the other."""
    states = state_of(files)
    total = sum(size for _, size, _ in states) if states else None
    done = 0

    def follow(size: int) -> None:
        nonlocal done
        done += size
        progress(done, total)

    for file in files:
        yield from read(file, progress=follow)
