"""An interrupt of `charlm.train` ends training with the model so far; a second one raises."""

import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest

import charlm
from charlm import Budget, ModelConfig, TrainConfig
from charlm.language_model import LanguageModel
from charlm.system.signals import noted
from charlm.training.checkpoint import load
from charlm.training.events import Done, Eval, Record, Step
from tests.helpers import NOISE, TEXT, only, resumed, run
from tests.shell import INHERITED, SECONDS
from tests.training.test_resuming import whole

MODEL = ModelConfig("gru", 8)
CONFIG = TrainConfig(seq_len=5, batch_size=4, eval_every=50, lr=0.02)
LAST = 60  # steps


class Interrupts:
    """Receives the events of training, and interrupts it when certain ones come."""

    def __init__(self, *places: tuple[str, int]) -> None:
        self.places, self.records = [*places], []

    def __call__(self, record: Record) -> None:
        self.records.append(record)
        while (record.event, record.step) in self.places:
            self.places.remove((record.event, record.step))
            signal.raise_signal(signal.SIGINT)


def train(interrupts: Interrupts, out: Path | None = None) -> LanguageModel:
    budget = Budget(steps=LAST)
    return charlm.train(TEXT, MODEL, CONFIG, budget, out=out, on_record=interrupts, threads=1)


@pytest.mark.parametrize("has_files", [False, True])
def test_interrupted_training_returns_the_model_after_the_step(has_files, tmp_path):
    interrupts = Interrupts(("step", 40))
    model = train(interrupts, tmp_path if has_files else None)
    assert interrupts.records[-1].step == 40
    assert not only(Done, interrupts.records)
    first = only(Eval, interrupts.records)[0]
    assert model.score(TEXT[-29:]).perplexity < 0.7 * first.val_perplexity
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    if has_files:
        last = load(tmp_path / "last.npz")
        assert last.training.progress.step == 40
        assert last.params.flat.tobytes() == model.params.flat.tobytes()


def test_interrupted_run_is_resumed_to_the_same_end(tmp_path):
    train(Interrupts(("step", 20)), tmp_path / "ours")
    run(resumed(tmp_path / "ours"), tmp_path / "ours")
    train(Interrupts(), tmp_path / "theirs")
    assert whole(tmp_path / "ours") == whole(tmp_path / "theirs")


def test_best_model_is_returned_if_the_one_after_the_step_is_worse():
    overfitting = TrainConfig(5, 4, eval_every=4, lr=0.03, warmup=0, random_seed=3)
    models = [
        charlm.train(NOISE, ModelConfig("lstm", 24), overfitting, Budget(80), on_record=interrupts)
        for interrupts in (Interrupts(("step", 79)), Interrupts())
    ]
    stopped, whole_run = (model.params.flat.tobytes() for model in models)
    assert stopped == whole_run


@pytest.mark.parametrize("place", [("start", 0), ("eval", 0)])
def test_interrupt_before_the_first_step_raises(place, tmp_path):
    interrupts = Interrupts(place)
    with pytest.raises(KeyboardInterrupt):
        train(interrupts, tmp_path)
    assert not only(Step, interrupts.records)
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_second_interrupt_raises(tmp_path):
    interrupts = Interrupts(("step", 3), ("step", 3))
    with pytest.raises(KeyboardInterrupt):
        train(interrupts, tmp_path)
    assert interrupts.records[-1].step == 3
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_program_keeps_its_own_handler(monkeypatch):
    received: list[int] = []

    def handle(number: int, frame: object) -> None:
        received.append(number)

    before = signal.signal(signal.SIGINT, handle)
    try:
        interrupts = Interrupts(("step", 3), ("step", 5))
        train(interrupts)
        assert signal.getsignal(signal.SIGINT) is handle
    finally:
        signal.signal(signal.SIGINT, before)
    assert received == [signal.SIGINT] * 2
    assert isinstance(interrupts.records[-1], Done)


def test_training_in_another_thread_leaves_signals_alone():
    interrupts = Interrupts()
    thread = threading.Thread(target=train, args=(interrupts,))
    thread.start()
    thread.join()
    assert isinstance(interrupts.records[-1], Done)


def test_noted_signals_are_each_restored():
    numbers = [signal.SIGINT, signal.SIGTERM]
    before = [signal.getsignal(number) for number in numbers]
    with noted(numbers) as received:
        signal.raise_signal(signal.SIGTERM)
        assert [signal.getsignal(number) for number in numbers] == before
    assert received == [signal.SIGTERM]
    assert [signal.getsignal(number) for number in numbers] == before


PROGRAM = """
import charlm
from tests.helpers import TEXT

def tell(record):
    print(record.event, flush=True)

budget = charlm.Budget(steps=10**6)
model = charlm.train(TEXT, charlm.ModelConfig(hidden=4), None, budget, out="run", on_record=tell)
print("perplexity", model.score(TEXT).perplexity)
"""


@pytest.mark.skipif(os.name != "posix", reason="a process cannot be sent SIGINT")
def test_program_that_is_interrupted_goes_on_with_the_model(tmp_path):
    program = subprocess.Popen(
        [sys.executable, "-c", PROGRAM],
        cwd=tmp_path,
        env=INHERITED,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        encoding="utf-8",
    )
    with program:
        while program.stdout.readline() != "step\n":
            assert program.poll() is None
        program.send_signal(signal.SIGINT)
        out, err = program.communicate(timeout=SECONDS)
    assert (program.returncode, err) == (0, "")
    *_, last = out.splitlines()
    assert last.startswith("perplexity ")
    progress = load(tmp_path / "run/last.npz").training.progress
    assert progress.step == 1 + out.split().count("step")
