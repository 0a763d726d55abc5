"""Reading a long text in parts, as one batch, with the result of reading it in order.

Reading a text one step at a time makes poor use of a processor and cannot use several. But a
recurrent network forgets its initial state: starting from zeros, it reaches the same state after a
few hundred characters. A stream of text is therefore cut into parts, which are read as one batch,
each after a warm-up on the characters before it. Then the state from which a part was read is
compared with the final state of the part before it. Where they differ, the part is read again from
that final state.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from charlm.distributed.process_group import SINGLE_PROCESS, ProcessGroup
from charlm.distributed.scheduling import deal, default_shards, share, thread_map
from charlm.inference.alternatives import Alternatives, logits_by_stream
from charlm.inference.blocks import Cut
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


def cut(count: int, streams: int) -> tuple[list[slice], int]:
    """The parts of `count` inputs in so many streams, and how many of them each stream has."""
    parts_per_stream = max(1, min(PARTS // streams, count // streams // (2 * WARM_UP)))
    return deal(count, streams * parts_per_stream), parts_per_stream


def read_all(
    reader: "Reader", shards: int = 0, threads: int = 0, group: ProcessGroup = SINGLE_PROCESS
) -> "tuple[list[Reading], int]":
    """Read all parts, and those again that started from a wrong state.

    Args:
        reader: reads the parts.
        shards, threads, group: as for `scoring.score`.

    Returns:
        The readings, and the number of parts that were read again.
    """
    batches = deal(len(reader.parts), max(shards, default_shards(len(reader.parts))))
    with one_blas_thread():
        readings = _read_parts(reader, batches, threads, group)
        return readings, _correct(reader, readings)


def final_state(model: CharLM, p: Params, ids: IdSequence, progress: Advance = ignore) -> State:
    """The state after all ids `(N,)` but the last; N is 2 or more."""
    readings, _ = read_all(Reader(model, p, ids, *cut(len(ids) - 1, 1), progress))
    return readings[-1].after


def _read_parts(
    reader: "Reader", batches: list[slice], threads: int, group: ProcessGroup
) -> "list[Reading]":
    """Read all parts; ranks and threads share the batches."""

    def read(batch: slice) -> list[Reading]:
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


def _correct(reader: "Reader", readings: "list[Reading]") -> int:
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
class Reading:
    """The result of reading a part.

    Attributes:
        blocks: the NLL of its targets, for each block of the text that it has a part of; see
            `blocks.Cut`.
        before: the state from which it was read, arrays `(1, features)`.
        after: its final state.
    """

    blocks: NDArray[np.float64]
    before: State
    after: State

    @property
    def nats(self) -> float:
        """The NLL of its targets."""
        return float(self.blocks.sum())


@dataclass
class Reader:
    """Reads parts of a text as a batch."""

    model: CharLM
    p: Params
    ids: IdSequence
    parts: list[slice]  # of the inputs; the target of each input is the next character
    parts_per_stream: int
    progress: Advance = ignore
    should_stop: Callable[[], bool] = lambda: False
    surprisals: NDArray[np.float64] | None = None  # of all targets
    alternatives: Alternatives | None = None  # for all targets

    def __post_init__(self) -> None:
        last_parts = self.parts[self.parts_per_stream - 1 :: self.parts_per_stream]
        self.stream_ends = np.array([part.stop for part in last_parts])
        # all batches have the same windows up to the length of the shortest part
        self.shortest = min(part.stop - part.start for part in self.parts)
        self.cut = Cut(len(self.ids) - 1)  # of all targets

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

    def read(self, batch: slice, before: State) -> list[Reading]:
        """Read each part from its state; their lengths differ by at most one."""
        work = Workspace(self.p.flat.dtype)
        starts = np.array([part.start for part in self.parts[batch]])
        longer = np.array([part.stop for part in self.parts[batch]]) - starts > self.shortest
        lookahead = self.model.lookahead
        windows = Windows(self.ids, starts, 0, self.shortest + 2 + lookahead)
        sums, state = BlockSums(self.cut, starts, self.shortest + longer), before
        for t in range(0, self.shortest, FORWARD_STEPS):
            stop = min(t + FORWARD_STEPS, self.shortest)
            ids = windows.rows(t, stop + 1 + lookahead)
            nats, state = self._nats(ids, starts + stop, state, work)
            sums.add(t, nats)
        if longer.any():
            ids = windows.rows(self.shortest, self.shortest + 2 + lookahead)[:, longer]
            last = starts[longer] + self.shortest + 1
            nats, ends = self._nats(ids, last, tuple(a[longer] for a in state), work)
            sums.add(self.shortest, nats, longer)
            for array, end in zip(state, ends, strict=True):
                array[longer] = end
        return [
            Reading(blocks, _row(before, i), _row(state, i)) for i, blocks in enumerate(sums.rows())
        ]

    def block_sums(self, readings: "list[Reading]") -> NDArray[np.float64]:
        """The NLL of each block of the text, given the readings of all parts."""
        sums = np.zeros(len(self.cut))
        firsts = self.cut.block(np.array([part.start for part in self.parts]))
        for first, reading in zip(firsts.tolist(), readings, strict=True):
            sums[first : first + len(reading.blocks)] += reading.blocks
        return sums

    def _nats(
        self, ids: Array, last: NDArray[np.intp], state: State, work: Workspace
    ) -> tuple[NDArray[np.float64], State]:
        """-ln p of the targets of one forward pass, `(T, B)`, and the state after it.

        Args:
            ids: T inputs, the character after them, and the lookahead, `(T + 1 + lookahead, B)`.
            last: the index in the text of the last targets, `(B,)`.
            state: the state before.
            work: scratch memory.
        """
        if self.should_stop():
            raise ScoringStopped
        T, B = len(ids) - 1 - self.model.lookahead, len(last)
        nats, after = np.empty((T, B)), tuple(np.empty_like(array) for array in state)
        left = self.stream_ends[np.searchsorted(self.stream_ends, last)] - last
        lookaheads = np.minimum(self.model.lookahead, left)  # shorter at the end of a stream
        for lookahead in np.unique(lookaheads).tolist():
            rows = lookaheads == lookahead
            x, y = ids[:T, rows], ids[1 : T + 1, rows]
            beyond = ids[T + 1 : T + 1 + lookahead, rows]
            before = tuple(array[rows] for array in state)
            surprisals, ends = self.model.nats(self.p, x, y, before, work, beyond)
            nats[:, rows] = surprisals
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


class BlockSums:
    """The sums over the blocks of a text that some parts of it, `(B,)`, have in common with them.

    Args:
        cut: the blocks.
        starts: the first target of each part.
        lengths: the number of targets of each.
    """

    def __init__(self, cut: Cut, starts: NDArray[np.intp], lengths: NDArray[np.intp]) -> None:
        self.cut, self.starts, self.firsts = cut, starts, cut.block(starts)
        self.counts = cut.block(starts + lengths - 1) - self.firsts + 1
        self.sums = np.zeros((len(starts), self.counts.max()))

    def add(
        self, t: int, nats: NDArray[np.float64], parts: NDArray[np.bool_] | slice = slice(None)
    ) -> None:
        """Add -ln p, `(T, B)`, of the targets from number t of each of some parts."""
        positions = self.starts[parts] + np.arange(t, t + len(nats))[:, None]  # (T, B)
        rows = np.arange(len(self.starts))[parts]
        cells = rows * self.sums.shape[1] + self.cut.block(positions) - self.firsts[parts]
        np.add.at(self.sums.reshape(-1), cells.ravel(), nats.ravel())

    def rows(self) -> list[NDArray[np.float64]]:
        """The sums of each part, from the block of its first target to that of its last one."""
        return [row[:n] for row, n in zip(self.sums, self.counts.tolist(), strict=True)]


def _row(state: State, i: int) -> State:
    return tuple(array[i : i + 1] for array in state)


def _agree(a: State, b: State) -> bool:
    """Whether two states differ by rounding errors only."""
    return all(
        bool((np.abs(x - y) <= TOLERANCE * np.finfo(x.dtype).eps * np.maximum(1, np.abs(y))).all())
        for x, y in zip(a, b, strict=True)
    )
