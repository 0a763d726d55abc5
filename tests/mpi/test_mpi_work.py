"""What each rank reads, the collectives, and scoring shared by ranks."""

import pytest

from tests.mpi.jobs import on_all, shell_in
from tests.shell import TEXT

STREAMS, LENGTH = 10, round(0.9 * len(TEXT)) // 10


@pytest.fixture
def shell(tmp_path):
    return shell_in(tmp_path)


@pytest.mark.parametrize("ranks", [1, 3, 4])
def test_each_rank_reads_its_own_streams(ranks, shell):
    indices = [
        {index for start, stop in each for index in range(start, stop)}
        for each in on_all(shell, ranks, "reads")
    ]
    assert set().union(*indices) == set(range(STREAMS * LENGTH + 1))
    # the last target of a stream is the first character of the next one
    assert sum(map(len, indices)) == STREAMS * LENGTH + ranks
    assert all(len(each) % LENGTH == 1 for each in indices)


@pytest.mark.parametrize(("streams", "warm_up"), [(1, 1024), (1, 1), (32, 1024)])
def test_score_does_not_depend_on_the_ranks_that_share_the_work(streams, warm_up, shell):
    (alone,) = on_all(shell, 1, "scores", streams, warm_up)
    *expected, characters = alone
    assert (alone[3] > 0) == (warm_up == 1)
    for ranks in (3, 5):  # with uneven work, and more ranks than work
        each = on_all(shell, ranks, "scores", streams, warm_up)
        assert [result for *result, _ in each] == [expected] * ranks
        read = [read for *_, read in each]
        assert max(read) < characters <= sum(read)


def test_all_gather_broadcast_and_turns(shell):
    each = on_all(shell, 3, "collectives")
    for gathered, first, turns in each:
        assert (gathered, first) == (["", "ab", "abab"], 0)
        assert (turns[0], sorted(turns)) == ("0", ["0", "1", "2"])


def test_first_rank_of_each_machine_has_its_turn_before_the_others(shell):
    shell.environment["MPIR_CVAR_ODD_EVEN_CLIQUES"] = "1"  # MPICH then reports two machines
    for _, _, turns in on_all(shell, 4, "collectives"):
        assert turns[:2] == ["0", "1"]
        assert sorted(turns[2:]) == ["2", "3"]


def test_rank_that_has_worked_waits_past_the_time_limit(shell):
    assert on_all(shell, 2, "waits") == [True] * 2


@pytest.mark.parametrize(
    ("failing", "raised"), [("0", ["rank 0"] * 2), ("21", ["rank 1"]), ("", [])]
)
def test_error_of_one_rank_is_raised_on_all(failing, raised, shell):
    assert on_all(shell, 3, "raises", failing) == [raised] * 3
