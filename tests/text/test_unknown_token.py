"""A model with the unknown token reads it, and never generates it."""

import json
import math

import numpy as np
import pytest

from charlm.api import load
from charlm.config import Budget, ModelConfig, SampleConfig, TrainConfig
from charlm.errors import CheckpointError, ConfigError
from charlm.inference.classification import classify
from charlm.language_model import LanguageModel
from charlm.nn.model import CharLM
from charlm.text.corpus import Corpus
from charlm.text.vocabulary import UNK, Vocabulary, code_points
from charlm.training import checkpoint
from charlm.training.budget import plan
from charlm.training.setup import resume, set_up
from charlm.training.trainer import Trainer
from tests.helpers import bits, run

KNOWN = "abc\n"
PROMPT = "abЖc\nca灯灯b"
READ = PROMPT.replace("Ж", UNK).replace("灯", UNK)
TEXT = "abc\ncab\nacb\n" * 20 + "ЖДД" + "abc\n" * 8


def model(*, has_unk: bool = True, bias: float = 30.0, **config) -> LanguageModel:
    """A random model that predicts U+FFFD with near certainty everywhere, or never."""
    vocabulary = Vocabulary(code_points("".join(sorted(KNOWN + UNK))), has_unk=has_unk)
    shape = ModelConfig(hidden=5, **config)
    params = CharLM(shape, len(vocabulary)).init_params(np.random.default_rng(0), np.float64)
    params["head.b"][vocabulary.characters.index(UNK)] = bias
    return LanguageModel(shape, vocabulary, params)


def draw(language_model: LanguageModel, prompt: str, count: int = 1, **options) -> list[str]:
    config = SampleConfig(length=200, **options)
    rng = np.random.default_rng(1)
    drawn = language_model.sample_streams(prompt, config, count, rng=rng)
    return ["".join(characters) for characters in zip(*drawn, strict=True)]


@pytest.mark.parametrize("count", [1, 40])
@pytest.mark.parametrize(
    "options",
    [{}, {"temperature": 9.0}, {"temperature": 0.0}, {"top_k": 1}, {"top_k": 9}, {"top_p": 0.5}],
)
def test_unknown_token_is_never_sampled(count, options):
    texts = draw(model(), PROMPT, count, **options)
    assert [len(text) for text in texts] == [200] * count
    assert set("".join(texts)) <= set(KNOWN)
    without = draw(model(has_unk=False), "abc", count, **options)
    assert UNK in "".join(without)  # an ordinary character there


def test_unknown_token_cannot_end_a_sample():
    for stop in (UNK, "a灯"):
        with pytest.raises(ConfigError, match="never generates"):
            draw(model(), PROMPT, stop=stop)
    assert draw(model(has_unk=False), "abc", stop=UNK)[0].endswith(UNK)


def test_unknown_token_is_not_sampled_after_unknown_prompts():
    language_model = model()
    assert set("".join(draw(language_model, ""))) <= set(KNOWN)
    assert set("".join(draw(language_model, "灯"))) <= set(KNOWN)


def test_unknown_characters_of_a_prompt_become_the_unknown_token():
    assert draw(model(), PROMPT) == draw(model(), READ)
    assert draw(model(), PROMPT) != draw(model(), PROMPT.replace("Ж", "").replace("灯", ""))
    assert draw(model(), [*PROMPT]) == draw(model(), READ)


def test_unknown_characters_are_scored_as_the_unknown_token():
    ours, read = model().score(PROMPT), model().score(READ)
    assert ours.nats == read.nats
    assert (ours.characters, ours.unknown_characters) == (len(PROMPT) - 1, 3)
    assert ours.unknown_fraction == 3 / len(PROMPT)
    assert read.unknown_characters == 0
    left_out = model(has_unk=False).score(PROMPT)
    assert (left_out.characters, left_out.unknown_characters) == (len(PROMPT) - 4, 3)


def test_text_of_unknown_characters_only_is_scored():
    assert model().score("灯Ж灯").characters == 2
    assert model().perplexity("灯Ж灯") == model().perplexity(UNK * 3)


@pytest.mark.parametrize("text", ["ab_c\n", "_", "a__Жc", "___", "灯_灯"])
def test_unknown_token_fills_no_gap(text):
    filled = model(bidirectional=True).fill(text)
    assert all(
        c in KNOWN if gap == "_" else c == gap for gap, c in zip(text, filled.text, strict=True)
    )
    for gap in filled.gaps:
        assert not any(UNK in option for option, _ in gap.options)
        assert sum(probability for _, probability in gap.options) == pytest.approx(1)
    assert UNK in model(bidirectional=True, has_unk=False).fill("ab_c\n").text


