"""A validation text of its own, or none: what is trained, kept, resumed and scored again."""

import json

import numpy as np
import pytest

import charlm
from charlm.config import Budget, ModelConfig, TrainConfig
from charlm.errors import CheckpointError, ConfigError, DivergedError, TextError
from charlm.text.config import TextConfig
from charlm.text.corpus import Corpus
from charlm.training import history
from charlm.training.budget import plan
from charlm.training.checkpoint import load
from charlm.training.events import Done, Eval, Rollback, Start
from charlm.training.loop import train
from charlm.training.run_directory import RunDirectory
from charlm.training.setup import resume, set_up
from charlm.training.trainer import Trainer
from tests.faults.hostile import arrays_of, file_of, meta_of
from tests.helpers import TEXT, numbers, only, run, untimed

LINES = [f"<{'ab' * (n % 3)}{'c' * (n % 7)}>" for n in range(60)]
OTHER = "the rat sat on the cat.\n" * 7
KINDS = {
    "none": (TEXT, None, {"val_fraction": 0}),
    "none of documents": (LINES, None, {"val_fraction": 0}),
    "own": (TEXT, OTHER, {}),
    "own with unknown characters": (TEXT, OTHER.replace("r", "ř"), {}),
    "own with <unk>": (TEXT, OTHER.replace("c", "č"), {"min_count": 20}),
    "own documents": (LINES, ["<ab>", "<cab>", "<dada>", "d", "<ab>"], {}),
}
kinds = pytest.mark.parametrize("kind", KINDS)


def corpora(kind: str) -> tuple[Corpus, Corpus | None]:
    text, validation, _ = KINDS[kind]
    corpus = Corpus.of(text)
    return corpus, None if validation is None else Corpus.of(validation, corpus.config)


def trainer_of(kind: str, **more) -> Trainer:
    corpus, validation = corpora(kind)
    config = {"seq_len": 5, "batch_size": 4, "eval_every": 4} | KINDS[kind][2] | more
    model = ModelConfig("gru", 5)
    trainer = set_up(corpus, model, TrainConfig(**config), validation=validation, threads=1)
    plan(trainer, Budget(steps=16))
    return trainer


def resumed(path, kind: str) -> Trainer:
    corpus, validation = corpora(kind)
    directory = RunDirectory(path)
    last, best = load(directory.last), load(directory.best)
    return resume(last, corpus, validation=validation, best=best, threads=1)


def files_of(path) -> dict:
    """What a run leaves on disk, but for its times."""
    found: dict = {}
    for name in ("last.npz", "best.npz"):
        checkpoint = load(path / name)
        assert checkpoint.training is not None
        found[name] = checkpoint.params.flat.tobytes(), untimed(vars(checkpoint.training.progress))
    records = history.read(path / "history.jsonl")
    return found | {"history": [untimed(r) for r in records if r["event"] != "start"]}


@pytest.mark.parametrize("k", [1, 6, 8, 15])
@kinds
def test_stopped_run_is_resumed_bit_identically(kind, k, tmp_path):
    whole = trainer_of(kind)
    run(whole, tmp_path / "whole")
    run(trainer_of(kind), tmp_path / "part", stop_after=k)
    trainer = resumed(tmp_path / "part", kind)
    run(trainer, tmp_path / "part")
    assert numbers(trainer) == numbers(whole)
    assert files_of(tmp_path / "part") == files_of(tmp_path / "whole")


# A text of its own


def test_nothing_of_the_corpus_is_held_out_and_only_it_decides_the_vocabulary():
    data = trainer_of("own with unknown characters").data
    assert data.train.characters == len(TEXT)
    assert data.vocabulary.characters == "".join(sorted(set(TEXT)))
    assert data.unknown == OTHER.count("r")
    assert data.val.characters == len(OTHER) - data.unknown


@kinds
def test_done_is_the_score_of_the_validation_text(kind, tmp_path):
    _, validation, _ = KINDS[kind]
    start, *_, done = run(trainer_of(kind), tmp_path)
    if validation is None:
        assert (start.validation, done.nats_per_char, done.characters) == ("none", None, 0)
        return
    score = charlm.load(tmp_path).score(validation)
    total = score.total if isinstance(validation, list) else score
    assert done.characters == total.characters
    assert done.nats_per_char == pytest.approx(total.nats_per_char, rel=1e-6)
    assert start.validation == "texts"
    assert start.unknown_val_characters == total.unknown_characters
    is_list = isinstance(validation, list)
    assert start.val_documents == (len(validation) if is_list else None)


