"""A network beside its baselines: n-grams and compressors that know the same training split."""

import math
from collections.abc import Iterator, Sequence
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from charlm import checks
from charlm.baselines.compressors import Compressed, as_bytes
from charlm.baselines.ngram import counted_part, ngram_model
from charlm.checks import checked, content_of
from charlm.errors import ModelError, TextError
from charlm.inference.scoring import Score, check_long_enough
from charlm.inference.text_input import as_read
from charlm.inference.trained_model import TrainedModel
from charlm.nn.model import CharLM
from charlm.text.splits import Texts
from charlm.text.vocabulary import code_points, ids_type
from charlm.training.checkpoint import TrainingState
from charlm.training.held_out import read_held_out, read_training_split
from charlm.training.trainer import Data

BOTH_SIDES = (
    "a bidirectional model has no baselines: it predicts each character from both sides, which "
    "cannot be compared with n-grams and compressors"
)


class Baselines:
    """What models without a network make of the texts that a model scores.

    They know the training split of the model's corpus, or 2,000,000 characters of a longer one, and
    the model's vocabulary.

    Args:
        model: a unidirectional model. Its `text_config` must be that of its corpus.
        training: the state of its training run, which names the files of its corpus.

    Attributes:
        ngram: the n-gram model.
        train: what the baselines know.

    Raises:
        TextError: the corpus is unknown, is missing, or has changed.
        ModelError: the model is bidirectional.
    """

    def __init__(self, model: TrainedModel, training: TrainingState | None) -> None:
        if model.config.bidirectional:
            raise ModelError(BOTH_SIDES)
        self.model, self.training, self.config = model, training, model.text_config
        self.train = counted_part(read_training_split(training, self.config, model.vocabulary))
        self.ngram = ngram_model(self.train, model.network.symbols, model.vocabulary.newline)

    @checked(text=content_of(checks.documents_or_pieces))
    def score(self, text: str | Iterator[str] | list[str] | tuple[str, ...]) -> dict[str, Score]:
        """The score of each baseline, over the characters that the model scores.

        Args:
            text: a text or documents, as for `LanguageModel.score`.

        Returns:
            The scores of `uniform`, `unigram`, `ngram`, `gzip`, `bz2`, `xz` and, if it is
            installed, `zstd`.

        Raises:
            TextError: fewer than two of the characters are known; there are no documents, or the
                model was not trained on documents and does not end each with a newline.
        """
        if isinstance(text, (list, tuple)):
            if not text:
                raise TextError("there are no documents")
            return self._scores(self._texts(text, self._edge()))
        content = "".join(text)
        texts = self._texts([content], self.model.network.boundary)
        if texts.boundary is None:
            check_long_enough(len(texts.ids), len(content) - len(texts.ids))
        return self._scores(texts)

    def held_out(self) -> dict[str, Score]:
        """The score of each baseline on the validation split of the model's corpus.

        Raises:
            TextError: the corpus is missing, or has changed; or it has no validation split.
        """
        texts = ["".join(pieces) for pieces in read_held_out(self.training, self.config)]
        return self._scores(self._texts(texts, self.model.network.boundary))

    def _edge(self) -> int:
        """What stands before and after a document: its boundary, or a newline."""
        vocabulary = self.model.vocabulary
        if self.model.network.boundary is not None:
            return self.model.network.boundary
        if vocabulary.newline is None or len(vocabulary.encode("\r")[0]):
            raise TextError(
                "the model was not trained on documents, so they have no baselines; score the text "
                "as it is"
            )
        return vocabulary.newline

    def _texts(self, texts: Sequence[str], boundary: int | None) -> Texts:
        """The ids of texts as the model reads them."""
        vocabulary = self.model.vocabulary
        read = [as_read(self.model, text) for text in texts]
        ends = np.cumsum([len(text) for text in read], dtype=np.int64)
        numbers = vocabulary.numbers(code_points("".join(read)))
        if vocabulary.unk_id is not None:
            numbers[numbers < 0] = vocabulary.unk_id
        are_read = numbers >= 0
        before = np.append(0, np.cumsum(are_read))
        ids = numbers[are_read].astype(ids_type(len(vocabulary)))
        return Texts.of(ids, before[ends], boundary)

    def _scores(self, texts: Texts) -> dict[str, Score]:
        nats = self.ngram.nats(texts)
        bits = self._compressed.bits(as_bytes(texts, self._points))
        found = {"uniform": nats[0], "unigram": nats[1], "ngram": nats[-1]}
        found |= {name: count * math.log(2) for name, count in bits.items()}
        return {name: Score(float(each), texts.targets) for name, each in found.items()}

    @cached_property
    def _compressed(self) -> Compressed:
        return Compressed(as_bytes(self.train, self._points))

    @property
    def _points(self) -> NDArray[np.uint32]:
        """The code point of each id; the end of a document is a newline or an unknown character."""
        vocabulary = self.model.vocabulary
        if self.model.network.boundary is None:
            return vocabulary.points
        unknown = (point for point in range(len(vocabulary) + 1) if point not in vocabulary.points)
        end = ord("\n") if vocabulary.newline is None else next(unknown)
        return np.append(vocabulary.points, np.uint32(end))


def ngram_figures(data: Data, model: CharLM) -> dict[str, Any] | None:
    """The figures of the n-gram model of a training split, on the validation split.

    None without a validation split, for a bidirectional model, or if there is not enough memory: a
    run whose model is trained does not fail for a baseline.

    Returns:
        The `order`, `nats_per_char`, `bits_per_char` and `perplexity`.
    """
    if not len(data.val) or model.config.bidirectional:
        return None
    try:
        ngram = ngram_model(data.train, model.symbols, data.vocabulary.newline)
        nats = float(ngram.nats(data.val)[-1])
    except MemoryError:
        return None
    return {"order": ngram.order} | figures_of(Score(nats, data.val.targets))


def figures_of(score: Score) -> dict[str, Any]:
    """The figures of a baseline by the names that they have for a model."""
    return {
        "nats_per_char": score.nats_per_char,
        "bits_per_char": score.bits_per_char,
        "perplexity": score.perplexity,
    }
