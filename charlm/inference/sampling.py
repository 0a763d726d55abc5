"""Drawing text from a model, a character at a time."""

from collections.abc import Callable, Iterator
from itertools import islice

import numpy as np
from numpy.typing import NDArray

from charlm.config import SampleConfig
from charlm.distributed.scheduling import deal, default_shards, thread_map
from charlm.nn.cells import State
from charlm.nn.model import CharLM
from charlm.nn.params import Params
from charlm.nn.workspace import Workspace
from charlm.system.arrays import Array
from charlm.system.blas import one_blas_thread
from charlm.text.id_sequences import IdSequence

Logits = NDArray[np.float64]

CHUNK = 128  # characters of a prompt in one forward pass
BLOCK = 32  # characters that threads draw before they wait for each other
TINY = np.finfo(np.float64).tiny


def filtered(logits: Array, config: SampleConfig) -> Logits:
    """The logits, up to a constant, of the distribution that characters are drawn from.

    Args:
        logits: `(B, V)`.
        config: temperature, top_k and top_p, which act in that order; of equally probable
            characters at top_k's limit all are kept.

    Returns:
        `(B, V)`, -inf for what is never drawn.
    """
    z: Logits = logits.astype(np.float64)
    if config.temperature == 0:
        z[z < z.max(axis=1, keepdims=True)] = -np.inf
    elif config.temperature != 1:
        z -= z.max(axis=1, keepdims=True)
        with np.errstate(over="ignore"):  # of a temperature next to 0
            z /= config.temperature
    if 0 < config.top_k < z.shape[1]:
        z[z < np.partition(z, -config.top_k)[:, -config.top_k, None]] = -np.inf
    if config.top_p < 1:
        z[outside_nucleus(z, config.top_p)] = -np.inf
    return z


def outside_nucleus(z: Logits, top_p: float) -> NDArray[np.bool_]:
    """Which are not among the fewest that have top_p together or more (Holtzman et al. 2020).

    Args:
        z: logits `(B, V)`.
        top_p: above 0.
    """
    p = np.exp(z - z.max(axis=1, keepdims=True))
    p /= p.sum(axis=1, keepdims=True)
    order = np.argsort(-p, axis=1, kind="stable")
    ranked = np.take_along_axis(p, order, axis=1)
    before = np.cumsum(ranked, axis=1) - ranked
    outside = np.empty(p.shape, np.bool_)
    np.put_along_axis(outside, order, before >= top_p, axis=1)
    return outside


def draw(z: Logits, rng: np.random.Generator) -> NDArray[np.intp]:
    """One id for each row of logits `(B, V)`, from their softmax.

    The largest logit does it once each has a random number of Gumbel's distribution added,
    which is -ln of an exponential one (Gumbel 1954): no exponent, sum or division.
    """
    noise = rng.standard_exponential(z.shape)
    noise += TINY  # an exact zero would draw what has no probability
    np.log(noise, out=noise)
    ids: NDArray[np.intp] = np.subtract(z, noise, out=noise).argmax(axis=1)
    return ids


def sample(
    model: CharLM,
    p: Params,
    prompt: IdSequence,
    config: SampleConfig,
    rng: np.random.Generator,
    count: int = 1,
    threads: int = 0,
    excluded_id: int | None = None,
    progress: Callable[[int], object] = lambda characters: None,
) -> Iterator[NDArray[np.intp]]:
    """Read a prompt, then draw characters, each fed back as the next input.

    Args:
        model: the model.
        p: its parameters.
        prompt: ids `(N,)`, at least one.
        config: how to draw; `length` and `stop` are the caller's to heed.
        rng: draws.
        count: B, how many streams to draw at once.
        threads: how many threads share many streams, 0 for one a processor; what is drawn does
            not depend on it.
        never: an id that is not drawn.
        progress: called with the number of ids of the prompt read since it was last called.

    Yields:
        The next id of each stream, `(B,)`, without end.
    """
    work = Workspace(p.flat.dtype)
    state = model.zero_state(1, p.flat.dtype)
    for start in range(0, len(prompt), CHUNK):
        ids = prompt[start : start + CHUNK][:, None]
        logits, state = model.next_logits(p, ids, state, work)
        progress(len(ids))

    shards = deal(count, default_shards(count))
    if len(shards) == 1:
        yield from _stream(model, p, logits, state, config, rng, count, excluded_id)
    seeds = rng.integers(2**63, size=(len(shards), 2))
    generators = map(np.random.default_rng, seeds)
    streams = [
        _stream(model, p, logits, state, config, own, part.stop - part.start, excluded_id)
        for part, own in zip(shards, generators, strict=True)
    ]
    each = thread_map(len(shards), threads)
    while True:
        with one_blas_thread():
            blocks = list(each(_block, streams))
        yield from np.concatenate(blocks, axis=1)


def _block(stream: Iterator[NDArray[np.intp]]) -> NDArray[np.intp]:
    """The next ids of some streams, `(BLOCK, streams)`."""
    return np.array(list(islice(stream, BLOCK)))


def _stream(
    model: CharLM,
    p: Params,
    logits: Array,
    state: State,
    config: SampleConfig,
    rng: np.random.Generator,
    count: int,
    excluded_id: int | None,
) -> Iterator[NDArray[np.intp]]:
    """The ids that `count` streams draw from one state on, `(count,)`, without end."""
    work = Workspace(p.flat.dtype)
    logits = np.repeat(logits, count, axis=0)
    state = tuple(np.repeat(part, count, axis=0) for part in state)
    while True:
        if excluded_id is not None:
            logits[:, excluded_id] = -np.inf
        ids = draw(filtered(logits, config), rng)
        yield ids
        logits, state = model.next_logits(p, ids[None], state, work)
