"""The validation split of a model's corpus, read again from the corpus files."""

import os
from collections.abc import Iterator

from charlm.config import TextConfig
from charlm.errors import TextError
from charlm.text.corpus import Corpus
from charlm.text.text_files import STDIN, expand
from charlm.training.checkpoint import CorpusInfo, TrainingState

MAX_CHARACTER = 4  # bytes of a character in any encoding
MAX_OVERHEAD = 1_000  # bytes of a file besides its characters, such as the header of a .gz


def read_held_out(training: TrainingState | None, config: TextConfig) -> Iterator[str]:
    """The held-out text, in pieces; see `LanguageModel.held_out`."""
    if training is None or not training.corpus.sources:
        raise TextError("the files of the model's corpus are unknown; specify a text to score")
    info = training.corpus
    if STDIN in info.sources:
        raise TextError("the model was trained on standard input; specify a text to score")
    if _is_plausible(info):
        corpus = Corpus.read(info.sources, config)
        if corpus.encoded.sha256 == info.sha256:
            return corpus.held_out(training.config.val_fraction)
    raise TextError(
        f"{', '.join(info.sources)} has changed since the model was trained; specify a text to "
        "score"
    )


def _is_plausible(info: CorpusInfo) -> bool:
    """Whether the files can be the corpus: an untrusted checkpoint may name any file."""
    files = [file for file in expand(info.sources) if os.path.exists(file)]
    max_bytes = MAX_CHARACTER * info.characters + MAX_OVERHEAD * len(files)
    return all(map(os.path.isfile, files)) and sum(map(os.path.getsize, files)) <= max_bytes
