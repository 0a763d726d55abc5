"""Worker processes: calls, shared memory, errors, and how they start and end."""

import os
import signal
import subprocess
import sys
import time

import numpy as np
import pytest

from charlm.config import SampleConfig
from charlm.distributed.data_parallel import HAS_WORKERS
from charlm.errors import WorkerError
from charlm.inference.sampling import sample
from charlm.inference.scoring import score
from charlm.training.trainer import Trainer
from tests.helpers import random_ids, small_model, small_trainer

if HAS_WORKERS:
    from charlm.distributed.worker_process import SharedMemory, Worker

pytestmark = pytest.mark.skipif(not HAS_WORKERS, reason="needs worker processes")


def adder(buffer, amount):
    """Return a function that sums its arguments and adds `amount` to the shared numbers."""
    numbers = np.frombuffer(buffer, np.float64)

    def add(*args):
        numbers[:] += amount
        return sum(args)

    return add


def gone(pid: int) -> bool:
    """Return whether a process that is not our child ends within 10 seconds."""
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


def test_results_arrive_in_order_and_memory_is_shared(worker):
    for args in [(1, 2), (3,)]:
        worker.submit(*args)
    assert [worker.result(), worker.result()] == [3, 3]
    assert np.frombuffer(worker.memory.buffer, np.float64).tolist() == [1.0] * 4


@pytest.mark.parametrize("bad", ["a", int])
def test_error_in_a_worker_is_raised_and_the_worker_remains_usable(worker, bad):
    worker.submit(1, bad)
    with pytest.raises(WorkerError, match="a worker process failed: TypeError"):
        worker.result()
    worker.submit(4)
    assert worker.result() == 4


def test_killed_worker_raises_worker_error(worker):
    worker.submit(1)
    assert worker.result() == 1
    os.kill(worker._process.pid, signal.SIGKILL)
    with pytest.raises(WorkerError, match=r"was killed by signal 9$"):
        worker.result()


def test_closed_worker_raises_worker_error(worker):
    worker.close()
    assert worker._process.returncode is not None
    with pytest.raises(WorkerError, match="was killed"):
        worker.submit(1)


def two(threads: int = 2) -> Trainer:
    """Return a trainer with two shards."""
    return small_trainer(batch_size=8, shards=2, threads=threads)


def test_workers_start_with_the_first_step_and_end_with_the_trainer():
    trainer = two()
    assert trainer.parallel.workers == []
    trainer.step()
    process = trainer.parallel.workers[0]._process
    assert process.poll() is None
    assert os.getsid(process.pid) == process.pid  # Ctrl-C in a terminal does not reach it
    del trainer
    assert process.returncode is not None


def test_workers_end_while_a_forked_child_runs():
    trainer = two()
    trainer.step()
    child = os.fork()
    if child == 0:
        time.sleep(60)
        os._exit(0)
    started = time.monotonic()
    del trainer
    waited = time.monotonic() - started
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    assert waited < 30


def test_workers_end_when_their_trainer_is_killed():
    program = """
import time
from tests.distributed.test_worker_process import two
trainer = two()
trainer.step()
print(trainer.parallel.workers[0]._process.pid, flush=True)
time.sleep(60)
"""
    parent = subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True)
    pid = int(parent.stdout.readline())
    parent.kill()
    parent.communicate()
    assert gone(pid)


def test_workers_start_with_closed_stdin_and_in_another_folder(tmp_path):
    program = """
import os, sys
from tests.distributed.test_worker_process import two
os.close(0)
os.chdir(sys.argv[1])
trainer = two()
trainer.step()
"""
    ended = subprocess.run([sys.executable, "-c", program, str(tmp_path)], check=False)
    assert ended.returncode == 0


def test_only_training_starts_a_process(monkeypatch):
    def forbidden(*_, **__):
        raise AssertionError("a process")

    monkeypatch.setattr(subprocess, "Popen", forbidden)
    model, p = small_model("gru")
    score(model, p, random_ids(100))
    next(sample(model, p, random_ids(2), SampleConfig(), np.random.default_rng(0), 20))
    two(threads=1).step()
    with pytest.raises(AssertionError, match="a process"):
        two().step()


def test_step_after_an_interrupted_one_is_bit_identical(monkeypatch):
    expected, trainer = two(), two()
    for each in (expected, trainer):
        each.step()

    def interrupted(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(trainer.parallel.own[0], "loss_and_grad", interrupted)
    with pytest.raises(KeyboardInterrupt):
        trainer.step()
    monkeypatch.undo()
    for each in (expected, trainer):
        each.step()
    assert trainer.p.flat.tobytes() == expected.p.flat.tobytes()


def test_threads_in_place_of_workers_are_bit_identical(monkeypatch):
    expected = two()
    expected.step()
    monkeypatch.setattr("charlm.distributed.data_parallel.HAS_WORKERS", False)
    trainer = two()
    trainer.step()
    assert trainer.parallel.workers == []
    assert trainer.p.flat.tobytes() == expected.p.flat.tobytes()
