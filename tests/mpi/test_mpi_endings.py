"""However a job ends, one line says so, and the run goes on, with any number of ranks."""

import shlex
import signal
import subprocess
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from charlm.training.checkpoint import load
from tests.mpi.jobs import FOUR, HERE, left_by, mpiexec, shell_in, start
from tests.shell import SECONDS, Ended, Shell, end

OPTIONS = [*FOUR, "--layers", 2, "--dropout", 0.3]
RESUME = ["train", "--resume", "--out", "run"]
GO_ON = "; go on with: charlm "


@pytest.fixture
def shell(tmp_path) -> Shell:
    return shell_in(tmp_path)


@pytest.fixture(scope="module")
def unbroken(tmp_path_factory) -> dict[str, Any]:
    """What a run leaves behind that nothing stopped."""
    shell = shell_in(tmp_path_factory.mktemp("unbroken"))
    assert shell(*OPTIONS, "--threads", 1).code == 0
    return left_by(shell.folder / "run")


def start_troubled(
    shell: Shell, group: int, trouble: str, rank: int, step: int, *arguments: object
) -> subprocess.Popen[str]:
    """A job of which one rank gets into trouble."""
    program = (HERE / "troubled.py", trouble, rank, step)
    return start(shell, group, *arguments, program=program)


def wait_for(file: Path) -> None:
    """Wait until a file is there, and remove it."""
    until = time.monotonic() + SECONDS
    while not file.exists():
        assert time.monotonic() < until
        time.sleep(0.01)
    file.unlink()


def stopped(shell: Shell, group: int, step: int, number: int, *arguments: object) -> Ended:
    """A job that a signal to mpiexec stops in the step after so many."""
    job = start_troubled(shell, group, "wait", group - 1, step, *arguments)
    try:
        wait_for(shell.folder / "waiting")
        job.send_signal(number)
        return end(job)
    finally:
        job.kill()


def test_run_goes_on_with_any_number_of_ranks_or_threads(shell, unbroken):
    command, begun = OPTIONS, 0
    for group, done, name in [(2, 6, "SIGTERM"), (4, 13, "SIGINT"), (1, 20, "SIGTERM")]:
        number = getattr(signal, name)
        ended = stopped(shell, group, done - 1, number, *command)
        assert ended.code == 128 + number
        *before, last = ended.err.splitlines()
        assert before == [f"going on with run after step {begun}"] * (begun > 0)
        note, _, command = last.partition(GO_ON)
        assert note == f"saved after step {done}"
        command, begun = [*shlex.split(command), "--json"], done
    assert shell(*command, "--threads", 2).code == 0
    assert left_by(shell.folder / "run") == unbroken


def test_signal_to_one_rank_stops_all(shell, unbroken):
    ended = end(start_troubled(shell, 3, "ask", 1, 6, *OPTIONS))
    assert ended.code == 143
    assert ended.err == f"saved after step 7{GO_ON}train --resume --out run\n"
    assert mpiexec(shell, 3, *RESUME).code == 0
    assert left_by(shell.folder / "run") == unbroken


KILLED = "charlm: the processes were killed"
TROUBLES = [
    ("fail", 0, 0, "charlm: rank 0 of 2: there is not enough memory (no room)"),
    ("fail", 1, 0, "charlm: rank 1 of 2: there is not enough memory (no room)"),
    ("freeze", 0, 5, "charlm: rank 0 has not answered for "),
    ("freeze", 1, 5, "charlm: rank 1 has not answered for "),
    ("die", 0, 0, KILLED),
    ("die", 1, 0, KILLED),
]


@pytest.mark.parametrize(("trouble", "rank", "timeout", "words"), TROUBLES)
def test_trouble_of_one_rank_ends_the_job_and_the_run_goes_on(
    trouble, rank, timeout, words, shell, unbroken
):
    options = [*OPTIONS, "--rank-timeout", timeout]
    ended = end(start_troubled(shell, 2, trouble, rank, 10, *options))
    assert ended.code != 0
    assert "Traceback" not in ended.err
    (line,) = [each for each in ended.err.splitlines() if each.startswith("charlm: ")]
    assert line.startswith(words)
    assert line.endswith(GO_ON + " ".join(RESUME)) or (trouble, rank) == ("fail", 0)
    assert load(shell.folder / "run/last.npz").training.progress.step == 8
    assert mpiexec(shell, 2, *RESUME).code == 0
    assert left_by(shell.folder / "run") == unbroken


def test_weights_that_differ_end_the_job_in_one_line(shell):
    ended = end(start_troubled(shell, 3, "stray", 2, 5, *OPTIONS))
    assert ended.code == 1
    (line,) = ended.err.splitlines()
    assert line.startswith("charlm: the weights of rank 2 are not those of rank 0")
    assert line.endswith(GO_ON + " ".join(RESUME))


def test_run_whose_order_is_any_goes_on_to_the_same_end_but_for_rounding(shell, tmp_path_factory):
    whole = shell_in(tmp_path_factory.mktemp("whole"))
    options = [*FOUR, "--any-order", "--optimizer", "sgd", "--lr", 0.3]
    assert mpiexec(whole, 3, *options).code == 0
    assert stopped(shell, 3, 9, signal.SIGTERM, *options).code == 143
    assert mpiexec(shell, 3, *RESUME).code == 0
    ours, theirs = (load(each.folder / "run/last.npz") for each in (shell, whole))
    assert ours.training.config == theirs.training.config
    assert ours.training.progress.step == 25
    np.testing.assert_allclose(ours.params.flat, theirs.params.flat, rtol=1e-4, atol=1e-5)
