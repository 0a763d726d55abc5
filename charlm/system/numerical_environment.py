"""What else decides how numbers are rounded: two runs are bit for bit the same where it is."""

import os
import platform
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, cast

import numpy as np


def environment() -> dict[str, str]:
    """NumPy, its BLAS, the kernels that BLAS is told to use, the processor and what it can do."""
    built = cast(dict[str, Any], np.show_config(mode="dicts"))
    blas = built.get("Build Dependencies", {}).get("blas", {})
    return {
        "NumPy": np.__version__,
        "BLAS": f"{blas.get('name', 'unknown')} {blas.get('version', '')}".strip(),
        "OPENBLAS_CORETYPE": os.environ.get("OPENBLAS_CORETYPE", "unset"),
        "processor": _processor(),
        "vector instructions": " ".join(built.get("SIMD Extensions", {}).get("found", [])),
    }


def _processor() -> str:
    """Its name, where the system tells it."""
    with suppress(OSError), Path("/proc/cpuinfo").open(encoding="utf-8", errors="replace") as file:
        for line in file:
            name, _, value = line.partition(":")
            if name.strip() == "model name":
                return value.strip()
    return platform.processor() or platform.machine()


def differences(before: Mapping[str, str], now: Mapping[str, str]) -> list[str]:
    """What has changed of what is known from before, such as `NumPy 2.3.1, now 2.4.0`."""
    return [
        f"{name} {value or 'none'}, now {now[name] or 'none'}"
        for name, value in before.items()
        if name in now and now[name] != value
    ]


def quiet_overflow() -> np.errstate:
    """No warning of an overflow: what comes of it is looked at after each step."""
    return np.errstate(over="ignore", invalid="ignore")
