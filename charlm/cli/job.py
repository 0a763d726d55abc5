"""How several processes that mpiexec started begin together, and end together."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import typer

from charlm import launcher
from charlm.cli.console import print_error
from charlm.errors import RankError

if TYPE_CHECKING:
    from charlm.ranks import Ranks

TOGETHER = 1.0  # seconds within which all processes fail, if they do so for the same reason


class SaidByAnother(Exception):  # noqa: N818
    """All processes failed alike, and rank 0 says why."""


@contextmanager
def job(timeout: float) -> Iterator["Ranks"]:
    """The processes of this job, most often this one alone.

    What fails on all of them is raised on rank 0 and is a `SaidByAnother` on the others; what
    fails on one of them is said there, and ends all.

    Args:
        timeout: seconds after which a process that does not answer ends the job; 0: never.

    Raises:
        RankError: several processes were started, but cannot work together.
    """
    from charlm.ranks import ALONE, join

    try:
        ranks = join(timeout)
    except RankError as error:
        raise (SaidByAnother if launcher.rank() else RankError)(str(error)) from error
    try:
        yield ranks
    except typer.Exit:  # of all alike
        raise
    except Exception as error:
        if ranks is not ALONE:
            _end_together(ranks, error)
        raise


def _end_together(ranks: "Ranks", error: Exception) -> None:
    from charlm.cli.app import code_of, message_of
    from charlm.mpi import MPIRanks

    assert isinstance(ranks, MPIRanks)
    if not isinstance(error, RankError) and ranks.all_come(TOGETHER):
        if ranks.rank:
            raise SaidByAnother from error
        return
    print_error(f"rank {ranks.rank} of {ranks.size}: {message_of(error)}")
    ranks.abort(code_of(error))
