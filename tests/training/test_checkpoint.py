"""A checkpoint is loaded exactly as it was saved."""

import json
from copy import copy
from dataclasses import replace

import numpy as np
import pytest

import charlm
from charlm.config import Budget, ModelConfig, TrainConfig
from charlm.errors import CheckpointError
from charlm.language_model import LanguageModel
from charlm.nn.cells import CELLS
from charlm.nn.optimizers import OPTIMIZERS
from charlm.nn.params import Params
from charlm.system.npz import digest
from charlm.text.config import PLAIN_TEXT, TextConfig
from charlm.text.corpus import Corpus
from charlm.text.vocabulary import Vocabulary
from charlm.training.budget import plan
from charlm.training.checkpoint import FORMAT, Checkpoint, load, save
from charlm.training.setup import set_up
from tests.helpers import TEXT, bits, small_model, trained


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
@pytest.mark.parametrize("cell", CELLS)
def test_training_comes_back_bit_for_bit(cell, optimizer, tmp_path):
    checkpoint = trained(cell, optimizer=optimizer, layers=2, embedding=4, dropout=0.2)
    save(tmp_path / "c.npz", checkpoint)
    again = load(tmp_path / "c.npz")
    assert bits(again) == bits(checkpoint)
    assert again.training.moments.any()
    assert again.training.progress.step == 3


ALL = {"layers": 3, "embedding": 4, "dropout": 0.2, "head_layers": 2, "residual": True}
MODELS = {
    "rnn with relu": ModelConfig("rnn", 3, activation="relu"),
    "rnn with sigmoid": ModelConfig("rnn", 3, activation="sigmoid"),
    "jordan with relu": ModelConfig("jordan", 3, activation="relu"),
    "jordan with sigmoid": ModelConfig("jordan", 3, layers=3, activation="sigmoid", residual=True),
    "one head layer": ModelConfig("gru-cho", 3, head_layers=1),
    "shortcuts": ModelConfig("lstm-coupled", 3, layers=2, residual=True),
    "all but both ends": ModelConfig("sru", 3, **ALL),
} | {
    f"{cell} from both ends, {name}": ModelConfig(cell, 3, bidirectional=True, **options)
    for cell in sorted(CELLS.keys() - {"jordan"})
    for name, options in {"alone": {}, "with all": ALL}.items()
}


@pytest.mark.parametrize("name", MODELS)
def test_training_of_every_kind_of_model_comes_back_bit_for_bit(name, tmp_path):
    config = TrainConfig(seq_len=5, batch_size=4)
    trainer = set_up(Corpus.of(TEXT), MODELS[name], config, threads=1)
    plan(trainer, Budget(steps=16))
    for _ in range(3):
        trainer.step()
    checkpoint = trainer.checkpoint()
    save(tmp_path / "c.npz", checkpoint)
    again = load(tmp_path / "c.npz")
    assert bits(again) == bits(checkpoint)
    assert again.config == MODELS[name]
    assert all(part.any() for part in (again.training.moments, *again.training.carried))


@pytest.mark.parametrize("number", [np.nan, np.inf, -np.inf])
def test_weight_that_is_not_finite_is_never_saved(number, tmp_path):
    checkpoint = trained()
    save(tmp_path / "c.npz", checkpoint)
    good = (tmp_path / "c.npz").read_bytes()
    checkpoint.params["0.W"][1, 2] = number
    with pytest.raises(CheckpointError, match=r"c\.npz: params/0\.W has NaN or infinite values"):
        save(tmp_path / "c.npz", checkpoint)
    assert (tmp_path / "c.npz").read_bytes() == good


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_weights_and_characters_of_every_kind_come_back_bit_for_bit(dtype, tmp_path):
    model, p = small_model("gru", 6)
    flat = p.flat.astype(dtype)
    limits = np.finfo(dtype)
    flat[:6] = [-0.0, limits.max, limits.min, limits.tiny, limits.smallest_subnormal, 1 / 3]
    vocabulary = Vocabulary.of("\0\n\ud800\udfff\U0001f600\U0010ffff")
    checkpoint = Checkpoint(model.config, vocabulary, Params(p.shapes, flat=flat))
    save(tmp_path / "c.npz", checkpoint)
    assert bits(load(tmp_path / "c.npz")) == bits(checkpoint)


LATIN = TextConfig("latin-1", "replace", "lf", "NFC")


def test_corpus_comes_back_whatever_its_files_are_called(tmp_path):
    checkpoint = trained()
    sources = ("-", "/tmp/a b\n'é'.txt", "\udcff", '"\\')
    info = replace(checkpoint.training.corpus, sources=sources)
    checkpoint = replace(checkpoint, training=replace(checkpoint.training, corpus=info), text=LATIN)
    save(tmp_path / "c.npz", checkpoint)
    assert load(tmp_path / "c.npz").training.corpus == info
    assert load(tmp_path / "c.npz").text == LATIN


def test_numpy_reads_the_file_alone(tmp_path):
    checkpoint = trained(layers=2)
    save(tmp_path / "c.npz", checkpoint)
    with np.load(tmp_path / "c.npz", allow_pickle=False) as file:
        arrays = dict(file)
    meta = json.loads(arrays.pop("meta").item())
    assert meta["format"] == FORMAT
    assert meta["charlm"] == charlm.__version__
    assert meta["model"]["hidden"] == 3
    assert meta["train"]["seq_len"] == 5
    assert meta["progress"]["step"] == 3
    assert meta["corpus"]["characters"] == 288
    assert arrays.pop("sha256").item() == digest({**arrays, "meta": np.array(json.dumps(meta))})
    assert arrays.pop("vocabulary").tolist() == checkpoint.vocabulary.points.tolist()
    size = checkpoint.params.flat.size
    expected = {f"params/{name}": array.shape for name, array in checkpoint.params.items()}
    expected |= {"optimizer/m": (size,), "optimizer/v": (size,)}
    expected |= {f"state/{k}": (4, 3) for k in range(4)}
    assert {name: array.shape for name, array in arrays.items()} == expected


def test_model_without_its_training_has_the_model_only(tmp_path):
    checkpoint = replace(trained(), training=None)
    save(tmp_path / "c.npz", checkpoint)
    with np.load(tmp_path / "c.npz", allow_pickle=False) as file:
        names = {name.partition("/")[0] for name in file.files}
    assert names == {"meta", "vocabulary", "params", "sha256"}
    assert load(tmp_path / "c.npz").training is None


def test_library_saves_and_loads_models(tmp_path):
    checkpoint = trained()
    model = LanguageModel(checkpoint.config, checkpoint.vocabulary, checkpoint.params)
    model.save(str(tmp_path / "c.npz"))
    for path in (tmp_path / "c.npz", str(tmp_path / "c.npz")):
        again = charlm.load(path)
        assert again.params.flat.tobytes() == model.params.flat.tobytes()
        assert again.vocabulary.characters == model.vocabulary.characters
        assert again.perplexity("the cat") == model.perplexity("the cat")
        assert again.training is None
    save(tmp_path / "run" / "best.npz", checkpoint)
    assert charlm.load(tmp_path / "run").training.progress.step == 3


@pytest.mark.parametrize("text", [{"newlines": "crlf"}, {"encoding": "hex"}, {"errors": 1}])
def test_settings_for_reading_text_are_checked(tmp_path, text):
    forged = copy(PLAIN_TEXT)
    vars(forged).update(text)
    checkpoint = replace(trained(), text=forged)
    save(tmp_path / "c.npz", checkpoint)
    with pytest.raises(CheckpointError, match="invalid settings for reading text"):
        load(tmp_path / "c.npz")
