"""How much memory there is: asked before much is taken.

A system may promise more memory than it has, and end a process that takes it by its word. So what
is too large is refused beforehand, and not where an array no longer fits.
"""

import os
from collections.abc import Iterator
from pathlib import Path

from charlm.errors import ModelError

MAPPED = 160 << 20  # bytes of address space that threads and BLAS reserve, and hardly use
LARGEST = 10**21  # number that is written out


def check_fits(needed: int, what: str, advice: str) -> None:
    """See that there is as much memory as is needed, as far as the system tells.

    Args:
        needed: bytes.
        what: takes them.
        advice: what to do if there are fewer.

    Raises:
        ModelError: there are fewer.
    """
    free = available()
    if free is not None and needed > free:
        sizes = f"about {_size(needed)}, and {_size(free)} are free"
        raise ModelError(f"{what} takes {sizes}; {advice}")


def _size(count: int) -> str:
    """So many bytes, as people say it."""
    if count > LARGEST:
        return f"{counted(count // 10**9)} GB"
    return f"{count / 10**9:,.1f} GB" if count >= 10**9 else f"{count / 10**6:,.1f} MB"


def counted(count: int) -> str:
    """A number, but for one with more digits than anybody reads, or Python writes."""
    return f"{count:,}" if count <= LARGEST else "10^21 or more"


def available(root: Path = Path("/")) -> int | None:
    """The bytes of memory that this process can still take; None where nothing is known.

    It is the least of what the system has, what the control groups of the process leave, and what
    limits of the process itself leave. On systems without `/proc` it is all memory that there is.

    Args:
        root: where `proc` and `sys` are found.
    """
    if not (root / "proc/meminfo").exists():
        return physical()
    known = [
        *_fields(root / "proc/meminfo", "MemAvailable").values(),
        *_left_in_groups(root),
        *_left_by_limits(root),
    ]
    return max(0, min(known)) if known else None


def physical() -> int | None:
    try:
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (AttributeError, OSError, ValueError):
        return None


def _fields(path: Path, *names: str) -> dict[str, int]:
    """Those lines of a file that have such names: bytes, or kB where they say so."""
    found = {}
    for line in _read(path).splitlines():
        name, *value = line.replace(":", " ").split() or [""]
        if name in names and value and value[0].isdigit():
            found[name] = int(value[0]) * (1024 if value[1:] == ["kB"] else 1)
    return found


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""


def _left_by_limits(root: Path) -> Iterator[int]:
    """What the limits of address space and of data leave this process."""
    import resource  # not there on all systems

    used = _fields(root / "proc/self/status", "VmSize", "VmData")
    kinds = ((resource.RLIMIT_AS, "VmSize", MAPPED), (resource.RLIMIT_DATA, "VmData", 0))
    for limit, name, spare in kinds:
        most, _ = resource.getrlimit(limit)
        if most != resource.RLIM_INFINITY and name in used:
            yield most - used[name] - spare


def _left_in_groups(root: Path) -> Iterator[int]:
    """What the limits of the process's control groups leave, each group's and its parents'.

    Pages of files count as used there, and are given up when memory is wanted.
    """
    for line in _read(root / "proc/self/cgroup").splitlines():
        _, controllers, path = line.split(":", 2)
        if controllers == "":
            yield from _left_below(root / "sys/fs/cgroup", path, V2)
            yield from _left_below(root / "sys/fs/cgroup/unified", path, V2)
        elif "memory" in controllers.split(","):
            yield from _left_below(root / "sys/fs/cgroup/memory", path, V1)


# The files of a group's limit and usage, and the fields of memory.stat that are pages of files.
V2 = ("memory.max", "memory.current", ("inactive_file", "active_file"))
V1 = (
    "memory.limit_in_bytes",
    "memory.usage_in_bytes",
    ("total_inactive_file", "total_active_file"),
)


def _left_below(mount: Path, path: str, names: tuple[str, str, tuple[str, ...]]) -> Iterator[int]:
    """What a group and its parents leave; a container may see its own as the root."""
    limit, usage, of_files = names
    group = mount / path.lstrip("/")
    for each in (group, *group.parents[: len(group.parts) - len(mount.parts)]):
        most, used = _read(each / limit).strip(), _read(each / usage).strip()
        if most.isdigit() and used.isdigit():  # "max" is no limit
            cached = sum(_fields(each / "memory.stat", *of_files).values())
            yield int(most) - int(used) + cached
