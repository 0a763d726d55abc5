"""A run learns, reports, keeps its best model, and fails in one line."""

import json
import math
from contextlib import suppress
from dataclasses import asdict, replace

import numpy as np
import pytest

import charlm
from charlm import Budget
from charlm.distributed.data_parallel import DataParallel
from charlm.errors import DivergedError
from charlm.inference.scoring import score
from charlm.nn.cells import CELLS
from charlm.nn.optimizers import OPTIMIZERS, Optimizer, clip_norm, learning_rate
from charlm.nn.workspace import Workspace
from charlm.training.budget import plan
from charlm.training.checkpoint import EVALUATIONS, load
from charlm.training.events import Done, Eval, Start, Step
from charlm.training.loop import train
from charlm.training.run_directory import RunDirectory
from charlm.training.summary import Means
from charlm.training.trainer import Trainer
from charlm.training.validation import evaluate, validate
from tests.helpers import NOISE, TEXT, numbers, only, resumed, run, small_trainer, untimed
from tests.reliability import only_full

cells = pytest.mark.parametrize("cell", CELLS)
cells_and_optimizers = pytest.mark.parametrize(
    ("cell", "optimizer"),
    [
        *((cell, "adam") for cell in CELLS),
        *(("lstm", optimizer) for optimizer in OPTIMIZERS if optimizer != "adam"),
        *only_full(*((c, o) for c in CELLS for o in OPTIMIZERS if c != "lstm" and o != "adam")),
    ],
)

STEPS, EPOCH = 16, 13  # of `small_trainer`


# Learning


@cells_and_optimizers
def test_training_lowers_the_loss(cell, optimizer):
    lr = 0.3 if optimizer == "sgd" else None  # a default is for longer texts
    trainer = small_trainer(cell, hidden=12, steps=150, optimizer=optimizer, lr=lr)
    records = run(trainer)
    losses = [step.nats_per_char for step in only(Step, records)]
    evaluations = only(Eval, records)
    assert np.mean(losses[-5:]) < 0.75 * np.mean(losses[:5])
    assert evaluations[-1].val_nats_per_char < 0.85 * evaluations[0].val_nats_per_char
    # better than any guess that does not look at what came before
    counts = np.array([TEXT.count(c) for c in set(TEXT)]) / len(TEXT)
    assert records[-1].nats_per_char < -(counts * np.log(counts)).sum()


@cells
def test_step_is_reported_as_it_was(cell):
    trainer = small_trainer(cell, layers=2, dropout=0.3, clip=1e-6)
    before = trainer.p.flat.copy()
    step = trainer.step()
    assert (step.step, trainer.progress.step, step.characters) == (1, 1, 20)
    assert step.nats_per_char > 0 < step.lr <= trainer.config.peak_lr
    assert step.grad_norm > 1e-6  # the norm before clipping
    assert (before != trainer.p.flat).any()


@cells_and_optimizers
def test_steps_are_the_gradient_clipped_and_handed_to_the_optimizer(cell, optimizer):
    see_that_steps_are_those_of_its_parts(cell, optimizer)


@cells
def test_steps_of_a_bidirectional_model_look_ahead(cell):
    if cell != "jordan":
        see_that_steps_are_those_of_its_parts(cell, "adam", bidirectional=True)


def see_that_steps_are_those_of_its_parts(cell, optimizer, **more):
    options = {"dropout": 0.3, "layers": 2, "shards": 2, "random_seed": 5, "clip": 0.5} | more
    trainer = small_trainer(cell, optimizer=optimizer, steps=2 * EPOCH, **options)
    model, config, streams = trainer.model, trainer.config, trainer.streams
    p = model.init_params(np.random.default_rng(5))
    assert p.flat.tobytes() == trainer.p.flat.tobytes()
    newline = trainer.data.vocabulary.newline
    shards = DataParallel(model, p, 4, 2, threads=1, newline=newline)
    rule = Optimizer(optimizer, p.flat)
    state = model.zero_state(4)
    for step in range(2 * EPOCH):
        chunk = streams.chunk(step)
        loss, g, state = shards.loss_and_grad([chunk], state, (5, step))
        norm = clip_norm(g.flat, 0.5)
        lr = learning_rate(step, 2 * EPOCH, config)
        rule.step(p.flat, g.flat, lr, step + 1)
        record = trainer.step()
        assert (record.nats_per_char, record.grad_norm, record.lr) == (loss, norm, lr)
    assert p.flat.tobytes() == trainer.p.flat.tobytes()


