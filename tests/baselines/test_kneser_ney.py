"""The n-gram model, held to a slow one that is written from its equations."""

import math
from collections import defaultdict
from itertools import product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from charlm.baselines import kneser_ney
from charlm.baselines.kneser_ney import KneserNey, discounts
from charlm.text.splits import Texts


def texts_of(contents: list[list[int]], boundary: int | None = None) -> Texts:
    """Texts or documents with these ids."""
    ids = np.array([i for content in contents for i in content], np.uint16)
    return Texts.of(ids, np.cumsum([len(content) for content in contents], dtype=int), boundary)


class Plain:
    """The model of Chen and Goodman (1998) with dictionaries, one n-gram after the other."""

    def __init__(self, contents: list[list[int]], V: int, n: int, boundary: int | None) -> None:
        self.V, self.n, self.boundary = V, n, boundary
        self.uniform = 1 / V
        occurrences: dict[tuple[int, ...], int] = defaultdict(int)
        before: dict[tuple[int, ...], set[object]] = defaultdict(set)
        for number, content in enumerate(contents):
            ids = self.read(content)
            for stop in range(2, len(ids) + 1):  # the first id is not predicted
                for k in range(1, min(n, stop) + 1):
                    start = stop - k
                    gram = tuple(ids[start:stop])
                    occurrences[gram] += 1
                    before[gram].add(ids[start - 1] if start else ("start", number))
        self.u: list[dict[tuple[int, ...], int]] = [{} for _ in range(n + 1)]
        for gram, count in occurrences.items():
            self.u[len(gram)][gram] = count if len(gram) == n else len(before[gram])
        self.D = [self.discounts(list(u.values())) for u in self.u]

    def read(self, content: list[int]) -> list[int]:
        edge = [] if self.boundary is None else [self.boundary]
        return [*edge, *content, *edge]

    @staticmethod
    def discounts(counts: list[int]) -> list[float]:
        n1, n2, n3, n4 = (counts.count(r) for r in (1, 2, 3, 4))
        if n1 == 0:
            return [0, 0.5, 0.5, 0.5]
        Y = n1 / (n1 + 2 * n2)
        if n2 > 0 and n3 > 0:
            D = [1 - 2 * Y * n2 / n1, 2 - 3 * Y * n3 / n2, 3 - 4 * Y * n4 / n3]
            if 0 < D[0] <= 1 and 0 < D[1] <= 2 and 0 < D[2] <= 3:
                return [0, *D]
        return [0, Y, Y, Y]

    def p(self, w: int, c: tuple[int, ...]) -> float:
        k = len(c) + 1
        u, D = self.u[k], self.D[k]
        shorter = self.p(w, c[1:]) if c else self.uniform
        seen = [u[(*c, v)] for v in range(self.V) if (*c, v) in u]
        if not seen:
            return shorter
        count = u.get((*c, w), 0)
        backoff = sum(D[min(r, 3)] for r in seen) / sum(seen)
        return max(count - D[min(count, 3)], 0) / sum(seen) + backoff * shorter

    def surprisals(self, contents: list[list[int]]) -> list[float]:
        found = []
        for content in contents:
            ids = self.read(content)
            for t in range(1, len(ids)):
                c = tuple(ids[max(0, t - self.n + 1) : t])
                found.append(-math.log(self.p(ids[t], c) if self.n else self.uniform))
        return found


@st.composite
def problems(draw):
    """Texts to count, others to score, the number of symbols, the order, and the boundary."""
    V = draw(st.integers(1, 4))
    are_documents = draw(st.booleans())
    least = 0 if are_documents else 1
    content = st.lists(st.integers(0, V - 1), min_size=least, max_size=30)
    many = st.lists(content, min_size=1, max_size=5)
    n = draw(st.integers(0, 5))
    return draw(many), draw(many), V + are_documents, n, V if are_documents else None


