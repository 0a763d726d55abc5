"""The text to train on, encoded and cached."""

import errno
import glob
import os
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from charlm import checks
from charlm.checks import checked, instance, optional, real, whole
from charlm.config import PLAIN_TEXT, TextConfig
from charlm.errors import ConfigError, TextError
from charlm.system.callbacks import Notify, Progress, ignore
from charlm.text.cache_folder import cache_folder
from charlm.text.corpus_cache import Cache, State, new_file, state_of, temporary_error
from charlm.text.encoder import Encoded, encode, encode_text
from charlm.text.id_sequences import IdFile, IdSequence, RecodedIds
from charlm.text.source_files import STDIN, Source, bare_name, expand
from charlm.text.text_files import converted, read_pieces
from charlm.text.vocabulary import Vocabulary, characters_of

# The default size of the validation split: a fraction of the corpus, and a maximum in characters.
HELD_OUT, MOST_HELD_OUT = 0.1, 1_000_000
PIECE = 1 << 20  # ids decoded at once

_check_fraction = optional(real(0, 1, bounds="()"))


class TooLongError(TextError):
    """A text is longer than was expected."""


def _check_sources(name: str, value: Any) -> Source | Sequence[Source]:
    """Accept a path, or several."""
    sources = [value] if isinstance(value, (str, os.PathLike)) else value
    is_list = isinstance(sources, Sequence) and not isinstance(sources, (bytes, bytearray))
    if not is_list or not sources or not all(isinstance(s, (str, os.PathLike)) for s in sources):
        raise ConfigError(name, value, "a path, or a list of at least one path")
    if not all(map(os.fspath, sources)):
        raise TextError("the path of a text is empty; specify a file, a directory or a glob")
    return value  # type: ignore[no-any-return]


@dataclass(frozen=True)
class Corpus:
    """A text to train on, and its source. `Corpus.of` and `Corpus.read` create one.

    Attributes:
        encoded: the encoded text.
        sources: the files, directories and globs it was read from, or `-`; empty for a string.
        config: how the bytes of the files became text.
        found: whether the text was in the cache, so that no file was read.
        files: the files that the sources stand for.
        bytes: their size together; None if they are not all regular files.
    """

    encoded: Encoded
    sources: tuple[str, ...] = ()
    config: TextConfig = PLAIN_TEXT
    found: bool = False
    files: tuple[str, ...] = ()
    bytes: int | None = None

    def __post_init__(self) -> None:
        by = "made by Corpus.of or Corpus.read"
        instance(Encoded, f"an encoded text, {by}")("encoded", self.encoded)
        instance(tuple, f"a tuple of paths, {by}")("sources", self.sources)
        instance(TextConfig, "a TextConfig")("config", self.config)

    @classmethod
    @checked(text=checks.corpus_text, config=instance(TextConfig, "a TextConfig"))
    def of(cls, text: str, config: TextConfig = PLAIN_TEXT) -> "Corpus":
        """The corpus of a string.

        Args:
            text: the text. A path in its place is refused.
            config: its `newlines` and `normalize` apply.

        Raises:
            TextError: the text is empty, or is the path of a file.
            ConfigError: an argument has an invalid value.
        """
        if not text:
            raise TextError("the text is empty")
        return cls(encode_text("".join(converted([text], config))), config=config)

    @classmethod
    @checked(
        sources=_check_sources,
        config=instance(TextConfig, "a TextConfig"),
        progress=checks.function,
        verify=checks.flag,
        say=checks.function,
        most=optional(whole(0)),
    )
    def read(
        cls,
        sources: Source | Sequence[Source],
        config: TextConfig = PLAIN_TEXT,
        progress: Progress = ignore,
        *,
        verify: bool = False,
        say: Notify = ignore,
        most: int | None = None,
    ) -> "Corpus":
        """Read and encode files, one after the other, or load their encoded text from the cache.

        The cache is in the user's cache directory. An entry is valid as long as the path, size and
        modification time of each file stay the same. Ids remain on disk and are read on demand.

        Args:
            sources: a file, directory, glob or `-`, or several; see `text_files.expand`.
            config: how the bytes of the files become text.
            progress: called as the files are read; not called for a cached text.
            verify: verify all of a cached text, and encode the files again if it is damaged.
                Otherwise damage to a large text is detected when the damaged part is read.
            say: called with a note for each file whose byte-order mark is dropped.
            most: the number of characters after which reading ends with an error.

        Raises:
            TextError: a file cannot be read or is not in this encoding, all files are empty, or
                the encoded text cannot be written.
            TooLongError: the text has more than `most` characters.
        """
        sources = [sources] if isinstance(sources, (str, os.PathLike)) else sources
        names = [os.fspath(source) for source in sources]
        files = expand(names)
        states = state_of(files)
        size = sum(size for _, size, _ in states) if states else None
        notes: list[str] = []
        pieces = _limited(_pieces(files, config, size, progress, notes.append), most)
        encoded, found = _encoded(files, states, pieces, config, notes, verify=verify)
        for note in notes:
            say(note)
        if not len(encoded.ids):
            raise TextError(f"{', '.join(names)}: the text is empty")
        return cls(encoded, _absolute(names), config, found, _absolute(files), size)

    @classmethod
    @checked(
        sources=_check_sources,
        config=instance(TextConfig, "a TextConfig"),
        progress=checks.function,
        say=checks.function,
    )
    def prepare(
        cls,
        sources: Source | Sequence[Source],
        config: TextConfig = PLAIN_TEXT,
        progress: Progress = ignore,
        *,
        say: Notify = ignore,
    ) -> "Corpus":
        """Encode files into the cache for a later `read`; a cached text is verified.

        Raises:
            TextError: as for `read`, or the cache cannot be written.
        """
        try:
            cache = Cache()
            if not cache.is_writable():
                raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))
        except (OSError, RuntimeError) as error:
            raise _write_error(error) from error
        corpus = cls.read(sources, config, progress, verify=True, say=say)
        if corpus.path is None:
            raise _write_error(PermissionError(errno.EACCES, "the file there is another user's"))
        return corpus

    def __len__(self) -> int:
        return len(self.encoded.ids)

    @property
    def path(self) -> Path | None:
        """The file of the encoded text in the cache; None if it is not cached."""
        return self.encoded.ids.path if isinstance(self.encoded.ids, IdFile) else None

    @property
    def name(self) -> str:
        """A name for runs on this corpus: that of its first source, as a valid directory name.

        A glob is named after its directory.
        """
        if not self.sources:
            return "text"
        source = Path(self.sources[0])
        while glob.has_magic(source.name) and str(source) not in self.files:
            source = source.parent
        stem = "stdin" if str(source) == STDIN else bare_name(source)
        valid = "".join(c if c.isalnum() or c in "-_" else "-" for c in stem)
        return valid.strip("-") or "text"  # no name that looks like an option

    @checked(min_count=whole(1))
    def vocabulary(self, min_count: int = 1) -> Vocabulary:
        """The characters that occur at least `min_count` times, with `<unk>` for any others.

        Raises:
            TextError: no character occurs so often.
        """
        return Vocabulary.frequent(self.encoded.points, self.encoded.counts, min_count)

    @checked(min_count=whole(1))
    def rare_characters(self, min_count: int) -> int:
        """The number of characters of the text that occur fewer than `min_count` times in it."""
        counts = self.encoded.counts
        return int(counts[counts < min_count].sum())

    @checked(vocabulary=instance(Vocabulary, "a Vocabulary"), val_fraction=_check_fraction)
    def split(
        self, vocabulary: Vocabulary, val_fraction: float | None = None
    ) -> tuple[IdSequence, IdSequence]:
        """Split the ids into a training split and a validation split, the end of the text.

        Args:
            vocabulary: the vocabulary of the corpus.
            val_fraction: the fraction to hold out; None for a tenth, at most a million characters.

        Returns:
            The ids of the training split and of the validation split.

        Raises:
            TextError: a split would have fewer than 2 characters.
        """
        start, stop = self._val_start(val_fraction), len(self)
        table = vocabulary.table(self.encoded.points)
        return RecodedIds(self.encoded.ids, table, 0, start), RecodedIds(
            self.encoded.ids, table, start, stop
        )

    @checked(val_fraction=_check_fraction)
    def held_out(self, val_fraction: float | None = None) -> Iterator[str]:
        """The text of the validation split, in pieces.

        Raises:
            TextError: as for `split`.
        """
        for start in range(self._val_start(val_fraction), len(self), PIECE):
            yield characters_of(self.encoded.points[self.encoded.ids[start : start + PIECE]])

    def _val_start(self, val_fraction: float | None) -> int:
        """The start of the validation split."""
        held_out = round(len(self) * (HELD_OUT if val_fraction is None else val_fraction))
        if val_fraction is None:
            held_out = min(held_out, MOST_HELD_OUT)
        if held_out < 2 or len(self) - held_out < 2:
            raise TextError(
                f"the corpus has {len(self):,} characters, {held_out:,} of them in the validation "
                "split; each split needs at least 2; use a longer text or another `val_fraction`"
            )
        return len(self) - held_out


