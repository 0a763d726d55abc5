"""Rank 0 alone prints, and it prints what a single process prints."""

import pytest

from tests.mpi.jobs import SMALL, mpiexec, shell_in, start
from tests.shell import TEXT, Ended, Shell, end, overridden


@pytest.fixture(scope="module")
def shell(tmp_path_factory) -> Shell:
    """A folder with a finished run."""
    shell = shell_in(tmp_path_factory.mktemp("output"))
    assert shell(*SMALL).code == 0
    return shell


TRAIN = [*SMALL, "--force"]
WITHOUT_JSON = [argument for argument in TRAIN if argument != "--json"]


def test_each_record_is_printed_and_stored_once(shell):
    ended = mpiexec(shell, 3, *TRAIN, "--shards", 3)
    assert (ended.code, ended.err) == (0, "")
    assert ended.records == shell.history("run")
    assert [r["step"] for r in ended.records if r["event"] == "step"] == list(range(1, 26))


def test_summary_is_printed_once(shell):
    ended = mpiexec(shell, 3, *WITHOUT_JSON, "--shards", 3)
    assert (ended.code, ended.out) == (0, "")
    assert ended.err.count("held-out perplexity") == 1
    assert ended.err.count("\n") == shell(*WITHOUT_JSON, "--shards", 3).err.count("\n")


def test_quiet_ranks_print_nothing(shell):
    assert mpiexec(shell, 3, *WITHOUT_JSON, "--quiet") == Ended(0, "", "")


ERRORS = {
    "missing corpus": (1, ["train", "nothing.txt"]),
    "existing run": (1, SMALL),
    "bad value": (2, overridden(TRAIN, "--hidden", 0)),
    "bad budget": (2, [*TRAIN, "--epochs", 1]),
    "contradiction": (1, ["train", "--resume", "--lr", 7, "--out", "run"]),
    "divergence": (3, [*WITHOUT_JSON, "--quiet", "--lr", 1e30, "--clip", 0]),
}


@pytest.mark.parametrize("error", ERRORS)
def test_error_on_all_ranks_is_the_one_line_of_a_single_process(error, shell):
    code, command = ERRORS[error]
    alone = shell(*command)
    assert (alone.code, len(alone.err.splitlines())) == (code, 1)
    assert mpiexec(shell, 3, *command) == alone


def test_missing_corpus_is_the_usage_error_of_a_single_process(shell):
    ended = mpiexec(shell, 3, "train")
    assert ended.code == 2
    assert ended == shell("train")


def test_standard_input_is_an_error(shell):
    ended = end(start(shell, 2, "train", "-"), TEXT)
    assert "specify a file" in ended.refusal


@pytest.mark.parametrize("command", [("eval", "-m", "run", "--json"), ("train",)])
@pytest.mark.parametrize("text", ["", TEXT[:200]])
def test_piped_text_counts_on_rank_0(command, text, shell):
    ended = end(start(shell, 2, *command), text)
    if command == ("train",) and text:
        assert "specify a file" in ended.refusal
    else:
        assert ended == shell(*command, stdin=text)
