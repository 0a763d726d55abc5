"""Process groups: sums that do not depend on the ranks, and a group of one process."""

import pickle
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise
from threading import Barrier
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from charlm.config import Budget, ModelConfig, TrainConfig
from charlm.distributed.process_group import SINGLE_PROCESS, AllReduce
from charlm.distributed.reduction import Node, add_up, middle, nodes_within
from charlm.distributed.scheduling import share
from charlm.errors import CharlmError, ConfigError, DivergedError
from charlm.nn.params import Params
from charlm.system.arrays import Array
from charlm.text.corpus import Corpus
from charlm.training.budget import plan
from charlm.training.setup import set_up
from charlm.training.validation import validate
from tests.helpers import TEXT, lawful, numbers, small_model

WIDTH = 64
TRIPPED = 77  # the exit code of a process that imported mpi4py


def gradients(count: int) -> Array:
    """Float32 numbers of very different magnitude: each order of summation rounds differently."""
    rng = np.random.default_rng(count)
    sizes = 10.0 ** rng.uniform(-4, 4, (count, WIDTH))
    return (rng.normal(size=(count, WIDTH)) * sizes).astype(np.float32)


def leaves(count: int) -> dict[Node, Array]:
    return {(n, n + 1): g for n, g in enumerate(gradients(count))}


@st.composite
def splits(draw: Any) -> list[range]:
    """Some shards, split into consecutive ranges of any length, also empty ones."""
    count = draw(st.integers(1, 40))
    cuts = sorted(draw(st.lists(st.integers(0, count), max_size=12)))
    return [range(a, b) for a, b in pairwise([0, *cuts, count])]


shares_of_ranks = st.one_of(splits(), st.builds(share, st.integers(1, 40), st.integers(1, 12)))


def end_of(split: list[range]) -> int:
    return max(mine.stop for mine in split)


@lawful
@given(st.integers(0, 100), st.integers(2, 1000))
def test_node_splits_after_the_largest_power_of_two(start, count):
    part = middle((start, start + count)) - start
    assert part.bit_count() == 1
    assert part < count <= 2 * part


@pytest.mark.parametrize("count", range(4, 41))
def test_another_order_of_summation_rounds_differently(count):
    alone = add_up(leaves(count), (0, count))
    for other in (gradients(count), gradients(count)[::-1]):
        one_by_one = other[0].copy()
        for g in other[1:]:
            one_by_one += g
        assert one_by_one.tobytes() != alone.tobytes()


@pytest.mark.parametrize("count", range(1, 41))
def test_sum_is_that_of_all_shards(count):
    exact = gradients(count).astype(np.float64)
    most = np.abs(exact).sum(axis=0)
    total = add_up(leaves(count), (0, count))
    assert (np.abs(total - exact.sum(axis=0)) <= 40 * np.finfo(np.float32).eps * most).all()


@lawful
@given(shares_of_ranks)
def test_sum_does_not_depend_on_the_ranks(split):
    count = end_of(split)
    contributed = {}
    for mine in split:
        own = {(n, n + 1): gradients(count)[n] for n in mine}
        contributed |= {node: add_up(own, node) for node in nodes_within(mine, (0, count))}
    total = add_up(contributed, (0, count))
    assert total.tobytes() == add_up(leaves(count), (0, count)).tobytes()


@lawful
@given(shares_of_ranks)
def test_ranks_contribute_each_shard_once(split):
    root = (0, end_of(split))
    for mine in split:
        contributed = [n for node in nodes_within(mine, root) for n in range(*node)]
        assert contributed == list(mine)


@lawful
@given(st.integers(0, 6), st.integers(0, 20), st.integers(0, 100))
def test_aligned_power_of_two_of_shards_is_one_node(power, index, more):
    start, stop = index << power, index + 1 << power
    assert nodes_within(range(start, stop), (0, stop + more)) == [(start, stop)]


