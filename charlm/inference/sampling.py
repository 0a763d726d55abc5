"""Sampling text from a model, one character at a time.

`filtered` applies temperature, top-k and top-p to the logits, `draw` samples an id from them,
`sample` continues a prompt of ids, and `sample_texts` a prompt of text until a stop text.
"""

from collections.abc import Iterator, Sequence
from itertools import islice

import numpy as np
from numpy.typing import NDArray

from charlm.config import SampleConfig
from charlm.distributed.scheduling import deal, default_shards, thread_map
from charlm.errors import ConfigError, ModelError
from charlm.inference.finite import finite_logits, without_warnings
from charlm.inference.parts import FORWARD_STEPS, cut, final_state
from charlm.inference.text_input import Text, Unknown, as_read, edge, encode, not_characters
from charlm.inference.trained_model import TrainedModel
from charlm.nn.cells.protocol import State
from charlm.nn.model import CharLM
from charlm.nn.params import Params
from charlm.nn.workspace import Workspace
from charlm.system.arrays import Array
from charlm.system.available_memory import check_fits
from charlm.system.blas import one_blas_thread
from charlm.system.callbacks import Advance, ignore
from charlm.system.numerical_environment import quiet_overflow
from charlm.text.characters import listed_characters
from charlm.text.id_sequences import IdSequence, Joined
from charlm.text.vocabulary import code_points

Logits = NDArray[np.float64]

BLOCK = 32  # steps that a thread samples before it waits for the other threads
TINY = np.array(np.finfo(np.float64).tiny)  # an array is added faster than a scalar


def filtered(
    logits: Array, config: SampleConfig, excluded: int | list[int] | None = None
) -> Logits:
    """Apply temperature, top-k and top-p to logits, in that order.

    Args:
        logits: `(B, V)`.
        config: the sampling options. If several characters tie at the limit of top-k, all of them
            are kept.
        excluded: an id, or several, with probability zero.

    Returns:
        Logits `(B, V)`, up to a constant; -inf for excluded characters.

    Raises:
        ModelError: a logit is NaN or infinite.
    """
    z = finite_logits(logits)
    if excluded is not None:
        z[:, excluded] = -np.inf
    if config.temperature == 0:
        z[z < z.max(axis=1, keepdims=True)] = -np.inf
    elif config.temperature != 1:
        z -= z.max(axis=1, keepdims=True)
        with np.errstate(over="ignore"):  # for a temperature close to 0
            z /= config.temperature
    if 0 < config.top_k < z.shape[1]:
        z[z < np.partition(z, -config.top_k)[:, -config.top_k, None]] = -np.inf
    if config.top_p < 1:
        z[outside_nucleus(z, config.top_p)] = -np.inf
    return z


