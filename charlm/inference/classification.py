"""Whose text is it: the model's that is least surprised by it.

If each of several authors is as likely beforehand, the author a of a text x is the one with the
greatest P(a | x) ∝ P(x | a), and -ln P(x | a) is the surprise of a model trained on a: naive
Bayes with a language model for each class (Peng & Schuurmans 2003).

Models with different characters are compared on all of the text. A character that a model has
never seen costs it ln 1,114,112 nats, as if all of Unicode were equally likely, so that not
knowing a text never helps; the model then reads on as if it were not there, or, if it has a sign
for unknown characters, reads that and pays for it as well. The text is read after a newline, so
that its first character counts as well. For a model that does not know the newline its first
known character is drawn from all V equally likely ones, as `sample` draws it.
"""

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from charlm.config import ModelConfig
from charlm.errors import ConfigError, ModelError, TextError
from charlm.inference.scoring import CHUNK, NO_NUMBER, score
from charlm.nn.model import CharLM
from charlm.nn.params import Params
from charlm.nn.workspace import Workspace
from charlm.system.blas import one_blas_thread
from charlm.system.numerical_environment import quiet_overflow
from charlm.text.vocabulary import Ids, Vocabulary

UNKNOWN_NATS = math.log(0x110000)  # the code points of Unicode

BATCH = 64  # texts of one length that are read side by side, at most

Advance = Callable[[int], object]


class TrainedModel(Protocol):
    """A network with its weights and characters, such as a `LanguageModel`."""

    config: ModelConfig
    vocabulary: Vocabulary
    params: Params
    network: CharLM


@dataclass(frozen=True)
class TextNLL:
    """How surprised a model is by all characters of a text.

    Attributes:
        nats: the sum of -ln p, with `UNKNOWN_NATS` for each unknown character.
        characters: how many characters the text has.
        unknown_characters: how many of them the model does not know.
    """

    nats: float
    characters: int
    unknown_characters: int

    @property
    def bits(self) -> float:
        """The sum in bits."""
        return self.nats / math.log(2)

    @property
    def bits_per_char(self) -> float:
        """Mean surprise in bits."""
        return self.bits / self.characters

    def __add__(self, other: "TextNLL") -> "TextNLL":
        return TextNLL(
            self.nats + other.nats,
            self.characters + other.characters,
            self.unknown_characters + other.unknown_characters,
        )


@dataclass(frozen=True)
class Classification:
    """Which model a text goes to.

    Attributes:
        winner: the name of the model that is least surprised; of equals, the first by name.
        surprises: how surprised each model is, by name.
    """

    winner: str
    nlls: Mapping[str, TextNLL]


def classify(
    text: str,
    models: Mapping[str, TrainedModel],
    *,
    progress: Advance = lambda characters: None,
) -> Classification:
    """The model that finds a text least surprising.

    Args:
        text: at least one character.
        models: by name, at least one.
        progress: called with the number of characters read since it was last called; each model
            reads those that it knows.

    Raises:
        TextError: the text is empty.
        ModelError: some of the models are bidirectional, and others are not; or a model's figures
            are not numbers.
        ConfigError: there is no model.
    """
    (result,) = classify_all([text], models, progress=progress)
    return result


def classify_all(
    texts: Sequence[str],
    models: Mapping[str, TrainedModel],
    *,
    progress: Advance = lambda characters: None,
) -> list[Classification]:
    """Each of several texts on its own, as `classify`; those of one length are read together.

    Raises:
        TextError: a text is empty.
        ModelError: some of the models are bidirectional, and others are not; or a model's figures
            are not numbers.
        ConfigError: there is no model.
    """
    if not models:
        raise ConfigError("models", {}, "at least one model")
    if not all(texts):
        raise TextError("an empty text is no one's; to classify one, it needs a character")
    _check_comparable(models)
    columns = [_nlls(model, texts, progress) for model in models.values()]
    for name, column in zip(models, columns, strict=True):
        if not all(math.isfinite(nll.nats) for nll in column):
            raise ModelError(f"{name}: {NO_NUMBER}")
    return [_least(dict(zip(models, row, strict=True))) for row in zip(*columns, strict=True)]


def _check_comparable(models: Mapping[str, TrainedModel]) -> None:
    """See that all models predict from the same side.

    Raises:
        ModelError: they do not: given both sides, a character is less surprising to any model.
    """
    both = [name for name, model in models.items() if model.config.bidirectional]
    if 0 < len(both) < len(models):
        raise ModelError(
            f"{', '.join(both)} predicts from both sides, and the other models from one; "
            "such figures cannot be compared: name models of one kind"
        )


def _least(nlls: Mapping[str, TextNLL]) -> Classification:
    winner = min(nlls, key=lambda name: (nlls[name].nats, name))
    return Classification(winner, nlls)


def _nlls(model: TrainedModel, texts: Sequence[str], progress: Advance) -> list[TextNLL]:
    """How surprised a model is by each text."""
    newline, _ = model.vocabulary.encode("\n")
    encoded = [model.vocabulary.encode(text) for text in texts]
    ids = [np.concatenate([newline, known]) for known, _ in encoded]
    nats = np.array([UNKNOWN_NATS * len(unknown) for _, unknown in encoded])
    if not len(newline):
        nats += [math.log(len(model.vocabulary)) * bool(len(known)) for known, _ in encoded]
    with one_blas_thread(), quiet_overflow():
        for which in _side_by_side([len(each) for each in ids]):
            nats[which] += _nats(model, np.stack([ids[i] for i in which]).T, progress)
    return [
        TextNLL(float(n), len(text), len(unknown))
        for n, text, (_, unknown) in zip(nats, texts, encoded, strict=True)
    ]


def _side_by_side(lengths: list[int]) -> Iterator[list[int]]:
    """The numbers of the texts to be read together, those that have characters to be scored."""
    by_length: dict[int, list[int]] = {}
    for i, length in enumerate(lengths):
        by_length.setdefault(length, []).append(i)
    for length, which in by_length.items():
        if length > 1:
            yield from (which[start : start + BATCH] for start in range(0, len(which), BATCH))


def _nats(model: TrainedModel, ids: Ids, progress: Advance) -> NDArray[np.float64]:
    """The surprise of all but the first of ids `(N, B)`, `(B,)`."""
    (N, B), network = ids.shape, model.network
    if B == 1:  # a single text, which may be long, is read in parts
        return np.array([score(network, model.params, ids[:, 0], progress=progress).nats])
    work = Workspace(model.params.flat.dtype)
    state = network.zero_state(B, work.dtype)
    total = np.zeros(B)
    for start in range(0, N - 1, CHUNK):
        stop = min(start + CHUNK, N - 1)
        x, y = ids[start:stop], ids[start + 1 : stop + 1]
        after = ids[stop + 1 : stop + 1 + network.lookahead]
        nats, state = network.nats(model.params, x, y, state, work, after)
        total += nats.sum(axis=0)
        progress(x.size)
    return total
