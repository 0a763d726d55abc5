"""The BLAS library of NumPy and its kernels."""

import ctypes
from pathlib import Path
from typing import Any

import numpy as np

SYMBOLS = (
    "scipy_openblas_get_corename64_",
    "openblas_get_corename64_",
    "openblas_get_corename",
)


def name() -> str:
    """Name and version, such as `scipy-openblas 0.3.31`."""
    built: dict[str, Any] = np.show_config("dicts") or {}  # type: ignore[assignment]
    info = built.get("Build Dependencies", {}).get("blas", {})
    return f"{info.get('name', 'unknown')} {info.get('version', '')}".strip()


def kernels() -> str:
    """The processor whose kernels OpenBLAS uses; `unknown` for another library."""
    for path in _loaded():
        library = ctypes.CDLL(path)
        for symbol in SYMBOLS:
            if hasattr(library, symbol):
                corename = getattr(library, symbol)
                corename.restype = ctypes.c_char_p
                return str(corename().decode())
    return "unknown"


def _loaded() -> list[str]:
    """The shared libraries of this process with `blas` in their names (Linux)."""
    maps = Path("/proc/self/maps")
    lines = maps.read_text().splitlines() if maps.exists() else []
    return sorted({line.split()[-1] for line in lines if "blas" in line.lower()})
