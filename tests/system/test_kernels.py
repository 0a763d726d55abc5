"""The kernels in use are asked of the loaded library, and decide how products are divided."""

import ctypes
import os
import subprocess
import sys

import pytest

from charlm.system import kernels
from charlm.system.kernels import MEASURED, WHOLE, Blocks, Kernels, blocks_for, blocks_in_use

NAMED = "import charlm.system.kernels as k; print(k.kernels().name, k.blocks_in_use() == k.WHOLE)"


@pytest.mark.skipif(
    "openblas" not in kernels.blas_in_numpy().get("name", ""),
    reason="needs a NumPy with OpenBLAS, whose kernels a variable selects",
)
@pytest.mark.parametrize("name", ["Haswell", "Nehalem"])
def test_the_kernels_are_those_that_openblas_uses(name):
    done = subprocess.run(
        [sys.executable, "-c", NAMED],
        env=os.environ | {"OPENBLAS_CORETYPE": name},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.split() == [name, "True"]


@pytest.mark.parametrize("error", [OSError, AttributeError])
def test_another_library_is_known_by_the_name_that_numpy_has_for_it(error, monkeypatch):
    def fail(*_: object) -> None:
        raise error

    monkeypatch.setattr(ctypes, "CDLL", fail)
    monkeypatch.setattr(kernels, "blas_in_numpy", lambda: {"name": "accelerate"})
    assert kernels._name() == "accelerate"
    assert blocks_for(Kernels("accelerate", "")) is WHOLE


def test_blocks_are_for_kernels_and_processors_that_were_measured():
    assert all(blocks_for(Kernels(*key)) is blocks for key, blocks in MEASURED.items())
    for name, vendor in (("Haswell", "GenuineIntel"), ("Zen", "AuthenticAMD"), ("SkylakeX", "")):
        assert blocks_for(Kernels(name, vendor)) is WHOLE


def test_a_worker_divides_products_as_its_parent_does(monkeypatch):
    monkeypatch.setattr(kernels, "_chosen", [])
    assert blocks_in_use() is blocks_for(kernels.kernels())
    parent = Blocks(12345, 16, 8)
    kernels.use_blocks(parent)
    assert blocks_in_use() is parent
