"""The law of documents: the NLL of each is the same alone and among others, in any order.

A stream of documents is ⊥ d ⊥ d … ⊥, where ⊥ is the boundary. The state is zeros before each ⊥.
Texts stand one after the other without a boundary: the first character of each is not predicted.
"""

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import numpy as np
import pytest

from charlm.config import ModelConfig
from charlm.inference import document_scoring, parts
from charlm.inference.document_scoring import surprisals
from charlm.nn import model as model_module
from charlm.nn.cells import CELLS
from charlm.nn.cells.resets import resets_where
from charlm.nn.model import CharLM
from charlm.nn.params import Params
from charlm.nn.workspace import Workspace
from tests.gradients import assert_close, numerical_gradient
from tests.models import V

Streams = Sequence[Sequence[list[int]]]  # the documents of each stream

# Documents of each stream; the streams are equally long. One document is empty, one character
# long, longer than a chunk, or twice there.
DOCUMENTS = (
    [[1, 2, 3], [], [4], [5, 6, 0, 1], [1, 2, 3], [2]],
    [[4], [5, 0, 3, 2, 1, 6, 6], [], [3, 1, 1], [0, 2]],
)

# Streams of documents most of which are longer than a bidirectional model looks ahead.
LONG_DOCUMENTS = tuple(
    [np.random.default_rng((b, n)).integers(V, size=n).tolist() for n in lengths]
    for b, lengths in enumerate([(50, 3, 0, 40), (4, 81, 1, 7)])
)

OPTIONS = {
    "one layer": {},
    "all": {"layers": 3, "head_layers": 2, "residual": True, "embedding": 4},
    "both ways": {"bidirectional": True, "layers": 2},
}
cells = pytest.mark.parametrize("cell", CELLS)
options = pytest.mark.parametrize("chosen", OPTIONS)


def network(cell: str, chosen: str, *, reads_documents: bool) -> tuple[CharLM, Params]:
    return network_of(cell, reads_documents=reads_documents, **OPTIONS[chosen])


def network_of(cell: str, *, reads_documents: bool, **config: Any) -> tuple[CharLM, Params]:
    if cell == "jordan":
        if config.pop("bidirectional", False):
            pytest.skip("a Jordan network cannot be bidirectional")
        config.pop("head_layers", None)
    model = CharLM(ModelConfig(cell, 3, **config), V, reads_documents=reads_documents)
    rng = np.random.default_rng(0)
    p = model.init_params(rng, np.float64)
    p.flat[:] += rng.normal(scale=0.3, size=p.flat.size)
    return model, p


def stream(documents: Sequence[list[int]]) -> list[int]:
    return [V, *(i for document in documents for i in [*document, V])]


def rows(streams: Streams = DOCUMENTS) -> np.ndarray:
    """The streams as columns, `(N, B)`."""
    return np.array([stream(documents) for documents in streams]).T


def alone(model: CharLM, p: Params, document: list[int]) -> float:
    ids = np.array(stream([document]))[:, None]
    nothing = model.zero_state(1, np.float64)
    return float(model.nats(p, ids[:-1], ids[1:], nothing, Workspace(np.float64))[0].sum())


def among_others(model: CharLM, p: Params, ids: np.ndarray, chunk: int) -> np.ndarray:
    """The NLL of each target, read in chunks, `(N-1, B)`."""
    state, work, nats = model.zero_state(ids.shape[1], np.float64), Workspace(np.float64), []
    for start in range(0, len(ids) - 1, chunk):
        part = ids[start : start + chunk + 1]
        after = ids[start + chunk + 1 :][: model.lookahead]
        some, state = model.nats(p, part[:-1], part[1:], state, work, after)
        nats.append(some)
    return np.concatenate(nats)


def each_among_others(
    model: CharLM, p: Params, chunk: int, streams: Streams = DOCUMENTS
) -> list[float]:
    """The NLL of each document, read in streams and chunks as in training."""
    ids = rows(streams)
    nats = among_others(model, p, ids, chunk)
    edges = [pairwise(np.flatnonzero(column == V)) for column in ids.T]
    return [nats[start:stop, b].sum() for b, pairs in enumerate(edges) for start, stop in pairs]


