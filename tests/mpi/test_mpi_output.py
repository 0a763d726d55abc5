"""Of several ranks one speaks, and says what a single process would say."""

import pytest

from tests.mpi.jobs import SMALL, mpiexec, shell_in, start
from tests.shell import TEXT, Ended, Shell, end


@pytest.fixture(scope="module")
def shell(tmp_path_factory) -> Shell:
    """A folder with a finished run."""
    shell = shell_in(tmp_path_factory.mktemp("output"))
    assert shell(*SMALL).code == 0
    return shell


TRAIN = [*SMALL, "--force"]
IN_WORDS = [argument for argument in TRAIN if argument != "--json"]


def test_each_record_is_printed_and_kept_once(shell):
    ended = mpiexec(shell, 3, *TRAIN, "--shards", 3)
    assert (ended.code, ended.err) == (0, "")
    assert ended.records == shell.history("run")
    assert [r["step"] for r in ended.records if r["event"] == "step"] == list(range(1, 26))


def test_a_summary_is_printed_once(shell):
    ended = mpiexec(shell, 3, *IN_WORDS, "--shards", 3)
    assert (ended.code, ended.out) == (0, "")
    assert ended.err.count("held-out perplexity") == 1
    assert ended.err.count("\n") == shell(*IN_WORDS, "--shards", 3).err.count("\n")


def test_quiet_ranks_print_nothing(shell):
    assert mpiexec(shell, 3, *IN_WORDS, "--quiet") == Ended(0, "", "")


REFUSED = {
    "no such text": (1, ["train", "nothing.txt"]),
    "taken directory": (1, SMALL),
    "bad value": (2, [*TRAIN, "--hidden", 0]),
    "bad budget": (2, [*TRAIN, "--epochs", 1]),
    "contradiction": (1, ["train", "--resume", "--lr", 7, "--out", "run"]),
    "divergence": (3, [*IN_WORDS, "--quiet", "--lr", 1e30, "--clip", 0]),
}


@pytest.mark.parametrize("refused", REFUSED)
def test_an_error_is_the_one_line_of_a_single_process(refused, shell):
    code, command = REFUSED[refused]
    alone = shell(*command)
    assert (alone.code, len(alone.err.splitlines())) == (code, 1)
    assert mpiexec(shell, 3, *command) == alone


def test_a_call_without_a_text_is_that_of_a_single_process(shell):
    ended = mpiexec(shell, 3, "train")
    assert ended.code == 2
    assert ended == shell("train")


def test_standard_input_is_refused(shell):
    ended = end(start(shell, 2, "train", "-"), TEXT)
    assert "name a file" in ended.refusal
