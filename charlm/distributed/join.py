"""Joining the process group of a job."""

from importlib.util import find_spec
from typing import TYPE_CHECKING

from charlm.distributed import launcher
from charlm.distributed.process_group import SINGLE_PROCESS, SingleProcess
from charlm.errors import RankError

if TYPE_CHECKING:
    from charlm.distributed.mpi_group import MPIGroup


def join(timeout: float = 60.0) -> "SingleProcess | MPIGroup":
    """The processes of this job, if mpiexec or the like started several; else this one alone.

    Args:
        timeout: seconds after which a process that does not answer counts as gone; 0 waits for
            ever.

    Raises:
        RankError: there are several, but no mpi4py.
    """
    if not launcher.is_one_of_several():
        return SINGLE_PROCESS
    if not find_spec("mpi4py"):
        raise RankError(
            "several processes were started, but they need mpi4py to work together: pip install "
            "'charlm[mpi]'"
        )
    from charlm.distributed.mpi_group import MPIGroup

    group = MPIGroup(timeout)
    return group if group.size > 1 else SINGLE_PROCESS
