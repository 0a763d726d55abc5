"""A model's corpus, read again from the files that its checkpoint names.

A checkpoint may be forged and name any file. So names are taken literally, and only regular files
are read, no larger than the corpus: no glob or directory is followed, which might be all of the
disk, and no device, pipe or file of `/proc`, which might never end.
"""

import glob
import os
import stat
from collections.abc import Iterator
from dataclasses import replace
from itertools import pairwise

import numpy as np

from charlm.errors import TextError, cause_of
from charlm.system.callbacks import Notify, Progress, ignore
from charlm.text.config import TextConfig
from charlm.text.corpus import Corpus, TooLongError
from charlm.text.source_files import STDIN
from charlm.text.splits import Texts
from charlm.text.vocabulary import Vocabulary, characters_of
from charlm.training.checkpoint import CorpusInfo, TrainingState

MAX_CHARACTER = 4  # bytes of a character in any encoding
MAX_OVERHEAD = 1_000  # bytes of a file besides its characters, such as the header of a .gz
LISTED = 3  # sources named in a message

PIECE = 1 << 20  # characters decoded at once

SCORE = "specify a text to score"
KNOWN = "omit `known`"
BASELINE = "omit `baseline`"


def read_held_out(training: TrainingState | None, config: TextConfig) -> Iterator[Iterator[str]]:
    """The held-out texts, each in pieces; see `LanguageModel.held_out`."""
    settings = _known(training, SCORE)
    info = settings.corpus
    if info.validation:
        return _unchanged(info.validation, config, SCORE, "validated").contents()
    if settings.config.val_fraction == 0:
        raise TextError(f"the model was trained without a validation split; {SCORE}")
    corpus = _unchanged(info, config, SCORE)
    return corpus.held_out(settings.config.val_fraction, settings.config.random_seed)


def read_training_split(
    training: TrainingState | None, config: TextConfig, vocabulary: Vocabulary
) -> Texts:
    """The training split of a model's corpus, as ids of its vocabulary.

    Raises:
        TextError: the corpus is unknown, is missing, or has changed.
    """
    settings = _known(training, BASELINE)
    corpus = _unchanged(settings.corpus, config, BASELINE)
    fraction = 0 if settings.corpus.validation else settings.config.val_fraction
    return corpus.split(vocabulary, fraction, settings.config.random_seed)[0]


def read_documents(training: TrainingState | None, config: TextConfig) -> Iterator[str]:
    """The documents of a model's corpus, those of the validation split too.

    Raises:
        TextError: the corpus is unknown, is missing, or has changed.
    """
    encoded = _unchanged(_known(training, KNOWN).corpus, config, KNOWN).encoded
    first = start = 0
    while first < len(encoded.ends):
        last = int(np.searchsorted(encoded.ends, start + PIECE, side="right"))
        ends = encoded.ends[first : max(last, first + 1)].tolist()
        text = characters_of(encoded.points[encoded.ids[start : ends[-1]]])
        for begin, end in pairwise([start, *ends]):
            yield text[begin - start : end - start]
        first, start = first + len(ends), ends[-1]


def _known(training: TrainingState | None, remedy: str) -> TrainingState:
    if training is None:
        raise TextError(f"the files of the model's corpus are unknown; {remedy}")
    return training


def _unchanged(info: CorpusInfo, config: TextConfig, remedy: str, used: str = "trained") -> Corpus:
    """The corpus that a checkpoint describes, which must not have changed."""
    corpus = read_again(info, config, remedy, used=used)
    if corpus.encoded.sha256 != info.sha256:
        raise _changed(info, remedy)
    return corpus


def read_again(
    info: CorpusInfo,
    config: TextConfig,
    remedy: str,
    progress: Progress = ignore,
    say: Notify = ignore,
    used: str = "trained",
) -> Corpus:
    """Read the corpus that a checkpoint describes; the text may have changed.

    Args:
        info: the corpus in the checkpoint.
        config: how the bytes of its files become text.
        remedy: what to do if the files cannot be used, for the message.
        progress: as for `Corpus.read`.
        say: as for `Corpus.read`.
        used: what the model was with it, "trained" or "validated", for the message.

    Raises:
        TextError: the checkpoint names no files, or one that is missing or not a regular file, or
            they cannot be the corpus.
    """
    if not info.sources:
        raise TextError(f"the files that the model was {used} on are unknown; {remedy}")
    if STDIN in info.sources:
        raise TextError(f"the model was {used} on standard input; {remedy}")
    names = info.files or info.sources
    sizes = {name: _size(name, remedy, used) for name in names}
    files = [name for name in names if sizes[name]]  # the files of /proc have no size
    most = MAX_CHARACTER * info.characters + MAX_OVERHEAD * len(files)
    if not files or sum(sizes.values()) > (most if info.bytes is None else info.bytes):
        raise _changed(info, remedy)
    try:
        corpus = Corpus.read(files, config, progress, say=say, most=info.characters)
    except TooLongError:
        raise _changed(info, remedy) from None
    return replace(corpus, sources=info.sources, files=names)


def _size(name: str, remedy: str, used: str) -> int:
    """The size of a regular file."""
    try:
        status = os.stat(name)
    except (OSError, ValueError) as error:  # a path with a NUL is a ValueError
        if glob.has_magic(name):
            raise TextError(f"the model was {used} on the files {name}; {remedy}") from error
        raise TextError(f"cannot read {name}: {cause_of(error)}; {remedy}") from error
    if stat.S_ISDIR(status.st_mode):
        raise TextError(f"the model was {used} on the directory {name}; {remedy}")
    if not stat.S_ISREG(status.st_mode):
        raise TextError(f"{name} is not a regular file; {remedy}")
    return status.st_size


def _changed(info: CorpusInfo, remedy: str) -> TextError:
    names, more = info.sources[:LISTED], len(info.sources) - LISTED
    others = f" and {more:,} more" if more > 0 else ""
    return TextError(
        f"{', '.join(names)}{others} has changed since the model was trained; {remedy}"
    )
