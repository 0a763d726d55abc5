"""Join the process group of a job."""

import os
from importlib.util import find_spec
from typing import TYPE_CHECKING

from charlm.checks import checked, real
from charlm.config import DEFAULT_RANK_TIMEOUT
from charlm.distributed import launcher
from charlm.distributed.process_group import SINGLE_PROCESS, SingleProcess
from charlm.distributed.watchdog import watched
from charlm.errors import RankError

if TYPE_CHECKING:
    from charlm.distributed.mpi_group import MPIGroup

SHARED = "/dev/shm"  # the folder of the shared memory of MPI on Linux
ROOM = 32 << 20  # bytes there with which MPICH starts; with less it may crash without a message
INSTALL = "install it with: pip install 'charlm[mpi]'"


@checked(timeout=real(0, bounds="[)"))
def join(timeout: float = DEFAULT_RANK_TIMEOUT) -> "SingleProcess | MPIGroup":
    """Return the process group that an MPI launcher started, or this process alone.

    A rank that waits for the others longer than `timeout` in this call prints one line and is
    killed, since MPI can then do nothing else. Signals to stop kill it too.

    Args:
        timeout: seconds to wait for other ranks, here and until `LostRankError` is raised; 0 for no
            limit.

    Raises:
        ConfigError: `timeout` is not a number of at least 0.
        RankError: a launcher started several processes, but they cannot form a group.
    """
    place = launcher.place()
    if place.size == 1:
        return SINGLE_PROCESS
    if not find_spec("mpi4py"):
        raise RankError(f"several processes were started, but mpi4py is not installed; {INSTALL}")
    _check_room()
    # if several ranks wait too long, the first one ends the others
    limit = timeout and timeout + min(place.rank, 10) / 2
    with watched(
        limit,
        f"charlm: {place}: the other ranks have not joined within {timeout:g} s; look for the "
        "reason in their messages, or raise the rank timeout",
    ):
        group = _group(timeout)
    if place.size not in (None, group.size):
        raise RankError(
            f"the launcher started {place.size} processes, but MPI connects {group.size}; start "
            "them with the mpiexec of the MPI that mpi4py uses, or unset variables of a launcher "
            "(PMI_*, OMPI_*)"
        )
    return group if group.size > 1 else SINGLE_PROCESS


def _check_room() -> None:
    """Check that MPI finds room for its shared memory, if that is known.

    Raises:
        RankError: there is none.
    """
    try:
        found = os.statvfs(SHARED)
    except (AttributeError, OSError):  # not Linux
        return
    free = found.f_bavail * found.f_frsize
    if free < ROOM:
        raise RankError(
            f"MPI needs about {ROOM >> 20} MB of shared memory in {SHARED}, but {free / 2**20:.1f} "
            "MB are free; remove what ended jobs have left there (mpich_shm_*), or give the "
            "container more"
        )


def _group(timeout: float) -> "MPIGroup":
    try:
        from charlm.distributed.mpi_group import MPIGroup
    except (ImportError, RuntimeError) as error:
        raise RankError(f"mpi4py cannot be imported: {error}; {INSTALL}") from error
    return MPIGroup(timeout)
