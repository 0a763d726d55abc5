"""How a job ends in which some ranks do not join the others, or join them with other options."""

import signal
import time

import pytest

from tests.mpi.jobs import FOUR, HERE, mpiexec, shell_in, start
from tests.shell import Ended, Shell, end, overridden

RANKS = 3


@pytest.fixture(scope="module")
def shell(tmp_path_factory) -> Shell:
    return shell_in(tmp_path_factory.mktemp("start"))


def ended_without(shell: Shell, what: str, rank: int, *arguments: object) -> Ended:
    """Run a job in which one rank lacks something."""
    program = (HERE / "rank_without.py", what, rank)
    ended = end(start(shell, RANKS, *arguments, program=program))
    assert not (shell.folder / "run").exists()
    return ended


def check_one_line(ended: Ended, code: int, rank: int, words: str) -> None:
    assert (ended.code, ended.out) == (code, "")
    (line,) = ended.err.splitlines()
    assert line.startswith(f"charlm: rank {rank} of {RANKS}: {words}")


INVALID = {  # all of these are found before the ranks meet
    "--hidden abc": "--hidden must be an integer",
    "--hiden 8": "unknown option --hiden",
    "--steps": "--steps must be",
    "--epochs 1": "--steps and --epochs cannot be combined",
    "--resume --force": "--resume and --force cannot be combined",
}


@pytest.mark.parametrize(
    ("options", "rank"), [*((options, 1) for options in INVALID), ("--hidden abc", 0)]
)
def test_invalid_option_on_one_rank_ends_the_job_in_one_line(options, rank, shell):
    ended = ended_without(shell, options, rank, *FOUR)
    check_one_line(ended, 2, rank, INVALID[options])


DIFFERENT = {
    "--hidden 9": "--hidden is 8 on rank 0, but 9 on rank 1",
    "--lr 0.5": "--lr is none on rank 0, but 0.5 on rank 1",
    "--errors skip": "--errors is strict on rank 0, but skip on rank 1",
    "--out elsewhere": "--out is run on rank 0, but elsewhere on rank 1",
    "--resume": "--resume is False on rank 0, but True on rank 1",
    "--any-order": "--in-order is True on rank 0, but False on rank 1",
    "-- other.txt": "CORPUS is corpus.txt on rank 0, but corpus.txt, other.txt on rank 1",
}


@pytest.mark.parametrize("options", DIFFERENT)
def test_option_that_differs_is_one_line_with_both_values(options, shell):
    ended = ended_without(shell, options, 1, *FOUR)
    assert ended.code == 1
    assert ended.refusal.startswith(f"charlm: {DIFFERENT[options]}; start all ranks with ")


def test_ranks_may_have_other_threads_and_timeouts(shell):
    options = "--threads 1 --rank-timeout 50 --quiet"
    program = (HERE / "rank_without.py", options, 1)
    ended = end(start(shell, RANKS, *overridden(FOUR, "--out", "agreed"), program=program))
    assert (ended.code, ended.err) == (0, "")


@pytest.mark.parametrize(("module", "rank"), [("mpi4py", 2), ("numpy", 1), ("typer", 0)])
def test_rank_without_a_module_says_so_and_the_others_do_not_wait_for_ever(module, rank, shell):
    ended = ended_without(shell, module, rank, *FOUR, "--rank-timeout", 2)
    assert ended.code != 0
    its, others = ended.err.splitlines()
    assert its.startswith("charlm: " if module == "typer" else f"charlm: rank {rank} of {RANKS}: ")
    assert module in its
    waiting = min({0, 1, 2} - {rank})
    words = "the other ranks have not joined within 2 s"
    assert others.startswith(f"charlm: rank {waiting} of {RANKS}: {words}")


@pytest.mark.parametrize("name", ["SIGTERM", "SIGINT"])
def test_signal_ends_ranks_that_wait_for_others(name, shell):
    job = start(shell, RANKS, *FOUR, program=(HERE / "rank_without.py", "time", 1))
    time.sleep(2)
    assert job.poll() is None
    started = time.monotonic()
    job.send_signal(getattr(signal, name))
    ended = end(job)
    assert ended.code != 0
    assert ended.err == ""
    assert time.monotonic() - started < 15


def test_wrong_command_is_the_line_of_a_single_process(shell):
    assert mpiexec(shell, RANKS, "trian", "corpus.txt") == shell("trian", "corpus.txt")
