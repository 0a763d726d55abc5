"""What launchers set in the environment, what else it can contain, and ranks that cannot join."""

import math
import os
import sys
from types import SimpleNamespace

import pytest

from charlm.cli.app import run
from charlm.distributed import launcher
from charlm.distributed.join import join
from charlm.distributed.process_group import SINGLE_PROCESS
from charlm.errors import ConfigError, RankError
from tests.shell import Ended

TRIPPED = 77  # the exit code of a process that imported mpi4py


@pytest.fixture
def no_mpi(monkeypatch) -> pytest.MonkeyPatch:
    """No variables of a launcher, and mpi4py cannot be imported."""
    for names in (*launcher.VARIABLES, [launcher.PMIX_RANK, launcher.SLURM_SIZE]):
        for name in names:
            monkeypatch.delenv(name, raising=False)
    for module in ("mpi4py", "charlm.distributed.mpi_group"):
        monkeypatch.setitem(sys.modules, module, None)
    return monkeypatch


@pytest.mark.parametrize("size", [None, "PMI_SIZE", "OMPI_COMM_WORLD_SIZE"])
def test_one_process_needs_no_mpi(size, no_mpi):
    if size:
        no_mpi.setenv(size, "1")
        no_mpi.setenv("PMIX_RANK", "0")
    assert join() is SINGLE_PROCESS


def test_single_slurm_task_needs_no_mpi(no_mpi):
    no_mpi.setenv("PMIX_RANK", "0")
    no_mpi.setenv("SLURM_STEP_NUM_TASKS", "1")
    assert join() is SINGLE_PROCESS
    no_mpi.setenv("SLURM_STEP_NUM_TASKS", "2")
    with pytest.raises(RankError, match="mpi4py"):
        join()


@pytest.mark.parametrize("variable", ["PMI_SIZE", "OMPI_COMM_WORLD_SIZE", "PMIX_RANK"])
def test_several_processes_without_mpi4py_raise_rank_error(variable, no_mpi):
    no_mpi.setenv(variable, "2")
    with pytest.raises(RankError, match=r"pip install 'charlm\[mpi\]'"):
        join()


@pytest.mark.parametrize("command", [["train", "corpus.txt"], ["train", "--hidden", "abc"]])
@pytest.mark.parametrize(
    ("size", "rank"),
    [*launcher.VARIABLES, (launcher.SLURM_SIZE, launcher.PMIX_RANK), ("NO_SIZE", "PMIX_RANK")],
)
def test_each_rank_that_cannot_join_says_why(size, rank, command, no_mpi, capfd):
    no_mpi.setenv(size, "3")
    no_mpi.setattr(sys, "argv", ["charlm", *command])
    reason = "pip install 'charlm[mpi]'" if command[1] == "corpus.txt" else "--hidden must be"
    for number in "012":
        no_mpi.setenv(rank, number)
        with pytest.raises(SystemExit) as ended:
            run()
        assert ended.value.code == 1 + (command[1] == "--hidden")
        out, err = capfd.readouterr()
        (line,) = err.splitlines()
        of_size = "" if size == "NO_SIZE" else " of 3"
        assert line.startswith(f"charlm: rank {number}{of_size}: ")
        assert reason in line
        assert out == ""


@pytest.mark.parametrize("size", [None, "1"])
def test_usage_error_of_a_single_process_joins_nothing(size, no_mpi, capsys):
    if size:
        no_mpi.setenv("PMI_SIZE", size)
    no_mpi.setitem(sys.modules, "charlm.distributed.join", None)
    no_mpi.setattr(sys, "argv", ["charlm", "train", "--hidden", "abc"])
    assert run() == 2
    assert capsys.readouterr().err.startswith("charlm: --hidden must be ")


@pytest.mark.parametrize("command", ["eval missing.txt", "--version", "--help", "corpus list", ""])
def test_rank_0_alone_prints(command, no_mpi, capfd):
    no_mpi.setenv("PMI_SIZE", "2")
    no_mpi.setattr(sys, "argv", ["charlm", *command.split()])
    outputs = []
    for rank in "01":
        no_mpi.setenv("PMI_RANK", rank)
        run()
        outputs.append("".join(capfd.readouterr()))
    assert outputs[0]
    assert outputs[1] == ""


