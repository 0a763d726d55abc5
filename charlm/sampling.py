"""Drawing text from a model, a character at a time."""

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from charlm.config import SampleConfig
from charlm.model import CharLM
from charlm.params import Params
from charlm.workspace import Workspace

Array = NDArray[Any]

CHUNK = 128  # characters of a prompt in one forward pass


def probabilities(logits: Array, config: SampleConfig) -> NDArray[np.float64]:
    """The distribution that characters are drawn from.

    Args:
        logits: `(B, V)`.
        config: temperature, top_k and top_p, which act in that order; of equally probable
            characters at top_k's limit all are kept.

    Returns:
        `(B, V)`, each row summing to 1.
    """
    top = np.maximum.reduce(logits, axis=1, keepdims=True)
    z: NDArray[np.float64] = np.subtract(logits, top, dtype=np.float64)
    if config.temperature == 0:
        z[z < 0] = -np.inf
    elif config.temperature != 1:
        with np.errstate(over="ignore"):  # of a temperature next to 0
            z /= config.temperature
    if 0 < config.top_k < z.shape[1]:
        z[z < np.partition(z, -config.top_k)[:, -config.top_k, None]] = -np.inf
    p = np.exp(z, out=z)
    p /= np.add.reduce(p, axis=1, keepdims=True)
    if config.top_p < 1:
        p = nucleus(p, config.top_p)
    return p


def nucleus(p: NDArray[np.float64], top_p: float) -> NDArray[np.float64]:
    """Keep the fewest characters whose probabilities sum to top_p or more (Holtzman et al. 2020).

    Args:
        p: `(B, V)`, each row summing to 1.
        top_p: above 0.
    """
    order = np.argsort(-p, axis=1, kind="stable")
    ranked = np.take_along_axis(p, order, axis=1)
    before = np.cumsum(ranked, axis=1) - ranked
    ranked[before >= top_p] = 0
    kept = np.empty_like(p)
    np.put_along_axis(kept, order, ranked, axis=1)
    kept /= kept.sum(axis=1, keepdims=True)
    return kept


def draw(p: Array, rng: np.random.Generator) -> NDArray[np.intp]:
    """One id for each row of probabilities `(B, V)`, by inverting the distribution."""
    cdf = p.cumsum(axis=1)
    ids: NDArray[np.intp] = (cdf > rng.random((len(p), 1)) * cdf[:, -1:]).argmax(axis=1)
    return ids


def sample(
    model: CharLM,
    p: Params,
    prompt: Array,
    config: SampleConfig,
    rng: np.random.Generator,
    count: int = 1,
) -> Iterator[NDArray[np.intp]]:
    """Read a prompt, then draw characters, each fed back as the next input.

    Args:
        model: the model.
        p: its parameters.
        prompt: ids `(N,)`, at least one.
        config: how to draw; `length` and `stop` are the caller's to heed.
        rng: draws.
        count: B, how many streams to draw at once.

    Yields:
        The next id of each stream, `(B,)`, without end.
    """
    work = Workspace(p.flat.dtype)
    state = model.zero_state(1, p.flat.dtype)
    for start in range(0, len(prompt), CHUNK):
        ids = prompt[start : start + CHUNK, None]
        logits, state = model.next_logits(p, ids, state, work)
    logits = np.repeat(logits, count, axis=0)
    state = tuple(np.repeat(part, count, axis=0) for part in state)
    while True:
        ids = draw(probabilities(logits, config), rng)
        yield ids
        logits, state = model.next_logits(p, ids[None], state, work)
