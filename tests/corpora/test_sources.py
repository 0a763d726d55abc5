"""The sources keep the laws of their equations, and refuse what is no distribution."""

import itertools
import math

import numpy as np
import pytest

from corpora.sources import SOURCES, IndependentSource, MarkovSource, main


def independent() -> IndependentSource:
    return IndependentSource("xyz", [0.5, 0.3, 0.2])


def markov(order: int, alphabet: str = "abc") -> MarkovSource:
    return MarkovSource.random(alphabet, order, np.random.default_rng(order), concentration=0.5)


ALL = [independent(), markov(1), markov(2), markov(5, "ab")]


def order_of(source: IndependentSource | MarkovSource) -> int:
    return source.order if isinstance(source, MarkovSource) else 0


@pytest.mark.parametrize("source", ALL)
def test_probabilities_of_all_texts_after_a_context_sum_to_one(source):
    order = order_of(source)
    context = source.alphabet[-1] * order
    texts = (context + "".join(rest) for rest in itertools.product(source.alphabet, repeat=4))
    assert sum(math.exp(-source.nats(text).sum()) for text in texts) == pytest.approx(1)


def test_nats_are_the_logarithms_of_the_table_oldest_character_first():
    table = markov(2).table
    nats = MarkovSource("abc", table).nats("abcab")
    expected = [table[0, 1, 2], table[1, 2, 0], table[2, 0, 1]]
    assert np.exp(-nats) == pytest.approx(expected)
    assert np.exp(-independent().nats("zxy")) == pytest.approx([0.2, 0.5, 0.3])


