"""BLAS configuration: one thread, and the right OpenBLAS kernels.

BLAS reads its environment variables when NumPy loads, so this module must not import NumPy. The
command line calls `set_up_blas` first. A program that has already loaded NumPy can install
threadpoolctl (`charlm[threads]`); then `one_blas_thread` limits BLAS at run time.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path

BLAS_THREADS = ("OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "VECLIB_MAXIMUM_THREADS")

AVX512 = {"avx512f", "avx512bw", "avx512dq", "avx512vl"}


def set_up_blas() -> None:
    """Set the environment variables of BLAS, except those that the user has set.

    BLAS gets one thread, because shards run in parallel processes. On AMD processors with AVX-512,
    OpenBLAS gets its AVX-512 kernels, which it does not select for models newer than itself.
    """
    if "OMP_NUM_THREADS" not in os.environ:
        for variable in BLAS_THREADS:
            os.environ.setdefault(variable, "1")
    fields = processor_fields()
    if fields.get("vendor_id") == "AuthenticAMD" and set(fields.get("flags", "").split()) >= AVX512:
        os.environ.setdefault("OPENBLAS_CORETYPE", "SkylakeX")


def processor_fields() -> dict[str, str]:
    """The fields of the first processor in `/proc/cpuinfo`; empty on other systems."""
    try:
        with Path("/proc/cpuinfo").open(encoding="utf-8", errors="replace") as file:
            first = file.read(1 << 13).partition("\n\n")[0]
    except OSError:
        return {}
    lines = (line.partition(":") for line in first.splitlines())
    return {name.strip(): value.strip() for name, _, value in lines}


def available_cores() -> int:
    """The number of logical processors that this process may run on."""
    return len(affinity()) or os.cpu_count() or 1


def affinity() -> set[int]:
    """The logical processors that this process may run on; empty if the system does not say."""
    try:
        return os.sched_getaffinity(0)
    except (AttributeError, OSError):  # macOS, Windows; a sandbox
        return set()


def blas_can_be_single() -> bool:
    """Whether BLAS can be limited to one thread, by a variable or by threadpoolctl.

    If not, parallel tasks should run one after the other: their threads and those of BLAS would
    compete for the cores, which is many times slower.
    """
    return _is_limited_by_variable() or bool(find_spec("threadpoolctl"))


@contextmanager
def one_blas_thread() -> Iterator[None]:
    """Limit BLAS to one thread in this context; without threadpoolctl, do nothing."""
    if _is_limited_by_variable() or not find_spec("threadpoolctl"):
        yield
        return
    from threadpoolctl import threadpool_limits

    with threadpool_limits(1, user_api="blas"):
        yield


def _is_limited_by_variable() -> bool:
    return any(os.environ.get(name) == "1" for name in (*BLAS_THREADS, "OMP_NUM_THREADS"))