INVALID = ["abc", "-1", "1.5", " 1", "+1", "1e3", "²", "9" * 30, "9" * 5000, "2147483648", "nan"]


@pytest.mark.parametrize("value", INVALID)
@pytest.mark.parametrize(
    "variable",
    [
        *(name for names in launcher.VARIABLES for name in names),
        "PMIX_RANK",
        "SLURM_STEP_NUM_TASKS",
    ],
)
def test_variable_that_no_launcher_sets_is_one_line_of_any_command(variable, value, no_mpi, capsys):
    no_mpi.setenv(launcher.PMIX_RANK, "0")
    no_mpi.setenv(variable, value)
    with pytest.raises(RankError) as refused:
        join()
    message = str(refused.value)
    assert variable in message
    assert "unset it" in message
    assert len(message) < 300
    for command in (["train", "corpus.txt"], ["eval"], ["--help"]):
        no_mpi.setattr(sys, "argv", ["charlm", *command])
        assert run() == 1
        assert capsys.readouterr() == ("", f"charlm: {message}\n")


@pytest.mark.parametrize(("size", "rank"), [("1", "1"), ("", "5"), ("2", "2"), ("0", "0")])
@pytest.mark.parametrize("names", launcher.VARIABLES)
def test_rank_that_the_job_does_not_have_is_refused(names, size, rank, no_mpi):
    for name, value in zip(names, (size, rank), strict=True):
        no_mpi.setenv(name, value)
    with pytest.raises(RankError, match="must be an integer from"):
        join()


def test_empty_variables_are_not_set(no_mpi):
    for name in (*launcher.VARIABLES[0], *launcher.VARIABLES[1], "PMIX_RANK"):
        no_mpi.setenv(name, "")
    assert join() is SINGLE_PROCESS
    no_mpi.setenv("OMPI_COMM_WORLD_SIZE", "4")
    no_mpi.setenv("OMPI_COMM_WORLD_RANK", "3")
    assert launcher.place() == (3, 4)


@pytest.mark.parametrize("free", [0, 31 << 20])
def test_shared_memory_without_room_is_said_before_mpi_crashes(free, no_mpi):
    no_mpi.setenv("PMI_SIZE", "2")
    no_mpi.setattr("charlm.distributed.join.find_spec", lambda name: name)
    no_mpi.setattr("os.statvfs", lambda path: SimpleNamespace(f_bavail=free >> 12, f_frsize=4096))
    with pytest.raises(RankError, match=rf"/dev/shm, but {free >> 20}\.0 MB are free; remove"):
        join()


@pytest.mark.parametrize("refused", [FileNotFoundError, PermissionError])
def test_unknown_room_for_shared_memory_is_left_to_mpi(refused, no_mpi):
    def refuse(path: str) -> None:
        raise refused

    no_mpi.setenv("PMI_SIZE", "2")
    no_mpi.setattr("charlm.distributed.join.find_spec", lambda name: name)
    no_mpi.setattr("os.statvfs", refuse)
    with pytest.raises(RankError, match=r"mpi4py cannot be imported: .*; install it"):
        join()


@pytest.mark.parametrize("timeout", [-1, math.nan, math.inf, "60", None, True])
def test_invalid_timeout_is_rejected(timeout, no_mpi):
    with pytest.raises(ConfigError, match="timeout must be a number of at least 0"):
        join(timeout)


@pytest.fixture
def tripwire(tmp_path) -> str:
    """A folder with an mpi4py that ends any process that imports it."""
    (tmp_path / "wire").mkdir()
    (tmp_path / "wire/mpi4py.py").write_text(f"import os\nos._exit({TRIPPED})\n")
    return str(tmp_path / "wire")


def test_training_on_one_process_does_not_import_mpi4py(charlm, tripwire):
    charlm.environment["PYTHONPATH"] += os.pathsep + tripwire
    train = ("train", "corpus.txt", "--quiet", "--threads", 2)
    assert charlm(*train, variables={"PMI_SIZE": "2"}).code == TRIPPED
    assert charlm(*train) == Ended(0, "", "")
