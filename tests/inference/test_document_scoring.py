"""The law of documents in scoring: the NLL of each is the same alone and among others."""

import numpy as np
import pytest

from charlm.config import ModelConfig
from charlm.inference import document_scoring, parts
from charlm.inference.document_scoring import score_documents, score_texts, surprisals
from charlm.inference.prefix_scoring import read_prefixes
from charlm.language_model import LanguageModel
from charlm.nn.cells import CELLS
from charlm.nn.model import CharLM
from charlm.nn.params import Params
from charlm.text.config import TextConfig
from charlm.text.encoder import encode_text
from charlm.text.known_texts import known_texts
from charlm.text.vocabulary import Vocabulary

LINES = TextConfig(lines=True)
DOCUMENTS = ["the cat", "", "a", "on the mat sat the bat" * 9, "the cat", "hen"]
cells = pytest.mark.parametrize("cell", CELLS)


def model_of(cell: str, dtype=np.float64, config=LINES, **options) -> LanguageModel:
    vocabulary = Vocabulary.of("".join(DOCUMENTS) + ("" if config.has_documents else "\n"))
    options = ModelConfig(cell, 8, **options)
    network = CharLM(options, len(vocabulary), reads_documents=config.has_documents)
    p = network.init_params(np.random.default_rng(0), dtype)
    p.flat[:] += np.random.default_rng(1).normal(scale=0.3, size=p.flat.size)
    return LanguageModel(options, vocabulary, Params(p.shapes, flat=p.flat), text_config=config)


@pytest.mark.parametrize("rows", [1, 2, 256])
@pytest.mark.parametrize("options", [{}, {"layers": 2, "bidirectional": True}])
@cells
def test_order_and_neighbours_do_not_matter(cell, options, rows, monkeypatch):
    if cell == "jordan" and options:
        pytest.skip("a Jordan network cannot be bidirectional")
    monkeypatch.setattr(document_scoring, "FEWEST_ROWS", rows)
    monkeypatch.setattr(document_scoring, "MOST_ROWS", rows)
    for module in (document_scoring, parts):
        monkeypatch.setattr(module, "FORWARD_STEPS", 50)
    model = model_of(cell, **options)
    alone = [model.score([document]).nats[0] for document in DOCUMENTS]
    scores = model.score(DOCUMENTS)
    np.testing.assert_allclose(scores.nats, alone, rtol=1e-10)
    np.testing.assert_allclose(model.score(DOCUMENTS[::-1]).nats, alone[::-1], rtol=1e-10)
    assert scores.predicted.tolist() == [len(document) + 1 for document in DOCUMENTS]
    texts = [model.score(document).nats for document in DOCUMENTS]
    np.testing.assert_allclose(texts, alone, rtol=1e-10)


@cells
def test_float32_agrees_to_a_hundred_thousandth_of_a_nat_per_character(cell):
    model = model_of(cell, np.float32)
    alone = np.array([model.score([document]).nats[0] for document in DOCUMENTS])
    scores = model.score(DOCUMENTS)
    assert (np.abs(scores.nats - alone) <= 1e-5 * scores.predicted).all()


@cells
def test_a_long_document_is_read_in_parts(cell, monkeypatch):
    model = model_of(cell)
    whole = model.score(DOCUMENTS)
    monkeypatch.setattr(document_scoring, "LONG", 10)
    parts = model.score(DOCUMENTS)
    for one, other in zip(whole.surprisals, parts.surprisals, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-9)


def test_a_long_document_does_not_make_the_batches_of_others_smaller(monkeypatch):
    sizes: list[int] = []

    def recorded(model, p, rows):
        sizes.append(len(rows))
        return read_prefixes(model, p, rows)

    monkeypatch.setattr(document_scoring, "read_prefixes", recorded)
    monkeypatch.setattr(document_scoring, "LONG", 10)
    monkeypatch.setattr(document_scoring, "PREFIX_IDS", 1000)
    model_of("lstm").score(["a hen"] * 100 + ["the cat" * 9])
    assert sizes == [50, 50]


@pytest.mark.parametrize("documents", [["the cat"], DOCUMENTS, ["", "hen" * 9]])
def test_length_of_documents_is_counted_once(documents, monkeypatch):
    monkeypatch.setattr(document_scoring, "LONG", 10)
    model, corpus = model_of("lstm"), encode_text(*documents)
    texts, _ = known_texts(corpus, model.vocabulary, are_documents=True)
    total = score_texts(model.network, model.params, texts)
    assert total.length == sum(map(len, documents))
    assert total.characters == total.length + len(documents), "each end is scored"
    assert total.nats == pytest.approx(model.score(documents).nats.sum(), rel=1e-12)


@cells
def test_probabilities_of_all_documents_sum_to_one(cell):
    model = model_of(cell)
    letters = model.vocabulary.characters[:2]
    short = ["", *letters, *(a + b for a in letters for b in letters)]
    ended = np.exp(-model.score(short).nats)
    # a document of two known letters and no end yet, or of any other letter
    nats = score_documents(model, short).surprisals
    assert np.isfinite(np.concatenate(nats)).all()
    assert 0 < ended.sum() < 1
    V = len(model.vocabulary)
    first = [model.score([c]).surprisals[0][0] for c in model.vocabulary.characters]
    empty = model.score([""]).nats[0]
    assert np.exp(-np.array([*first, empty])).sum() == pytest.approx(1, rel=1e-12)
    assert model.network.boundary == V


def test_documents_of_a_model_of_texts_are_lines():
    model = model_of("lstm", config=TextConfig())
    scores = model.score(DOCUMENTS)
    for document, found in zip(DOCUMENTS, scores.nats, strict=True):
        line = f"\n{document}\n"
        assert found == pytest.approx(model.score(line).nats, rel=1e-12)


def test_unknown_characters_are_skipped_and_counted():
    model = model_of("lstm")
    scores = model.score(["the Cat", "C"])
    assert scores.unknown_characters.tolist() == [1, 1]
    assert np.isnan(scores.surprisals[0][4])
    assert np.isnan(scores.surprisals[1]).tolist() == [True, False]
    total = scores.total
    assert (total.documents, total.words, total.length) == (2, 3, 8)
    assert total.nats == pytest.approx(model.score(["the at", ""]).nats.sum(), rel=1e-12)


def test_surprisal_of_a_text_is_by_character():
    documents, texts = model_of("gru"), model_of("gru", config=TextConfig())
    text = "the cat sat"
    found = documents.surprisal(text)
    np.testing.assert_array_equal(found, documents.score([text]).surprisals[0][:-1])
    found = texts.surprisal(text)
    assert np.isnan(found[0])
    assert np.nansum(found) == pytest.approx(texts.score(text).nats, rel=1e-12)
    assert texts.surprisal("").shape == (0,)


FIGURES = (
    "nats_per_char",
    "bits_per_char",
    "perplexity",
    "nats_per_document",
    "word_perplexity",
)


@pytest.mark.parametrize("figure", FIGURES)
@pytest.mark.parametrize("config", [LINES, TextConfig()], ids=["documents", "texts"])
def test_mean_figures_of_nothing_are_nan(config, figure):
    assert np.isnan(getattr(model_of("lstm", config=config).score([]).total, figure))


def test_nothing_to_score_is_no_error():
    model = model_of("lstm")
    scores = model.score([])
    assert len(scores) == 0
    assert (scores.total.nats, scores.total.characters, scores.total.unknown_fraction) == (0, 0, 0)
    assert np.isinf(model.score([""]).total.word_perplexity), "an end is scored, but no word"
    assert surprisals(model.network, model.params, []) == []
