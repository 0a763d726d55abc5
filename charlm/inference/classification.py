"""Text classification: the class is that of the model with the lowest NLL.

With equal prior probabilities, the most probable class a of a text x maximizes
P(a | x) ∝ P(x | a), and -ln P(x | a) is the NLL of x under a model trained on texts of class a:
naive Bayes with a language model for each class (Peng & Schuurmans 2003).

Models with different vocabularies are compared on all characters of the text. An unknown character
costs ln 1,114,112 nats, as if all code points of Unicode were equally likely, so that a smaller
vocabulary is never an advantage. It is then skipped or, if the model has an unknown token, read and
scored as that token too. The text is read after a newline, so that its first character is
scored, and so is the newline after a line, since a line's end is part of its probability. A model
of documents reads and scores its boundary instead. It always scores the end of a text, so if any
model reads documents, all of them do: the probabilities of a text and of its beginning cannot be
compared. For a model that does not know the newline, the first known character is drawn from a
uniform distribution over the vocabulary, as `sample` draws it, and no end is scored.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from charlm import checks
from charlm.checks import checked
from charlm.errors import ConfigError, ModelError, TextError
from charlm.inference.document_scoring import score_documents
from charlm.inference.trained_model import TrainedModel, is_model
from charlm.system.callbacks import Advance, ignore

UNKNOWN_NATS = math.log(0x110000)  # the number of code points of Unicode


@dataclass(frozen=True)
class TextNLL:
    """The NLL of all characters of a text under a model.

    Attributes:
        nats: the sum of -ln p, with `UNKNOWN_NATS` for each unknown character.
        characters: the number of characters of the text.
        unknown_characters: the number of those that the model does not know.
    """

    nats: float
    characters: int
    unknown_characters: int

    @property
    def bits(self) -> float:
        """The NLL in bits."""
        return self.nats / math.log(2)

    @property
    def bits_per_char(self) -> float:
        """Mean NLL in bits."""
        return self.bits / self.characters

    @property
    def unknown_fraction(self) -> float:
        """The share of the text that the model does not know."""
        return self.unknown_characters / self.characters

    def __add__(self, other: "TextNLL") -> "TextNLL":
        return TextNLL(
            self.nats + other.nats,
            self.characters + other.characters,
            self.unknown_characters + other.unknown_characters,
        )


@dataclass(frozen=True)
class Classification:
    """The class of a text.

    Attributes:
        winner: the name of the model with the lowest NLL; ties are broken by name.
        nlls: the NLL under each model, by name.
    """

    winner: str
    nlls: Mapping[str, TextNLL]


def _check_models(name: str, models: Any) -> Mapping[str, TrainedModel]:
    """Accept a mapping of names to models."""
    is_mapping = isinstance(models, Mapping) and len(models) > 0
    if not is_mapping or not all(isinstance(k, str) and is_model(m) for k, m in models.items()):
        raise ConfigError(name, models, "a mapping of names to models, with at least one model")
    return models  # type: ignore[no-any-return]


@checked(text=checks.text, models=_check_models, progress=checks.function)
def classify(
    text: str, models: Mapping[str, TrainedModel], *, progress: Advance = ignore
) -> Classification:
    """Find the model that gives a text the lowest NLL.

    Args:
        text: at least one character.
        models: at least one model, by name.
        progress: called with the number of characters scored since the last call; each model
            scores the characters that it knows.

    Raises:
        TextError: the text is empty.
        ModelError: some models are bidirectional and others are not, or a model produces NaN or
            infinite values.
        ConfigError: an argument has an invalid value, or there is no model.
    """
    return classify_all([text], models, progress=progress)[0]


def _check_texts(name: str, texts: Any) -> Sequence[str]:
    """Accept a sequence of texts, but not one text."""
    if isinstance(texts, str) or not isinstance(texts, Sequence):
        raise ConfigError(name, texts, "a sequence of strings")
    return [checks.text(f"a text of {name}", text) for text in texts]


@checked(
    texts=_check_texts,
    models=_check_models,
    are_documents=checks.flag,
    progress=checks.function,
)
def classify_all(
    texts: Sequence[str],
    models: Mapping[str, TrainedModel],
    *,
    are_documents: bool = False,
    progress: Advance = ignore,
) -> list[Classification]:
    """Classify each of several texts; short ones of similar length are read as one batch.

    The other arguments and errors are those of `classify`.

    Args:
        texts: the texts.
        models: the models.
        are_documents: whether the end of each text counts, as that of a line. It always does if a
            model reads documents.
        progress: as for `classify`.
    """
    if not all(texts):
        raise TextError("cannot classify an empty text; at least one character is required")
    _check_comparable(models)
    have_ends = are_documents or any(m.network.boundary is not None for m in models.values())
    columns = [
        _nlls(name, model, texts, progress, have_ends=have_ends) for name, model in models.items()
    ]
    return [_lowest(dict(zip(models, row, strict=True))) for row in zip(*columns, strict=True)]


def _check_comparable(models: Mapping[str, TrainedModel]) -> None:
    """Check that all models are of one kind: text on both sides lowers the NLL of any model."""
    bidirectional = [name for name, model in models.items() if model.config.bidirectional]
    if 0 < len(bidirectional) < len(models):
        raise ModelError(
            f"cannot compare bidirectional models ({', '.join(bidirectional)}) with unidirectional "
            "models; use models of one kind"
        )


def _lowest(nlls: Mapping[str, TextNLL]) -> Classification:
    winner = min(nlls, key=lambda name: (nlls[name].nats, name))
    return Classification(winner, nlls)


def _nlls(
    name: str,
    model: TrainedModel,
    texts: Sequence[str],
    progress: Advance,
    *,
    have_ends: bool,
) -> list[TextNLL]:
    """The NLL of each text under a model."""
    scores = score_documents(model, texts, have_ends=have_ends, name=name, progress=progress)
    nats = scores.nats + UNKNOWN_NATS * scores.unknown_characters
    rows = zip(nats, scores.characters, scores.unknown_characters, strict=True)
    return [TextNLL(float(n), int(length), int(unknown)) for n, length, unknown in rows]
