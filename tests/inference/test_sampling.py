"""Samples follow the distribution of the model and the sampling options."""

import math
from collections import Counter

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from charlm.config import SampleConfig
from charlm.errors import ConfigError, TextError
from charlm.inference.sampling import draw, filtered, sample
from charlm.language_model import LanguageModel
from charlm.nn.cells import CELLS
from charlm.nn.workspace import Workspace
from charlm.text.config import TextConfig
from charlm.text.vocabulary import Vocabulary
from tests.helpers import lawful, random_ids, small_model

cells = pytest.mark.parametrize("cell", CELLS)


def probabilities(logits: np.ndarray, config: SampleConfig) -> np.ndarray:
    """The softmax of the filtered logits."""
    z = filtered(logits, config)
    p = np.exp(z - z.max(axis=1, keepdims=True))
    return p / p.sum(axis=1, keepdims=True)


def reference(logits: list[float], temperature: float, top_k: int, top_p: float) -> list[float]:
    """The distribution of one row, computed one character at a time."""
    top = max(logits)
    if temperature == 0:
        p = [float(z == top) for z in logits]
    else:
        p = [math.exp((z - top) / temperature) for z in logits]
    if top_k:
        least = sorted(logits, reverse=True)[min(top_k, len(logits)) - 1]
        p = [x if z >= least else 0.0 for x, z in zip(p, logits, strict=True)]
    total = math.fsum(p)
    p = [x / total for x in p]
    if top_p < 1:
        kept: list[int] = []
        for i in sorted(range(len(p)), key=lambda i: -p[i]):
            so_far = math.fsum(p[j] for j in kept)
            assume(abs(so_far - top_p) > 1e-9)  # a tie depends on rounding
            if so_far < top_p:
                kept.append(i)
        total = math.fsum(p[i] for i in kept)
        p = [x / total if i in kept else 0.0 for i, x in enumerate(p)]
    return p


@lawful
@given(
    st.lists(st.sampled_from([-50.0, -2.5, -1.0, 0.0, 0.0, 0.5, 1.0, 3.0, 40.0]), min_size=1),
    st.sampled_from([0.0, 0.01, 0.5, 1.0, 3.0, 1e6]),
    st.sampled_from([0, 0, 1, 2, 5, 100]),
    st.sampled_from([1.0, 1.0, 0.95, 0.7, 0.3, 1e-6]),
    st.sampled_from([np.float32, np.float64]),
)
def test_options_apply_in_the_order_temperature_top_k_top_p(column, temp, top_k, top_p, dtype):
    expected = reference(column, temp, top_k, top_p)
    # the second row checks that rows are independent
    logits = np.array([column, np.linspace(0, 1, len(column))], dtype)
    before = logits.copy()
    p = probabilities(logits, SampleConfig(1, temp, top_k, top_p))
    assert filtered(logits, SampleConfig()).dtype == np.float64
    assert p[0] == pytest.approx(expected, rel=1e-9, abs=1e-12)
    assert p[0].tolist().count(0) == expected.count(0)
    assert p.sum(axis=1) == pytest.approx(1, abs=1e-12)
    assert (logits == before).all()


def test_options_by_example():
    logits = np.log([[0.5, 0.25, 0.125, 0.125]])

    def p(**options) -> list[float]:
        return probabilities(logits, SampleConfig(**options))[0].tolist()

    assert p() == pytest.approx([0.5, 0.25, 0.125, 0.125])
    assert p(temperature=0.5) == pytest.approx([16 / 22, 4 / 22, 1 / 22, 1 / 22])
    assert p(temperature=0) == [1, 0, 0, 0]
    assert p(top_k=1) == [1, 0, 0, 0]
    assert p(top_k=2) == pytest.approx([2 / 3, 1 / 3, 0, 0])
    assert p(top_k=3) == pytest.approx([0.5, 0.25, 0.125, 0.125])  # a tie at the limit
    assert p(top_p=0.4) == [1, 0, 0, 0]
    assert p(top_p=0.6) == pytest.approx([2 / 3, 1 / 3, 0, 0])
    assert p(top_p=0.8) == pytest.approx([4 / 7, 2 / 7, 1 / 7, 0])
    fair = probabilities(np.zeros((1, 4)), SampleConfig(top_p=0.5))
    assert fair[0].tolist() == [0.5, 0.5, 0, 0]  # the first two reach 0.5
    # of the two characters that top_k keeps, the first has a probability of 2/3
    assert p(top_k=2, top_p=0.6) == [1, 0, 0, 0]
    assert p(top_k=2, top_p=0.6, temperature=3) == pytest.approx([0.557507, 0.442493, 0, 0])


