"""The baselines of a trained model score the characters that it scores."""

import math
from pathlib import Path

import numpy as np
import pytest

import charlm
from charlm.baselines.kneser_ney import KneserNey
from charlm.config import Budget, ModelConfig, TrainConfig
from charlm.errors import ConfigError, ModelError, TextError
from charlm.language_model import LanguageModel
from charlm.text.config import PLAIN_TEXT, TextConfig
from charlm.text.corpus import Corpus
from tests.shell import TEXT

LINES = "".join(f"{'abc'[n % 3] * (n % 5 + 1)}{n % 7}\n" for n in range(200))
NAMES = {"uniform", "unigram", "ngram", "gzip", "bz2", "xz"}


def trained_on(
    folder: Path,
    text: str,
    config: TextConfig = PLAIN_TEXT,
    *,
    min_count: int = 1,
    bidirectional: bool = False,
    validation: Corpus | None = None,
) -> LanguageModel:
    """A model after a step, and its files."""
    (folder / "corpus.txt").write_text(text, encoding="utf-8", newline="")
    charlm.train(
        Corpus.read(folder / "corpus.txt", config),
        ModelConfig(hidden=4, bidirectional=bidirectional),
        TrainConfig(batch_size=4, min_count=min_count),
        Budget(steps=1),
        validation=validation,
        out=folder / "run",
    )
    return charlm.load(folder / "run")


@pytest.fixture(scope="module")
def of_text(tmp_path_factory) -> LanguageModel:
    return trained_on(tmp_path_factory.mktemp("text"), TEXT)


@pytest.fixture(scope="module")
def of_lines(tmp_path_factory) -> LanguageModel:
    return trained_on(tmp_path_factory.mktemp("lines"), LINES, TextConfig(lines=True))


@pytest.fixture(scope="module")
def with_unknown(tmp_path_factory) -> LanguageModel:
    """A model that reads rare characters as the unknown token."""
    return trained_on(tmp_path_factory.mktemp("rare"), TEXT + "!?#\n" + TEXT, min_count=3)


@pytest.mark.parametrize("model", ["of_text", "of_lines", "with_unknown"])
@pytest.mark.parametrize(
    "text",
    [
        "the machine 1a, 2b and ca7",
        "Zoé, 猫 ab!\r\nca\n",
        ["ab1", "", "cc2 猫", "the\nmachine"],
    ],
    ids=["text", "unknown characters", "documents"],
)
def test_the_characters_are_those_of_the_model(request, model, text):
    if model == "with_unknown" and not isinstance(text, str):
        pytest.skip("to this model, the end of a document can be two things")
    model = request.getfixturevalue(model)
    ours = model.score(text)
    count = ours.characters if isinstance(text, str) else ours.total.characters
    found = model.baselines().score(text)
    assert set(found) >= NAMES
    assert {score.characters for score in found.values()} == {count}


def test_uniform_is_the_logarithm_of_what_the_network_chooses_from(of_text, of_lines):
    for model in (of_text, of_lines):
        score = model.baselines().score("ac 1bc2a")["uniform"]
        assert score.perplexity == pytest.approx(model.network.symbols)


def test_unknown_characters_are_left_out_or_read_as_the_unknown_token(of_text, with_unknown):
    assert of_text.baselines().score("the 猫cat") == of_text.baselines().score("the cat")
    found = with_unknown.baselines()
    assert found.score("the 猫cat") == found.score("the ?cat")
    assert found.score("the 猫cat")["ngram"].characters == 7


def test_pieces_are_a_text(of_text):
    baselines = of_text.baselines()
    assert baselines.score(iter(["the mach", "ine"])) == baselines.score("the machine")


def test_documents_are_independent(of_lines):
    baselines = of_lines.baselines()
    one, other, both = (baselines.score(d)["ngram"] for d in (["ab1"], ["cc2"], ["ab1", "cc2"]))
    assert both.nats == pytest.approx(one.nats + other.nats)
    assert baselines.score("ab1")["ngram"] == one  # a text is one document


