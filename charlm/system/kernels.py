"""The matrix kernels in use, and how they are used best.

The loaded BLAS library says what its kernels are. OpenBLAS first copies both operands of a product
into buffers, in the order in which its kernels read them; for few rows, that takes as long as the
product. Its kernels for AVX-512 multiply small operands where they are. `Blocks` says how large
weights are divided for them: a constant of the kernels and the processor that never depends on a
measurement at run time, since the division decides how sums round.
"""

import ctypes
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from typing import Any, cast

import numpy as np

from charlm.system.blas import processor_fields

# The function of OpenBLAS that names the processor whose kernels it uses, as builds for NumPy,
# distributions and others call it.
CORENAMES = (
    "scipy_openblas_get_corename64_",
    "scipy_openblas_get_corename",
    "openblas_get_corename64_",
    "openblas_get_corename",
)


@dataclass(frozen=True)
class Kernels:
    """What the speed of small matrix products depends on.

    Attributes:
        name: the processor that the kernels of OpenBLAS are written for, such as `Haswell`; or the
            name of another library, such as `accelerate`.
        vendor: the vendor of the processor, such as `GenuineIntel`; empty if unknown.
    """

    name: str
    vendor: str


@dataclass(frozen=True)
class Blocks:
    """How the product of few rows with large weights is divided; see `charlm.nn.products`.

    `python -m benchmarks.products` measures the choices.

    Attributes:
        size: the limit of the multiplications of a block; 0 to multiply the whole matrix.
        widest: the limit of its columns; 0 for none.
        widest_transposed: the same for transposed weights, as in the backward pass.
        is_split: whether long sums are split into parts, and transposed weights are copied too.
    """

    size: int = 0
    widest: int = 0
    widest_transposed: int = 0
    is_split: bool = False

    def __str__(self) -> str:
        if not self.size:
            return "none"
        split = ", split sums" if self.is_split else ""
        return f"{self.size:,}, {self.widest} and {self.widest_transposed} columns{split}"


WHOLE = Blocks()
SMALL = 100**3  # multiplications: operands of up to so many stay in place

# The best division for the kernels of OpenBLAS on the processors of a vendor, as measured there.
# With other kernels and libraries, which copy all operands, blocks gain nothing.
MEASURED = {
    ("SkylakeX", "AuthenticAMD"): Blocks(SMALL, widest_transposed=32),
    ("SkylakeX", "GenuineIntel"): Blocks(SMALL, 64, 64, is_split=True),
}

_chosen: list[Blocks] = []  # by `use_blocks`


@cache
def kernels() -> Kernels:
    """The kernels in use."""
    return Kernels(_name(), processor_fields().get("vendor_id", ""))


def blocks_for(found: Kernels) -> Blocks:
    """The best division of products for some kernels."""
    return MEASURED.get((found.name, found.vendor), WHOLE)


def blocks_in_use() -> Blocks:
    """The division of products in this process."""
    return _chosen[-1] if _chosen else blocks_for(kernels())


def use_blocks(blocks: Blocks) -> None:
    """Divide products as another process does, so that both round alike."""
    _chosen[:] = [blocks]


def blas_in_numpy() -> dict[str, Any]:
    """What NumPy knows about the BLAS library that it was built with."""
    built = cast(dict[str, Any], np.show_config(mode="dicts"))
    return dict(built.get("Build Dependencies", {}).get("blas", {}))


def _name() -> str:
    """The name of the kernels. A symbol is also looked up in the libraries that NumPy loads."""
    library = None
    with suppress(OSError, AttributeError):
        library = ctypes.CDLL(np.linalg._umath_linalg.__file__)
    for symbol in CORENAMES:
        if corename := getattr(library, symbol, None):
            corename.restype = ctypes.c_char_p
            return str(corename().decode())
    return str(blas_in_numpy().get("name", "unknown"))