@pytest.mark.parametrize("source", ALL)
def test_mean_of_nats_comes_to_the_entropy_rate(source):
    nats = source.nats(source.generate(200_000, np.random.default_rng(7)))
    # The entries depend on each other, so the standard error is that of means of long blocks.
    blocks = nats[: nats.size // 400 * 400].reshape(400, -1).mean(axis=1)
    error = blocks.std(ddof=1) / math.sqrt(blocks.size)
    assert abs(nats.mean() - source.entropy_rate()) < 4 * error
    assert error < 0.01


@pytest.mark.parametrize("source", ALL[1:])
def test_frequencies_of_the_contexts_come_to_the_stationary_distribution(source):
    text = source.generate(200_000, np.random.default_rng(8))
    for place in np.ndindex(source.stationary.shape):
        context = "".join(source.alphabet[i] for i in place)
        found = sum(text.startswith(context, i) for i in range(len(text))) / len(text)
        assert found == pytest.approx(source.stationary[place], abs=0.01)


def test_frequencies_of_independent_characters_come_to_their_probabilities():
    source = independent()
    text = source.generate(200_000, np.random.default_rng(9))
    frequencies = [text.count(character) / len(text) for character in source.alphabet]
    assert frequencies == pytest.approx(source.probabilities, abs=0.005)


@pytest.mark.parametrize("source", ALL[1:])
def test_first_context_is_drawn_from_the_stationary_distribution(source):
    rng = np.random.default_rng(10)
    starts = [source.generate(source.order, rng) for _ in range(4000)]
    for place in np.ndindex(source.stationary.shape):
        context = "".join(source.alphabet[i] for i in place)
        assert starts.count(context) / 4000 == pytest.approx(source.stationary[place], abs=0.04)


def test_independent_source_is_the_markov_source_with_equal_rows():
    alone = independent()
    chain = MarkovSource("xyz", np.broadcast_to(alone.probabilities, (3, 3, 3)))
    text = alone.generate(1000, np.random.default_rng(11))
    assert chain.entropy_rate() == pytest.approx(alone.entropy_rate())
    assert chain.nats(text) == pytest.approx(alone.nats(text)[2:])
    assert chain.stationary == pytest.approx(
        np.multiply.outer(alone.probabilities, alone.probabilities)
    )


def test_entropy_rate_of_chains_known_in_closed_form():
    # Two states, left with probabilities a and b: pi = (b, a) / (a + b).
    a, b = 0.1, 0.4
    binary = [-p * math.log(p) - (1 - p) * math.log(1 - p) for p in (a, b)]
    expected = (b * binary[0] + a * binary[1]) / (a + b)
    assert MarkovSource("01", [[1 - a, a], [b, 1 - b]]).entropy_rate() == pytest.approx(expected)
    assert IndependentSource("abcd", [0.25] * 4).entropy_rate() == pytest.approx(math.log(4))


def test_cycle_without_any_choice_has_no_entropy_and_no_surprise():
    cycle = MarkovSource("abc", np.eye(3)[[1, 2, 0]])
    text = cycle.generate(30, np.random.default_rng(12))
    assert text in "abc" * 12
    assert cycle.entropy_rate() == 0
    assert not cycle.nats(text).any()


def test_what_cannot_occur_is_never_drawn_and_costs_infinity():
    source = IndependentSource("abc", [0, 1, 0])
    assert source.generate(50, np.random.default_rng(13)) == "b" * 50
    assert source.nats("ab").tolist() == [math.inf, 0]
    chain = MarkovSource("abc", [[0, 0.7, 0.3], [0, 0.1, 0.9], [0, 1, 0]])
    text = chain.generate(2000, np.random.default_rng(14))
    assert set(text) == {"b", "c"}
    assert np.isfinite(chain.nats(text)).all()
    assert chain.nats("aa").tolist() == [math.inf]


@pytest.mark.parametrize("source", ALL)
def test_text_has_its_length_and_depends_on_the_generator_alone(source):
    for length in (0, 1, 2, 3, 50):
        assert len(source.generate(length, np.random.default_rng(0))) == length
    first, same, other = (source.generate(50, np.random.default_rng(seed)) for seed in (1, 1, 2))
    assert first == same != other
    for length in range(6):
        assert source.nats(first[:length]).shape == (max(0, length - order_of(source)),)


def test_low_concentration_means_low_entropy():
    rates = [
        MarkovSource.random("abcd", 1, np.random.default_rng(3), concentration).entropy_rate()
        for concentration in (0.1, 1.0, 1000.0)
    ]
    assert rates == sorted(rates)
    assert rates[-1] == pytest.approx(math.log(4), abs=0.01)


def test_rounded_probabilities_are_made_to_sum_to_one():
    source = IndependentSource("abc", np.float32([0.1, 0.2, 0.7]))
    assert source.probabilities.sum() == pytest.approx(1, abs=1e-15)
    assert MarkovSource("ab", [[0.3000003, 0.7], [0.5, 0.5]]).table.sum() == 2


def test_given_probabilities_are_copied():
    given = np.array([0.5, 0.5])
    source = IndependentSource("ab", given)
    given[:] = 0, 1
    assert source.probabilities.tolist() == [0.5, 0.5]


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: IndependentSource("", []), "alphabet"),
        (lambda: IndependentSource("aa", [0.5, 0.5]), "alphabet"),
        (lambda: IndependentSource("ab", [1.0]), "shape"),
        (lambda: IndependentSource("ab", [1.5, -0.5]), "negative"),
        (lambda: IndependentSource("ab", [math.nan, 1]), "NaN"),
        (lambda: IndependentSource("ab", [0.5, 0.4]), "sum"),
        (lambda: IndependentSource("ab", [math.inf, 0.5]), "sum"),
        (lambda: MarkovSource("", [[]]), "alphabet"),
        (lambda: MarkovSource("ab", [0.5, 0.5]), "axes"),
        (lambda: MarkovSource("ab", [[0.5, 0.5]]), "shape"),
        (lambda: MarkovSource("ab", [[0.5, 0.5], [0.5, 0.4]]), "sum"),
        (lambda: MarkovSource("ab", np.eye(2)), "stationary distribution"),
        (lambda: MarkovSource.random("", 1, np.random.default_rng(0)), "alphabet"),
        (lambda: MarkovSource.random("ab", 0, np.random.default_rng(0)), "order"),
        (lambda: MarkovSource.random("ab", 1, np.random.default_rng(0), 0.0), "concentration"),
        (lambda: MarkovSource.random("ab", 1, np.random.default_rng(0), math.nan), "concentrat"),
        (lambda: independent().generate(-1, np.random.default_rng(0)), "length"),
        (lambda: markov(2).generate(-1, np.random.default_rng(0)), "length"),
        (lambda: independent().nats("xy?"), r"'\?'"),
        (lambda: markov(2).nats("?"), r"'\?'"),
    ],
)
def test_bad_input_is_refused(make, message):
    with pytest.raises(ValueError, match=message):
        make()


@pytest.mark.parametrize("name", SOURCES)
def test_command_writes_the_text_and_the_entropy_rate_in_bits(name, capsys):
    main([name, "500", "--random-seed", "3"])
    out, err = capsys.readouterr()
    source = SOURCES[name]()
    assert out == source.generate(500, np.random.default_rng(3))
    assert float(err.split()[0]) == pytest.approx(source.entropy_rate() / math.log(2), abs=1e-6)


def test_command_refuses_a_negative_length(capsys):
    with pytest.raises(SystemExit, match="2"):
        main(["markov-1", "--", "-1"])
    assert "length is -1" in capsys.readouterr().err
