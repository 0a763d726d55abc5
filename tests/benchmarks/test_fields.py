"""Tests of the parts of the fields that need neither data nor training."""

from collections import Counter

import numpy as np
import pytest

from benchmarks.fields.abc_check import fault
from benchmarks.fields.common import split
from benchmarks.fields.names import bigram_score, held_out_size
from benchmarks.fields.reading_times import nats_of_words, predictors
from benchmarks.fields.statistics import auc, explained

TUNE = """X: 1
T:A Jig
M:6/8
L:1/8
K:D
{body}"""
ACCEPTED = (
    'D|"D"FAF A2d|[FA]3 z3|(3FGA F/G/A/B/ A2:|',
    "FAF A2d|F3- F2||A|d6|",  # a section ends with a short bar, the next begins with the rest
    "|:FAF A2d|[1 D6:|[2 D3- D3|]",
    "F3/2A/ A4\\\n|\nM:2/4\nA2 A2|",
)
REFUSED = {
    "FAF A2|FAF A2d|FAF A2|FAF A2d|": "bar 3 lasts 5/8 and not 3/4",  # only the edges may be short
    "FAF A2dd|": "bar 1 lasts 7/8 and not 3/4",
    "FAF A2H|": "'H|' is not ABC",
    '"DFA': "'\"DFA' is not ABC",
    "F/0": "Fraction(1, 0)",
    "||": "there are no notes",
}


@pytest.mark.parametrize("body", ACCEPTED)
def test_tune_is_accepted(body):
    assert not fault(TUNE.format(body=body))


@pytest.mark.parametrize("body", REFUSED)
def test_tune_is_refused(body):
    assert fault(TUNE.format(body=body)) == REFUSED[body]


@pytest.mark.parametrize("name", "XTMK")
def test_tune_needs_its_header(name):
    tune = TUNE.format(body=ACCEPTED[0])
    without = "\n".join(line for line in tune.splitlines() if not line.startswith(f"{name}:"))
    assert "header" in fault(without)
    assert "meter" in fault(tune.replace("6/8", "0/8"))


def test_auc_is_the_share_of_ordered_pairs():
    rng = np.random.default_rng(0)
    x, y = rng.integers(5, size=30), rng.integers(6, size=40)  # with ties
    pairs = [(a > b) + (a == b) / 2 for a in x for b in y]
    assert auc(x, y) == pytest.approx(np.mean(pairs))
    assert auc(x, y) + auc(y, x) == pytest.approx(1)
    assert auc([2.0, 3.0], [1.0, 0.0]) == 1


def test_explained_variance_grows_with_predictors():
    rng = np.random.default_rng(0)
    a, b, noise = rng.standard_normal((3, 500))
    y = 3 + 2 * a - b + noise
    assert explained(2 * a - 5, [a]) == pytest.approx(1)
    assert explained(y, [a]) == pytest.approx(np.corrcoef(a, y)[0, 1] ** 2)
    assert explained(y, [a]) < explained(y, [a, b]) < 1


@pytest.mark.parametrize(("count", "expected"), [(32033, 1000), (500, 50), (15, 1)])
def test_split_holds_out_as_makemore_does(count, expected):
    names = [f"{k // 2}" for k in range(count)]  # with duplicates, which may be on both sides
    known, test = split(names, held_out_size(count), random_seed=1)
    assert len(test) == expected
    assert Counter(known + test) == Counter(names)
    assert known + test != names
    assert split(names, expected, random_seed=1) == (known, test)


def test_bigrams_are_normalized():
    score = bigram_score(["ab"], ["ab"])  # 3 symbols; each pair of the test was seen once
    assert score.characters == 3
    assert score.nats == pytest.approx(3 * np.log(4 / 2))


def test_tokens_belong_to_the_word_that_they_end_in():
    tokens = [("I", ""), (" do", "-1"), ("n't", "-2"), (" see", "-4"), (".", "-8")]
    nats = nats_of_words(["I", "don't", "see."], tokens)
    np.testing.assert_array_equal(nats, [np.nan, 3, 12])
    with pytest.raises(SystemExit, match="characters"):
        nats_of_words(["I"], tokens)


def test_frequency_counts_words_without_case_and_punctuation():
    length, frequency = predictors(['"The', "sea."], "The sea, the sea; the land")
    assert length.tolist() == [4, 4]
    np.testing.assert_allclose(frequency, np.log([4, 3]))
