"""The text to train on, encoded and cached."""

import errno
import glob
import os
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from itertools import accumulate
from pathlib import Path
from typing import Any

import numpy as np

from charlm import checks
from charlm.checks import checked, instance, optional, real, whole
from charlm.errors import ConfigError, TextError, cause_of, in_short
from charlm.system.callbacks import Notify, Progress, ignore
from charlm.text.cache_folder import cache_folder
from charlm.text.config import PLAIN_TEXT, TextConfig
from charlm.text.corpus_cache import Cache, State, new_file, state_of, temporary_error
from charlm.text.documents import Part, documents_of
from charlm.text.encoder import Encoded, encode, encode_text
from charlm.text.id_sequences import IdFile
from charlm.text.known_texts import known_texts
from charlm.text.source_files import STDIN, Source, bare_name, expand
from charlm.text.splits import Texts, cut_texts, draw_documents
from charlm.text.text_files import converted_file, converted_text, read_pieces
from charlm.text.vocabulary import Vocabulary

PIECE = 1 << 20  # ids decoded at once

_check_fraction = optional(real(0, 1, bounds="[)"))


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
    def of(cls, text: str | Sequence[str], config: TextConfig = PLAIN_TEXT) -> "Corpus":
        """The corpus of a string, or of a list of documents.

        Args:
            text: the text, or documents. A path in place of a text is refused.
            config: its `newlines` and `normalize` apply, and what a document is in a text. A list
                is by default one of lines, or of files if a document contains a newline.

        Raises:
            TextError: the text or each document is empty, or the text is a path.
            RecordError: a record is invalid, or has no such column or field.
            ConfigError: an argument has an invalid value.
        """
        if not isinstance(text, str):
            documents = [converted_text(document, config) for document in text]
            if not config.has_documents:
                is_lines = not any("\n" in document for document in documents)
                config = replace(config, lines=is_lines, files=not is_lines)
        elif config.has_documents:
            groups = documents_of(converted_file([text], config), config, "the text")
            documents = [document for group in groups for document in group]
        else:
            documents = [converted_text(text, config)]
        if not any(documents):
            are_documents = documents and config.has_documents
            raise TextError(f"{'all documents are' if are_documents else 'the text is'} empty")
        return cls(encode_text(*filter(None, documents)), config=config)

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
            sources: a file, directory, glob or `-`, or several; see `source_files.expand`.
            config: how the bytes of the files become text.
            progress: called as the files are read; not called for a cached text.
            verify: verify all of a cached text, and encode the files again if it is damaged.
                Otherwise damage to a large text is detected when the damaged part is read.
            say: called with the notes of reading, also for a cached text: on each file with a
                byte-order mark that is dropped or with invalid bytes that are replaced or skipped,
                on files without the separator of documents, on empty documents, and on files that
                get a newline at their end.
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
        parts = _limited(_parts(files, config, size, progress, notes.append), most)
        encoded, found = _encoded(files, states, parts, config, notes, verify=verify)
        for note in notes:
            say(note)
        if not len(encoded.ids):
            what = "all documents are" if config.has_documents else "the text is"
            raise TextError(f"{', '.join(names)}: {what} empty")
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

    @checked(vocabulary=instance(Vocabulary, "a Vocabulary"))
    def texts(self, vocabulary: Vocabulary) -> tuple[Texts, int]:
        """All texts or documents as ids of a vocabulary, and the number of unknown characters.

        Unknown characters become the unknown token, or are left out if there is none.
        """
        are_documents = self.config.has_documents
        return known_texts(self.encoded, vocabulary, are_documents=are_documents)

    @checked(vocabulary=instance(Vocabulary, "a Vocabulary"), val_fraction=_check_fraction)
    def split(
        self, vocabulary: Vocabulary, val_fraction: float | None = None, random_seed: int = 0
    ) -> tuple[Texts, Texts]:
        """Split the corpus into a training split and a validation split.

        What is held out depends on the text alone: the vocabulary, which `min_count` makes smaller,
        neither moves a cut nor changes the draw.

        Args:
            vocabulary: the vocabulary of the corpus, which knows each of its characters or has
                `<unk>`.
            val_fraction: the fraction to hold out; None for a tenth, at most a million characters;
                0 for none.
            random_seed: selects the documents.

        Returns:
            The training split and the validation split, as ids of the vocabulary; see `splits`.

        Raises:
            TextError: there is too little to split.
            ConfigError: the vocabulary is that of another corpus.
        """
        if vocabulary.unk_id is None and (vocabulary.numbers(self.encoded.points) < 0).any():
            expected = "that of the corpus, with all of its characters or <unk>"
            raise ConfigError("vocabulary", vocabulary.characters, expected)
        own = Texts.of(self.encoded.ids, self.encoded.ends)
        if self.config.has_documents:
            parts = draw_documents(own, val_fraction, random_seed)
        else:
            parts = cut_texts(own, val_fraction, None if self.config.joined else self._newline)
        texts, _ = self.texts(vocabulary)  # an id for each of the corpus, so positions are the same
        train, val = (replace(part, ids=texts.ids, boundary=texts.boundary) for part in parts)
        return train, val

    @property
    def _newline(self) -> int | None:
        """The newline among the ids of the encoded text; None if it has none."""
        found = np.flatnonzero(self.encoded.points == ord("\n")).tolist()
        return found[0] if found else None

    @checked(val_fraction=_check_fraction)
    def held_out(
        self, val_fraction: float | None = None, random_seed: int = 0
    ) -> Iterator[Iterator[str]]:
        """The texts or documents of the validation split, each in pieces.

        Raises:
            TextError: as for `split`.
        """
        vocabulary = self.vocabulary()
        return _decoded(self.split(vocabulary, val_fraction, random_seed)[1], vocabulary)

    def contents(self) -> Iterator[Iterator[str]]:
        """All texts or documents of the corpus, each in pieces."""
        vocabulary = self.vocabulary()
        return _decoded(self.texts(vocabulary)[0], vocabulary)


