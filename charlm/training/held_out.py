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

from charlm.config import TextConfig
from charlm.errors import TextError
from charlm.system.callbacks import Notify, Progress, ignore
from charlm.text.corpus import Corpus, TooLongError
from charlm.text.source_files import STDIN
from charlm.training.checkpoint import CorpusInfo, TrainingState

MAX_CHARACTER = 4  # bytes of a character in any encoding
MAX_OVERHEAD = 1_000  # bytes of a file besides its characters, such as the header of a .gz
LISTED = 3  # sources named in a message

SCORE = "specify a text to score"


def read_held_out(training: TrainingState | None, config: TextConfig) -> Iterator[Iterator[str]]:
    """The held-out texts, each in pieces; see `LanguageModel.held_out`."""
    if training is None:
        raise TextError(f"the files of the model's corpus are unknown; {SCORE}")
    info = training.corpus
    corpus = read_again(info, config, SCORE)
    if corpus.encoded.sha256 != info.sha256:
        raise _changed(info, SCORE)
    return corpus.held_out(training.config.val_fraction, training.config.random_seed)


def read_again(
    info: CorpusInfo,
    config: TextConfig,
    remedy: str,
    progress: Progress = ignore,
    say: Notify = ignore,
) -> Corpus:
    """Read the corpus that a checkpoint describes; the text may have changed.

    Args:
        info: the corpus in the checkpoint.
        config: how the bytes of its files become text.
        remedy: what to do if the files cannot be used, for the message.
        progress: as for `Corpus.read`.
        say: as for `Corpus.read`.

    Raises:
        TextError: the checkpoint names no files, or one that is missing or not a regular file, or
            they cannot be the corpus.
    """
    if not info.sources:
        raise TextError(f"the files of the model's corpus are unknown; {remedy}")
    if STDIN in info.sources:
        raise TextError(f"the model was trained on standard input; {remedy}")
    names = info.files or info.sources
    sizes = {name: _size(name, remedy) for name in names}
    files = [name for name in names if sizes[name]]  # the files of /proc have no size
    most = MAX_CHARACTER * info.characters + MAX_OVERHEAD * len(files)
    if not files or sum(sizes.values()) > (most if info.bytes is None else info.bytes):
        raise _changed(info, remedy)
    try:
        corpus = Corpus.read(files, config, progress, say=say, most=info.characters)
    except TooLongError:
        raise _changed(info, remedy) from None
    return replace(corpus, sources=info.sources, files=names)


def _size(name: str, remedy: str) -> int:
    """The size of a regular file."""
    try:
        status = os.stat(name)
    except (OSError, ValueError) as error:  # a path with a NUL is a ValueError
        if glob.has_magic(name):
            raise TextError(f"the model was trained on the files {name}; {remedy}") from error
        cause = getattr(error, "strerror", None) or error
        raise TextError(f"cannot read {name}: {cause}; {remedy}") from error
    if stat.S_ISDIR(status.st_mode):
        raise TextError(f"the model was trained on the directory {name}; {remedy}")
    if not stat.S_ISREG(status.st_mode):
        raise TextError(f"{name} is not a regular file; {remedy}")
    return status.st_size


def _changed(info: CorpusInfo, remedy: str) -> TextError:
    names, more = info.sources[:LISTED], len(info.sources) - LISTED
    others = f" and {more:,} more" if more > 0 else ""
    return TextError(
        f"{', '.join(names)}{others} has changed since the model was trained; {remedy}"
    )
