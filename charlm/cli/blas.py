"""BLAS's variables, which it reads when NumPy loads: so this imports neither."""

import os
from pathlib import Path

from charlm.config import BLAS_THREADS

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