@pytest.mark.parametrize("temperature", [1e-3, 1e-30, 1e-300, 5e-324])
def test_low_temperatures_give_the_most_probable_character(temperature):
    logits = np.array([[1.0, 3.0, 2.0], [-9.0, 4.0, -9.5]])
    p = probabilities(logits, SampleConfig(temperature=temperature))
    assert p.tolist() == [[0, 1, 0], [0, 1, 0]]


P = np.array([0.0, 0.3, 0.0, 0.05, 0.45, 0.2, 0.0])
with np.errstate(divide="ignore"):
    LOGITS = np.log(P)


def test_frequencies_match_the_probabilities():
    count = 40_000
    ids = draw(np.repeat(LOGITS[None], count, axis=0), np.random.default_rng(1))
    frequencies = np.bincount(ids, minlength=len(P)) / count
    errors = np.sqrt(P * (1 - P) / count)
    assert (np.abs(frequencies - P) <= 4.5 * errors).all()  # exact where p is 0


def test_rows_are_drawn_independently():
    rows = np.array([[1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.5, 0.5, 0.0], [0.0, 0.0, 1.0]])
    with np.errstate(divide="ignore"):
        logits = np.log(rows)
    rng = np.random.default_rng(2)
    drawn = np.array([draw(logits, rng) for _ in range(2000)])
    assert (drawn[:, [0, 1, 3]] == [0, 1, 2]).all()
    assert drawn[:, 2].mean() == pytest.approx(0.5, abs=0.06)


class ConstantGenerator:
    """A generator whose numbers are all equal."""

    def __init__(self, number: float) -> None:
        self.number = number

    def standard_exponential(self, size: tuple[int, int]) -> np.ndarray:
        return np.full(size, self.number)


@lawful
@given(
    st.lists(st.sampled_from([0.0, 0.0, 1e-17, 0.1, 0.25, 1 / 3, 0.7, 1.0]), min_size=1),
    st.sampled_from([0.0, 5e-324, 0.25, 1.0, 700.0]),
)
def test_a_character_of_probability_zero_is_never_drawn(weights, number):
    assume(sum(weights) > 0)
    with np.errstate(divide="ignore"):
        logits = np.log(weights)[None]
    (drawn,) = draw(logits, ConstantGenerator(number))
    assert weights[drawn] > 0


def draws(cell: str, steps: int, count: int, seed: int, **options) -> np.ndarray:
    """Ids `(steps, count)` sampled after a prompt."""
    model, p = small_model(cell, layers=2)
    rng = np.random.default_rng(seed)
    stream = sample(model, p, random_ids(4), SampleConfig(**options), rng, count)
    return np.array([next(stream) for _ in range(steps)])


@cells
def test_samples_depend_on_the_generator_only_and_differ_between_streams(cell):
    ids = draws(cell, 30, 5, seed=1)
    assert ids.shape == (30, 5)
    assert (ids == draws(cell, 30, 5, seed=1)).all()
    assert (ids != draws(cell, 30, 5, seed=2)).any()
    assert len({tuple(column) for column in ids.T}) == 5


