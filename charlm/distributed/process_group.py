"""The processes of a job, each with its rank: this one alone, or those that mpiexec started.

The shards of a step are dealt to ranks. Their gradients are summed along one tree, whoever holds
them: with 4 shards (g0 + g1) + (g2 + g3), where one rank may have all of them and another job
one on each of four machines. So the sum is the same to the last bit.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Protocol, TypeVar

from charlm.distributed.reduction import Node
from charlm.system.arrays import Array
from charlm.system.blas import available_cores

T = TypeVar("T")


class ProcessGroup(Protocol):
    """The processes of a job."""

    @property
    def rank(self) -> int:
        """Which of them this one is."""

    @property
    def size(self) -> int:
        """How many there are."""

    @property
    def cores(self) -> int:
        """The processors that are this one's to use."""

    def all_gather(self, value: T) -> list[T]:
        """What each of them has, by rank; all of them call it.

        Raises:
            RankError: one of them does not answer.
        """

    def in_turn(self, action: Callable[[], T]) -> T:
        """Do something on rank 0, then on a process of each other machine, then on all others.

        What one does may make it quick for those that follow; there is no limit to its time.

        Returns:
            What it gives here.

        Raises:
            Whatever it raises on any of them: the same on all.
        """

    def broadcast(self, action: Callable[[], T]) -> T:
        """Do something on rank 0 only, and give what it gives to all.

        Raises:
            Whatever it raises: the same on all.
        """

    def exchange(
        self, nodes: Sequence[Sequence[Node]], total: Array, *, in_order: bool
    ) -> "Exchange":
        """What adds up the gradients of all.

        Args:
            nodes: of each rank, which sums it brings.
            total: takes the sum of all, `(P,)`; of one rank it is where its only sum lies.
            in_order: whether the order of the sum is to be that of the tree.
        """


class Exchange(Protocol):
    """Adds up the gradients of all ranks; all of them call it."""

    def __call__(self, sums: Mapping[Node, Array]) -> None:
        """Add up.

        Args:
            sums: those that this rank brings, `(P,)` each.

        Raises:
            RankError: one of them does not answer.
        """


class SingleProcess:
    """The only process there is."""

    rank, size = 0, 1

    @property
    def cores(self) -> int:
        return available_cores()

    def all_gather(self, value: T) -> list[T]:
        return [value]

    def in_turn(self, action: Callable[[], T]) -> T:
        return action()

    def broadcast(self, action: Callable[[], T]) -> T:
        return action()

    def exchange(
        self, nodes: Sequence[Sequence[Node]], total: Array, *, in_order: bool
    ) -> Exchange:
        return lambda sums: None


SINGLE_PROCESS = SingleProcess()