def outside_nucleus(z: Logits, top_p: float) -> NDArray[np.bool_]:
    """The characters that top-p (nucleus) sampling excludes, `(B, V)` (Holtzman et al. 2020).

    The nucleus is the smallest set of characters whose probabilities sum to `top_p` or more.

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
    """Sample one id from the softmax of each row of logits `(B, V)`.

    This is the Gumbel-max trick (Gumbel 1954): the argmax of logits plus Gumbel noise, which is -ln
    of exponential noise. It needs no exp, sum or division.
    """
    return most_probable(z, rng.standard_exponential(z.shape))


def most_probable(z: Logits, noise: Logits) -> NDArray[np.intp]:
    """The ids that logits and exponential noise select, both `(B, V)`; overwrites the noise."""
    noise += TINY  # a noise of exactly zero could select a character of probability zero
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
    not_first: Sequence[int] = (),
    progress: Advance = ignore,
) -> Iterator[NDArray[np.intp]]:
    """Read a prompt, then sample ids, each fed back as the next input.

    Args:
        model: the model.
        p: its parameters.
        prompt: ids `(N,)`, with N of 1 or more.
        config: the sampling options; `length` and `stop` are left to the caller.
        rng: the random generator.
        count: B, the number of parallel streams to sample.
        threads: the number of threads that share many streams, 0 for one per processor. The
            samples do not depend on it.
        excluded_id: an id that is never sampled.
        not_first: ids that no stream begins with.
        progress: called with the number of prompt ids read since the last call.

    Yields:
        The next id of each stream, `(B,)`, without end.
    """
    logits, state = read_prompt(model, p, prompt, progress)

    def stream(size: int, rng: np.random.Generator) -> Iterator[NDArray[np.intp]]:
        """Sample `size` streams after the prompt: ids `(size,)`, without end."""
        work = Workspace(p.flat.dtype)
        z = np.repeat(logits, size, axis=0)
        h = tuple(np.repeat(part, size, axis=0) for part in state)
        never = [] if excluded_id is None else [excluded_id]
        excluded: int | list[int] | None = [*not_first, *never]
        while True:
            ids = draw(filtered(z, config, excluded), rng)
            yield ids
            z, h = model.next_logits(p, ids[None], h, work)
            excluded = excluded_id

    shards = deal(count, default_shards(count))
    if len(shards) == 1:
        yield from without_warnings(stream(count, rng))  # endless
    seeds = rng.integers(2**63, size=(len(shards), 2))
    streams = [
        without_warnings(stream(shard.stop - shard.start, np.random.default_rng(seed)))
        for shard, seed in zip(shards, seeds, strict=True)
    ]
    map_ = thread_map(len(shards), threads)
    while True:
        with one_blas_thread():
            blocks = list(map_(_block, streams))
        yield from np.concatenate(blocks, axis=1)


def read_prompt(
    model: CharLM, p: Params, prompt: IdSequence, progress: Advance = ignore
) -> tuple[Array, State]:
    """The logits after a prompt, ids `(N,)`: `(1, V)`; and the state.

    A long prompt is read in parts that are verified.
    """
    work, first = Workspace(p.flat.dtype), 0
    state = model.zero_state(1, p.flat.dtype)
    _, parts = cut(len(prompt) - 1, 1)
    if parts > 1:
        first = len(prompt) - 1
        state = final_state(model, p, prompt, progress)
    for start in range(first, len(prompt), FORWARD_STEPS):
        ids = prompt[start : start + FORWARD_STEPS][:, None]
        with quiet_overflow():
            logits, state = model.next_logits(p, ids, state, work)
        progress(len(ids))
    return logits, state


def _block(stream: Iterator[NDArray[np.intp]]) -> NDArray[np.intp]:
    """The next ids of a shard of streams, `(BLOCK, streams)`."""
    return np.array(list(islice(stream, BLOCK)))


def sample_texts(
    model: TrainedModel,
    prompt: Text,
    config: SampleConfig,
    count: int,
    *,
    unknown: Unknown = "refuse",
    rng: np.random.Generator | None = None,
    progress: Advance = ignore,
) -> Iterator[tuple[str, ...]]:
    """Sample texts in parallel from one prompt; see `LanguageModel.sample_streams`."""
    check_generates(model)
    rng = rng or np.random.default_rng()
    vocabulary = model.vocabulary
    numbers = count * (sum(model.network.cells.state_widths()) + 8 * len(vocabulary))
    check_fits(8 * numbers, f"sampling {count:,} texts at once", "sample fewer texts")
    network, p = model.network, model.params
    stops = stop_texts(model, config)
    prompt_ids = prompt_ids_of(model, prompt, unknown, rng)
    ids = sample(
        network,
        p,
        prompt_ids,
        config,
        rng,
        count,
        excluded_id=vocabulary.unk_id,
        not_first=_ends_alone(model, prompt_ids, stops),
        progress=progress,
    )
    characters = [*vocabulary.characters, ""]  # the boundary has none
    return _until_stop(ids, characters, config.length, stops, count, network.boundary is not None)


def check_generates(model: TrainedModel) -> None:
    """Check that a model can generate text.

    Raises:
        ModelError: it is bidirectional.
    """
    if model.config.bidirectional:
        raise ModelError(
            "a bidirectional model cannot generate text; use it to fill gaps or to proofread, or "
            "train a unidirectional model, which is the default"
        )


def stop_texts(model: TrainedModel, config: SampleConfig) -> tuple[str, ...]:
    """The stop texts, as the model reads text.

    Raises:
        ConfigError: one has characters that the model never generates.
    """
    vocabulary = model.vocabulary
    stops = tuple(as_read(model, stop) for stop in config.stops)
    for given, stop in zip(config.stops, stops, strict=True):
        ids = vocabulary.numbers(code_points(stop))
        generated = (ids >= 0) & ~np.isin(ids, not_characters(model))
        if not generated.all():
            never = "".join(c for c, can in zip(stop, generated, strict=True) if not can)
            which = listed_characters(never, vocabulary.characters)
            expected = f"a text that the model can generate (it never generates {which})"
            raise ConfigError("stop", given, expected)
    return stops


def _ends_alone(model: TrainedModel, prompt_ids: IdSequence, stops: Sequence[str]) -> list[int]:
    """The ids of stop texts of one character, which a text without a prompt does not begin with.

    So no text is empty but for its end. There are none if the model generates no other characters,
    or documents, which can be empty.
    """
    vocabulary, before = model.vocabulary, edge(model)
    alone = "".join({stop for stop in stops if len(stop) == 1})
    has_prompt = len(prompt_ids) != len(before) or (prompt_ids[:] != before).any()
    has_ends = model.network.boundary is not None
    if has_prompt or has_ends or len(alone) == len(vocabulary) - (vocabulary.unk_id is not None):
        return []
    ids: list[int] = vocabulary.numbers(code_points(alone)).tolist()
    return ids


def prompt_ids_of(
    model: TrainedModel, prompt: Text, unknown: Unknown, rng: np.random.Generator
) -> IdSequence:
    """The ids of a prompt after a newline or the boundary, where prompts stand in training.

    A model that does not know the newline reads the prompt alone or, without one, a random
    character. A model of a checkpoint before format 4 reads a newline only without a prompt.
    """
    ids, _ = encode(model, prompt, unknown=unknown, name="prompt")
    before = edge(model)
    if len(ids) and (not len(before) or model.text_config.joined):
        return ids
    if len(before):
        return Joined(before, ids)
    return rng.integers(len(model.vocabulary), size=1).astype(before.dtype)


def _until_stop(
    sampled: Iterator[NDArray[np.intp]],
    characters: Sequence[str],
    length: int,
    stops: tuple[str, ...],
    count: int,
    has_ends: bool,
) -> Iterator[tuple[str, ...]]:
    """The next character of each text, empty after its end, until all texts have ended.

    A text ends after a stop text; a document also at its boundary, which is no character.
    """
    steps = (tuple(map(characters.__getitem__, ids.tolist())) for ids in sampled)
    if not stops and not has_ends:
        yield from islice(steps, length)
        return
    longest = max(map(len, stops), default=0)
    ends, ended = [""] * count, [False] * count  # the last characters of each text
    for step in islice(steps, length):
        step = tuple("" if over else c for c, over in zip(step, ended, strict=True))
        yield step
        if stops:
            ends = [(end + c)[-longest:] for end, c in zip(ends, step, strict=True)]
        ended = [not c or end.endswith(stops) for c, end in zip(step, ends, strict=True)]
        if all(ended):
            return