def check_law(model: CharLM, p: Params, chunk: int, streams: Streams = DOCUMENTS) -> None:
    found = each_among_others(model, p, chunk, streams)
    expected = [alone(model, p, document) for documents in streams for document in documents]
    np.testing.assert_allclose(found, expected, rtol=1e-10)


@pytest.mark.parametrize("chunk", [3, 100])
@options
@cells
def test_documents_know_nothing_of_each_other(cell: str, chosen: str, chunk: int) -> None:
    check_law(*network(cell, chosen, reads_documents=True), chunk)


def in_scoring(model: CharLM, p: Params, documents: list[list[int]]) -> list[float]:
    ids = [np.array(stream([document])) for document in documents]
    return [nats.sum() for nats in surprisals(model, p, ids)]


LONG = [document for documents in LONG_DOCUMENTS for document in documents]

# How long documents are scored: the steps of a forward pass, and the length from which one is read
# alone, in parts.
WAYS = {"batches": (512, 4096), "short windows": (8, 4096), "parts": (8, 20)}
ways = pytest.mark.parametrize("way", WAYS)


def set_way(way: str, monkeypatch: pytest.MonkeyPatch) -> None:
    steps, long = WAYS[way]
    for module in (document_scoring, parts):
        monkeypatch.setattr(module, "FORWARD_STEPS", steps)
    monkeypatch.setattr(document_scoring, "LONG", long)


