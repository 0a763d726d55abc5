"""How surprised a model is by a text.

A stream of text is read from its start to its end, each character given all of the stream before
it. That is one short product after another, which keeps neither a processor nor two busy. But
models forget: read from zeros, they come to the same state after some hundred characters. So
a stream is cut into parts that are read side by side, each warmed up on the characters before
it. Whether the state that a part began with is the one that the part before it ended with is
then looked at, and where it is not, the part is read again from that one.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from charlm.distributed.process_group import SINGLE_PROCESS, ProcessGroup
from charlm.distributed.scheduling import deal, default_shards, share, thread_map
from charlm.errors import ConfigError
from charlm.nn.cells import State
from charlm.nn.model import CharLM
from charlm.nn.params import Params
from charlm.nn.workspace import Workspace
from charlm.system.arrays import Array
from charlm.system.blas import one_blas_thread
from charlm.system.numerical_environment import quiet_overflow
from charlm.text.id_sequences import IdSequence, Windows

CHUNK = 128  # steps a forward pass; for models that read one way, any number gives the same

PARTS = 64  # that are read side by side, at most, of all streams together
WARM_UP = 1024  # characters
SAME = 100  # roundings, of 1 or of what is larger: how far apart the numbers of two states may be

NO_NUMBER = (
    "the model's figures are not numbers: its training diverged; train it again, more slowly"
)


def perplexity(nats_per_char: float) -> float:
    """exp of a mean surprise, infinite where no float can hold it."""
    try:
        return math.exp(nats_per_char)
    except OverflowError:
        return math.inf


@dataclass(frozen=True)
class Score:
    """The surprise of a text.

    Attributes:
        nats: the sum of -ln p over the scored characters.
        characters: how many characters were scored.
        streams: at how many places the text was read at once, each from a state of zeros.
        parts: into how many parts it was cut to be read side by side.
        reread: how many of them were read again from where the part before ended.
        lookahead: how many characters after each are read at least, but at the end of a stream,
            by a bidirectional model; 0 for one that reads in one direction.
        unknown_characters: how many the model does not know; they were passed over.
    """

    nats: float
    characters: int
    streams: int = 1
    parts: int = 1
    reread: int = 0
    lookahead: int = 0
    unknown_characters: int = 0

    @property
    def nats_per_char(self) -> float:
        """Mean surprise in nats."""
        return self.nats / self.characters

    @property
    def bits_per_char(self) -> float:
        """Mean surprise in bits."""
        return self.nats_per_char / math.log(2)

    @property
    def perplexity(self) -> float:
        """exp of the mean surprise: among how many equally likely characters one is as lost.

        Of a bidirectional model, the pseudo-perplexity: no product of its probabilities is that
        of the text, and it does not compare with the perplexity of one that reads one way.
        """
        return perplexity(self.nats_per_char)


def score(
    model: CharLM,
    p: Params,
    ids: IdSequence,
    *,
    streams: int = 1,
    shards: int = 0,
    threads: int = 0,
    group: ProcessGroup = SINGLE_PROCESS,
    progress: Callable[[int], object] = lambda characters: None,
) -> Score:
    """Score all characters but the first, each given those before it.

    With one stream each character's context is the whole text before it. With more, the text is
    read at that many places at once: each stream starts at the character before its part, with
    a state of zeros, and carries its state to the end of its part. Every character is scored
    once all the same. A bidirectional model reads what is after a character as well, to the end
    of its window and `lookahead` further.

    Args:
        model: the model.
        p: its parameters.
        ids: `(N,)`, at least two.
        streams: at how many places the text is read at once, fewer where it is short.
        shards: into how many pieces of work the parts are dealt at least. It may show in the last
            digits of the result, while threads and ranks do not.
        threads: how many threads share a rank's work, 0 for one a processor.
        ranks: who share the work; all of them call this, and get the result.
        progress: called, on any of the threads, with the number of characters read since it was
            last called; those that are read again do not count.

    Raises:
        ConfigError: less than one stream.
        RankError: a rank does not answer.
    """
    if streams < 1:
        raise ConfigError("streams", streams, "a whole number of 1 or more")
    count = len(ids) - 1
    streams = min(streams, count)
    each = max(1, min(PARTS // streams, count // streams // (2 * WARM_UP)))  # parts of a stream
    parts = deal(count, streams * each)
    ends = np.array([part.stop for part in parts[each - 1 :: each]])
    shortest = min(part.stop - part.start for part in parts)
    reader = _Reader(model, p, ids, ends, shortest, progress)
    work = deal(len(parts), max(shards, default_shards(len(parts))))
    with one_blas_thread():
        readings = _read_together(reader, parts, each, work, threads, group)
        reread = _verify(reader, parts, each, readings)
    nats = sum(reading.nats for reading in readings)
    result = Score(nats, count, streams, len(parts), reread, model.lookahead)
    return group.all_gather(result)[0]  # of unlike machines, one has to be believed


def _read_together(
    reader: "_Reader",
    parts: list[slice],
    each: int,
    work: list[slice],
    threads: int,
    group: ProcessGroup,
) -> "list[_Reading]":
    """Read all parts, `each` of them a stream, in pieces of work that ranks and threads share."""

    def read(piece: slice) -> list[_Reading]:
        is_first = np.arange(piece.start, piece.stop) % each == 0
        with quiet_overflow():  # in each thread anew
            return reader.read(parts[piece], reader.warm_up(parts[piece], is_first))

    # a rank without work does what another one does, so that none waits longer than others work
    mine = share(len(work), group.size)[group.rank] or [group.rank % len(work)]
    map_ = thread_map(len(mine), threads or group.cores)
    try:
        done = dict(zip(mine, map_(read, [work[n] for n in mine]), strict=True))
    except BaseException:
        reader.stopped = True  # an interrupt reaches one thread only
        raise
    of_all = {n: readings for of_one in group.all_gather(done) for n, readings in of_one.items()}
    return [reading for n in range(len(work)) for reading in of_all[n]]


def _verify(reader: "_Reader", parts: list[slice], each: int, readings: "list[_Reading]") -> int:
    """Read again, in place, what was not read from where the part before ended: how many parts."""
    reader.progress = lambda characters: None
    reread = 0
    for i, part in enumerate(parts):
        if i % each and not _same(readings[i].before, readings[i - 1].after):
            (readings[i],) = reader.read([part], readings[i - 1].after)
            reread += 1
    return reread


@dataclass(frozen=True)
class _Reading:
    """A part of a text, read.

    Attributes:
        nats: its surprise.
        before: the state from which it was read, arrays `(1, features)`.
        after: the state after it.
    """

    nats: float
    before: State
    after: State


@dataclass
class _Reader:
    """Reads parts of a text side by side. A part is a slice of the characters that are read."""

    model: CharLM
    p: Params
    ids: IdSequence
    ends: NDArray[np.intp]  # the last character of each stream
    shortest: int  # of all parts: up to there all have windows of the same places
    progress: Callable[[int], object]
    stopped: bool = False

    def warm_up(self, parts: list[slice], first: NDArray[np.bool_]) -> State:
        """The states at the starts of parts; zeros for the first of a stream."""
        state = self.model.zero_state(len(parts), self.p.flat.dtype)
        work = Workspace(self.p.flat.dtype)
        starts = np.array([part.start for part in parts])
        start = -WARM_UP if not first.all() else 0
        windows = Windows(self.ids, starts, start, 0)
        for t in range(start, 0, CHUNK):
            _, state = self.model.read(self.p, windows.rows(t, min(t + CHUNK, 0)), state, work)
        return tuple(np.where(first[:, None], 0, array) for array in state)

    def read(self, parts: list[slice], before: State) -> list[_Reading]:
        """Read each part from a state; their lengths differ by one at most."""
        work = Workspace(self.p.flat.dtype)
        starts = np.array([part.start for part in parts])
        lengths = np.array([part.stop - part.start for part in parts])
        lookahead = self.model.lookahead
        windows = Windows(self.ids, starts, 0, self.shortest + 2 + lookahead)
        nats, state = np.zeros(len(parts)), before
        for t in range(0, self.shortest, CHUNK):
            stop = min(t + CHUNK, self.shortest)
            ids = windows.rows(t, stop + 1 + lookahead)
            more, state = self._score(ids, starts + stop, state, work)
            nats += more
        longer = lengths > self.shortest
        if longer.any():
            ids = windows.rows(self.shortest, self.shortest + 2 + lookahead)[:, longer]
            last = starts[longer] + self.shortest + 1
            more, ends = self._score(ids, last, tuple(a[longer] for a in state), work)
            nats[longer] += more
            for array, end in zip(state, ends, strict=True):
                array[longer] = end
        return [
            _Reading(float(nats[i]), _row(before, i), _row(state, i)) for i in range(len(parts))
        ]

    def _score(
        self, ids: Array, last: NDArray[np.intp], state: State, work: Workspace
    ) -> tuple[NDArray[np.float64], State]:
        """The surprise of a chunk's targets, summed over T, and the state after.

        Args:
            ids: a chunk of T characters, the one after it, and those to look ahead at,
                `(T + 1 + lookahead, B)`.
            last: the places of the last targets, `(B,)`.
            state: before the chunk.
            work: scratch memory.
        """
        if self.stopped:
            raise InterruptedError
        T, B = len(ids) - 1 - self.model.lookahead, len(last)
        nats, after = np.empty(B), tuple(np.empty_like(array) for array in state)
        for room, rows in self._by_room(last):
            x, y, beyond = ids[:T, rows], ids[1 : T + 1, rows], ids[T + 1 : T + 1 + room, rows]
            before = tuple(array[rows] for array in state)
            each, ends = self.model.nats(self.p, x, y, before, work, beyond)
            nats[rows] = each.sum(axis=0)
            for array, end in zip(after, ends, strict=True):
                array[rows] = end
        self.progress(T * B)
        return nats, after

    def _by_room(self, last: NDArray[np.intp]) -> list[tuple[int, NDArray[np.bool_]]]:
        """How many characters after the last targets `(B,)` may be read, and of which rows."""
        room = np.minimum(self.model.lookahead, self.ends[np.searchsorted(self.ends, last)] - last)
        return [(n, room == n) for n in np.unique(room).tolist()]


def _row(state: State, i: int) -> State:
    return tuple(array[i : i + 1] for array in state)


def _same(a: State, b: State) -> bool:
    """Whether two states differ by no more than what rounding makes of one."""
    return all(
        bool((np.abs(x - y) <= SAME * np.finfo(x.dtype).eps * np.maximum(1, np.abs(y))).all())
        for x, y in zip(a, b, strict=True)
    )
