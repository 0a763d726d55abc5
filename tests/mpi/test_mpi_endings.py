"""How a job ends after a signal or a fault, and that `--resume` continues it bit-identically."""

import shlex
import signal
import subprocess
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from charlm.training.checkpoint import load
from tests.mpi.jobs import FOUR, HERE, mpiexec, results_of, shell_in, start
from tests.shell import SECONDS, Ended, Shell, end

OPTIONS = [*FOUR, "--layers", 2, "--dropout", 0.3]
RESUME = ["train", "--resume", "--out", "run"]


@pytest.fixture
def shell(tmp_path) -> Shell:
    return shell_in(tmp_path)


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory) -> dict[str, Any]:
    """The results of an uninterrupted run on one process."""
    shell = shell_in(tmp_path_factory.mktemp("uninterrupted"))
    assert shell(*OPTIONS, "--threads", 1).code == 0
    return results_of(shell.folder / "run")


def start_faulty(
    shell: Shell, ranks: int, fault: str, rank: int, step: int, *arguments: object
) -> subprocess.Popen[str]:
    """Start a job with a fault on one rank."""
    program = (HERE / "faulty_rank.py", fault, rank, step)
    return start(shell, ranks, *arguments, program=program)


def wait_for(file: Path) -> None:
    """Wait until a file exists, and remove it."""
    until = time.monotonic() + SECONDS
    while not file.exists():
        assert time.monotonic() < until
        time.sleep(0.01)
    file.unlink()


def stopped(shell: Shell, ranks: int, step: int, number: int, *arguments: object) -> Ended:
    """Run a job and send a signal to mpiexec in the step after `step` steps."""
    job = start_faulty(shell, ranks, "wait", ranks - 1, step, *arguments)
    try:
        wait_for(shell.folder / "waiting")
        job.send_signal(number)
        return end(job)
    finally:
        job.kill()


def resume_command(line: str) -> list[str]:
    """Return the arguments of the `charlm` command with which a message ends."""
    return shlex.split(line.partition(": charlm ")[2])


def test_run_resumes_with_any_number_of_ranks_or_threads(shell, uninterrupted):
    command, resumed_after = OPTIONS, 0
    for ranks, done, name in [(2, 6, "SIGTERM"), (4, 13, "SIGINT"), (1, 20, "SIGTERM")]:
        number = getattr(signal, name)
        ended = stopped(shell, ranks, done - 1, number, *command)
        assert ended.code == 128 + number
        *before, last = ended.err.splitlines()
        assert len(before) == (resumed_after > 0)
        assert all(f"step {resumed_after}" in line for line in before)
        assert last.startswith(f"saved after step {done}; ")
        command, resumed_after = [*resume_command(last), "--json"], done
    assert shell(*command, "--threads", 2).code == 0
    assert results_of(shell.folder / "run") == uninterrupted


def test_signal_to_one_rank_stops_all(shell, uninterrupted):
    ended = end(start_faulty(shell, 3, "stop", 1, 6, *OPTIONS))
    assert ended.code == 143
    (line,) = ended.err.splitlines()
    assert line.startswith("saved after step 7; ")
    assert resume_command(line) == RESUME
    assert mpiexec(shell, 3, *RESUME).code == 0
    assert results_of(shell.folder / "run") == uninterrupted


def check_resumes(shell: Shell, uninterrupted: dict[str, Any]) -> None:
    """Check that the job has saved after step 8, and that it resumes to the same results."""
    assert load(shell.folder / "run/last.npz").training.progress.step == 8
    assert mpiexec(shell, 2, *RESUME).code == 0
    assert results_of(shell.folder / "run") == uninterrupted


@pytest.mark.parametrize("rank", [0, 1])
def test_error_on_one_rank_is_one_line_and_ends_the_job(rank, shell, uninterrupted):
    options = [*OPTIONS, "--rank-timeout", 0]
    ended = end(start_faulty(shell, 2, "fail", rank, 10, *options))
    assert ended.code == 1
    (line,) = ended.err.splitlines()
    assert line.startswith(f"charlm: rank {rank} of 2: out of memory (no room)")
    check_resumes(shell, uninterrupted)


@pytest.mark.parametrize(("ranks", "hung", "reporter"), [(2, 1, 0), (2, 0, 1), (3, 0, 1)])
def test_rank_that_hangs_ends_the_job_in_one_line(ranks, hung, reporter, shell, uninterrupted):
    options = [*OPTIONS, "--rank-timeout", 4]
    ended = end(start_faulty(shell, ranks, "hang", hung, 10, *options))
    assert ended.code == 1
    (line,) = ended.err.splitlines()
    words = "the other ranks have not responded for 4 s"
    assert line.startswith(f"charlm: rank {reporter} of {ranks}: {words}; ")
    assert resume_command(line) == RESUME
    check_resumes(shell, uninterrupted)


@pytest.mark.parametrize("rank", [0, 1])
def test_rank_that_is_killed_ends_the_job(rank, shell, uninterrupted):
    ended = end(start_faulty(shell, 2, "kill", rank, 10, *OPTIONS, "--rank-timeout", 0))
    assert ended.code != 0
    assert "Traceback" not in ended.err
    check_resumes(shell, uninterrupted)


def test_weights_that_differ_end_the_job_in_one_line(shell):
    ended = end(start_faulty(shell, 3, "diverge", 2, 5, *OPTIONS))
    assert ended.code == 1
    (line,) = ended.err.splitlines()
    assert line.startswith("charlm: the weights differ between rank 0 and rank 2; ")
    assert resume_command(line) == RESUME


def test_unordered_run_resumes_to_the_same_weights_but_for_rounding(shell, tmp_path_factory):
    whole = shell_in(tmp_path_factory.mktemp("whole"))
    options = [*FOUR, "--any-order", "--optimizer", "sgd", "--lr", 0.3]
    assert mpiexec(whole, 3, *options).code == 0
    assert stopped(shell, 3, 9, signal.SIGTERM, *options).code == 143
    assert mpiexec(shell, 3, *RESUME).code == 0
    ours, theirs = (load(each.folder / "run/last.npz") for each in (shell, whole))
    assert ours.training.config == theirs.training.config
    assert ours.training.progress.step == 25
    np.testing.assert_allclose(ours.params.flat, theirs.params.flat, rtol=1e-4, atol=1e-5)
