"""What mpiexec and its like tell the processes that they start, in variables."""

import os

# How many processes there are, and which of them this one is: MPICH and Intel MPI, Open MPI.
VARIABLES = (("PMI_SIZE", "PMI_RANK"), ("OMPI_COMM_WORLD_SIZE", "OMPI_COMM_WORLD_RANK"))
PMIX_RANK = "PMIX_RANK"  # all that PMIx tells; Slurm, if it is Slurm's, tells the rest
SLURM_SIZE = "SLURM_STEP_NUM_TASKS"


def is_one_of_several() -> bool:
    """Whether this process may be one of several that are to work together."""
    sizes = [os.environ[size] for size, _ in VARIABLES if size in os.environ]
    if not sizes and PMIX_RANK in os.environ:
        sizes = [os.environ.get(SLURM_SIZE, "unknown")]
    return any(size != "1" for size in sizes)


def rank() -> int:
    """Which of them it is; 0 if it is the only one."""
    names = [*(rank for _, rank in VARIABLES), PMIX_RANK]
    return next((int(os.environ[name]) for name in names if name in os.environ), 0)