class Thread:
    """A `ProcessGroup` whose ranks are threads of this process."""

    cores = 1

    def __init__(self, rank: int, slots: list[Any], barrier: Barrier) -> None:
        self.rank, self.size = rank, len(slots)
        self.slots, self.barrier = slots, barrier

    def all_gather(self, value: Any) -> list[Any]:
        self.slots[self.rank] = value
        self.barrier.wait(timeout=60)
        values = list(self.slots)
        self.barrier.wait(timeout=60)
        return values

    def broadcast(self, action: Callable[[], Any]) -> Any:
        return self.all_gather(action() if self.rank == 0 else None)[0]

    def in_turn(self, action: Callable[[], Any]) -> Any:
        return action()

    def make_all_reduce(
        self, nodes: Sequence[Sequence[Node]], total: Array, *, in_order: bool
    ) -> AllReduce:
        root = (0, max(stop for each in nodes for _, stop in each))

        def add(sums: Mapping[Node, Array]) -> None:
            copies = {node: sum_.copy() for node, sum_ in sums.items()}
            gathered = self.all_gather(copies)
            total[:] = add_up({n: s.copy() for each in gathered for n, s in each.items()}, root)

        return add


def on_threads(size: int, action: Callable[[Thread], Any]) -> list[Any]:
    """Return the result of an action on each rank."""
    slots, barrier = [None] * size, Barrier(size)
    with ThreadPoolExecutor(size) as pool:
        return list(pool.map(lambda rank: action(Thread(rank, slots, barrier)), range(size)))


MODELS = {
    "rnn": ModelConfig("rnn", 5),
    "lstm": ModelConfig("lstm", 5, layers=2, dropout=0.3),
    "bidirectional": ModelConfig("gru", 5, bidirectional=True),
}


@pytest.mark.parametrize("accumulate", [1, 3])
@pytest.mark.parametrize("model", MODELS)
def test_training_does_not_depend_on_the_ranks(model, accumulate):
    config = TrainConfig(seq_len=5, batch_size=9, shards=5, accumulate=accumulate)

    def trained(group: Any) -> tuple[list[Any], list[bytes]]:
        trainer = set_up(Corpus.of(TEXT), MODELS[model], config, threads=1, group=group)
        plan(trainer, Budget(steps=9))
        figures = [trainer.step().nats_per_char for _ in range(9)]
        trainer.carried = trainer.checkpoint().training.carried
        return [*figures, validate(trainer)], numbers(trainer)

    alone = trained(SINGLE_PROCESS)
    for size in (2, 3, 5, 7):
        assert on_threads(size, trained) == [alone] * size


def test_collectives_of_a_single_process_return_its_own_values():
    total = np.ones(3)
    SINGLE_PROCESS.make_all_reduce([[(0, 1)]], total, in_order=True)({(0, 1): total})
    assert total.tolist() == [1, 1, 1]
    assert (SINGLE_PROCESS.rank, SINGLE_PROCESS.size) == (0, 1)
    assert SINGLE_PROCESS.all_gather("a") == ["a"]
    assert [SINGLE_PROCESS.broadcast(lambda: 1), SINGLE_PROCESS.in_turn(lambda: 2)] == [1, 2]
    for each in (SINGLE_PROCESS.broadcast, SINGLE_PROCESS.in_turn):
        with pytest.raises(ZeroDivisionError):
            each(lambda: 1 / 0)


@pytest.mark.parametrize("kind", CharlmError.__subclasses__())
def test_errors_can_be_pickled(kind):
    arguments = {
        ConfigError: ("hidden", 0, "1 or more"),
        DivergedError: (3, "the loss is nan", "try a lower --lr"),
    }
    error = kind(*arguments.get(kind, ("message",)))
    again = pickle.loads(pickle.dumps(error))
    assert (type(again), str(again), vars(again)) == (kind, str(error), vars(error))


def test_unpickled_parameters_are_views_of_one_vector():
    _, p = small_model("lstm", layers=2)
    again: Params = pickle.loads(pickle.dumps(p))
    assert (again.flat.dtype, again.shapes) == (np.float64, p.shapes)
    assert again.flat.tobytes() == p.flat.tobytes()
    again.flat[:] = 1
    assert all((array == 1).all() for array in again.values())
