"""The environment variables that MPI launchers such as mpiexec set for each process."""

import os

# The number of processes and the rank of this one: MPICH and Intel MPI, Open MPI.
VARIABLES = (("PMI_SIZE", "PMI_RANK"), ("OMPI_COMM_WORLD_SIZE", "OMPI_COMM_WORLD_RANK"))
PMIX_RANK = "PMIX_RANK"  # PMIx sets no size; Slurm has its own variable for it
SLURM_SIZE = "SLURM_STEP_NUM_TASKS"


def is_one_of_several() -> bool:
    """Return whether a launcher may have started several processes."""
    sizes = [os.environ[size] for size, _ in VARIABLES if size in os.environ]
    if not sizes and PMIX_RANK in os.environ:
        sizes = [os.environ.get(SLURM_SIZE, "unknown")]
    return any(size != "1" for size in sizes)


def rank() -> int:
    """Return the rank of this process; 0 without a launcher."""
    names = [*(rank for _, rank in VARIABLES), PMIX_RANK]
    return next((int(os.environ[name]) for name in names if name in os.environ), 0)
