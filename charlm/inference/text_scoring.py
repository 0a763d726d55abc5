"""The negative log-likelihood (NLL) of a text under a trained model."""

from dataclasses import dataclass, replace

import numpy as np

from charlm.errors import ConfigError, ModelError
from charlm.inference.cold_scoring import score_cold
from charlm.inference.dynamic_scoring import check_can_adapt, score_dynamic
from charlm.inference.finite import check_nats
from charlm.inference.scoring import Score, check_long_enough, score
from charlm.inference.text_input import Text, edge, encode
from charlm.inference.trained_model import TrainedModel
from charlm.system.callbacks import Advance, ignore
from charlm.system.numerical_environment import quiet_overflow
from charlm.text.id_sequences import IdSequence


@dataclass(frozen=True)
class EncodedText:
    """A text as a model reads it.

    Attributes:
        ids: its ids, between boundaries if the model reads documents.
        unknown_characters, length: as in `Score`.
    """

    ids: IdSequence
    unknown_characters: int
    length: int

    def complete(self, result: Score, name: str = "") -> Score:
        """A score of the ids, with what is known of the text; its NLL is finite.

        `name` is that of the model in an error, if there are several.

        Raises:
            ModelError: it is not.
        """
        check_nats(result.nats, name)
        return replace(result, unknown_characters=self.unknown_characters, length=self.length)


def score_text(
    model: TrainedModel,
    text: Text,
    *,
    streams: int = 1,
    cold: int = 0,
    dynamic: bool = False,
    progress: Advance = ignore,
) -> Score:
    """Score a text; see `LanguageModel.score`."""
    check_ways(model, streams, cold, dynamic=dynamic)
    encoded = encoded_text(model, text)
    network, p, ids = model.network, model.params, encoded.ids
    with quiet_overflow():
        if cold:
            result = score_cold(network, p, ids, cold, progress=progress)
        else:
            result = score(network, p, ids, streams=streams, progress=progress)
    result = encoded.complete(result)
    if dynamic:
        adapted = encoded.complete(score_dynamic(network, p, ids, progress=progress))
        result = replace(result, dynamic=adapted)
    return result


def check_ways(model: TrainedModel, streams: int, cold: int, *, dynamic: bool = False) -> None:
    """Check that a model can score a text in some way.

    Raises:
        ConfigError: arguments contradict each other.
        ModelError: the model reads documents, which are not cut into windows; or it cannot adapt.
    """
    if dynamic and (streams > 1 or cold):
        name, value = ("cold", cold) if cold else ("streams", streams)
        raise ConfigError(name, value, "omitted with `dynamic`, which reads the text in order")
    if dynamic:
        check_can_adapt(model.network)
    if cold and streams > 1:
        raise ConfigError("streams", streams, "1 with `cold`, which cuts the text into windows")
    if cold and model.network.boundary is not None:
        raise ModelError(
            "the model was trained on documents, each of which is scored on its own; omit `cold`"
        )


def encoded_text(model: TrainedModel, text: Text) -> EncodedText:
    """Encode a text to be scored.

    Raises:
        TextError: no character of it is predicted.
    """
    ids, unknown = encode(model, text)
    count = unknown.total()
    length = len(ids) + (count if model.vocabulary.unk_id is None else 0)
    if model.network.boundary is not None:  # the text is one document
        around = edge(model)
        ids = np.concatenate([around, ids[:], around])
    check_long_enough(len(ids), count)
    return EncodedText(ids, count, length)
