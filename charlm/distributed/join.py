"""Join the process group of a job."""

from importlib.util import find_spec
from typing import TYPE_CHECKING

from charlm.checks import checked, real
from charlm.config import DEFAULT_RANK_TIMEOUT
from charlm.distributed import launcher
from charlm.distributed.process_group import SINGLE_PROCESS, SingleProcess
from charlm.errors import RankError

if TYPE_CHECKING:
    from charlm.distributed.mpi_group import MPIGroup


@checked(timeout=real(0, bounds="[)"))
def join(timeout: float = DEFAULT_RANK_TIMEOUT) -> "SingleProcess | MPIGroup":
    """Return the process group that an MPI launcher started, or this process alone.

    Args:
        timeout: seconds to wait for other ranks before `LostRankError` is raised; 0 for no limit.

    Raises:
        ConfigError: `timeout` is not a number of at least 0.
        RankError: a launcher started several processes, but mpi4py is not installed.
    """
    if not launcher.is_one_of_several():
        return SINGLE_PROCESS
    if not find_spec("mpi4py"):
        raise RankError(
            "several processes were started, but mpi4py is not installed; install it with: "
            "pip install 'charlm[mpi]'"
        )
    from charlm.distributed.mpi_group import MPIGroup

    group = MPIGroup(timeout)
    return group if group.size > 1 else SINGLE_PROCESS
