"""The process group of a job: this process alone, or the ranks that an MPI launcher started.

The shards of a step are split among ranks. Their gradients are summed along one tree, whichever
ranks hold them: with 4 shards (g0 + g1) + (g2 + g3), on one rank or on four. So the sum is
bit-identical for any number of ranks.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Protocol, TypeVar, runtime_checkable

from charlm.distributed.reduction import Node
from charlm.system.arrays import Array
from charlm.system.blas import available_cores

T = TypeVar("T")


@runtime_checkable
class ProcessGroup(Protocol):
    """The ranks of a job. All ranks call a collective method, in the same order."""

    @property
    def rank(self) -> int:
        """The rank of this process, from 0."""

    @property
    def size(self) -> int:
        """The number of ranks."""

    @property
    def cores(self) -> int:
        """The number of cores for this rank."""

    def all_gather(self, value: T) -> list[T]:
        """All-gather: return the values of all ranks, by rank.

        Raises:
            LostRankError: another rank does not respond.
        """

    def broadcast(self, action: Callable[[], T]) -> T:
        """Broadcast: run the action on rank 0 only and return its result on all ranks.

        There is no time limit.

        Raises:
            Exception: the action raised it; all ranks raise the same.
        """

    def in_turn(self, action: Callable[[], T]) -> T:
        """Run the action on rank 0, then on one rank of each other machine, then on the rest.

        So the later ranks can use what the first ones wrote to a cache. There is no time limit.

        Returns:
            The result of the action on this rank.

        Raises:
            Exception: the action raised it on some rank; all ranks raise the same.
        """

    def make_all_reduce(
        self, nodes: Sequence[Sequence[Node]], total: Array, *, in_order: bool
    ) -> "AllReduce":
        """Prepare the all-reduce of gradients.

        Args:
            nodes: the partial sums that each rank contributes.
            total: receives the sum, `(P,)`; a single rank has its only partial sum there.
            in_order: whether to sum in the order of the tree.
        """


class AllReduce(Protocol):
    """All-reduce: sums the gradients of all ranks. All ranks call it."""

    def __call__(self, sums: Mapping[Node, Array]) -> None:
        """Write the sum over all ranks to `total` of `make_all_reduce`.

        Args:
            sums: the partial sums of this rank, `(P,)` each.

        Raises:
            LostRankError: another rank does not respond.
        """


class SingleProcess:
    """A process group of one rank."""

    rank, size = 0, 1

    @property
    def cores(self) -> int:
        return available_cores()

    def all_gather(self, value: T) -> list[T]:
        return [value]

    def broadcast(self, action: Callable[[], T]) -> T:
        return action()

    def in_turn(self, action: Callable[[], T]) -> T:
        return action()

    def make_all_reduce(
        self, nodes: Sequence[Sequence[Node]], total: Array, *, in_order: bool
    ) -> AllReduce:
        return lambda sums: None


SINGLE_PROCESS = SingleProcess()