# The order of things


def test_records_come_in_order():
    records = run(small_trainer(steps=10, eval_every=4))
    kinds = [(record.event, record.step) for record in records]
    steps = [("step", step) for step in range(1, 11)]
    assert kinds == [
        *[("start", 0), ("eval", 0)],
        *[*steps[:4], ("eval", 4), *steps[4:8], ("eval", 8), *steps[8:], ("eval", 10)],
        ("done", 10),
    ]
    sums = [record.train_nats_per_char for record in only(Eval, records)]
    assert sums[0] is None
    assert None not in sums[1:]


def test_evaluations_are_a_twentieth_of_the_run_apart_where_nothing_is_said():
    for steps, every in ((25, 10), (250, 13)):
        evaluations = only(Eval, run(small_trainer(steps=steps, eval_every=0)))
        assert [e.step for e in evaluations] == [*range(0, steps, every), steps]


def test_start_tells_what_is_trained():
    trainer = small_trainer("gru", embedding=3)
    start = run(trainer)[0]
    assert isinstance(start, Start)
    assert (start.steps, start.steps_per_epoch, start.batch_size) == (STEPS, EPOCH, 4)
    assert start.train_characters + start.val_characters == len(TEXT)
    assert start.vocabulary == len(set(TEXT))
    assert start.parameters == trainer.p.flat.size
    assert start.model == asdict(trainer.model.config)
    assert start.train == asdict(trainer.config)
    assert start.run is None


def test_evaluation_sums_up_the_steps_since_the_last_one():
    records = run(small_trainer(steps=8, eval_every=4))
    steps, last = only(Step, records)[4:], only(Eval, records)[-1]
    assert last.train_nats_per_char == pytest.approx(np.mean([s.nats_per_char for s in steps]))
    assert last.grad_norm == pytest.approx(np.mean([s.grad_norm for s in steps]))
    assert last.lr == steps[-1].lr
    assert last.train_perplexity == pytest.approx(math.exp(last.train_nats_per_char))
    assert last.val_perplexity == pytest.approx(math.exp(last.val_nats_per_char))
    assert last.bits_per_char == pytest.approx(last.val_nats_per_char / math.log(2))
    assert last.sample
    assert set(last.sample) <= set(TEXT)


@pytest.mark.parametrize(("least", "streams"), [(1000, 1), (10, 2), (1, 3)])
@cells
def test_evaluation_scores_the_held_out_part(cell, least, streams, monkeypatch):
    monkeypatch.setattr("charlm.training.validation.EVAL_PIECE", least)
    monkeypatch.setattr("charlm.inference.document_scoring.STREAMS", 3)
    trainer = small_trainer(cell)
    assert trainer.data.val.characters == 29
    expected = score(trainer.model, trainer.p, trainer.data.val.end_to_end(), streams=streams)
    first = run(trainer)[1]
    assert first.val_nats_per_char == expected.nats_per_char
    assert validate(trainer).characters == trainer.data.val.characters - 1


def test_evaluation_scores_pieces_of_all_of_a_long_held_out_part(monkeypatch):
    monkeypatch.setattr("charlm.training.trainer.FEWEST_SCORED", 12)
    monkeypatch.setattr("charlm.training.validation.EVAL_PIECE", 6)
    trainer = small_trainer()
    starts, length = [4, 18], 6  # the middles of two halves of 29 characters
    held_out = trainer.data.val.end_to_end()
    pieces = [score(trainer.model, trainer.p, held_out[s : s + length]) for s in starts]
    assert validate(trainer).nats == pytest.approx(sum(piece.nats for piece in pieces))


def test_evaluations_take_no_more_than_a_tenth_of_the_characters_of_a_run():
    for steps in (1, 1_000, 10**6):
        trainer = small_trainer(seq_len=64, batch_size=2, steps=steps, text=TEXT * 4)
        scored = (EVALUATIONS + 1) * trainer.eval_characters
        assert scored == 21 * 1_000 or scored / 3 < trainer.characters_per_step * steps / 10


def test_a_bidirectional_model_shows_what_it_would_put_in_each_place():
    trainer = small_trainer(hidden=16, steps=250, seq_len=20, bidirectional=True)
    first, *_, last = (e.sample for e in only(Eval, run(trainer)))
    text = trainer.data.vocabulary.decode(trainer.data.val.end_to_end()[1:])[:64]
    assert last == text != first


