"""The ranks of a job, and how an error on one or all of them ends it."""

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import typer

from charlm.cli.console import print_error
from charlm.cli.failures import FAILED, code_of, message_of
from charlm.errors import LostRankError

if TYPE_CHECKING:
    from charlm.distributed.process_group import ProcessGroup

ALL_FAIL_WITHIN = 3.0  # seconds in which all ranks fail if they fail for the same reason


@contextmanager
def job(rank_timeout: float) -> Iterator["ProcessGroup"]:
    """Yield the ranks of this job; without an MPI launcher, this process alone.

    An error that all ranks raise passes through; `app` prints it on rank 0 only. An error on some
    ranks is printed by one of these and aborts the job. If a rank is killed, mpiexec reports it.

    Args:
        rank_timeout: seconds that a rank waits for the others before it aborts the job; 0 for no
            limit.

    Raises:
        RankError: several processes were started, but cannot form a group.
    """
    from charlm.distributed.join import join
    from charlm.distributed.process_group import SingleProcess

    group = join(rank_timeout)
    if isinstance(group, SingleProcess):
        yield group
        return
    try:
        yield group
    except typer.Exit:  # on all ranks
        raise
    except SystemExit as end:
        # a signal: pending requests use memory that must stay until all ranks have ended
        group.abort(end.code if isinstance(end.code, int) else FAILED)
    except Exception as error:
        if not isinstance(error, LostRankError) and group.barrier(ALL_FAIL_WITHIN):
            raise
        time.sleep(min(group.rank, 10) / 2)  # if several ranks fail, the first one ends the others
        sys.stderr = sys.__stderr__
        print_error(f"rank {group.rank} of {group.size}: {message_of(error)}")
        group.abort(code_of(error))
