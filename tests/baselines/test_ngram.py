"""What of a training split is counted, and the order of the n-grams."""

from bisect import bisect

import numpy as np
import pytest
from numpy.typing import NDArray

from charlm.baselines.kneser_ney import KneserNey
from charlm.baselines.ngram import MAX_ORDER, choose_order, counted_part, ngram_model
from charlm.text.splits import Texts


def texts_of(*contents: list[int], boundary: int | None = None) -> Texts:
    ids = np.array([i for content in contents for i in content], np.uint8)
    return Texts.of(ids, np.cumsum([len(content) for content in contents]), boundary)


def contents(texts: Texts) -> list[list[int]]:
    return [
        texts.ids[start:stop].tolist()
        for start, stop in zip(texts.starts.tolist(), texts.stops.tolist(), strict=True)
    ]


def chain(order: int, length: int, seed: int = 0) -> list[int]:
    """A text of three symbols, each of which depends on `order` - 1 before it."""
    edges = probabilities(order).cumsum(axis=1)[:, :2].tolist()
    draws = np.random.default_rng(seed).random(length).tolist()
    ids, context = [], 0
    for draw in draws:
        ids.append(bisect(edges[context], draw))
        context = (3 * context + ids[-1]) % len(edges)
    return ids


def probabilities(order: int) -> NDArray[np.float64]:
    """The probabilities of each symbol after each context, `(contexts, 3)`."""
    return np.random.default_rng(5).dirichlet([0.1] * 3, size=3 ** (order - 1))


def test_a_short_training_split_is_counted_as_a_whole():
    texts = texts_of([0, 1, 2], [1, 1])
    assert contents(counted_part(texts)) == [[0, 1, 2], [1, 1]]
    documents = texts_of([0, 1, 2], [1, 1], boundary=3)
    assert contents(counted_part(documents)) == [[0, 1, 2], [1, 1]]
    assert counted_part(documents).boundary == 3


def test_of_a_long_text_the_end_is_counted():
    assert contents(counted_part(texts_of([*range(100)]), most=10)) == [[*range(90, 100)]]
    assert contents(counted_part(texts_of([*range(80)], [*range(80, 100)]), most=10)) == [
        [*range(72, 80)],
        [98, 99],
    ]


def test_of_many_documents_some_at_equal_distances_are_counted():
    documents = texts_of(*([i, i] for i in range(100)), boundary=100)
    assert contents(counted_part(documents, most=20)) == [[i, i] for i in range(9, 100, 10)]


def test_the_counted_part_is_all_that_is_in_memory():
    texts = texts_of([*range(100)]).some(slice(None))
    part = counted_part(texts, most=10)
    assert len(part.ids) == part.characters == 10


@pytest.mark.parametrize("order", [2, 3, 4])
def test_order_is_that_of_the_source(order):
    texts = texts_of(chain(order, 20_000))
    assert choose_order(texts, 3, newline=None) == order
    assert ngram_model(texts, 3, None).order == order


def test_order_of_documents():
    ids = chain(3, 30_000)
    documents = texts_of(*(ids[k : k + 30] for k in range(0, 30_000, 30)), boundary=3)
    assert choose_order(documents, 4, newline=None) in {3, 4}  # which costs nearly nothing


@pytest.mark.parametrize("texts", [texts_of([0]), texts_of([0, 1]), texts_of([0, 1], boundary=2)])
def test_what_cannot_be_divided_has_order_1(texts):
    assert choose_order(texts, 3, newline=None) == 1


def test_a_model_near_the_entropy_of_its_source():
    model = ngram_model(texts_of(chain(3, 50_000)), 3, None)
    held_out = texts_of(chain(3, 10_000, seed=1))
    ids = held_out.ids.astype(int)
    exact = -np.log(probabilities(3)[3 * ids[:-2] + ids[1:-1], ids[2:]]).mean()
    assert model.nats(held_out)[-1] / held_out.targets == pytest.approx(exact, rel=0.02)


def test_a_long_text_needs_no_more_than_the_highest_order():
    order = ngram_model(texts_of([*range(250)] * 40), 250, None).order
    assert 1 < order <= MAX_ORDER


def test_random_text_is_nearly_uniform():
    """A long context neither helps nor costs much: the discounts hand its share down."""
    ids = np.random.default_rng(0).integers(0, 60, size=60_000).astype(np.uint8)
    train, held_out = texts_of(ids[:50_000].tolist()), texts_of(ids[50_000:].tolist())
    nats = KneserNey.of(train, 60, 6).nats(held_out)
    assert nats[0] == pytest.approx(held_out.targets * np.log(60))
    assert nats[-1] == pytest.approx(nats[0], rel=0.1)