def test_what_it_shows_is_given_what_comes_after(monkeypatch):
    monkeypatch.setattr("charlm.training.validation.SAMPLE_CHARACTERS", 6)
    trainer = small_trainer(bidirectional=True, random_seed=1)
    ids, state = trainer.data.val.end_to_end()[:][:, None], trainer.model.zero_state(1)
    logits, _ = trainer.model.logits(trainer.p, ids[:-1], ids[1:], state, Workspace())
    expected = trainer.data.vocabulary.decode(logits[:6, 0].argmax(axis=1))
    assert evaluate(trainer, Means()).sample == expected


def test_speed_is_that_of_all_steps_but_the_first_three():
    records = run(small_trainer(steps=EPOCH + 2))
    later = only(Step, records)[3:]
    characters, seconds = sum(s.characters for s in later), sum(s.seconds for s in later)
    assert records[-1].train_chars_per_second == pytest.approx(characters / seconds)
    total = sum(s.seconds for s in only(Step, records))
    assert records[-1].seconds == pytest.approx(total)
    assert run(small_trainer(steps=3))[-1].train_chars_per_second is None


def test_history_is_the_records_as_lines_of_json(tmp_path):
    records = run(small_trainer(), tmp_path / "run")
    lines = (tmp_path / "run" / "history.jsonl").read_text().splitlines()
    assert [json.loads(line) for line in lines] == [record.as_dict() for record in records]
    assert sorted(p.name for p in (tmp_path / "run").iterdir()) == [
        "best.npz",
        "history.jsonl",
        "last.npz",
    ]


# The best model


def overfitting(cell: str) -> Trainer:
    """A trainer on noise: after learning what is frequent, it learns the training part by heart.

    The held-out part is small. With this seed every cell first gets better on it, then worse.
    """
    return small_trainer(cell, NOISE, hidden=24, steps=80, lr=0.03, warmup=0, random_seed=3)


@cells
def test_best_model_is_that_of_the_lowest_evaluation(cell, tmp_path):
    trainer = overfitting(cell)
    records = run(trainer, tmp_path)
    evaluations, done = only(Eval, records), records[-1]
    lowest = min(evaluations, key=lambda e: e.val_nats_per_char)
    assert 0 < lowest.step < 80
    assert done.best_step == lowest.step
    seen = math.inf
    for e in evaluations:
        assert e.best == (e.val_nats_per_char < seen)
        seen = min(seen, e.val_nats_per_char)
    # the weights are those of a run that ends there
    again = overfitting(cell)
    for _ in range(lowest.step):
        again.step()
    for best in (load(tmp_path / "best.npz").params.flat, trainer.best):
        assert best.tobytes() == again.p.flat.tobytes()
    assert load(tmp_path / "best.npz").training.progress.best_nats == lowest.val_nats_per_char


@cells
def test_best_model_stays_the_best_for_a_run_that_is_gone_on_with(cell, tmp_path):
    whole_run = overfitting(cell)
    records = run(whole_run)
    run(overfitting(cell), tmp_path, stop_after=70)
    assert records[-1].best_step < 70
    trainer = resumed(tmp_path, NOISE)
    assert untimed(run(trainer, tmp_path)[-1].as_dict()) == untimed(records[-1].as_dict())
    assert numbers(trainer) == numbers(whole_run)


@cells
def test_done_is_the_score_of_the_held_out_part_by_the_best_model(cell, tmp_path):
    trainer = overfitting(cell)
    done = run(trainer, tmp_path)[-1]
    assert isinstance(done, Done)
    model = charlm.load(tmp_path)
    result = model.score(next(trainer.data.corpus.held_out(trainer.config.val_fraction)))
    assert done.characters == trainer.data.val.characters - 1 == result.characters
    assert done.nats_per_char == pytest.approx(result.nats_per_char, rel=1e-6)
    assert done.perplexity == pytest.approx(result.perplexity, rel=1e-6)
    assert done.bits_per_char == pytest.approx(result.bits_per_char, rel=1e-6)
    assert done.model == str(tmp_path / "best.npz")


# What the result depends on


@pytest.mark.parametrize("shards", [3, *only_full(0)])
@cells
def test_result_does_not_depend_on_the_threads(cell, shards):
    options = {"layers": 2, "dropout": 0.3, "batch_size": 9, "shards": shards}
    trainers = [small_trainer(cell, threads=threads, **options) for threads in (1, 2)]
    one, two = ([untimed(r.as_dict()) for r in run(trainer)] for trainer in trainers)
    assert one == two
    assert numbers(trainers[0]) == numbers(trainers[1])


