"""What the ranks of a job must have in common: options, software, and how their machines round."""

from collections.abc import Mapping

import numpy as np

from charlm import __version__
from charlm.distributed.process_group import ProcessGroup
from charlm.errors import RankError
from charlm.system.numerical_environment import environment


def check_options(group: ProcessGroup, options: Mapping[str, object]) -> None:
    """Check that all ranks have the same versions and options; all ranks call it.

    Args:
        group: the ranks.
        options: the values by their names, as messages show them.

    Raises:
        RankError: on all ranks, with the first option that differs and two of its values.
    """
    _compare(group, versions(), "install the same version on all machines")
    _compare(group, options, "start all ranks with the same options and environment variables")


def arguments(values: Mapping[str, object]) -> dict[str, object]:
    """The values of arguments by their names as messages show them."""
    return {"`" + name + "`": value for name, value in values.items()}


def versions() -> dict[str, str]:
    """The versions that decide what a step computes and how ranks exchange it."""
    return {"the version of charlm": __version__, "the version of NumPy": np.__version__}


def check_rounding(group: ProcessGroup) -> None:
    """Check that the results of all ranks round alike, as far as is known; all ranks call it.

    Kernels of BLAS that are chosen by name are the same on any processor.

    Raises:
        RankError: as `check_options` does.
    """
    parts = environment()
    if parts["OPENBLAS_CORETYPE"] != "unset":
        del parts["processor"]
    _compare(
        group,
        parts,
        "set OPENBLAS_CORETYPE (and NPY_DISABLE_CPU_FEATURES for vector instructions) to the same "
        "value on all machines, or give up results that do not depend on the ranks "
        "(`in_order=False`)",
    )


def _compare(group: ProcessGroup, values: Mapping[str, object], remedy: str) -> None:
    first, *others = group.all_gather({name: shown(value) for name, value in values.items()})
    for rank, theirs in enumerate(others, 1):
        for name, value in first.items():
            other = theirs.get(name, "unknown")
            if other != value:
                raise RankError(
                    f"{name} is {value} on rank 0, but {other} on rank {rank}; {remedy}"
                )


def shown(value: object) -> str:
    """A value in a message."""
    if isinstance(value, (list, tuple)):
        return ", ".join(map(str, value)) or "none"
    return "none" if value is None or value == "" else str(value)
