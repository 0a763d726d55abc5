"""The environment variables that MPI launchers such as mpiexec set for each process."""

import os
import reprlib
from typing import NamedTuple

from charlm.errors import RankError

# The number of processes and the rank of this one: MPICH and Intel MPI, Open MPI.
VARIABLES = (("PMI_SIZE", "PMI_RANK"), ("OMPI_COMM_WORLD_SIZE", "OMPI_COMM_WORLD_RANK"))
PMIX_RANK = "PMIX_RANK"  # PMIx sets no size; Slurm has its own variable for it
SLURM_SIZE = "SLURM_STEP_NUM_TASKS"

MOST = 2**31 - 1  # ranks, which MPI counts in a C int


class Place(NamedTuple):
    """The rank of this process, and the number of ranks; None if the launcher does not say it."""

    rank: int
    size: int | None

    def __str__(self) -> str:
        return f"rank {self.rank}" + f" of {self.size}" * (self.size is not None)


ALONE = Place(0, 1)


def place() -> Place:
    """Return the place of this process in its job; without a launcher it is alone.

    Raises:
        RankError: a variable has a value that no launcher sets.
    """
    for size_name, rank_name in VARIABLES:
        if os.environ.get(size_name) or os.environ.get(rank_name):
            size = _number(size_name, 1, MOST, default=1)
            return Place(_number(rank_name, 0, size - 1, default=0), size)
    if os.environ.get(PMIX_RANK):
        known = _number(SLURM_SIZE, 1, MOST, default=MOST)
        rank = _number(PMIX_RANK, 0, known - 1, default=0)
        return Place(rank, None if known == MOST else known)
    return ALONE


def _number(name: str, least: int, most: int, *, default: int) -> int:
    """The value of a variable; the default if it is not set, or empty."""
    text = os.environ.get(name, "")
    if not text:
        return default
    is_number = text.isascii() and text.isdecimal() and len(text) <= len(str(MOST))
    if not (is_number and least <= int(text) <= most):
        raise RankError(
            f"the environment variable {name} must be an integer from {least} to {most}, got "
            f"{reprlib.repr(text)}; unset it, or start the job with mpiexec, which sets it"
        )
    return int(text)