def test_ngrams_know_the_training_split_only(of_text):
    train, val = Corpus.of(TEXT).split(of_text.vocabulary)
    baselines = of_text.baselines()
    expected = KneserNey.of(train, len(of_text.vocabulary), baselines.ngram.order).nats(val)
    found = baselines.held_out()
    assert found["ngram"].nats == pytest.approx(expected[-1])
    assert found["unigram"].nats == pytest.approx(expected[1])
    assert found["uniform"].characters == val.targets


def test_held_out_documents_are_those_of_the_model(of_lines):
    found = of_lines.baselines().held_out()
    documents = ["".join(pieces) for pieces in of_lines.held_out()]
    assert found["ngram"] == of_lines.baselines().score(documents)["ngram"]
    assert found["ngram"].characters == sum(map(len, documents)) + len(documents)


def test_of_a_validation_text_the_whole_corpus_is_known(tmp_path):
    (tmp_path / "other.txt").write_text("the letter reads the machine\n")
    validation = Corpus.read(tmp_path / "other.txt")
    model = trained_on(tmp_path, TEXT, validation=validation)
    baselines = model.baselines()
    assert baselines.train.characters == len(TEXT)
    assert baselines.held_out()["ngram"].characters == 28


def test_an_ngram_predicts_a_regular_text(of_text):
    found = of_text.baselines().held_out()
    assert (
        found["ngram"].perplexity < 1.1 < found["unigram"].perplexity < found["uniform"].perplexity
    )
    assert found["xz"].bits_per_char < found["unigram"].bits_per_char


def test_a_document_that_a_model_of_texts_reads_as_a_line_ends(of_text):
    line = "The machine reads a letter, and the machine writes a letter; so it goes on."
    baselines = of_text.baselines()
    one = baselines.score([line])["ngram"]
    same = baselines.score(f"\n{line}\n")["ngram"]
    assert (one.nats, one.characters) == (pytest.approx(same.nats), same.characters)


@pytest.mark.parametrize("text", [TEXT.replace("\n", " "), TEXT.replace("\n", "\r\n")])
def test_a_model_that_knows_no_single_end_of_a_line_has_no_baselines_of_documents(tmp_path, text):
    baselines = trained_on(tmp_path, text).baselines()
    with pytest.raises(TextError, match="not trained on documents"):
        baselines.score(["the cat"])


@pytest.mark.parametrize("text", ["", "a", "猫"])
def test_a_text_without_a_predicted_character_is_refused(of_text, text):
    baselines = of_text.baselines()
    with pytest.raises(TextError) as theirs:
        of_text.score(text)
    with pytest.raises(TextError) as ours:
        baselines.score(text)
    assert str(ours.value) == str(theirs.value)


def test_other_texts_are_refused(of_text, of_lines):
    with pytest.raises(ConfigError):
        of_text.baselines().score(3)
    with pytest.raises(TextError, match="there are no documents"):
        of_lines.baselines().score([])


def test_a_bidirectional_model_has_none(tmp_path):
    with pytest.raises(ModelError, match="from both sides"):
        trained_on(tmp_path, TEXT, bidirectional=True).baselines()


def test_without_its_corpus_a_model_has_none(tmp_path, of_text):
    weights = LanguageModel(of_text.config, of_text.vocabulary, of_text.params)
    with pytest.raises(TextError, match="unknown"):
        weights.baselines()
    model = trained_on(tmp_path, TEXT)
    (tmp_path / "corpus.txt").write_text(TEXT.replace("machine", "engine"))
    with pytest.raises(TextError, match="has changed"):
        model.baselines()


def test_bits_of_compressors_are_those_of_the_training_split(of_text):
    baselines = of_text.baselines()
    seen = "".join(of_text.vocabulary.decode(baselines.train.ids[:]))[:500]
    found = baselines.score(seen)
    assert found["gzip"].nats < 500 * math.log(2)
    assert np.isclose(found["gzip"].nats / math.log(2) % 8, 0)
