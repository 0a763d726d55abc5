"""The ranks of a job, and how an error on one or all of them ends it."""

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import typer

from charlm.cli.console import print_error
from charlm.cli.failures import FAILED, code_of, message_of
from charlm.cli.parsing import running
from charlm.cli.standard_streams import set_up_streams
from charlm.config import DEFAULT_RANK_TIMEOUT
from charlm.distributed import launcher
from charlm.errors import LostRankError

if TYPE_CHECKING:
    from charlm.distributed.mpi_group import MPIGroup
    from charlm.distributed.process_group import ProcessGroup, SingleProcess

ALL_FAIL_WITHIN = 3.0  # seconds in which all ranks fail if they fail for the same reason
JOINING = ("charlm", "charlm train")  # commands that need all ranks, and one that is not known

_has_met = False  # whether this process has tried to join the others


@contextmanager
def job(rank_timeout: float) -> Iterator["ProcessGroup"]:
    """Yield the ranks of this job; without an MPI launcher, this process alone.

    An error that all ranks raise passes through; `app` prints it on rank 0 only. An error on some
    ranks is printed by one of these and aborts the job. A rank that cannot join the others prints
    why, and ends. If a rank is killed, mpiexec reports it.

    Args:
        rank_timeout: seconds that a rank waits for the others before it aborts the job; 0 for no
            limit.
    """
    group = _meet(rank_timeout)
    with _shared_errors(group):
        yield group


@contextmanager
def errors_before_job() -> Iterator[None]:
    """Handle an error before `job` as one in it: the other ranks may wait there for this one."""
    global _has_met
    _has_met = False
    try:
        yield
    except Exception as error:
        command = running()
        needs_others = command is not None and command.path in JOINING
        if _has_met or not needs_others or launcher.place() == launcher.ALONE:
            raise
        with _shared_errors(_meet(DEFAULT_RANK_TIMEOUT, error)):
            raise


def _meet(rank_timeout: float, failed: Exception | None = None) -> "SingleProcess | MPIGroup":
    """Join the other ranks, or say why that is not possible: by the error that preceded it."""
    global _has_met
    _has_met = True
    try:
        from charlm.distributed.join import join

        return join(rank_timeout)
    except Exception as error:
        place = launcher.place()
        if place == launcher.ALONE:
            raise
        _print_on_rank(str(place), failed or error)
        raise SystemExit(code_of(failed or error)) from error


@contextmanager
def _shared_errors(group: "SingleProcess | MPIGroup") -> Iterator[None]:
    """End the job after an error, unless all ranks raise one."""
    from charlm.distributed.process_group import SingleProcess

    if isinstance(group, SingleProcess):
        yield
        return
    try:
        yield
    except typer.Exit:  # on all ranks
        raise
    except SystemExit as end:
        # a signal: pending requests use memory that must stay until all ranks have ended
        group.abort(end.code if isinstance(end.code, int) else FAILED)
    except Exception as error:
        if not isinstance(error, LostRankError) and group.barrier(ALL_FAIL_WITHIN):
            raise
        time.sleep(min(group.rank, 10) / 2)  # if several ranks fail, the first one ends the others
        _print_on_rank(f"rank {group.rank} of {group.size}", error)
        group.abort(code_of(error))


def _print_on_rank(rank: str, error: Exception) -> None:
    """Print an error, on any rank."""
    sys.stderr = sys.__stderr__  # None if it is closed
    set_up_streams()
    print_error(f"{rank}: {message_of(error)}")
