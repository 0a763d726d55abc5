"""What each rank reads and is told, and that ranks share the work of scoring."""

import pytest

from tests.mpi.jobs import on_all, shell_in
from tests.shell import TEXT

STREAMS, LENGTH = 10, round(0.9 * len(TEXT)) // 10


@pytest.fixture
def shell(tmp_path):
    return shell_in(tmp_path)


@pytest.mark.parametrize("ranks", [1, 3, 4])
def test_each_rank_reads_its_own_streams(group, shell):
    places = [
        {place for start, stop in each for place in range(start, stop)}
        for each in on_all(shell, group, "reads")
    ]
    assert set().union(*places) == set(range(STREAMS * LENGTH + 1))
    # the last target of a stream is the first character of the next one
    assert sum(map(len, places)) == STREAMS * LENGTH + group
    assert all(len(each) % LENGTH == 1 for each in places)


@pytest.mark.parametrize(("streams", "forgets"), [(1, "yes"), (1, "no"), (32, "yes")])
def test_scoring_is_shared_and_its_result_does_not_depend_on_the_ranks(streams, forgets, shell):
    (alone,) = on_all(shell, 1, "scores", streams, forgets)
    *expected, characters = alone
    assert (alone[3] > 0) == (forgets == "no")
    for group in (3, 5):  # who divide the work unevenly, or have too little
        each = on_all(shell, group, "scores", streams, forgets)
        assert [result for *result, _ in each] == [expected] * group
        read = [read for *_, read in each]
        assert max(read) < characters <= sum(read)


def test_ranks_tell_each_other_what_they_have_and_take_turns(shell):
    each = on_all(shell, 3, "agrees")
    for told, first, turns in each:
        assert (told, first) == (["", "ab", "abab"], 0)
        assert (turns[0], sorted(turns)) == ("0", ["0", "1", "2"])


def test_first_of_each_machine_takes_its_turn_before_the_others_there(shell):
    shell.environment["MPIR_CVAR_ODD_EVEN_CLIQUES"] = "1"  # two machines, as far as MPICH knows
    for _, _, turns in on_all(shell, 4, "agrees"):
        assert turns[:2] == ["0", "1"]
        assert sorted(turns[2:]) == ["2", "3"]


def test_rank_that_has_worked_waits_for_one_that_has_more_to_do(shell):
    assert on_all(shell, 2, "waits") == [True] * 2


@pytest.mark.parametrize(("which", "raised"), [("0", ["rank 0"] * 2), ("21", ["rank 1"]), ("", [])])
def test_what_one_raises_all_raise(which, raised, shell):
    assert on_all(shell, 3, "raises", which) == [raised] * 3