@pytest.mark.parametrize("pieces", [1, 7, 1 << 20])
@pytest.mark.parametrize("lines", [True, False])
def test_unknown_characters_are_left_out_wherever_the_ids_are_cut(lines, pieces, monkeypatch):
    monkeypatch.setattr("charlm.text.known_texts.PIECE", pieces)
    documents = ["xaxb", "x", "bb", "xx", "a", "cxx"] if lines else ["xaxbxbbaxc"]
    vocabulary = Corpus.of("abc").vocabulary()
    corpus = Corpus.of(documents if lines else documents[0])
    texts, unknown = corpus.texts(vocabulary)
    found = [
        vocabulary.decode(texts.ids[start:stop])
        for start, stop in zip(texts.starts, texts.stops, strict=True)
    ]
    assert found == [document.replace("x", "") for document in documents]
    assert unknown == "".join(documents).count("x")
    assert ["".join(each) for each in corpus.contents()] == documents


def test_library_validates_on_what_it_takes_as_a_text(tmp_path):
    records: list = []
    model = charlm.train(
        LINES,
        ModelConfig("rnn", 4),
        TrainConfig(seq_len=5, batch_size=4),
        Budget(steps=2),
        validation=["<ab>", "<c>"],
        on_record=records.append,
        out=tmp_path / "run",
    )
    assert records[-1].characters == 4 + 3 + 2
    assert model.score(["<ab>", "<c>"]).total.nats_per_char == pytest.approx(
        records[-1].nats_per_char, rel=1e-6
    )
    (tmp_path / "a.txt").write_text("\n".join(LINES))
    with pytest.raises(TextError, match="read the file with"):
        charlm.train(TEXT, validation=str(tmp_path / "a.txt"))


@pytest.mark.parametrize(
    ("text", "validation", "config"),
    [
        (TEXT, ["the", "cat"], {}),
        (LINES, Corpus.of(TEXT), {}),
        (TEXT, Corpus.of(TEXT, TextConfig(newlines="lf")), {}),
        (TEXT, "ééé", {}),
        (TEXT, "t", {}),
        (TEXT, "", {}),
    ],
)
def test_unsuitable_validation_text_is_refused(text, validation, config):
    with pytest.raises(TextError):
        charlm.train(text, config=TrainConfig(**config), validation=validation)


def test_fraction_with_a_validation_text_is_refused():
    for fraction in (0, 0.1):
        with pytest.raises(ConfigError, match="val_fraction"):
            trainer_of("own", val_fraction=fraction)


def test_run_is_resumed_with_its_own_validation_text_only(tmp_path):
    run(trainer_of("own"), tmp_path / "own", stop_after=2)
    run(trainer_of("none"), tmp_path / "none", stop_after=2)
    last, corpus = load(tmp_path / "own" / "last.npz"), Corpus.of(TEXT)
    for other in (None, Corpus.of(OTHER[:-1]), Corpus.of(OTHER.replace("r", "c"))):
        with pytest.raises(TextError, match="validation text"):
            resume(last, corpus, validation=other)
    with pytest.raises(TextError, match="without a validation text"):
        resume(load(tmp_path / "none" / "last.npz"), corpus, validation=Corpus.of(OTHER))


def test_checkpoint_keeps_the_files_of_both(tmp_path):
    (tmp_path / "v").mkdir()
    for name, text in (("a.txt", TEXT), ("v/1.txt", OTHER), ("v/2.txt", OTHER)):
        (tmp_path / name).write_text(text)
    corpus, validation = Corpus.read(tmp_path / "a.txt"), Corpus.read(tmp_path / "v")
    config = TrainConfig(seq_len=5, batch_size=4)
    trainer = set_up(corpus, ModelConfig("rnn", 4), config, validation=validation, threads=1)
    plan(trainer, Budget(steps=2))
    run(trainer, tmp_path / "run")
    model = charlm.load(tmp_path / "run")
    assert model.training is not None
    info = model.training.corpus.validation
    assert info is not None
    assert info.files == (str(tmp_path / "v/1.txt"), str(tmp_path / "v/2.txt"))
    assert ["".join(text) for text in model.held_out()] == [OTHER, OTHER]
    (tmp_path / "v/2.txt").write_text(OTHER.replace("c", "b"))
    with pytest.raises(TextError, match="has changed"):
        list(model.held_out())
    (tmp_path / "v/2.txt").unlink()
    with pytest.raises(TextError, match="cannot read"):
        list(model.held_out())


