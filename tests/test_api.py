"""The library's front door: `charlm.train`, `charlm.load`."""

import ast
import inspect
import pydoc
import subprocess
import sys
from itertools import chain

import numpy as np
import pytest

import charlm
from charlm import Budget, ModelConfig, TrainConfig
from charlm.classification import classify as old_classify
from charlm.errors import ModelError, RunError, TextError
from charlm.inference.classification import classify
from charlm.language_model import LanguageModel
from charlm.ranks import join as old_join
from charlm.text.corpus import Corpus
from charlm.training.budget import plan
from charlm.training.events import Eval, Start
from charlm.training.setup import set_up
from tests.helpers import NOISE, TEXT, run
from tests.shell import Shell


def test_train_and_load_as_the_package_says(tmp_path):
    model = charlm.train(TEXT, ModelConfig(hidden=4), TrainConfig(seq_len=5), Budget(steps=3))
    assert isinstance(model, charlm.LanguageModel)
    assert 1 < model.perplexity("the cat") < 100
    assert len("".join(model.sample("the", length=20))) == 20
    model.save(tmp_path / "model.npz")
    assert charlm.load(tmp_path / "model.npz").perplexity("the cat") == model.perplexity("the cat")


def test_train_reports_keeps_and_returns_the_best_model(tmp_path):
    records: list = []
    model = charlm.train(
        NOISE,
        ModelConfig("gru", hidden=24),
        TrainConfig(seq_len=5, batch_size=4, lr=0.03, warmup=0, eval_every=4, val_fraction=0.2),
        Budget(steps=80),
        out=tmp_path / "new" / "run",
        on_record=records.append,
        threads=1,
    )
    assert [type(r) for r in records[:2]] == [Start, Eval]
    done = records[-1]
    assert done.model == str(tmp_path / "new" / "run" / "best.npz")
    assert abs(records[0].val_characters - 0.2 * len(NOISE)) <= 0.02 * len(NOISE)
    assert 0 < done.best_step < 80
    for found in (model, charlm.load(tmp_path / "new" / "run"), charlm.load(done.model)):
        held_out = NOISE[-done.characters - 1 :]
        assert found.score(held_out).nats_per_char == pytest.approx(done.nats_per_char, rel=1e-6)
        assert found.params.flat.tobytes() == model.params.flat.tobytes()
    with pytest.raises(RunError, match="contains a run"):
        charlm.train(TEXT, ModelConfig(hidden=2), out=tmp_path / "new" / "run")


def test_train_refuses_a_text_that_is_too_short_and_makes_nothing(tmp_path):
    for text in ("", "a", "abc"):
        with pytest.raises(TextError):
            charlm.train(text, budget=Budget(steps=1), out=tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_train_writes_nothing_unless_asked(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    charlm.train(TEXT, ModelConfig(hidden=2), TrainConfig(seq_len=5), Budget(steps=2))
    assert not list(tmp_path.iterdir())


def test_held_out_part_is_read_again_from_its_file(tmp_path):
    path = tmp_path / "corpus.txt"
    path.write_text(TEXT, newline="")
    corpus = Corpus.read([path])
    trainer = set_up(corpus, ModelConfig(hidden=2), TrainConfig(seq_len=5, val_fraction=0.2))
    plan(trainer, Budget(steps=1))
    run(trainer, tmp_path / "run")
    model = charlm.load(tmp_path / "run")
    assert "".join(chain.from_iterable(model.held_out())) == TEXT[-round(0.2 * len(TEXT)) :]
    path.write_text(TEXT + "more", newline="")
    with pytest.raises(TextError, match="has changed"):
        model.held_out()
    path.unlink()
    with pytest.raises(TextError, match="cannot read"):
        model.held_out()
    with pytest.raises(TextError, match="specify a text"):
        LanguageModel(model.config, model.vocabulary, model.params).held_out()


def test_every_exported_name_is_there():
    everything: dict = {}
    exec("from charlm import *", everything)
    for name in charlm.__all__:
        assert getattr(charlm, name).__name__ == name
        assert everything[name] is getattr(charlm, name)
    assert charlm.join is old_join
    assert charlm.classify is old_classify


def test_package_shows_what_it_has():
    program = (
        "import charlm; print(dir(charlm)); print(charlm.errors.TextError, charlm.config.CELLS)"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    shown = ast.literal_eval(done.stdout.splitlines()[0])
    public = {name for name in shown if not name.startswith("_")}
    assert public == {*charlm.__all__, "config", "errors"}
    assert "TextError" in done.stdout
    text = pydoc.render_doc(charlm)
    for name in charlm.__all__:
        assert name in text


def test_everything_public_has_a_docstring():
    for name in charlm.__all__:
        found = getattr(charlm, name)
        assert found.__doc__, name
        assert not found.__doc__.startswith(f"{name}("), f"{name}: written by dataclass"
        for each, value in vars(found).items() if inspect.isclass(found) else ():
            if not each.startswith("_") and (callable(value) or isinstance(value, property)):
                assert inspect.getdoc(getattr(found, each)), f"{name}.{each}"
    for error in vars(charlm.errors).values():
        assert error.__doc__ if inspect.isclass(error) else True


def test_model_that_train_returns_has_weights_only(tmp_path):
    config = TrainConfig(seq_len=5, batch_size=4)
    model = charlm.train(TEXT, ModelConfig(hidden=2), config, Budget(steps=3))
    assert model.training is None
    model.save(tmp_path / "last.npz")
    with np.load(tmp_path / "last.npz") as arrays:
        names = {name.partition("/")[0] for name in arrays.files}
    assert names == {"meta", "vocabulary", "params", "sha256"}
    shell = Shell(tmp_path)
    refusal = shell("train", "--resume", "--out", ".").refusal
    assert "last.npz has only weights" in refusal


def test_figures_that_are_no_numbers_are_refused():
    model = charlm.train(TEXT, charlm.ModelConfig("rnn", 4), budget=charlm.Budget(steps=1))
    model.params.flat[:] = np.inf
    with pytest.raises(ModelError, match="NaN or infinite values; retrain it with a lower `lr`"):
        model.score("the cat")
    with pytest.raises(ModelError, match=r"^a: the model produces NaN or infinite values"):
        classify("the cat", {"a": model})
