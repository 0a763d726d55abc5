"""The interface of a trained model that the inference functions use."""

from typing import Protocol

from charlm.config import ModelConfig
from charlm.errors import ModelError
from charlm.nn.model import CharLM
from charlm.nn.params import Params
from charlm.text.config import TextConfig
from charlm.text.vocabulary import Vocabulary


class TrainedModel(Protocol):
    """A network, its weights, its vocabulary and how it reads text: a `LanguageModel`."""

    config: ModelConfig
    text_config: TextConfig
    vocabulary: Vocabulary
    params: Params
    network: CharLM


def is_model(value: object) -> bool:
    """Whether an object has the attributes of a trained model."""
    return all(hasattr(value, name) for name in TrainedModel.__annotations__)


def check_bidirectional(model: TrainedModel) -> None:
    """Check that a model uses the text on both sides of a character.

    Raises:
        ModelError: it does not.
    """
    if not model.config.bidirectional:
        raise ModelError(
            "the model is not bidirectional; use one trained with `bidirectional=True`"
        )