# None


@pytest.mark.parametrize("kind", ["none", "none of documents"])
def test_without_validation_the_best_model_is_that_of_the_last_evaluation(kind, tmp_path):
    trainer = trainer_of(kind)
    records = train(trainer, RunDirectory(tmp_path))
    RunDirectory(tmp_path).make()
    for record in records:
        if isinstance(record, Eval):
            at_evaluation = trainer.p.flat.tobytes()
            assert (record.val_nats_per_char, record.bits_per_char) == (None, None)
            assert record.best
            assert record.sample
        if isinstance(record, Start):
            assert record.val_characters == 0
    assert isinstance(record, Done)
    assert record.best_step == record.step == 16
    best = load(tmp_path / "best.npz")
    assert best.params.flat.tobytes() == at_evaluation
    lines = (tmp_path / "history.jsonl").read_text().splitlines()
    assert {json.loads(line).get("val_nats_per_char") for line in lines} == {None}
    with pytest.raises(TextError, match="without a validation split; specify a text to score"):
        list(charlm.load(tmp_path).held_out())


@pytest.mark.parametrize("kind", ["none", "own"])
def test_run_that_is_resumed_with_fewer_steps_is_evaluated(kind, tmp_path):
    run(trainer_of(kind), tmp_path, stop_after=6)
    trainer = resumed(tmp_path, kind)
    plan(trainer, Budget(steps=5))
    records = run(trainer, tmp_path)
    assert [(record.event, record.step) for record in records[1:]] == [("eval", 6), ("done", 6)]
    assert load(tmp_path / "best.npz").params.flat.tobytes() == trainer.best.tobytes()
    if kind == "none":
        assert trainer.best.tobytes() == trainer.p.flat.tobytes()


def test_rollback_without_validation_goes_to_the_last_evaluation(tmp_path):
    """It does not depend on when a run was saved or stopped."""

    def diverging() -> Trainer:
        trainer = trainer_of("none")
        step = trainer.step

        def diverge(lr=None):
            if trainer.progress.step == 10 and not trainer.progress.rollbacks:
                raise DivergedError(11, "the loss is nan", "none")
            return step(lr)

        trainer.step = diverge  # type: ignore[method-assign]
        return trainer

    whole = diverging()
    records = run(whole, tmp_path / "whole")
    assert [record.step for record in only(Rollback, records)] == [8]
    run(diverging(), tmp_path / "part", stop_after=9)
    other = diverging()
    other.restore(*(load(tmp_path / "part" / name) for name in ("last.npz", "best.npz")))
    assert other.progress.step == 9
    run(other, tmp_path / "part")
    assert numbers(other) == numbers(whole)


def test_one_character_cannot_be_trained_on():
    with pytest.raises(TextError, match="one character"):
        charlm.train("a", config=TrainConfig(val_fraction=0))
    charlm.train(["a"], ModelConfig("rnn", 2), TrainConfig(val_fraction=0), Budget(steps=1))
    charlm.train("ab", ModelConfig("rnn", 2), TrainConfig(val_fraction=0), Budget(steps=1))


# What a checkpoint says


@pytest.mark.parametrize(
    "wrong", [1, [], "a", {}, {"sources": "a"}, {"sources": [], "characters": -1, "sha256": ""}]
)
def test_forged_description_is_refused(wrong, tmp_path):
    run(trainer_of("own"), tmp_path, stop_after=1)
    path = tmp_path / "last.npz"
    arrays = arrays_of(path)
    meta = meta_of(arrays)
    for validation in (wrong, meta["corpus"]["validation"] | {"validation": wrong}):
        forged = meta | {"corpus": meta["corpus"] | {"validation": validation}}
        path.write_bytes(file_of({**arrays, "meta": np.array(json.dumps(forged))}))
        with pytest.raises(CheckpointError):
            load(path)


def test_description_of_an_older_file_has_no_validation_text(tmp_path):
    run(trainer_of("none"), tmp_path, stop_after=1)
    path = tmp_path / "last.npz"
    arrays, before = arrays_of(path), load(path).training
    meta = meta_of(arrays)
    del meta["corpus"]["validation"]
    path.write_bytes(file_of({**arrays, "meta": np.array(json.dumps(meta))}))
    after = load(path).training
    assert before
    assert after
    assert before.corpus == after.corpus
    assert after.corpus.validation is None
