"""Available memory, checked before a large allocation.

An operating system that overcommits grants more memory than it has and kills a process that uses
it. So sizes are checked in advance; a `MemoryError` may never be raised.
"""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from charlm.errors import ModelError

MAPPED = 160 << 20  # bytes of address space that threads and BLAS reserve but hardly use
LARGEST = 10**21  # the largest number that messages print in full


def check_fits(needed: int, what: str, advice: str) -> None:
    """Check that enough memory is available, where the system reports it.

    Args:
        needed: bytes.
        what: the object that needs them, for the error message.
        advice: the remedy, for the error message.

    Raises:
        ModelError: less memory is available.
    """
    free = available()
    if free is not None and needed > free:
        sizes = f"about {_size(needed)} of memory, but only {_size(free)} are available"
        raise ModelError(f"{what} requires {sizes}; {advice}")


def _size(count: int) -> str:
    """A number of bytes as MB or GB."""
    if count > LARGEST:
        return f"{counted(count // 10**9)} GB"
    return f"{count / 10**9:,.1f} GB" if count >= 10**9 else f"{count / 10**6:,.1f} MB"


def counted(count: int) -> str:
    """A number with separators; above `LARGEST`, where Python may refuse to print it, a bound."""
    return f"{count:,}" if count <= LARGEST else "10^21 or more"


def available(root: Path = Path("/")) -> int | None:
    """The bytes of memory that this process can still allocate; None if unknown.

    The minimum of what the system, the control groups of the process and its resource limits
    allow. If these files are missing or cannot be read, it is the size of the physical memory.

    Args:
        root: the directory that contains `proc` and `sys`.
    """
    free = _fields(root / "proc/meminfo", "MemAvailable").get("MemAvailable", physical())
    limits = [*_left_in_groups(root), *_left_by_limits(root)]
    known = limits if free is None else [free, *limits]
    return max(0, min(known)) if known else None


def physical() -> int | None:
    """The bytes of physical memory; None if unknown."""
    try:
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (AttributeError, OSError, ValueError):
        return None


def _fields(path: Path, *names: str) -> dict[str, int]:
    """The fields of these names in a file of `name value` lines, in bytes; kB are converted."""
    fields = {}
    for line in _read(path).splitlines():
        name, *value = line.replace(":", " ").split() or [""]
        if name in names and value and (number := _number(value[0])) is not None:
            fields[name] = number * (1024 if value[1:] == ["kB"] else 1)
    return fields


def _number(text: str) -> int | None:
    """The number in a system file; None for `max`, which means no limit, and anything else."""
    return int(text) if text.isascii() and text.isdecimal() and len(text) < 30 else None


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8", errors="replace")
    except (OSError, ValueError):  # a path can contain what no path may
        return ""


def _left_by_limits(root: Path) -> Iterator[int]:
    """The bytes left by the resource limits of address space and of data."""
    used = _fields(root / "proc/self/status", "VmSize", "VmData")
    if not used:
        return
    import resource  # POSIX only

    kinds = ((resource.RLIMIT_AS, "VmSize", MAPPED), (resource.RLIMIT_DATA, "VmData", 0))
    for kind, name, reserve in kinds:
        limit, _ = resource.getrlimit(kind)
        if limit != resource.RLIM_INFINITY and name in used:
            yield limit - used[name] - reserve


class _GroupFiles(NamedTuple):
    """The files of a control group, and the fields of `memory.stat` that count cached pages."""

    limit: str
    usage: str
    cached: tuple[str, str]


V1 = _GroupFiles(
    "memory.limit_in_bytes", "memory.usage_in_bytes", ("total_inactive_file", "total_active_file")
)
V2 = _GroupFiles("memory.max", "memory.current", ("inactive_file", "active_file"))


def _left_in_groups(root: Path) -> Iterator[int]:
    """The bytes left by the limits of each control group of the process, and of its parents."""
    for line in _read(root / "proc/self/cgroup").splitlines():
        _, controllers, path = [*line.split(":", 2), "", ""][:3]
        if not path:
            continue
        if controllers == "":
            yield from _left_below(root / "sys/fs/cgroup", path, V2)
            yield from _left_below(root / "sys/fs/cgroup/unified", path, V2)
        elif "memory" in controllers.split(","):
            yield from _left_below(root / "sys/fs/cgroup/memory", path, V1)


def _left_below(mount: Path, path: str, files: _GroupFiles) -> Iterator[int]:
    """The bytes left by a group and its parents up to the mount point.

    A container may see its own group there. The usage includes cached file pages, which the
    kernel frees when memory runs short.
    """
    group = mount / path.lstrip("/")
    for each in (group, *group.parents[: len(group.parts) - len(mount.parts)]):
        limit, used = (_number(_read(each / name).strip()) for name in (files.limit, files.usage))
        if limit is not None and used is not None:
            cached = sum(_fields(each / "memory.stat", *files.cached).values())
            yield limit - used + cached
