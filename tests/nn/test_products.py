"""The shared numerical functions against what they stand for."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from charlm.nn import products
from charlm.nn.elementwise import sigmoid_
from charlm.nn.loss import nll
from charlm.nn.products import FEW_STEPS, division, step_product, sum_rows
from charlm.nn.workspace import Workspace
from charlm.system import kernels
from charlm.system.kernels import MEASURED, SMALL, WHOLE, Blocks
from tests.helpers import lawful

DTYPES = [np.float32, np.float64]


def reference_nats(logits: np.ndarray, targets: np.ndarray) -> list[float]:
    """-ln softmax, a row at a time, in Python's floats."""
    rows = logits.astype(np.float64).tolist()
    nats = []
    for row, target in zip(rows, targets.tolist(), strict=True):
        top = max(row)
        total = math.fsum(math.exp(z - top) for z in row)
        nats.append(math.log(total) - (row[target] - top))
    return nats


@lawful
@given(
    st.integers(1, 6),
    st.integers(1, 5),
    st.sampled_from([0.0, 1.0, 30.0, 1e3, 1e6, 1e30]),
    st.sampled_from([0.0, -1e3, 1e4]),
    st.sampled_from(DTYPES),
    st.integers(0, 2**32),
)
def test_softmax_and_its_surprise_for_logits_of_any_size(V, N, scale, shift, dtype, seed):
    rng = np.random.default_rng(seed)
    logits = (rng.normal(size=(N, V)) * scale + shift).astype(dtype)
    targets = rng.integers(V, size=N)
    expected = reference_nats(logits, targets)
    places = [reference_nats(logits, np.full(N, i)) for i in range(V)]
    exact = 1e-6 if dtype == np.float32 else 1e-13
    nats, total = nll(logits, targets)
    logits /= total
    assert nats.dtype == np.float64
    assert nats == pytest.approx(expected, rel=exact, abs=exact)
    assert logits == pytest.approx(np.exp(-np.array(places).T), rel=200 * exact, abs=exact)
    assert logits.sum(axis=1) == pytest.approx(1, abs=exact)


def test_surprise_of_equal_logits_is_that_of_a_fair_choice():
    for value in (0.0, 700.0, -1e5, 1e300):
        nats = nll(np.full((3, 7), value), np.array([0, 3, 6]))[0]
        assert nats == pytest.approx(math.log(7), abs=1e-15)


def test_surprise_of_what_is_all_but_impossible_is_the_distance_of_the_logits():
    logits = np.array([[0.0, 5000.0, -1e4]])
    assert nll(logits.copy(), np.array([0]))[0] == pytest.approx(5000)
    assert nll(logits.copy(), np.array([1]))[0] == pytest.approx(0)
    assert nll(logits.copy(), np.array([2]))[0] == pytest.approx(15000)


@lawful
@given(
    st.integers(1, 4),
    st.integers(1, 300),
    st.integers(1, 40),
    st.sampled_from([np.uint8, np.uint16, np.int64]),
    st.integers(0, 2**32),
)
def test_rows_are_summed_as_by_numpys_add_at(R, V, N, ids_type, seed):
    rng = np.random.default_rng(seed)
    ids = rng.integers(min(V, 256), size=N).astype(ids_type)
    rows = rng.normal(size=(N, R))
    wide = rng.normal(size=(V + 3, R + 2))  # `out` may be a part of a larger array
    expected = wide.copy()
    expected[2:-1, 1:-1] = 0
    np.add.at(expected[2:-1, 1:-1], ids, rows)
    sum_rows(wide[2:-1, 1:-1], ids, rows)
    assert wide == pytest.approx(expected, rel=1e-12, abs=1e-12)


SOME_BLOCKS = st.sampled_from(
    [
        WHOLE,
        Blocks(40, widest_transposed=4),
        Blocks(30, 6, 3, is_split=True),
        *MEASURED.values(),
    ]
)


