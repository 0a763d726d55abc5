"""The NLL of a text under the mean of several models.

The probability of each character is the mean of those by K models with one vocabulary, which is a
distribution again:

    -ln p = ln K - ln Σ exp(ln p_k)

Only the probability of the actual character occurs, so the models can be run one after the other.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import reduce

import numpy as np
from numpy.typing import NDArray

from charlm.errors import ConfigError, ModelError
from charlm.inference.blocks import Blocks
from charlm.inference.cold_scoring import score_cold
from charlm.inference.document_scoring import score_documents
from charlm.inference.scoring import Score, score
from charlm.inference.text_input import Text
from charlm.inference.text_scoring import check_ways, encoded_text
from charlm.inference.trained_model import TrainedModel
from charlm.system.callbacks import Advance, ignore
from charlm.system.numerical_environment import quiet_overflow

Surprisals = NDArray[np.float64]


def score_mean(
    models: Mapping[str, TrainedModel],
    text: Text | list[str] | tuple[str, ...],
    *,
    streams: int = 1,
    cold: int = 0,
    progress: Advance = ignore,
) -> Score:
    """Score a text, or documents, with the mean of the probabilities of several models.

    The score of a text takes 16 bytes of memory for each of its characters.

    Args:
        models: at least two models, by name.
        text: the text, in memory or in pieces, or a list of documents.
        streams, cold: as for `LanguageModel.score`, for a text.
        progress: called with the number of characters scored since the last call; each model scores
            all of them.

    Returns:
        The score; `Score.models` has those of the models.

    Raises:
        ConfigError: there are fewer than two models, or an argument has an invalid value.
        ModelError: the models cannot be averaged, or one produces NaN or infinite values.
        TextError: fewer than two of the characters are known.
    """
    if len(models) < 2:
        raise ConfigError("models", sorted(models), "at least two models, by name")
    _check_alike(models)
    if isinstance(text, (list, tuple)):
        return _of_documents(models, text, progress)
    return _of_text(models, text, streams, cold, progress)


def _of_text(
    models: Mapping[str, TrainedModel], text: Text, streams: int, cold: int, progress: Advance
) -> Score:
    first = next(iter(models.values()))
    check_ways(first, streams, cold)
    encoded = encoded_text(first, text)
    ids, each = encoded.ids, np.empty(len(encoded.ids) - 1)
    scores, sums = [], np.full(len(each), -np.inf)
    with quiet_overflow():
        for name, model in models.items():
            network, p = model.network, model.params
            if cold:
                found = score_cold(network, p, ids, cold, progress=progress, surprisals=each)
            else:
                found = score(network, p, ids, streams=streams, progress=progress, surprisals=each)
            scores.append(encoded.complete(found, name))
            np.logaddexp(sums, np.negative(each, out=each), out=sums)
    mean = np.subtract(math.log(len(models)), sums, out=sums)
    reread = max(found.reread for found in scores)
    blocks = Blocks.of_text(mean)
    return replace(
        scores[0], nats=float(mean.sum()), reread=reread, blocks=blocks, models=tuple(scores)
    )


def _of_documents(
    models: Mapping[str, TrainedModel], documents: Sequence[str], progress: Advance
) -> Score:
    scores = [
        score_documents(model, documents, name=name, progress=progress)
        for name, model in models.items()
    ]
    rows = zip(*(found.surprisals for found in scores), strict=True)
    mean = replace(scores[0], surprisals=tuple(map(mean_surprisals, rows)))
    return replace(mean.total, models=tuple(found.total for found in scores))


def mean_surprisals(each: Sequence[Surprisals]) -> Surprisals:
    """-ln of the mean of the probabilities, `(N,)`, given -ln p of each of several models.

    NaN where nothing is predicted.
    """
    with np.errstate(invalid="ignore"):
        sums: Surprisals = reduce(np.logaddexp, [-surprisals for surprisals in each])
    return math.log(len(each)) - sums


def _check_alike(models: Mapping[str, TrainedModel]) -> None:
    """Check that all models predict the same characters given the same text.

    Raises:
        ModelError: they do not.
    """
    (first, one), *others = models.items()
    for name, other in others:
        for what, of_one, of_other in zip(ASPECTS, _aspects(one), _aspects(other), strict=True):
            if of_one != of_other:
                raise ModelError(f"cannot average {first} and {name}: {what}; use models alike")


ASPECTS = (
    "their vocabularies differ",
    "one of them reads documents",
    "one of them is bidirectional",
    "they convert line endings or normalize text differently",
)


def _aspects(model: TrainedModel) -> tuple[object, ...]:
    """What has to be the same for all models; see `ASPECTS`."""
    network, text = model.network, model.text_config
    vocabulary = (model.vocabulary.characters, model.vocabulary.unk_id)
    is_of_documents = network.boundary is not None
    return vocabulary, is_of_documents, network.lookahead, (text.newlines, text.normalize)
