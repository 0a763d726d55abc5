"""Ranks on MPI, by mpi4py.

Nothing blocks inside of MPI once the ranks have met: a request is begun and then tested again and
again, so that signals are heeded, waiting leaves the processor to others, and a process that waits
in vain notices it. Only while one reads a text or a checkpoint for all, the others wait for ever.
"""

import os
import pickle
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple, NoReturn, TypeVar

import numpy as np
from mpi4py import MPI

from charlm.distributed.process_group import Exchange
from charlm.distributed.reduction import Node, add_up
from charlm.distributed.scheduling import deal
from charlm.errors import LostRankError
from charlm.system.arrays import Array
from charlm.system.blas import available_cores

T = TypeVar("T")

BUSY = 2e-3  # seconds for which a process that waits only gives way to others, before it sleeps
NAP = 1e-4  # seconds that it then sleeps
DELIVERY = 0.2  # seconds until what was printed has been passed on by those who start ranks
PATIENCE = 3.0  # how many times as much work as this rank another one may have had
REACTION = 3.0  # seconds that rank 0 has for saying why another one has failed
ROLL_CALL = 2.0  # seconds for which those that are there may say so, when one is missed
HERE, FAILED = 1, 2  # the tags with which they do, and with which one says why it has failed

_give_way: Callable[[], None] = getattr(os, "sched_yield", lambda: None)


class _Outcome(NamedTuple):
    """What an action gave, or raised."""

    value: Any
    error: Exception | None


def _try(action: Callable[[], Any]) -> _Outcome:
    try:
        return _Outcome(action(), None)
    except Exception as error:
        return _Outcome(None, error)