def test_samples_do_not_depend_on_the_number_of_threads():
    model, p = small_model("gru")
    drawn = []
    for threads in (1, 2, 3):
        rng = np.random.default_rng(1)
        stream = sample(model, p, random_ids(4), SampleConfig(), rng, 70, threads)
        drawn.append([next(stream).tolist() for _ in range(70)])
    assert drawn[0] == drawn[1] == drawn[2]
    assert len({tuple(ids) for ids in zip(*drawn[0], strict=True)}) == 70


def test_samples_of_many_streams_depend_on_the_state_of_the_generator():
    model, p = small_model("gru")

    def first(rng: np.random.Generator) -> list[int]:
        return next(sample(model, p, random_ids(4), SampleConfig(), rng, 70)).tolist()

    used = np.random.default_rng(1)
    used.random()
    assert first(used) != first(np.random.default_rng(1)) == first(np.random.default_rng(1))


@cells
def test_temperature_zero_takes_the_most_probable_character_every_time(cell):
    model, p = small_model(cell, layers=2)
    work, state = Workspace(np.float64), model.zero_state(1, np.float64)
    x, expected = random_ids(4)[:, None], []
    for _ in range(20):
        logits, state = model.next_logits(p, x, state, work)
        x = logits.argmax(axis=1)[None]
        expected.append(int(x[0, 0]))
    ids = draws(cell, 20, 3, seed=1, temperature=0)
    assert ids.T.tolist() == [expected] * 3


@cells
def test_mean_surprisal_of_samples_is_the_entropy(cell):
    model, p = small_model(cell, layers=2)
    p["1.O" if cell == "jordan" else "head.W"][...] *= 8
    prompt, steps, count = random_ids(4), 60, 50
    stream = sample(model, p, prompt, SampleConfig(), np.random.default_rng(5), count)
    drawn = np.array([next(stream) for _ in range(steps)])
    ids = np.concatenate([np.repeat(prompt[:, None], count, axis=1), drawn])
    work, state = Workspace(np.float64), model.zero_state(count, np.float64)
    nats = model.nats(p, ids[:-1], ids[1:], state, work)[0][len(prompt) - 1 :]
    entropies, x = [], ids[: len(prompt)]
    for following in drawn:
        logits, state = model.next_logits(p, x, state, work)
        q = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
        entropies.append(-(q * np.log(q)).sum(axis=1))
        x = following[None]
    # each entry has mean zero, given the ones before it
    excess = nats - np.array(entropies)
    error = excess.std() / math.sqrt(excess.size)
    assert np.mean(entropies) < 0.9 * math.log(7)
    assert abs(excess.mean()) < 4 * error < 0.1


CHARACTERS = "\nabcde "


def language_model(characters: str = CHARACTERS) -> LanguageModel:
    model, p = small_model("gru", len(characters))
    return LanguageModel(model.config, Vocabulary.of(characters), p)


def text(prompt: str = "", seed: int = 3, characters: str = CHARACTERS, **options) -> str:
    rng = np.random.default_rng(seed)
    return "".join(language_model(characters).sample(prompt, rng=rng, **options))


def test_sample_has_the_requested_length_and_excludes_the_prompt():
    for length in (0, 1, 50):
        drawn = text("abc", length=length)
        assert len(drawn) == length
        assert set(drawn) <= set(CHARACTERS)
    assert text("abc", length=50) == text("abc", length=70)[:50]
    assert text("abc", length=50) != text("abc", length=50, seed=4)
    assert "".join(language_model().sample(length=20)) != "".join(
        language_model().sample(length=20)
    )
    assert sum(1 for _ in language_model().sample()) == 500


@pytest.mark.parametrize("stop", ["a", "b", "\n", "ab", "ca", "aa", "abc\n" * 9])
def test_sample_ends_after_the_stop_text(stop):
    whole = text("abc", length=400)
    drawn = text("abc", length=400, stop=stop)
    end = whole.find(stop)
    assert drawn == (whole if end < 0 else whole[: end + len(stop)])