def test_result_depends_on_the_random_seed():
    runs = [small_trainer(random_seed=seed) for seed in (1, 1, 2)]
    for trainer in runs:
        run(trainer)
    assert numbers(runs[0]) == numbers(runs[1])
    assert numbers(runs[0]) != numbers(runs[2])


# Divergence


def test_loss_that_is_not_finite_is_refused_before_it_touches_anything():
    trainer = small_trainer()
    trainer.step()
    trainer.p["head.b"][0] = np.nan
    before, progress = numbers(trainer), trainer.progress
    with pytest.raises(DivergedError, match=r"step 2: the loss is nan.*lr") as info:
        trainer.step()
    assert len(str(info.value).splitlines()) == 1
    assert numbers(trainer) == before
    assert trainer.progress == progress


@pytest.mark.parametrize(
    ("lr", "shown"), [(None, "0.01"), (0.0123456789, "0.0123456789"), (10, "10"), (1e30, "1e+30")]
)
def test_learning_rate_to_lower_is_the_one_that_was_set(lr, shown):
    trainer = small_trainer(lr=lr)
    trainer.progress = replace(trainer.progress, rollbacks=3)
    assert f"(it was {shown}) " in trainer.diverged("the loss is nan").advice


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
@pytest.mark.parametrize("eval_every", [3, *only_full(1)])
@pytest.mark.parametrize("lr", [1e3, 1e300, *only_full(1e30)])
@cells
def test_steps_that_are_far_too_long_end_as_diverged_and_leave_good_files(
    cell, lr, eval_every, tmp_path
):
    options = {"optimizer": "sgd", "lr": lr, "clip": 0, "warmup": 0, "eval_every": eval_every}
    trainer = small_trainer(cell, steps=12, **options)
    records: list = []
    with suppress(DivergedError):
        records.extend(train(trainer, RunDirectory(tmp_path)))
        assert isinstance(records[-1], Done)
    for e in only(Eval, records):
        assert math.isfinite(e.val_nats_per_char)
        assert math.isfinite(e.train_nats_per_char or 0)
    best, last = load(tmp_path / "best.npz"), load(tmp_path / "last.npz")
    assert np.isfinite(best.params.flat).all()
    assert np.isfinite(last.params.flat).all()
    assert np.isfinite(last.training.moments).all()
    assert best.training.progress.best_nats < 10


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
@pytest.mark.parametrize("lr", [1e2, 1e4, 1e300])
def test_history_is_json_however_bad_the_figures(lr, tmp_path):
    def refuse(constant: str) -> None:
        raise AssertionError(f"{constant} is not JSON")

    options = {"optimizer": "sgd", "lr": lr, "clip": 0, "warmup": 0, "eval_every": 1}
    with suppress(DivergedError):
        run(small_trainer("rnn", **options), tmp_path)
    for line in (tmp_path / "history.jsonl").read_text().splitlines():
        json.loads(line, parse_constant=refuse)


# How long


def test_plan_of_steps_and_of_epochs():
    trainer = small_trainer()
    for budget, steps in [
        (Budget(steps=7), 7),
        (Budget(epochs=1), EPOCH),
        (Budget(epochs=2.5), math.ceil(2.5 * EPOCH)),
        (Budget(epochs=1e-9), 1),
    ]:
        plan(trainer, budget)
        assert trainer.progress.steps == steps


@pytest.mark.parametrize("steps_before", [0, EPOCH, *only_full(3)])
@cells
def test_trial_for_a_budget_of_minutes_leaves_no_trace(cell, steps_before):
    trainer, other = (small_trainer(cell, layers=2, dropout=0.3) for _ in range(2))
    for _ in range(steps_before):
        trainer.step()
        other.step()
    before, progress = numbers(trainer), asdict(trainer.progress)
    plan(trainer, Budget(minutes=1e-3))
    assert numbers(trainer) == before
    planned = trainer.progress.steps
    assert planned >= steps_before + 1
    assert asdict(trainer.progress) == progress | {"steps": planned}
    plan(other, Budget(steps=planned))
    assert trainer.step().nats_per_char == other.step().nats_per_char
    assert numbers(trainer) == numbers(other)


def test_any_time_is_enough_for_a_step():
    trainer = small_trainer()
    plan(trainer, Budget(minutes=1e-12))
    assert trainer.progress.steps == 1
