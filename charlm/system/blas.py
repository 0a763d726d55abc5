"""BLAS's variables, which it reads when NumPy loads: so this imports neither."""

import os
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from importlib.util import find_spec
from pathlib import Path

# BLAS reads these when NumPy loads. The command line sets them before; `charlm[threads]`, which
# brings threadpoolctl, does the same for a program that has not.
BLAS_THREADS = ("OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "VECLIB_MAXIMUM_THREADS")

AVX512 = {"avx512f", "avx512bw", "avx512dq", "avx512vl"}


def set_up_blas() -> None:
    """One BLAS thread, since shards run in processes of their own; the right OpenBLAS kernels.

    OpenBLAS takes AMD processors newer than itself for ones without AVX-512. A variable that
    the user has set stays as it is.
    """
    if "OMP_NUM_THREADS" not in os.environ:
        for variable in BLAS_THREADS:
            os.environ.setdefault(variable, "1")
    if _is_amd_with_avx512():
        os.environ.setdefault("OPENBLAS_CORETYPE", "SkylakeX")


def _is_amd_with_avx512() -> bool:
    try:
        with Path("/proc/cpuinfo").open(encoding="ascii", errors="replace") as file:
            first = file.read(1 << 13).partition("\n\n")[0]
    except OSError:
        return False
    fields = {}
    for line in first.splitlines():
        name, _, value = line.partition(":")
        fields[name.strip()] = value.split()
    return fields.get("vendor_id") == ["AuthenticAMD"] and set(fields.get("flags", [])) >= AVX512


def available_cores() -> int:
    """The processors that this process may run on."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def blas_can_be_single() -> bool:
    """Whether BLAS can be kept to one thread in this process: by a variable, or threadpoolctl.

    Where neither holds, our threads would fight with BLAS's for processors, and one task after
    the other is many times faster.
    """
    return _a_variable_says_so() or bool(find_spec("threadpoolctl"))


def _a_variable_says_so() -> bool:
    return any(os.environ.get(name) == "1" for name in (*BLAS_THREADS, "OMP_NUM_THREADS"))


@contextmanager
def one_blas_thread() -> Iterator[None]:
    """Keep BLAS to one thread where no variable has, if threadpoolctl is installed to do it."""
    with ExitStack() as stack:
        if not _a_variable_says_so() and find_spec("threadpoolctl"):
            from threadpoolctl import threadpool_limits

            stack.enter_context(threadpool_limits(1, user_api="blas"))
        yield