@ways
@pytest.mark.parametrize("chunk", [3, 20, 200])
@pytest.mark.parametrize("chosen", ["one layer", "all"])
@cells
def test_long_documents_have_the_same_nll_in_training_and_in_scoring(
    cell: str, chosen: str, chunk: int, way: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    model, p = network(cell, chosen, reads_documents=True)
    check_law(model, p, chunk, LONG_DOCUMENTS)
    set_way(way, monkeypatch)
    trained = each_among_others(model, p, chunk, LONG_DOCUMENTS)
    np.testing.assert_allclose(in_scoring(model, p, LONG), trained, rtol=1e-10)


@ways
@cells
def test_given_both_sides_neighbours_do_not_matter_in_scoring(
    cell: str, way: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    model, p = network(cell, "both ways", reads_documents=True)
    set_way(way, monkeypatch)
    separate = [in_scoring(model, p, [document])[0] for document in LONG]
    np.testing.assert_allclose(in_scoring(model, p, LONG), separate, rtol=1e-10)
    np.testing.assert_allclose(in_scoring(model, p, LONG[::-1]), separate[::-1], rtol=1e-10)


@pytest.mark.parametrize("chunk", [1, 5])
@cells
def test_given_both_sides_the_law_ends_in_training_where_the_lookahead_does(
    cell: str, chunk: int
) -> None:
    model, p = network(cell, "both ways", reads_documents=True)
    p.flat[:] *= 0.7  # so that no cell forgets so soon
    longest = model.lookahead + chunk - 1  # of a document that begins with a chunk
    check_law(model, p, chunk, [[[1] * longest, [2]]])
    with pytest.raises(AssertionError, match="Not equal to tolerance"):
        check_law(model, p, chunk, [[[1] * (longest + 1), [2]]])


def leaks(ids: np.ndarray, direction: str) -> np.ndarray:
    """The steps and streams, `(n, 2)`, of boundaries over which a leak of the state matters.

    Nothing is read before the first boundary of a stream or, from the end, before the last. The end
    of an empty document is its only target, and given no text on the right.
    """
    if direction == "forward":
        return np.argwhere(ids[:-1] == V)[len(DOCUMENTS) :]
    after = (ids[2:] == V) & (ids[1:-1] != V)
    return np.argwhere(after[:-1])


@pytest.mark.parametrize(
    ("both", "direction"), [(False, "forward"), (True, "forward"), (True, "backward")]
)
@pytest.mark.parametrize("layers", [1, 2])
@cells
def test_a_state_that_leaks_over_one_boundary_is_seen(cell, layers, both, direction, monkeypatch):
    model, p = network_of(cell, reads_documents=True, layers=layers, bidirectional=both)
    check_law(model, p, 100)
    ids = rows()
    shape = (len(ids) - (1 if direction == "forward" else 2), len(DOCUMENTS))
    for where in leaks(ids, direction):

        def leaking(mask, where=where):
            if mask.shape == shape:
                mask = mask.copy()
                assert mask[tuple(where)]
                mask[tuple(where)] = False
            return resets_where(mask)

        with monkeypatch.context() as patch:
            patch.setattr(model_module, "resets_where", leaking)
            with pytest.raises(AssertionError, match="Not equal to tolerance"):
                check_law(model, p, 100)


def gradient(model, p, ids, *, begins=None, resets=None) -> tuple[float, Params]:
    g, state = p.zeros_like(), model.zero_state(ids.shape[1], np.float64)
    x, y = ids[:-1], ids[1:]
    nats, _ = model.loss_and_grad(
        p, g, x, y, state, Workspace(np.float64), begins=begins, resets=resets
    )
    return nats, g


@options
@cells
def test_loss_and_gradient_are_the_sums_over_documents(cell: str, chosen: str) -> None:
    model, p = network(cell, chosen, reads_documents=True)
    nats, g = gradient(model, p, rows())
    each = [gradient(model, p, np.array(stream([d]))[:, None]) for ds in DOCUMENTS for d in ds]
    np.testing.assert_allclose(nats, sum(one for one, _ in each), rtol=1e-12)
    np.testing.assert_allclose(g.flat, sum(one.flat for _, one in each), rtol=1e-9, atol=1e-12)


def test_gradient_is_that_of_the_loss():
    for chosen in OPTIONS:
        model, p = network("lstm", chosen, reads_documents=True)
        _, g = gradient(model, p, rows())
        for name, array in p.items():
            expected = numerical_gradient(lambda m=model, q=p: gradient(m, q, rows())[0], array)
            assert_close(name, g[name], expected)


# Texts, one after the other without a boundary: each is at least two characters long.
TEXTS = (
    [[1, 2, 3], [4, 1], [5, 6, 0, 1]],
    [[4, 3], [5, 0, 3, 2], [3, 1, 1]],
)


@options
@cells
def test_texts_know_nothing_of_each_other(cell: str, chosen: str) -> None:
    model, p = network(cell, chosen, reads_documents=False)
    ids = np.array([[i for text in texts for i in text] for texts in TEXTS]).T
    begins = np.zeros(ids.shape, bool)
    for b, texts in enumerate(TEXTS):
        begins[np.cumsum([0, *map(len, texts)])[:-1], b] = True
    nats, g = gradient(model, p, ids, begins=begins)
    each = [gradient(model, p, np.array(text)[:, None]) for texts in TEXTS for text in texts]
    np.testing.assert_allclose(nats, sum(one for one, _ in each), rtol=1e-12)
    np.testing.assert_allclose(g.flat, sum(one.flat for _, one in each), rtol=1e-9, atol=1e-12)


@cells
def test_state_can_also_become_zeros_within_a_text(cell: str) -> None:
    model, p = network(cell, "one layer", reads_documents=False)
    ids = np.array([[1, 2, 3, 4, 1, 5, 6]]).T
    resets = np.zeros((6, 1), bool)
    resets[3] = True
    nats, g = gradient(model, p, ids, begins=np.zeros(ids.shape, bool), resets=resets)
    each = [gradient(model, p, ids[:4]), gradient(model, p, ids[3:])]
    np.testing.assert_allclose(nats, sum(one for one, _ in each), rtol=1e-12)
    np.testing.assert_allclose(g.flat, sum(one.flat for _, one in each), rtol=1e-9, atol=1e-12)


def test_boundary_is_one_more_row_of_the_matrices():
    with_one, without = (
        CharLM(ModelConfig("lstm", 3, embedding=2), V, reads_documents=documents)
        for documents in (True, False)
    )
    assert (with_one.boundary, with_one.symbols) == (V, V + 1)
    assert (without.boundary, without.symbols) == (None, V)
    assert with_one.shapes()["embedding.W"] == (V + 1, 2)
    assert with_one.shapes()["head.W"] == (3, V + 1)