def test_proofreading_ignores_the_unknown_token():
    found = list(model(bidirectional=True).proofread(PROMPT, odds=1.0001))
    assert found
    assert not any(UNK in misfit.suggestion for misfit in found)
    surprised = model(bidirectional=True, bias=-30.0).proofread(PROMPT, odds=1.0001)
    assert {misfit.character for misfit in [*found, *surprised]} <= set(KNOWN)
    others = model(bidirectional=True, has_unk=False).proofread("abc\nab", odds=1.0001)
    assert UNK in {misfit.suggestion for misfit in others}


# Training and checkpoints


def small(min_count: int, text: str = TEXT) -> Trainer:
    config = TrainConfig(seq_len=8, batch_size=2, min_count=min_count)
    trainer = set_up(Corpus.of(text), ModelConfig(hidden=3), config, threads=1)
    plan(trainer, Budget(steps=4))
    return trainer


def test_training_maps_rare_characters_to_the_unknown_token():
    trainer = small(3)
    assert trainer.data.vocabulary.characters == "".join(sorted(KNOWN + UNK))
    assert trainer.data.vocabulary.unk_id == 4
    assert small(2).data.vocabulary.characters == "".join(sorted(KNOWN + "Д" + UNK))
    assert small(1).data.vocabulary.unk_id is None


def test_training_on_rare_characters_equals_training_on_the_unknown_token():
    ours, read = small(3), small(1, TEXT.replace("Ж", UNK).replace("Д", UNK))
    run(ours)
    run(read)
    assert ours.p.flat.tobytes() == read.p.flat.tobytes()


def test_replacement_character_in_the_text_is_an_ordinary_character():
    trainer = small(1, TEXT + UNK * 3)
    run(trainer)
    saved = trainer.checkpoint()
    assert saved.vocabulary.unk_id is None
    assert UNK in saved.vocabulary.characters


def test_checkpoint_stores_the_unknown_token(tmp_path):
    path = tmp_path / "model.npz"
    model().save(path)
    again = load(path)
    assert again.vocabulary.unk_id == model().vocabulary.unk_id
    assert draw(again, PROMPT, 3) == draw(model(), PROMPT, 3)
    assert again.score(PROMPT) == model().score(PROMPT)
    model(has_unk=False).save(path)
    assert load(path).vocabulary.unk_id is None


def test_checkpoint_of_a_run_stores_the_unknown_token(tmp_path):
    trainer = small(3)
    run(trainer)
    checkpoint.save(tmp_path / "run.npz", trainer.checkpoint())
    loaded = checkpoint.load(tmp_path / "run.npz")
    assert bits(loaded) == bits(trainer.checkpoint())
    assert loaded.vocabulary.unk_id == 4
    assert loaded.training.config.min_count == 3
    resumed = resume(loaded, Corpus.of(TEXT), threads=1)
    assert resumed.data.vocabulary.unk_id == 4


def test_unknown_token_missing_in_the_vocabulary_is_rejected(tmp_path):
    path = tmp_path / "model.npz"
    model().save(path)
    with np.load(path) as file:
        arrays = {name: file[name] for name in file.files if name != "sha256"}
    meta = json.loads(arrays["meta"].item()) | {"format": 1}  # which has no checksum
    meta["has_sign"] = meta.pop("has_unk")
    assert meta["has_sign"] is True
    arrays["vocabulary"][-1] -= 1
    np.savez(path, **arrays | {"meta": np.array(json.dumps(meta))})
    with pytest.raises(CheckpointError, match=r"without the unknown token, U\+FFFD"):
        load(path)
    alone = {"vocabulary": np.array([ord(UNK)], np.uint32), "meta": np.array(json.dumps(meta))}
    np.savez(path, **arrays | alone)
    with pytest.raises(CheckpointError, match="of the unknown token only"):
        load(path)
    del meta["has_sign"]  # an older file, without the unknown token
    np.savez(path, **arrays | {"meta": np.array(json.dumps(meta))})
    assert load(path).vocabulary.unk_id is None


def test_unknown_characters_cost_the_same_in_any_model():
    with_unk, without = model(), model(has_unk=False)
    result = classify("ab灯", {"with": with_unk, "without": without})
    for nll in result.nlls.values():
        assert (nll.characters, nll.unknown_characters) == (3, 1)
        assert math.isfinite(nll.nats)