@lawful
@given(
    SOME_BLOCKS,
    st.integers(1, 40),
    st.integers(1, 5),
    st.integers(1, 12),
    st.integers(1, 4),
    st.sampled_from([1, FEW_STEPS]),
    st.booleans(),
)
def test_a_product_in_blocks_is_the_product(blocks, K, B, H, gates, steps, is_transposed):
    rng = np.random.default_rng(K)
    W, X = rng.normal(size=(K, gates * H)), rng.normal(size=(B, K))
    if is_transposed:
        gates, W = 1, np.asfortranarray(W)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(kernels, "_chosen", [blocks])
        patch.setattr(products, "NARROWEST", 2)
        patch.setattr(products, "SHORTEST_SUM", 2)
        out = np.full((gates, B, W.shape[1] // gates), np.nan)
        step_product(W, B, steps, Workspace(np.float64), gates)(X, out)
    expected = (X @ W).reshape(B, gates, -1).swapaxes(0, 1)
    assert out == pytest.approx(expected, rel=1e-12, abs=1e-12)


# K, B, H, and the columns of a block, forward and in the backward pass, where K is the number of
# gates times H: the shapes of the twelve models of `benchmarks.training`.
RNN, GRU, LSTM = 1, 3, 4
DIVIDED_ON_AMD = [
    *[(RNN, 129, 25, 128, 128, 32), (RNN, 257, 25, 128, 128, 32), (RNN, 257, 16, 256, 128, 32)],
    *[(RNN, 513, 32, 512, 32, 32), (RNN, 1025, 32, 512, 16, 32)],
    *[(GRU, 129, 25, 128, 128, 32), (GRU, 257, 16, 256, 128, 32), (GRU, 513, 32, 512, 32, 16)],
    *[(LSTM, 129, 25, 128, 128, 32), (LSTM, 257, 25, 128, 128, 32), (LSTM, 257, 16, 256, 128, 32)],
    *[(LSTM, 513, 32, 512, 32, 8), (LSTM, 1025, 32, 512, 16, 8)],
]


@pytest.mark.parametrize(("gates", "K", "B", "H", "forward", "backward"), DIVIDED_ON_AMD)
def test_blocks_on_amd_are_those_that_were_measured_there(gates, K, B, H, forward, backward):
    blocks = MEASURED["SkylakeX", "AuthenticAMD"]
    assert division(K, B, H, blocks, is_transposed=False) == (forward, 1)
    assert division(gates * H, B, H, blocks, is_transposed=True) == (backward, 1)


@lawful
@given(st.integers(1, 5000), st.integers(1, 300), st.integers(1, 1100), st.booleans())
def test_blocks_are_small_enough_for_the_kernels(K, B, H, is_transposed):
    for blocks in MEASURED.values():
        columns, parts = division(K, B, H, blocks, is_transposed=is_transposed)
        assert H % columns == 0
        assert columns == H or -(-K // parts) * B * columns <= SMALL + B * columns
        assert parts == 1 or K // parts >= products.SHORTEST_SUM
    assert division(K, B, H, WHOLE, is_transposed=is_transposed) == (H, 1)


@lawful
@given(st.lists(st.floats(-1000, 1000, width=32), min_size=1), st.sampled_from(DTYPES))
def test_sigmoid_is_one_over_one_plus_exp(values, dtype):
    z = np.array([*values, -1000, 0, 1000], dtype)
    expected = [1 / (1 + math.exp(-x)) if x > -700 else 0.0 for x in z.tolist()]
    with np.errstate(over="raise", divide="raise", invalid="raise"):
        sigmoid_(z)
    assert z.dtype == dtype
    assert z == pytest.approx(expected, rel=0, abs=float(np.finfo(dtype).eps))
    assert z[-3:].tolist() == [0, 0.5, 1]


def test_sigmoid_writes_into_a_part_of_an_array_and_nowhere_else():
    z = np.zeros((4, 6))
    sigmoid_(z[1:3, ::2])
    assert z[1:3, ::2].tolist() == [[0.5] * 3] * 2
    assert z.sum() == 3
