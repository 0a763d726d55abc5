"""A process group on MPI, by mpi4py.

After setup, no call blocks inside MPI. Requests are started and then polled, so that Python
handles signals, a waiting rank yields its core, and waiting has a time limit.
"""

import os
import pickle
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple, NoReturn, TypeVar

import numpy as np
from mpi4py import MPI

from charlm.distributed.process_group import AllReduce
from charlm.distributed.reduction import Node, add_up
from charlm.distributed.scheduling import share
from charlm.errors import LostRankError
from charlm.system.arrays import Array
from charlm.system.blas import affinity, available_cores

T = TypeVar("T")

SPIN = 2e-3  # seconds for which a waiting rank only yields its core, before it sleeps
NAP = 1e-4  # seconds of each sleep
OUTPUT_DELAY = 0.2  # seconds for mpiexec to forward what was printed
PATIENCE = 3.0  # the maximum ratio of another rank's work to that of this rank

_yield_core: Callable[[], None] = getattr(os, "sched_yield", lambda: None)


class _Outcome(NamedTuple):
    """The result of an action, or the error that it raised."""

    value: Any
    error: Exception | None


def _try(action: Callable[[], Any]) -> _Outcome:
    try:
        return _Outcome(action(), None)
    except Exception as error:
        return _Outcome(None, error)


def _raise_first(errors: Sequence[Exception | None]) -> None:
    for error in errors:
        if error is not None:
            raise error