@given(problems())
def test_it_is_the_model_of_the_equations(problem):
    counted, scored, V, n, boundary = problem
    ours = KneserNey.of(texts_of(counted, boundary), V, n).surprisals(texts_of(scored, boundary))
    theirs = Plain(counted, V, n, boundary).surprisals(scored)
    np.testing.assert_allclose(ours, theirs, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("boundary", [None, 12])
def test_it_is_the_model_of_the_equations_with_three_discounts(boundary):
    rng = np.random.default_rng(1)
    chain = rng.dirichlet(np.full(12, 0.3), size=12)  # so that some n-grams are frequent
    contents = []
    for length in (700, 80, 1, 300):
        ids = [0]
        for _ in range(length):
            ids.append(int(rng.choice(12, p=chain[ids[-1]])))
        contents.append(ids)
    V = 12 + (boundary is not None)
    plain = Plain(contents[:3], V, 4, boundary)
    assert [len(set(D)) for D in plain.D[3:]] == [4, 4]  # no fallback
    ours = KneserNey.of(texts_of(contents[:3], boundary), V, 4)
    found = ours.surprisals(texts_of(contents[3:], boundary))
    np.testing.assert_allclose(found, plain.surprisals(contents[3:]), rtol=1e-12)


@given(problems())
def test_probabilities_of_all_symbols_sum_to_one_after_any_context(problem):
    counted, _, V, n, boundary = problem
    model = KneserNey.of(texts_of(counted, boundary), V, n)
    length = min(max(n - 1, 1), 3)
    contexts = list(product(range(V), repeat=length))  # seen and unseen
    contents = [[*context, w] for context in contexts for w in range(V)]
    nats = model.surprisals(texts_of(contents)).reshape(len(contexts), V, length)[:, :, -1]
    assert np.isfinite(nats).all()  # each is positive
    np.testing.assert_allclose(np.exp(-nats).sum(axis=1), 1, rtol=1e-12)


@given(problems())
@settings(max_examples=40)
def test_nats_of_each_order_are_those_of_the_model_of_that_order(problem):
    counted, scored, V, n, boundary = problem
    train, held_out = texts_of(counted, boundary), texts_of(scored, boundary)
    nats = KneserNey.of(train, V, n).nats(held_out)
    each = [KneserNey.of(train, V, k).surprisals(held_out).sum() for k in range(n + 1)]
    np.testing.assert_allclose(nats, each, rtol=1e-12, atol=1e-12)
    assert nats[0] == pytest.approx(held_out.targets * math.log(V))


@settings(max_examples=40)
@given(problems(), st.integers(1, 7))
def test_a_text_can_be_scored_in_blocks(problem, block):
    counted, scored, V, n, boundary = problem
    model, held_out = KneserNey.of(texts_of(counted, boundary), V, n), texts_of(scored, boundary)
    whole = model.surprisals(held_out)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(kneser_ney, "BLOCK", block)
        np.testing.assert_array_equal(model.surprisals(held_out), whole)
        np.testing.assert_allclose(model.nats(held_out)[-1], whole.sum(), rtol=1e-12, atol=1e-12)


def test_a_large_vocabulary_needs_more_than_one_word_per_position():
    rng = np.random.default_rng(2)
    V = 70_000  # 17 bits: three symbols in a word
    contents = [(rng.integers(0, 3, size=400) * 34_999).tolist() for _ in range(2)]
    ids = np.array(contents[0] + contents[1], np.uint32)
    train, held_out = Texts.of(ids[:400], np.array([400])), Texts.of(ids[400:], np.array([400]))
    ours = KneserNey.of(train, V, 8).surprisals(held_out)
    small = [[i // 34_999 for i in content] for content in contents]
    plain = Plain(small[:1], 3, 8, None)
    plain.uniform = 1 / V
    np.testing.assert_allclose(ours, plain.surprisals(small[1:]), rtol=1e-12)


def test_discounts_of_chen_and_goodman():
    counts = np.repeat([1, 2, 3, 4, 9], [100, 40, 20, 12, 30])
    Y = 100 / 180
    expected = [0, 1 - 2 * Y * 40 / 100, 2 - 3 * Y * 20 / 40, 3 - 4 * Y * 12 / 20]
    np.testing.assert_allclose(discounts(counts), expected)


@pytest.mark.parametrize(
    ("counts", "expected"),
    [
        ([], 0.5),
        ([0, 0], 0.5),
        ([2, 2, 3], 0.5),  # no n-gram occurs once
        ([1, 1, 1], 1.0),  # none occurs twice
        ([1, 2, 2], 1 / 5),  # none occurs three times
        ([1, 2, 3, 3, 3, 3, 4], 1 / 3),  # D_2 would be negative
        ([1] * 4 + [2] * 3 + [3] + [4] * 9, 4 / 10),  # D_3 would be negative
    ],
)
def test_discounts_at_their_limits(counts, expected):
    found = discounts(np.array(counts, np.intp))
    np.testing.assert_allclose(found, [0, *[expected] * 3])


def test_a_longer_context_helps_where_the_text_depends_on_it():
    ids = [0, 1, 0, 2] * 200  # after 0, the symbol depends on the one before it
    nats = KneserNey.of(texts_of([ids]), 3, 3).nats(texts_of([ids]))
    assert nats[0] > nats[1] > nats[2] > 5 * nats[3]


def test_documents_know_how_they_begin():
    documents = [[0, 1], [0, 2], [0, 1, 1]] * 20
    model = KneserNey.of(texts_of(documents, 3), 4, 3)
    first = np.exp(-model.surprisals(texts_of([[0]], 3))[0])
    assert first > 0.95