def _absolute(names: Iterable[str]) -> tuple[str, ...]:
    return tuple(name if name == STDIN else os.path.abspath(name) for name in names)


def _encoded(
    files: list[str],
    states: list[State] | None,
    pieces: Iterator[str],
    config: TextConfig,
    notes: list[str],
    *,
    verify: bool,
) -> tuple[Encoded, bool]:
    """The encoded text of files, from the cache if possible, and whether it was found there.

    `notes` receives those of reading, also of a text that is found.
    """
    cache = None
    with suppress(OSError, RuntimeError):  # no cache directory, or the user has no home directory
        cache = Cache()
    if cache and states and (found := cache.find(states, config, notes, verify=verify)):
        return found, True
    if not cache or not cache.is_writable():
        try:
            return encode(pieces, new_file), False
        except OSError as error:
            raise temporary_error(error) from error
    try:
        with cache.new_files() as new:
            encoded = encode(pieces, new)
            encoded = cache.load(encoded.sha256, verify=verify) or cache.keep(encoded)
        if states and states == state_of(files):
            cache.record(states, config, notes, encoded.sha256)
    except OSError as error:
        raise _write_error(error) from error
    return encoded, False


def _write_error(error: OSError | RuntimeError) -> TextError:
    where = f" in {cache_folder()}" if isinstance(error, OSError) else ""
    cause = getattr(error, "strerror", None) or error
    is_full = getattr(error, "errno", None) in (errno.ENOSPC, errno.EDQUOT)
    clear = "run charlm corpus cache clear, or " if is_full else ""
    return TextError(
        f"cannot write the encoded corpus{where}: {cause}; {clear}set CHARLM_CACHE to another "
        "directory"
    )


def _pieces(
    files: list[str], config: TextConfig, size: int | None, progress: Progress, say: Notify
) -> Iterator[str]:
    """Read files one after the other, in pieces."""
    done = 0

    def advance(more: int) -> None:
        nonlocal done
        done += more
        progress(done, size)

    for file in files:
        yield from read_pieces(file, config, advance, say=say)


def _limited(pieces: Iterator[str], most: int | None) -> Iterator[str]:
    """The pieces of a text, which must not have more than `most` characters."""
    count = 0
    for text in pieces:
        count += len(text)
        if most is not None and count > most:
            raise TooLongError(f"the text has more than {most:,} characters")
        yield text