def _decoded(texts: Texts, vocabulary: Vocabulary) -> Iterator[Iterator[str]]:
    """Texts as characters, each in pieces."""
    for start, stop in zip(texts.starts.tolist(), texts.stops.tolist(), strict=True):
        pieces = range(start, stop, PIECE)
        yield (vocabulary.decode(texts.ids[k : min(k + PIECE, stop)]) for k in pieces)


def _absolute(names: Iterable[str]) -> tuple[str, ...]:
    return tuple(name if name == STDIN else os.path.abspath(name) for name in names)


def _encoded(
    files: list[str],
    states: list[State] | None,
    parts: Iterator[Part],
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
            return encode(parts, new_file), False
        except OSError as error:
            raise temporary_error(error) from error
    try:
        with cache.new_files() as new:
            encoded = encode(parts, new)
            encoded = cache.load(encoded.sha256, verify=verify) or cache.keep(encoded)
        if states and states == state_of(files):
            cache.record(states, config, notes, encoded.sha256)
    except OSError as error:
        raise _write_error(error) from error
    return encoded, False


def _write_error(error: OSError | RuntimeError) -> TextError:
    where = f" in {cache_folder()}" if isinstance(error, OSError) else ""
    is_full = getattr(error, "errno", None) in (errno.ENOSPC, errno.EDQUOT)
    clear = "run charlm corpus cache clear, or " if is_full else ""
    return TextError(
        f"cannot write the encoded corpus{where}: {cause_of(error)}; {clear}set CHARLM_CACHE to "
        "another directory"
    )


def _parts(
    files: list[str], config: TextConfig, size: int | None, progress: Progress, say: Notify
) -> Iterator[Part]:
    """Read files one after the other, in parts of texts or documents."""
    done = 0

    def advance(more: int) -> None:
        nonlocal done
        done += more
        progress(done, size)

    empty = unended = 0
    unseparated: list[str] = []
    for file in files:
        pieces = read_pieces(file, config, advance, say=say)
        if config.has_documents:
            for group in documents_of(pieces, config, file, unseparated.append):
                documents = [document for document in group if document]
                empty += len(group) - len(documents)
                yield Part("".join(documents), list(accumulate(map(len, documents))))
            continue
        last = ""
        for piece in pieces:
            yield Part(piece, [])
            last = piece[-1:] or last
        if last and len(files) > 1 and not config.joined:
            unended += last != "\n"
            yield Part("", [0]) if last == "\n" else Part("\n", [1])
    if unseparated:
        say(
            f"files without the separator {in_short(config.separator)}, each read as one document: "
            f"{len(unseparated):,} of {len(files):,}"
        )
    if empty:
        say(f"empty documents left out: {empty:,}")
    if unended:
        say(f"files without a newline at the end, which got one: {unended:,}")


def _limited(parts: Iterator[Part], most: int | None) -> Iterator[Part]:
    """The parts of a corpus, which must not have more than `most` characters."""
    count = 0
    for part in parts:
        count += len(part.text)
        if most is not None and count > most:
            raise TooLongError(f"the text has more than {most:,} characters")
        yield part
