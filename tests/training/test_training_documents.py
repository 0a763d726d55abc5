"""Training on documents and on several texts: what is learned, resumed, and kept."""

from itertools import pairwise

import numpy as np
import pytest

import charlm
from charlm.config import Budget, ModelConfig, TrainConfig
from charlm.errors import TextError
from charlm.nn.cells import CELLS
from charlm.nn.workspace import Workspace
from charlm.text.config import TextConfig
from charlm.text.corpus import Corpus
from charlm.training.budget import plan
from charlm.training.checkpoint import load
from charlm.training.run_directory import RunDirectory
from charlm.training.setup import resume, set_up
from charlm.training.summary import Means
from charlm.training.trainer import Trainer
from charlm.training.validation import evaluate, validate
from tests.helpers import numbers, run, untimed

LINES = [f"<{'ab' * (n % 3)}{'c' * (n % 7)}>" for n in range(60)]
cells = pytest.mark.parametrize("cell", CELLS)


def trainer_of(cell: str = "lstm", corpus: Corpus | None = None, **options) -> Trainer:
    config = {"seq_len": 7, "batch_size": 4, "warmup": 0, "lr": 0.03} | options
    model = ModelConfig(cell, 8)
    trainer = set_up(corpus or Corpus.of(LINES), model, TrainConfig(**config), threads=1)
    plan(trainer, Budget(steps=30))
    return trainer


@cells
def test_loss_of_a_step_is_that_of_its_documents_alone(cell):
    """The law of documents, between the forward pass of training and scoring."""
    trainer = trainer_of(cell, seq_len=60)
    model = charlm.LanguageModel(
        trainer.model.config, trainer.data.vocabulary, trainer.p, text_config=TextConfig(lines=True)
    )
    chunk = trainer.streams.chunk(0)
    state = trainer.model.zero_state(4)
    nats, _ = trainer.model.nats(trainer.p, chunk.x, chunk.y, state, Workspace(np.float32))
    V = trainer.model.boundary
    for b in range(4):
        cuts = np.flatnonzero(chunk.x[:, b] == V)
        for start, stop in pairwise(cuts):
            document = trainer.data.vocabulary.decode(chunk.x[start + 1 : stop, b])
            expected = model.score([document])
            tolerance = 1e-5 * expected.predicted[0]
            assert nats[start:stop, b].sum() == pytest.approx(expected.nats[0], abs=tolerance)


@cells
def test_stopped_run_on_documents_is_resumed_bit_identically(cell, tmp_path):
    whole = trainer_of(cell)
    records = run(whole, tmp_path / "whole")
    run(trainer_of(cell), tmp_path / "part", stop_after=13)
    directory = RunDirectory(tmp_path / "part")
    last, best = load(directory.last), load(directory.best)
    trainer = resume(last, Corpus.of(LINES), best=best, threads=1)
    rest = run(trainer, tmp_path / "part")
    assert numbers(trainer) == numbers(whole)
    assert untimed(rest[-1].as_dict()) == untimed(records[-1].as_dict())


def test_model_learns_how_documents_begin_and_end(tmp_path):
    trainer = trainer_of(lr=0.05)
    plan(trainer, Budget(steps=300))
    run(trainer, tmp_path)
    model = charlm.load(tmp_path)
    assert model.text_config.lines
    drawn = list(model.sample_documents(50, length=30, rng=np.random.default_rng(0)))
    texts = [document.text for document in drawn if document.ended]
    assert len(texts) > 45
    assert sum(text.startswith("<") and text.endswith(">") for text in texts) > 0.9 * len(texts)
    continued = model.sample_documents(5, "<aba", rng=np.random.default_rng(0))
    assert all(document.text.startswith("<aba") for document in continued)
    distinct = [document.text for document in model.sample_documents(12, unique=True)]
    assert len(distinct) == len(set(distinct))
    stream = "".join(model.sample("<", length=200, rng=np.random.default_rng(0)))
    assert "<" not in stream, "a sample is one document"


def test_checkpoint_has_a_row_for_the_boundary(tmp_path):
    run(trainer_of(), tmp_path)
    with np.load(tmp_path / "best.npz") as arrays:
        V = len(arrays["vocabulary"])
        assert arrays["params/head.W"].shape == (8, V + 1)
    assert load(tmp_path / "best.npz").text == TextConfig(lines=True)


def test_validation_is_of_whole_documents_drawn_with_the_seed():
    one, other = (trainer_of(random_seed=seed) for seed in (0, 1))
    assert one.data.val.starts.tolist() != other.data.val.starts.tolist()
    assert validate(one).characters == one.data.val.targets


@pytest.mark.parametrize("bidirectional", [False, True])
def test_boundary_in_the_sample_of_an_evaluation_is_a_newline(bidirectional):
    config = TrainConfig(seq_len=7, batch_size=4)
    model = ModelConfig("gru", 8, bidirectional=bidirectional)
    trainer = set_up(Corpus.of(LINES), model, config, threads=1)
    trainer.p["head.b"][trainer.model.boundary] = 100.0
    assert set(evaluate(trainer, Means()).sample) == {"\n"}


def test_accumulation_reads_the_same_documents():
    step = trainer_of(accumulate=3).step()
    assert step.characters == 3 * 7 * 4


# Several texts


def files(tmp_path, *texts: str) -> list:
    paths = [tmp_path / f"{number}.txt" for number in range(len(texts))]
    for path, text in zip(paths, texts, strict=True):
        path.write_text(text, encoding="utf-8")
    return paths


def test_validation_stands_for_every_text(tmp_path):
    corpus = Corpus.read(files(tmp_path, "ab\n" * 300, "xyz\n" * 100))
    trainer = trainer_of("gru", corpus)
    held_out = ["".join(text) for text in corpus.held_out()]
    assert held_out == ["ab\n" * 30, "xyz\n" * 10]
    assert trainer.data.val.lengths.tolist() == [90, 40]
    assert validate(trainer).characters == 128, "the first character of each is context"


def test_first_character_of_a_text_is_not_predicted(tmp_path):
    texts = ["a" * 40, "b" * 40, "c" * 40]
    corpus = Corpus.read(files(tmp_path, *texts))
    trainer = trainer_of("rnn", corpus, batch_size=1, seq_len=200)
    nats = 0.0
    for text in trainer.data.train.sequences():
        ids = text[:][:, None]
        state = trainer.model.zero_state(1)
        more, _ = trainer.model.nats(trainer.p, ids[:-1], ids[1:], state, Workspace())
        nats += more.sum()
    step = trainer.step()
    assert step.nats_per_char == pytest.approx(nats / trainer.data.train.targets, rel=1e-5)


def test_joined_texts_are_one_as_in_older_checkpoints(tmp_path):
    paths = files(tmp_path, "ab" * 100, "xyz\n" * 100)
    joined = Corpus.read(paths, TextConfig(joined=True))
    text = Corpus.of("ab" * 100 + "xyz\n" * 100)
    assert joined.encoded.sha256 == text.encoded.sha256
    assert ["".join(each) for each in joined.held_out()] == ["xyz\n" * 15]


@pytest.mark.parametrize("documents", [[], [""], ["", ""]])
def test_no_documents_are_refused(documents):
    with pytest.raises(TextError, match="empty"):
        charlm.train(documents)