class MPIGroup:
    """All processes that were started together; see `charlm.distributed.process_group.Ranks`.

    Args:
        timeout: seconds after which a process that does not answer counts as gone, if it had as
            much to do as this one, and no more than `PATIENCE` times; 0 waits for ever.
    """

    def __init__(self, timeout: float) -> None:
        self.world = MPI.COMM_WORLD
        self.rank, self.size, self.timeout = self.world.rank, self.world.size, timeout
        here = self.world.Split_type(MPI.COMM_TYPE_SHARED)
        self.is_first_here, others = here.rank == 0, here.size
        self._calls, self._data = self.world.Dup(), self.world.Dup()
        self.cores = max(1, len(_processors(here)) // others)
        self._free_since = time.monotonic()

    def wait(self, *requests: MPI.Request, limit: float | None = None) -> None:
        """Wait for requests to be done.

        Args:
            requests: to all ranks.
            limit: seconds, 0 for ever; the timeout by default.

        Raises:
            LostRankError: somebody is missing.
        """
        started = time.monotonic()
        limit = self._limit(started - self._free_since) if limit is None else limit
        while not MPI.Request.Testall(list(requests)):
            waited = time.monotonic() - started
            if waited < BUSY:
                _give_way()
            else:
                time.sleep(NAP)
                self._heed_failures()
            if 0 < limit < waited:
                raise self._missing(waited)
        self._free_since = time.monotonic()

    def _limit(self, worked: float) -> float:
        """For how long to wait: others may have had more to do than this one, which worked."""
        return self.timeout and self.timeout + PATIENCE * worked

    def _heed_failures(self) -> None:
        """Fail, on rank 0, if another rank has."""
        if self.rank == 0 and self.world.iprobe(tag=FAILED):
            raise LostRankError(self.world.recv(tag=FAILED))

    def _missing(self, waited: float) -> LostRankError:
        """Say who does not answer; rank 0 finds out, the others wait for it to do so."""
        here = {0}
        until = time.monotonic() + ROLL_CALL * (1 if self.rank == 0 else 2 + self.rank)
        if self.rank:
            self.world.isend(None, 0, HERE)
        while time.monotonic() < until:
            if self.rank == 0 and self.world.iprobe(tag=HERE, status=(status := MPI.Status())):
                self.world.recv(source=status.source, tag=HERE)
                here.add(status.source)
            time.sleep(NAP)
        missing = sorted(set(range(self.size)) - here) if self.rank == 0 else [0]
        names = " or ".join(map(str, missing)) or "of an unknown number"
        return LostRankError(
            f"rank {names} has not answered for {waited:.0f} s (--rank-timeout sets how many)"
        )

    def all_gather(self, value: T, limit: float | None = None) -> list[T]:
        data = pickle.dumps(value, pickle.HIGHEST_PROTOCOL)
        sizes = np.empty(self.size, np.int64)
        mine = np.array([len(data)], np.int64)
        self.wait(self._calls.Iallgather(mine, sizes), limit=limit)
        everything = bytearray(int(sizes.sum()))
        parts = [everything, (sizes, np.cumsum(sizes) - sizes), MPI.BYTE]
        self.wait(self._calls.Iallgatherv([data, MPI.BYTE], parts), limit=limit)
        ends = np.cumsum(sizes).tolist()
        view = memoryview(everything)
        return [
            pickle.loads(view[end - size : end])
            for size, end in zip(sizes.tolist(), ends, strict=True)
        ]

    def in_turn(self, action: Callable[[], T]) -> T:
        turns = (self.rank == 0, self.rank != 0 and self.is_first_here, not self.is_first_here)
        outcome = _Outcome(None, None)
        for is_mine in turns:
            outcome = _try(action) if is_mine else outcome
            self._raise_first(self.all_gather(outcome.error, limit=0))
        value: T = outcome.value
        return value

    def broadcast(self, action: Callable[[], T]) -> T:
        outcome = _try(action) if self.rank == 0 else None
        value, error = next(o for o in self.all_gather(outcome, limit=0) if o is not None)
        self._raise_first([error])
        result: T = value
        return result

    def _raise_first(self, errors: Sequence[Exception | None]) -> None:
        for error in errors:
            if error is not None:
                raise error

    def exchange(
        self, nodes: Sequence[Sequence[Node]], total: Array, *, in_order: bool
    ) -> Exchange:
        if in_order:
            return InOrder(self, self._data, nodes, total)
        return InAnyOrder(self, self._data, total)

    def all_come(self, limit: float) -> bool:
        """Whether all ranks call this, within so many seconds of this one."""
        request, until = self.world.Ibarrier(), time.monotonic() + limit
        while not request.Test():
            if time.monotonic() > until:
                return False
            time.sleep(NAP)
        return True

    def report(self, message: str) -> None:
        """Have rank 0 say why this rank has failed, and end all; it returns if that is late."""
        if self.rank:
            self.world.isend(message, 0, FAILED)
            time.sleep(REACTION)

    def abort(self, code: int) -> NoReturn:
        """End all processes, at once, and without a word of MPI's own."""
        sys.stdout.flush()
        sys.stderr.flush()
        time.sleep(DELIVERY)
        os.dup2(os.open(os.devnull, os.O_WRONLY), 2)
        self.world.Abort(code)
        os._exit(code)  # it may return before this process is ended


def _processors(here: MPI.Comm) -> set[int]:
    """Those that any process of this machine may run on."""
    if hasattr(os, "sched_getaffinity"):
        return set().union(*here.allgather(os.sched_getaffinity(0)))
    return set(range(available_cores()))


class InOrder:
    """Adds up along the tree: each rank a piece of the vector, which it then gives to all.

    Of the P numbers of a sum each rank sends P (R-1)/R to the others, as many come to it, and as
    many again when the pieces are put together: what an all-reduce costs, as long as each rank
    brings one sum.

    Args:
        ranks: all of them.
        comm: for these messages only.
        nodes: of each rank, which sums it brings.
        total: takes the sum of all.
    """

    def __init__(
        self, group: MPIGroup, comm: MPI.Comm, nodes: Sequence[Sequence[Node]], total: Array
    ) -> None:
        self.group, self.comm, self.total = group, comm, total
        self.nodes = [list(each) for each in nodes]
        self.root = (0, max(stop for each in nodes for _, stop in each))
        pieces = deal(total.size, group.size)
        self.sizes = np.array([p.stop - p.start for p in pieces] + [0] * (group.size - len(pieces)))
        self.starts = np.cumsum(self.sizes) - self.sizes
        start, size = int(self.starts[group.rank]), int(self.sizes[group.rank])
        self.piece = slice(start, start + size)  # of the vector, that this rank adds up
        brought = max(map(len, self.nodes))
        self.rounds = [
            [r for r in range(group.size) if len(self.nodes[r]) > k] for k in range(brought)
        ]
        self.received = [np.empty((len(who), size), total.dtype) for who in self.rounds]

    def __call__(self, sums: Mapping[Node, Array]) -> None:
        mine = self.nodes[self.group.rank]
        begun = [
            self._begin(k, sums[mine[k]] if k < len(mine) else None)
            for k in range(len(self.rounds))
        ]
        self.group.wait(*begun)
        pieces = {
            self.nodes[r][k]: piece
            for k, who in enumerate(self.rounds)
            for r, piece in zip(who, self.received[k], strict=True)
        }
        self.total[self.piece] = add_up(pieces, self.root)
        whole = [self.total, (self.sizes, self.starts)]
        self.group.wait(self.comm.Iallgatherv(MPI.IN_PLACE, whole))

    def _begin(self, k: int, sum_: Array | None) -> MPI.Request:
        """Send the pieces of the k-th sum of each rank."""
        me, who, received = self.group.rank, self.rounds[k], self.received[k]
        send = np.zeros_like(self.sizes)
        if sum_ is not None:
            # MPICH takes its time with what a rank sends to itself
            received[who.index(me)] = sum_[self.piece]
            send = np.where(np.arange(self.group.size) == me, 0, self.sizes)
        sizes, starts = np.zeros_like(send), np.zeros_like(send)
        others = [rank for rank in who if rank != me]
        sizes[others] = received.shape[1]
        starts[who] = np.arange(len(who)) * received.shape[1]
        data = self.total[:0] if sum_ is None else sum_
        return self.comm.Ialltoallv([data, (send, self.starts)], [received, (sizes, starts)])


class InAnyOrder:
    """Adds up by MPI's all-reduce, whose order is its own."""

    def __init__(self, group: MPIGroup, comm: MPI.Comm, total: Array) -> None:
        self.group, self.comm, self.total = group, comm, total

    def __call__(self, sums: Mapping[Node, Array]) -> None:
        self.total[:] = 0
        for part in sums.values():
            self.total += part
        self.group.wait(self.comm.Iallreduce(MPI.IN_PLACE, self.total))
