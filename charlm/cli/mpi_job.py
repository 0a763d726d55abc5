"""How several processes that mpiexec started begin together, and end together."""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import typer

from charlm.cli.console import print_error
from charlm.cli.failures import SaidByAnother, code_of, message_of
from charlm.cli.guardian import Guardian
from charlm.distributed import launcher
from charlm.errors import LostRankError, RankError

if TYPE_CHECKING:
    from charlm.distributed.mpi_group import MPIGroup
    from charlm.distributed.process_group import ProcessGroup

KILLED = "charlm: the processes were killed, perhaps for want of memory"

TOGETHER = 3.0  # seconds within which all processes fail, if they do so for the same reason


@contextmanager
def job(timeout: float) -> Iterator["tuple[ProcessGroup, Callable[[str], object]]"]:
    """The processes of this job, most often this one alone.

    What fails on all of them is raised on rank 0 and is a `SaidByAnother` on the others; what
    fails on one of them is said in one line, and ends all.

    Args:
        timeout: seconds after which a process that does not answer ends the job; 0: never.

    Yields:
        The processes; and what to call with the command that goes on with the run, for a line
        that is said if they are killed.

    Raises:
        RankError: several processes were started, but cannot work together.
    """
    from charlm.distributed.join import join
    from charlm.distributed.process_group import SingleProcess

    try:
        group = join(timeout)
    except RankError as error:
        raise (SaidByAnother if launcher.rank() else RankError)(str(error)) from error
    if isinstance(group, SingleProcess):
        yield group, lambda command: None
        return
    guardian = Guardian(KILLED) if group.rank == 0 else None

    def tell(command: str) -> None:
        if guardian:
            guardian.will_say(f"{KILLED}; go on with: {command}")

    try:
        yield group, tell
    except typer.Exit:  # of all alike
        raise
    except SystemExit as end:  # as signals end the command
        if guardian:
            guardian.dismiss()
        # requests are under way to memory that must not go before them
        group.abort(end.code if isinstance(end.code, int) else 1)
    except Exception as error:
        _end_together(group, error, guardian)
        raise
    finally:
        if guardian:
            guardian.dismiss()


def _end_together(group: "MPIGroup", error: Exception, guardian: Guardian | None) -> None:
    """Return, or raise `SaidByAnother`, if all have failed alike; else end them all."""
    message = message_of(error)
    if not isinstance(error, LostRankError):
        if group.all_come(TOGETHER):
            if group.rank:
                raise SaidByAnother from error
            return
        message = f"rank {group.rank} of {group.size}: {message}"
        group.report(message)
    sys.stderr = sys.__stderr__
    print_error(message)
    if guardian:
        guardian.dismiss()
    group.abort(code_of(error))
