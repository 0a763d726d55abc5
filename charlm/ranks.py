"""The processes of a job, each with its rank: this one alone, or those that mpiexec started.

The shards of a step are dealt to ranks. Their gradients are summed along one tree, whoever holds
them: with 4 shards (g0 + g1) + (g2 + g3), where one rank may have all of them and another job
one on each of four machines. So the sum is the same to the last bit.
"""

from collections.abc import Callable, Mapping, Sequence
from importlib.util import find_spec
from typing import TYPE_CHECKING, Protocol, TypeVar

from charlm import launcher
from charlm.arrays import Array
from charlm.errors import RankError
from charlm.parallel import available_cores

if TYPE_CHECKING:
    from charlm.mpi import MPIRanks

T = TypeVar("T")
Node = tuple[int, int]  # of the tree: the sum of shards from one to before another


class Ranks(Protocol):
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

    def gather(self, value: T) -> list[T]:
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

    def first(self, action: Callable[[], T]) -> T:
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


class Alone:
    """The only process there is."""

    rank, size = 0, 1

    @property
    def cores(self) -> int:
        return available_cores()

    def gather(self, value: T) -> list[T]:
        return [value]

    def in_turn(self, action: Callable[[], T]) -> T:
        return action()

    def first(self, action: Callable[[], T]) -> T:
        return action()

    def exchange(
        self, nodes: Sequence[Sequence[Node]], total: Array, *, in_order: bool
    ) -> Exchange:
        return lambda sums: None


ALONE = Alone()


def middle(node: Node) -> int:
    """Where a sum of several shards is cut in two: after the greatest power of two below."""
    start, stop = node
    return start + (1 << (stop - start - 1).bit_length() - 1)


def nodes_within(share: range, node: Node) -> list[Node]:
    """The largest sums below a node that can be made of a share of the shards alone."""
    start, stop = node
    if share.start <= start and stop <= share.stop:
        return [node]
    if stop <= share.start or share.stop <= start or stop - start < 2:
        return []
    cut = middle(node)
    return nodes_within(share, (start, cut)) + nodes_within(share, (cut, stop))


def add_up(sums: Mapping[Node, Array], node: Node) -> Array:
    """The sum of a node in the order of the tree, in the memory of its first part.

    Args:
        sums: nodes that are known, which make up the whole node; they are overwritten.
        node: which sum.
    """
    if node in sums:
        return sums[node]
    cut = middle(node)
    total = add_up(sums, (node[0], cut))
    total += add_up(sums, (cut, node[1]))
    return total


def join(timeout: float = 60.0) -> "Alone | MPIRanks":
    """The processes of this job, if mpiexec or the like started several; else this one alone.

    Args:
        timeout: seconds after which a process that does not answer counts as gone; 0 waits for
            ever.

    Raises:
        RankError: there are several, but no mpi4py.
    """
    if not launcher.is_one_of_several():
        return ALONE
    if not find_spec("mpi4py"):
        raise RankError(
            "several processes were started, but they need mpi4py to work together: pip install "
            "'charlm[mpi]'"
        )
    from charlm.mpi import MPIRanks

    ranks = MPIRanks(timeout)
    return ranks if ranks.size > 1 else ALONE