def test_stop_text_in_the_prompt_has_no_effect():
    assert len(text("ab", length=30, stop="ab" * 5)) == 30
    assert text("a", length=1, stop="ab") in CHARACTERS


@pytest.mark.parametrize("stop", ["\n", ("\n", "a"), ("a", "ab", "b")])
@pytest.mark.parametrize("count", [1, 9])
def test_without_a_prompt_no_text_is_empty_but_for_its_end(stop, count):
    model, config = language_model(), SampleConfig(length=9, stop=stop)
    alone = {each for each in config.stops if len(each) == 1}
    begins = Counter[str]()
    for seed in range(60):
        steps = model.sample_streams("", config, count, rng=np.random.default_rng(seed))
        begins.update(next(steps))
    assert set(begins) == set(CHARACTERS) - alone
    prompted = (model.sample_streams("c", config, 9, rng=np.random.default_rng(5)) for _ in "ab")
    assert alone & {c for steps in prompted for c in next(steps)}


def test_a_text_of_which_all_characters_are_stops_ends_with_the_first():
    stops = tuple(CHARACTERS)
    for prompt in ("", "a"):
        drawn = "".join(language_model().sample(prompt, stop=stops, rng=np.random.default_rng(1)))
        assert drawn in stops


def test_a_stop_text_that_cannot_come_is_an_error_before_sampling():
    with pytest.raises(
        ConfigError, match=r"stop must be .* never generates 'X', 'é'.*, got 'aXbéX'"
    ):
        language_model().sample("a", stop="aXbéX")


def test_a_stop_text_is_read_as_the_corpus_was():
    model = language_model()
    model.text_config = TextConfig(newlines="lf")
    drawn = [
        "".join(model.sample("a", stop=s, rng=np.random.default_rng(0))) for s in ("\r\n", "\n")
    ]
    assert drawn[0] == drawn[1]
    assert drawn[0].endswith("\n")


def test_streams_end_independently():
    config = SampleConfig(length=60, stop="a")
    rng = np.random.default_rng(6)
    steps = list(language_model().sample_streams("b", config, 5, rng=rng))
    endless = SampleConfig(length=60)
    rng = np.random.default_rng(6)
    whole = list(language_model().sample_streams("b", endless, 5, rng=rng))
    texts = ["".join(parts) for parts in zip(*steps, strict=True)]
    assert len(set(map(len, texts))) > 1
    for drawn, full in zip(texts, zip(*whole, strict=True), strict=True):
        assert drawn == "".join(full)[: "".join(full).find("a") + 1]
    assert len(steps) == max(map(len, texts))


def test_unknown_characters_of_a_prompt_are_an_error_before_sampling():
    with pytest.raises(TextError, match="not in the model's vocabulary: 'X', 'é'"):
        language_model().sample("aXbéX")
    with pytest.raises(TextError, match=r"U\+0000"):
        language_model().sample("a\0")


def test_unknown_characters_of_a_prompt_are_skipped_on_request():
    assert text("aXbéX", unknown="skip", length=40) == text("ab", length=40)
    assert text("X", unknown="skip", length=40) == text("", length=40)


def test_empty_prompt_is_a_newline():
    assert text("", length=40) == text("\n", length=40)


def test_empty_prompt_is_a_random_character_if_the_newline_is_unknown():
    drawn = [text("", seed, "abc", length=20, temperature=0) for seed in range(20)]
    starts = {text(c, 0, "abc", length=20, temperature=0) for c in "abc"}
    assert set(drawn) == starts
    assert text("", 0, "a", length=5) == "aaaaa"


@pytest.mark.parametrize(
    "options",
    [
        {"length": -1},
        {"temperature": -1},
        {"temperature": math.nan},
        {"top_k": -1},
        {"top_p": 0},
        {"top_p": 1.5},
        {"stop": None},
        {"unknown": "ignore"},
    ],
)
def test_invalid_options_are_errors_at_once(options):
    with pytest.raises(ConfigError, match=next(iter(options))):
        language_model().sample("a", **options)
