"""Sequences with a common prefix share it; each has the surprisals that it has alone."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from charlm.config import ModelConfig
from charlm.inference import document_scoring, prefix_scoring
from charlm.inference.prefix_scoring import read_prefixes, sorted_order
from charlm.nn.cells import CELLS
from charlm.nn.model import CharLM
from charlm.nn.workspace import Workspace
from tests.helpers import lawful

V = 4


def model_of(cell: str, **options):
    model = CharLM(ModelConfig(cell, 3, **options), V, reads_documents=True)
    rng = np.random.default_rng(0)
    p = model.init_params(rng, np.float64)
    p.flat[:] += rng.normal(scale=0.3, size=p.flat.size)
    return model, p


def alone(model, p, row: np.ndarray) -> np.ndarray:
    ids, nothing = row[:, None], model.zero_state(1, np.float64)
    return model.nats(p, ids[:-1], ids[1:], nothing, Workspace(np.float64))[0][:, 0]


ROWS = st.lists(st.lists(st.integers(0, V), min_size=1, max_size=6), min_size=1, max_size=12)


@lawful
@given(ROWS)
def test_any_sequences_have_the_surprisals_of_each(several):
    """Also one that is the beginning of another, and equal ones."""
    model, p = model_of("gru")
    rows = [np.array([V, *row], np.uint8) for row in several]
    order = sorted_order(rows)
    assert sorted(order.tolist()) == list(range(len(rows)))
    for k, found in zip(order, read_prefixes(model, p, [rows[k] for k in order]), strict=True):
        np.testing.assert_allclose(found, alone(model, p, rows[k]), rtol=1e-10)


@pytest.mark.parametrize("options", [{}, {"layers": 2, "embedding": 2}])
@pytest.mark.parametrize("cell", CELLS)
def test_of_every_cell(cell, options):
    model, p = model_of(cell, **options)
    rng = np.random.default_rng(1)
    rows = [np.array([V, *rng.integers(0, 2, n), V], np.uint16) for n in rng.integers(0, 9, 60)]
    found = document_scoring.surprisals(model, p, rows)
    for row, nats in zip(rows, found, strict=True):
        np.testing.assert_allclose(nats, alone(model, p, row), rtol=1e-10)


def test_each_prefix_is_read_once(monkeypatch):
    model, p = model_of("rnn")
    read, sizes = model.read, []

    def counting(p, x, state, work):
        sizes.append(x.shape)
        return read(p, x, state, work)

    monkeypatch.setattr(model, "read", counting)
    words = ["an", "ann", "anna", "bo", "bob", "ann"]
    rows = [np.array([V, *(ord(c) % V for c in word), V], np.uint8) for word in words]
    order = prefix_scoring.sorted_order(rows)
    read_prefixes(model, p, [rows[k] for k in order])
    distinct = [{tuple(row[: t + 1]) for row in rows if len(row) > t + 1} for t in range(5)]
    assert sizes == [(1, len(each)) for each in distinct]


def test_order_is_that_of_the_ids_and_not_of_their_bytes():
    rows = [np.array(row, np.uint16) for row in ([1, 256], [1, 2], [256], [1], [1, 256, 0])]
    assert sorted_order(rows).tolist() == [3, 1, 0, 4, 2]


@pytest.mark.parametrize("chunk", [1, 12])
def test_logits_are_computed_some_at_a_time(chunk, monkeypatch):
    model, p = model_of("lstm")
    rng = np.random.default_rng(1)
    rows = [np.array([V, *rng.integers(0, 3, n), V], np.uint8) for n in rng.integers(0, 6, 50)]
    whole = document_scoring.surprisals(model, p, rows)
    monkeypatch.setattr(prefix_scoring, "HEAD_CHUNK", chunk)
    for one, other in zip(whole, document_scoring.surprisals(model, p, rows), strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-12)
