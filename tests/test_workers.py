"""Processes that share memory with us and answer calls."""

import os
import signal
import subprocess
import sys
import time

import numpy as np
import pytest

from charlm.errors import WorkerError
from charlm.workers import AVAILABLE, SharedMemory, Worker
from tests.helpers import small_trainer

pytestmark = pytest.mark.skipif(not AVAILABLE, reason="Windows hands no open file to a process")


def adder(buffer, amount):
    """Answers with the sum of what it is given, and adds `amount` to the shared numbers."""
    numbers = np.frombuffer(buffer, np.float64)

    def add(*args):
        numbers[:] += amount
        return sum(args)

    return add


def gone(pid: int) -> bool:
    """Whether a process, not our child, ends within some seconds."""
    for _ in range(500):
        try:
            os.kill(pid, 0)
        except ProcessLookupError:
            return True
        time.sleep(0.02)
    return False


@pytest.fixture
def worker():
    memory = SharedMemory(4 * 8)
    worker = Worker(memory, adder, 0.5)
    worker.memory = memory
    yield worker
    worker.close()
    memory.close_file()


def test_a_worker_answers_in_order_and_shares_memory(worker):
    for args in [(1, 2), (3,)]:
        worker.ask(*args)
    assert [worker.answer(), worker.answer()] == [3, 3]
    assert np.frombuffer(worker.memory.buffer, np.float64).tolist() == [1.0] * 4


def test_an_error_in_a_worker_is_raised_here_and_it_goes_on(worker):
    worker.ask(1, "a")
    with pytest.raises(TypeError):
        worker.answer()
    worker.ask(4)
    assert worker.answer() == 4


def test_a_worker_that_is_killed_is_one_line(worker):
    worker.ask(1)
    assert worker.answer() == 1
    os.kill(worker._process.pid, signal.SIGKILL)
    with pytest.raises(WorkerError, match="by signal 9; go on with --resume"):
        worker.answer()


def test_a_worker_of_a_closed_pipe_has_ended(worker):
    worker.close()
    assert worker._process.returncode == 0
    with pytest.raises(WorkerError, match="with status 0"):
        worker.ask(1)


def test_workers_end_with_the_trainer_and_with_a_process_that_is_killed():
    trainer = small_trainer(batch_size=8, shards=2, threads=2)
    trainer.step()
    process = trainer.shards.workers[0]._process
    assert process.poll() is None
    del trainer
    assert process.returncode == 0

    program = """
import time
from tests.helpers import small_trainer
trainer = small_trainer(batch_size=8, shards=2, threads=2)
trainer.step()
print(trainer.shards.workers[0]._process.pid, flush=True)
time.sleep(60)
"""
    parent = subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True)
    pid = int(parent.stdout.readline())
    parent.kill()
    parent.communicate()
    assert gone(pid)


def test_an_interrupted_step_leaves_no_answers_for_the_next(monkeypatch):
    trainer = small_trainer(batch_size=8, shards=2, threads=2)
    trainer.step()

    def interrupted(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(trainer.shards.own[0], "loss_and_grad", interrupted)
    with pytest.raises(KeyboardInterrupt):
        trainer.step()
    monkeypatch.undo()
    with pytest.raises(WorkerError):
        trainer.step()
