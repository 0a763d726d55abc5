"""The negative log-likelihood (NLL) of a text under a model.

Each character is scored given the characters before it. Reading a text one step at a time makes
poor use of a processor and cannot use several. But a recurrent network forgets its initial state:
starting from zeros, it reaches the same state after a few hundred characters. A stream of text is
therefore cut into parts, which are read as one batch, each after a warm-up on the characters
before it. Then the state from which a part was read is compared with the final state of the part
before it. Where they differ, the part is read again from that final state.

`_Reader.read` sums the NLL of each part, `score` sums the parts, and `Score` divides by the number
of characters: `nats_per_char`, and its exp, `perplexity`.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from charlm.distributed.process_group import SINGLE_PROCESS, ProcessGroup
from charlm.distributed.scheduling import deal, default_shards, share, thread_map
from charlm.errors import ConfigError, TextError
from charlm.inference.alternatives import Alternatives, logits_by_stream
from charlm.inference.finite import check_nats
from charlm.inference.text_input import Text, edge, encode
from charlm.inference.trained_model import TrainedModel
from charlm.nn.cells.protocol import State
from charlm.nn.model import CharLM
from charlm.nn.params import Params
from charlm.nn.workspace import Workspace
from charlm.system.arrays import Array
from charlm.system.blas import one_blas_thread
from charlm.system.callbacks import Advance, ignore
from charlm.system.numerical_environment import quiet_overflow
from charlm.text.id_sequences import IdSequence, Windows

FORWARD_STEPS = 128  # time steps of one forward pass, and the window of a bidirectional model

PARTS = 64  # the largest batch of parts, over all streams
WARM_UP = 1024  # characters
TOLERANCE = 100  # machine epsilons between equal states, relative to values above 1


class ScoringStopped(Exception):  # noqa: N818
    """Scoring ended because `should_stop` returned True."""


def perplexity(nats_per_char: float) -> float:
    """exp of the mean NLL, or infinity if a float cannot hold it."""
    try:
        return math.exp(nats_per_char)
    except OverflowError:
        return math.inf


@dataclass(frozen=True)
class Score:
    """The NLL of a text.

    Attributes:
        nats: the sum of -ln p over the scored characters.
        characters: the number of scored characters.
        streams: the number of parallel streams, each read from an initial state of zeros.
        parts: the number of parts that the text was cut into.
        reread: the number of parts that were read again from the final state of the part before.
        lookahead: the minimum number of characters that a bidirectional model reads after each
            character, except at the end of a stream; 0 for a unidirectional model.
        unknown_characters: the number of characters that the model does not know.
        length: the number of characters of the text; 0 from `score`, which cannot tell boundaries
            from characters.
        documents: the number of documents, if the text consists of documents. The end of each is
            scored, and counts as a character.
        words: the number of their words, which stand between white space.
    """

    nats: float
    characters: int
    streams: int = 1
    parts: int = 1
    reread: int = 0
    lookahead: int = 0
    unknown_characters: int = 0
    length: int = 0
    documents: int = 0
    words: int = 0

    @property
    def unknown_fraction(self) -> float:
        """The share of the text that the model does not know.

        The figures of a model say little about a text of which it does not know more than 1 %.
        """
        return self.unknown_characters / self.length if self.unknown_characters else 0.0

    @property
    def nats_per_char(self) -> float:
        """Mean NLL in nats."""
        return self.nats / self.characters

    @property
    def bits_per_char(self) -> float:
        """Mean NLL in bits."""
        return self.nats_per_char / math.log(2)

    @property
    def perplexity(self) -> float:
        """exp of the mean NLL: the effective number of equally likely next characters.

        For a bidirectional model this is the pseudo-perplexity. The product of its probabilities
        is not a probability of the text, so it cannot be compared with the perplexity of a
        unidirectional model.
        """
        return perplexity(self.nats_per_char)

    @property
    def nats_per_document(self) -> float:
        """Mean NLL of a document in nats."""
        return self.nats / self.documents

    @property
    def word_perplexity(self) -> float:
        """exp of the NLL per word; infinity without words."""
        return perplexity(self.nats / self.words) if self.words else math.inf

    def __add__(self, other: "Score") -> "Score":
        """The score of two texts, each scored on its own."""
        return Score(
            self.nats + other.nats,
            self.characters + other.characters,
            max(self.streams, other.streams),
            self.parts + other.parts,
            self.reread + other.reread,
            max(self.lookahead, other.lookahead),
            self.unknown_characters + other.unknown_characters,
            self.length + other.length,
            self.documents + other.documents,
            self.words + other.words,
        )


def score_text(
    model: TrainedModel, text: Text, *, streams: int = 1, progress: Advance = ignore
) -> Score:
    """Score a text; see `LanguageModel.score`."""
    ids, unknown = encode(model, text)
    count = unknown.total()
    length = len(ids) + (count if model.vocabulary.unk_id is None else 0)
    if model.network.boundary is not None:  # the text is one document
        around = edge(model)
        ids = np.concatenate([around, ids[:], around])
    check_long_enough(len(ids), count)
    with quiet_overflow():
        result = score(model.network, model.params, ids, streams=streams, progress=progress)
    check_nats(result.nats)
    return replace(result, unknown_characters=count, length=length)


def check_long_enough(known: int, unknown: int) -> None:
    """Check that a character of a text is predicted, given the numbers of known and unknown ones.

    Raises:
        TextError: there is none.
    """
    if not known + unknown:
        raise TextError("the text is empty")
    if known < 2:
        raise TextError(
            "scoring requires at least 2 characters in the model's vocabulary; the text has "
            f"{known} known and {unknown} unknown characters"
        )


def score(
    model: CharLM,
    p: Params,
    ids: IdSequence,
    *,
    streams: int = 1,
    shards: int = 0,
    threads: int = 0,
    group: ProcessGroup = SINGLE_PROCESS,
    progress: Advance = ignore,
    should_stop: Callable[[], bool] = lambda: False,
    surprisals: NDArray[np.float64] | None = None,
    alternatives: Alternatives | None = None,
) -> Score:
    """Score every character but the first, given the characters before it.

    With one stream, the context of a character is the whole text before it. With more, the text is
    cut into that many parallel streams. Each starts at the character before its first target
    from a state of zeros. Every character is still scored exactly once. A bidirectional model also
    reads the characters after a target: the rest of its window, and `lookahead` more.

    Args:
        model: the model.
        p: its parameters.
        ids: the text `(N,)`, with N of 2 or more.
        streams: the number of parallel streams; a short text has fewer.
        shards: the minimum number of batches that the parts are divided into. It can change the
            last digits of the result; the numbers of threads and ranks cannot.
        threads: the number of threads of a rank, 0 for one per processor.
        group: the ranks that share the work. All of them call this, and all get the result.
        progress: called from any thread with the number of characters scored since the last call.
            Parts that are read again do not count.
        should_stop: polled from any thread between forward passes. Only for a single process: the
            other ranks of a group would wait for the one that stops.
        surprisals: receives -ln p of each scored character, `(N-1,)`; for a single process.
        alternatives: receives the most probable characters in place of each scored one; for a
            single process.

    Raises:
        ConfigError: `streams` is less than 1.
        RankError: a rank does not respond.
        ScoringStopped: `should_stop` returned True.
    """
    if streams < 1:
        raise ConfigError("streams", streams, "an integer of at least 1")
    count = len(ids) - 1
    streams = min(streams, count)
    parts_per_stream = max(1, min(PARTS // streams, count // streams // (2 * WARM_UP)))
    parts = deal(count, streams * parts_per_stream)
    receivers = surprisals, alternatives
    reader = _Reader(model, p, ids, parts, parts_per_stream, progress, should_stop, *receivers)
    batches = deal(len(parts), max(shards, default_shards(len(parts))))
    with one_blas_thread():
        readings = _read_parts(reader, batches, threads, group)
        reread = _correct(reader, readings)
    nats = sum(reading.nats for reading in readings)
    result = Score(nats, count, streams, len(parts), reread, model.lookahead)
    return group.all_gather(result)[0]  # results of different machines can differ by rounding


def _read_parts(
    reader: "_Reader", batches: list[slice], threads: int, group: ProcessGroup
) -> "list[_Reading]":
    """Read all parts; ranks and threads share the batches."""

    def read(batch: slice) -> list[_Reading]:
        with quiet_overflow():  # NumPy keeps this setting per thread
            return reader.read(batch, reader.warm_up(batch))

    # a rank without a batch repeats another rank's, so that no rank waits longer than the others
    mine = share(len(batches), group.size)[group.rank] or [group.rank % len(batches)]
    map_ = thread_map(len(mine), threads or group.cores)
    try:
        done = dict(zip(mine, map_(read, [batches[n] for n in mine]), strict=True))
    except BaseException:
        reader.should_stop = lambda: True  # an interrupt reaches one thread only
        raise
    gathered = {n: found for of_rank in group.all_gather(done) for n, found in of_rank.items()}
    return [reading for n in range(len(batches)) for reading in gathered[n]]


def _correct(reader: "_Reader", readings: "list[_Reading]") -> int:
    """Replace the readings that started from a wrong state, and return their number."""
    reader.progress = ignore
    reread = 0
    for i in range(len(readings)):
        final = readings[i - 1].after
        if i % reader.parts_per_stream and not _agree(readings[i].before, final):
            (readings[i],) = reader.read(slice(i, i + 1), final)
            reread += 1
    return reread


@dataclass(frozen=True)
class _Reading:
    """The result of reading a part.

    Attributes:
        nats: the NLL of its targets.
        before: the state from which it was read, arrays `(1, features)`.
        after: its final state.
    """

    nats: float
    before: State
    after: State


@dataclass
class _Reader:
    """Reads parts of a text as a batch."""

    model: CharLM
    p: Params
    ids: IdSequence
    parts: list[slice]  # of the inputs; the target of each input is the next character
    parts_per_stream: int
    progress: Advance
    should_stop: Callable[[], bool]
    surprisals: NDArray[np.float64] | None = None  # of all targets
    alternatives: Alternatives | None = None  # for all targets

    def __post_init__(self) -> None:
        last_parts = self.parts[self.parts_per_stream - 1 :: self.parts_per_stream]
        self.stream_ends = np.array([part.stop for part in last_parts])
        # all batches have the same windows up to the length of the shortest part
        self.shortest = min(part.stop - part.start for part in self.parts)

    def warm_up(self, batch: slice) -> State:
        """The states at the starts of a batch's parts; zeros for the first part of a stream."""
        starts = np.array([part.start for part in self.parts[batch]])
        is_first = np.arange(batch.start, batch.stop) % self.parts_per_stream == 0
        state = self.model.zero_state(len(starts), self.p.flat.dtype)
        work = Workspace(self.p.flat.dtype)
        first = 0 if is_first.all() else -WARM_UP
        windows = Windows(self.ids, starts, first, 0)
        for t in range(first, 0, FORWARD_STEPS):
            ids = windows.rows(t, min(t + FORWARD_STEPS, 0))
            _, state = self.model.read(self.p, ids, state, work)
        return tuple(np.where(is_first[:, None], 0, array) for array in state)

    def read(self, batch: slice, before: State) -> list[_Reading]:
        """Read each part from its state; their lengths differ by at most one."""
        work = Workspace(self.p.flat.dtype)
        starts = np.array([part.start for part in self.parts[batch]])
        longer = np.array([part.stop for part in self.parts[batch]]) - starts > self.shortest
        lookahead = self.model.lookahead
        windows = Windows(self.ids, starts, 0, self.shortest + 2 + lookahead)
        nats, state = np.zeros(len(starts)), before
        for t in range(0, self.shortest, FORWARD_STEPS):
            stop = min(t + FORWARD_STEPS, self.shortest)
            ids = windows.rows(t, stop + 1 + lookahead)
            more, state = self._nats(ids, starts + stop, state, work)
            nats += more
        if longer.any():
            ids = windows.rows(self.shortest, self.shortest + 2 + lookahead)[:, longer]
            last = starts[longer] + self.shortest + 1
            more, ends = self._nats(ids, last, tuple(a[longer] for a in state), work)
            nats[longer] += more
            for array, end in zip(state, ends, strict=True):
                array[longer] = end
        return [
            _Reading(float(nats[i]), _row(before, i), _row(state, i)) for i in range(len(starts))
        ]

    def _nats(
        self, ids: Array, last: NDArray[np.intp], state: State, work: Workspace
    ) -> tuple[NDArray[np.float64], State]:
        """The NLL of the targets of one forward pass, `(B,)`, and the state after it.

        Args:
            ids: T inputs, the character after them, and the lookahead, `(T + 1 + lookahead, B)`.
            last: the index in the text of the last targets, `(B,)`.
            state: the state before.
            work: scratch memory.
        """
        if self.should_stop():
            raise ScoringStopped
        T, B = len(ids) - 1 - self.model.lookahead, len(last)
        nats, after = np.empty(B), tuple(np.empty_like(array) for array in state)
        left = self.stream_ends[np.searchsorted(self.stream_ends, last)] - last
        lookaheads = np.minimum(self.model.lookahead, left)  # shorter at the end of a stream
        for lookahead in np.unique(lookaheads).tolist():
            rows = lookaheads == lookahead
            x, y = ids[:T, rows], ids[1 : T + 1, rows]
            beyond = ids[T + 1 : T + 1 + lookahead, rows]
            before = tuple(array[rows] for array in state)
            surprisals, ends = self.model.nats(self.p, x, y, before, work, beyond)
            nats[rows] = surprisals.sum(axis=0)
            if self.surprisals is not None:
                for end, column in zip(last[rows].tolist(), surprisals.T, strict=True):
                    self.surprisals[end - T : end] = column
            if self.alternatives is not None:
                found = logits_by_stream(self.model, self.p, x, y, before, work, beyond)
                for end, logits in zip(last[rows].tolist(), found, strict=True):
                    self.alternatives.note(end - T, logits)
            for array, end in zip(after, ends, strict=True):
                array[rows] = end
        self.progress(T * B)
        return nats, after


def _row(state: State, i: int) -> State:
    return tuple(array[i : i + 1] for array in state)


def _agree(a: State, b: State) -> bool:
    """Whether two states differ by rounding errors only."""
    return all(
        bool((np.abs(x - y) <= TOLERANCE * np.finfo(x.dtype).eps * np.maximum(1, np.abs(y))).all())
        for x, y in zip(a, b, strict=True)
    )