class MPIGroup:
    """The ranks that an MPI launcher started; see `charlm.distributed.process_group.ProcessGroup`.

    Args:
        timeout: seconds that a rank waits for the others before it raises `LostRankError`; 0 for
            no limit. After t seconds of its own work it waits `PATIENCE` * t longer, since other
            ranks may have more to do.
    """

    def __init__(self, timeout: float) -> None:
        self.world = MPI.COMM_WORLD
        self.rank, self.size, self.timeout = self.world.rank, self.world.size, timeout
        here = self.world.Split_type(MPI.COMM_TYPE_SHARED)
        self.is_first_here = here.rank == 0
        self._calls, self._data = self.world.Dup(), self.world.Dup()
        self.cores = max(1, _cores_of(here) // here.size)
        self._free_since = time.monotonic()

    def wait(self, *requests: MPI.Request, timeout: float | None = None) -> None:
        """Wait until requests complete.

        Args:
            requests: of collective operations.
            timeout: in seconds, 0 for no limit; by default that of the group.

        Raises:
            LostRankError: the timeout has expired.
        """
        started = time.monotonic()
        if timeout is None:
            timeout = self.timeout and self.timeout + PATIENCE * (started - self._free_since)
        while not MPI.Request.Testall(list(requests)):
            waited = time.monotonic() - started
            if 0 < timeout < waited:
                raise LostRankError(
                    f"the other ranks have not responded for {waited:.0f} s; check them, or pass a "
                    "larger `timeout`"
                )
            if waited < SPIN:
                _yield_core()
            else:
                time.sleep(NAP)
        self._free_since = time.monotonic()

    def all_gather(self, value: T, timeout: float | None = None) -> list[T]:
        data = pickle.dumps(value, pickle.HIGHEST_PROTOCOL)
        sizes = np.empty(self.size, np.int64)
        mine = np.array([len(data)], np.int64)
        self.wait(self._calls.Iallgather(mine, sizes), timeout=timeout)
        everything = bytearray(int(sizes.sum()))
        parts = [everything, (sizes, np.cumsum(sizes) - sizes), MPI.BYTE]
        self.wait(self._calls.Iallgatherv([data, MPI.BYTE], parts), timeout=timeout)
        ends = np.cumsum(sizes).tolist()
        view = memoryview(everything)
        return [
            pickle.loads(view[end - size : end])
            for size, end in zip(sizes.tolist(), ends, strict=True)
        ]

    def broadcast(self, action: Callable[[], T]) -> T:
        outcome = _try(action) if self.rank == 0 else _Outcome(None, None)
        value, error = self.all_gather(outcome, timeout=0)[0]
        _raise_first([error])
        result: T = value
        return result

    def in_turn(self, action: Callable[[], T]) -> T:
        turns = (self.rank == 0, self.rank != 0 and self.is_first_here, not self.is_first_here)
        outcome = _Outcome(None, None)
        for is_mine in turns:
            outcome = _try(action) if is_mine else outcome
            _raise_first(self.all_gather(outcome.error, timeout=0))
        value: T = outcome.value
        return value

    def make_all_reduce(
        self, nodes: Sequence[Sequence[Node]], total: Array, *, in_order: bool
    ) -> AllReduce:
        if in_order:
            return OrderedAllReduce(self, self._data, nodes, total)
        return UnorderedAllReduce(self, self._data, total)

    def barrier(self, timeout: float) -> bool:
        """Wait until all ranks call this; return False if some have not in `timeout` seconds."""
        try:
            self.wait(self.world.Ibarrier(), timeout=timeout)
        except LostRankError:
            return False
        return True

    def abort(self, code: int) -> NoReturn:
        """End all ranks with an exit code, without MPI's own message."""
        sys.stdout.flush()
        sys.stderr.flush()
        time.sleep(OUTPUT_DELAY)
        os.dup2(os.open(os.devnull, os.O_WRONLY), 2)
        self.world.Abort(code)
        os._exit(code)  # Abort may return before this process is ended


def _cores_of(machine: MPI.Comm) -> int:
    """Return the number of cores that any rank of this machine may run on."""
    return len(set().union(*machine.allgather(affinity()))) or available_cores()


class OrderedAllReduce:
    """Sums along the tree: each rank sums one piece of the vector, then all gather the pieces.

    Each rank sends P (R-1)/R of the P numbers of a partial sum, receives as many, and as many
    again when the pieces are gathered. That is the cost of an all-reduce, as long as each rank
    contributes one partial sum.

    Args:
        group: the ranks.
        comm: a communicator for these messages only.
        nodes: the partial sums that each rank contributes.
        total: receives the sum over all ranks.
    """

    def __init__(
        self, group: MPIGroup, comm: MPI.Comm, nodes: Sequence[Sequence[Node]], total: Array
    ) -> None:
        self.group, self.comm, self.total = group, comm, total
        self.nodes = [list(each) for each in nodes]
        self.root = (0, max(stop for each in nodes for _, stop in each))
        self.sizes = np.array([len(piece) for piece in share(total.size, group.size)])
        self.starts = np.cumsum(self.sizes) - self.sizes
        start, size = int(self.starts[group.rank]), int(self.sizes[group.rank])
        self.piece = slice(start, start + size)  # the part of the vector that this rank sums
        self.rounds = [  # the ranks that contribute a k-th partial sum
            [r for r in range(group.size) if len(self.nodes[r]) > k]
            for k in range(max(map(len, self.nodes)))
        ]
        self.received = [np.empty((len(who), size), total.dtype) for who in self.rounds]

    def __call__(self, sums: Mapping[Node, Array]) -> None:
        mine = self.nodes[self.group.rank]
        requests = [
            self._start(k, sums[mine[k]] if k < len(mine) else None)
            for k in range(len(self.rounds))
        ]
        self.group.wait(*requests)
        pieces = {
            self.nodes[r][k]: piece
            for k, who in enumerate(self.rounds)
            for r, piece in zip(who, self.received[k], strict=True)
        }
        self.total[self.piece] = add_up(pieces, self.root)
        whole = [self.total, (self.sizes, self.starts)]
        self.group.wait(self.comm.Iallgatherv(MPI.IN_PLACE, whole))

    def _start(self, k: int, sum_: Array | None) -> MPI.Request:
        """Start to send each rank its piece of the k-th partial sums."""
        me, who, received = self.group.rank, self.rounds[k], self.received[k]
        send = np.zeros_like(self.sizes)
        if sum_ is not None:
            # MPICH is slow when a rank sends to itself
            received[who.index(me)] = sum_[self.piece]
            send = np.where(np.arange(self.group.size) == me, 0, self.sizes)
        sizes, starts = np.zeros_like(send), np.zeros_like(send)
        others = [rank for rank in who if rank != me]
        sizes[others] = received.shape[1]
        starts[who] = np.arange(len(who)) * received.shape[1]
        data = self.total[:0] if sum_ is None else sum_
        return self.comm.Ialltoallv([data, (send, self.starts)], [received, (sizes, starts)])


class UnorderedAllReduce:
    """Sums by the all-reduce of MPI, which chooses the order."""

    def __init__(self, group: MPIGroup, comm: MPI.Comm, total: Array) -> None:
        self.group, self.comm, self.total = group, comm, total

    def __call__(self, sums: Mapping[Node, Array]) -> None:
        self.total[:] = 0
        for part in sums.values():
            self.total += part
        self.group.wait(self.comm.Iallreduce(MPI.IN_PLACE, self.total))
