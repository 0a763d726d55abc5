"""One vector with named views into it, and scratch memory that is used again and again."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from charlm.nn.bidirectional import Bidirectional, Reverse
from charlm.nn.cells import CELLS
from charlm.nn.cells.protocol import zero_state
from charlm.nn.layers import Dense, Dropout, Embedding
from charlm.nn.params import Params, scoped
from charlm.nn.stack import Residual, Stack
from charlm.nn.workspace import Workspace
from tests.helpers import lawful, make_cell, random_ids, small_model

# A name that starts like another, a number alone, an array without elements.
SHAPES = {
    "embedding.W": (3, 4),
    "1.W": (2, 5),
    "1.b": (5,),
    "10.W": (2, 2),
    "10.inner.b": (3,),
    "10.inner.c": (),
    "none": (0, 4),
    "head.W": (4, 3),
}


def numbered(p: Params) -> Params:
    """p, each number its own place in the vector."""
    p.flat[:] = np.arange(p.flat.size)
    return p


def joined(p: Params) -> list[float]:
    return [float(x) for array in p.values() for x in array.ravel()]


@lawful
@given(st.lists(st.lists(st.integers(0, 4), max_size=3).map(tuple), max_size=6))
def test_views_cover_the_vector_exactly_once_and_in_order(shapes):
    p = numbered(Params({f"{i}": shape for i, shape in enumerate(shapes)}))
    assert joined(p) == list(range(p.flat.size))
    assert [array.shape for array in p.values()] == shapes
    assert len(p) == len(shapes)


@pytest.mark.parametrize("embedding", [0, 4])
@pytest.mark.parametrize("cell", CELLS)
def test_parameters_of_a_model_cover_the_vector_exactly_once_and_in_order(cell, embedding):
    model, p = small_model(cell, layers=2, embedding=embedding)
    assert joined(numbered(p)) == list(range(p.flat.size))
    assert {name: array.shape for name, array in p.items()} == model.shapes()
    for scope in ("0", "1", "head"):
        assert all(np.shares_memory(a, p[f"{scope}.{n}"]) for n, a in p.scope(scope).items())


def test_what_is_written_into_a_view_is_in_the_vector_and_back():
    p = Params(SHAPES)
    p["1.b"][2] = 7
    assert np.flatnonzero(p.flat).tolist() == [12 + 10 + 2]
    p.flat[:] = 3
    assert all((array == 3).all() for array in p.values())
    assert all(np.shares_memory(array, p.flat) for array in p.values() if array.size)


def test_vector_that_is_given_is_looked_into_and_not_copied():
    flat = np.arange(5.0)
    p = Params({"a": (2,), "b": (3,)}, flat=flat)
    assert p.flat is flat
    p["b"][...] = -1
    assert flat.tolist() == [0, 1, -1, -1, -1]


def test_scope_holds_the_names_with_that_first_part_and_shares_their_memory():
    p = numbered(Params(SHAPES))
    for scope in ("1", "10", "10.inner", "embedding", "head"):
        inner = p.scope(scope)
        names = [n.removeprefix(scope + ".") for n in SHAPES if n.startswith(scope + ".")]
        assert list(inner) == names
        assert inner.flat.size == sum(a.size for a in inner.values())
        for name in names:
            assert np.shares_memory(inner[name], p[f"{scope}.{name}"])
            assert inner[name].tolist() == p[f"{scope}.{name}"].tolist()
    p.scope("10").scope("inner")["b"][...] = -1
    assert p["10.inner.b"].tolist() == [-1, -1, -1]
    assert len(p.scope("nothing")) == p.scope("nothing").flat.size == 0


def test_scoped_shapes_come_back_by_their_scope():
    inner = {"W": (2, 3), "b": (2,)}
    p = Params(scoped("1", inner) | scoped("2", inner))
    assert p.scope("1").shapes == p.scope("2").shapes == inner


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_zeros_like_has_the_same_names_shapes_and_type_and_other_memory(dtype):
    p = numbered(Params(SHAPES, dtype=dtype))
    zeros = p.zeros_like()
    assert zeros.shapes == p.shapes
    assert list(zeros) == list(p)
    assert zeros.flat.dtype == p.flat.dtype == dtype
    assert not zeros.flat.any()
    assert not np.shares_memory(zeros.flat, p.flat)


def test_workspace_gives_the_same_memory_for_the_same_name_and_shape():
    work = Workspace(np.float64)
    first = work.array("a", 2, 3)
    first[...] = 5
    again = work.array("a", 2, 3)
    assert np.shares_memory(first, again)
    assert (again == 5).all()
    assert not np.shares_memory(first, work.array("b", 2, 3))
    assert first.dtype == np.float64
    assert work.array("a", 3, 2).shape == (3, 2)
    assert work.array("a", 2).shape == (2,)


def test_scopes_of_a_workspace_lie_apart():
    work = Workspace()
    arrays = [work.array("a", 4), *(work.scope(s).array("a", 4) for s in ("x", "y"))]
    arrays.append(work.scope("x").scope("y").array("a", 4))
    for i, array in enumerate(arrays):
        array[...] = i
    assert [array[0] for array in arrays] == [0, 1, 2, 3]
    assert np.shares_memory(work.scope("x").array("a", 4), arrays[1])


def layers() -> dict:
    """Every cell of the table, and what is made of several."""
    made = {name: make_cell(name, 4, 5) for name in CELLS}
    jordan_on_top = sorted(CELLS, key="jordan".__eq__)
    made["stack"] = Stack({name: make_cell(name, 4, 4) for name in jordan_on_top})
    made["residual"] = Residual(make_cell("lstm", 4, 4))
    made["reverse"] = Reverse(make_cell("gru", 4, 5))
    made["bidirectional"] = Bidirectional(make_cell("gru", 4, 5), make_cell("rnn", 4, 3))
    made["dense"] = Dense(4, 5)
    made["dropout"] = Dropout(4, 0.5)
    made["embedding"] = Embedding(4, 5)
    return made


LAYERS = layers()


class Pass:
    """Forward passes through a layer, from one input or another."""

    def __init__(self, name: str) -> None:
        self.cell = LAYERS[name]
        self.reads_ids = name == "embedding"
        self.p = Params(self.cell.shapes(), dtype=np.float64)
        self.cell.init(self.p, np.random.default_rng(0))

    def forward(self, work: Workspace, seed: int):
        rng = np.random.default_rng(seed)
        x = random_ids(3, 2, below=4, seed=seed) if self.reads_ids else rng.normal(size=(3, 2, 4))
        return self.cell.forward(self.p, x, zero_state(self.cell, 2, np.float64), work, rng)

    def backward(self, backward) -> list[float]:
        """All gradients of the sum of the outputs."""
        g = self.p.zeros_like()
        dx, dstate = backward(g, np.ones((3, 2, self.cell.width)), None)
        arrays = [g.flat, *dstate, *([] if dx is None else [dx])]
        return [float(x) for array in arrays for x in array.ravel()]


@pytest.mark.parametrize("name", LAYERS)
def test_backward_runs_once(name):
    run = Pass(name)
    backward = run.forward(Workspace(np.float64), 0)[2]
    run.backward(backward)
    with pytest.raises(RuntimeError, match="once"):
        run.backward(backward)


@pytest.mark.parametrize("name", LAYERS)
def test_backward_runs_before_the_next_forward_on_its_workspace(name):
    run, work = Pass(name), Workspace(np.float64)
    expected = run.backward(run.forward(Workspace(np.float64), 1)[2])
    first, second = run.forward(work, 0)[2], run.forward(work, 1)[2]
    with pytest.raises(RuntimeError, match="before the next forward"):
        run.backward(first)
    assert run.backward(second) == expected


@pytest.mark.parametrize("name", LAYERS)
def test_passes_on_workspaces_of_their_own_do_not_disturb_each_other(name):
    run = Pass(name)
    expected = [run.backward(run.forward(Workspace(np.float64), seed)[2]) for seed in (0, 1)]
    first, second = (run.forward(Workspace(np.float64), seed)[2] for seed in (0, 1))
    assert [run.backward(first), run.backward(second)] == expected


@pytest.mark.parametrize("name", LAYERS)
def test_state_that_is_returned_outlives_what_follows_on_the_workspace(name):
    run, work = Pass(name), Workspace(np.float64)
    _, state, backward = run.forward(work, 0)
    kept = [part.copy() for part in state]
    run.backward(backward)
    run.forward(work, 1)
    assert all((part == copy).all() for part, copy in zip(state, kept, strict=True))
