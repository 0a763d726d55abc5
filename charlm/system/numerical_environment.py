"""The software and hardware that determine floating-point rounding.

Two runs are bit-identical only if these are the same.
"""

import os
import platform
from collections.abc import Mapping
from typing import Any, cast

import numpy as np

from charlm.system.blas import processor_fields
from charlm.system.kernels import blas_in_numpy, blocks_in_use, kernels


def environment() -> dict[str, str]:
    """The versions of NumPy and BLAS, the kernels and their use, the processor and its vectors."""
    built = cast(dict[str, Any], np.show_config(mode="dicts"))
    blas = blas_in_numpy()
    processor = processor_fields().get("model name") or platform.processor() or platform.machine()
    return {
        "NumPy": np.__version__,
        "BLAS": f"{blas.get('name', 'unknown')} {blas.get('version', '')}".strip(),
        "kernels": kernels().name,
        "blocks of products": str(blocks_in_use()),
        "OPENBLAS_CORETYPE": os.environ.get("OPENBLAS_CORETYPE", "unset"),
        "processor": processor,
        "vector instructions": " ".join(built.get("SIMD Extensions", {}).get("found", [])),
    }


def differences(before: Mapping[str, str], now: Mapping[str, str]) -> list[str]:
    """The entries known in both environments that differ, such as `NumPy 2.3.1, now 2.4.0`."""
    return [
        f"{name} {value or 'none'}, now {now[name] or 'none'}"
        for name, value in before.items()
        if name in now and now[name] != value
    ]


def quiet_overflow() -> np.errstate:
    """Suppress overflow warnings; the results are checked after each step."""
    return np.errstate(over="ignore", invalid="ignore")
