"""Memory and processor time of this process and its descendants.

This needs Linux. Elsewhere memory is the peak of this process alone since its start, and the load
of other processes is unknown.
"""

import os
import resource
import sys
from contextlib import suppress
from pathlib import Path

UNIT = 1 if sys.platform == "darwin" else 1024  # bytes per unit of ru_maxrss
PROC = Path("/proc")
KNOWN = (PROC / "stat").exists()


def peak() -> int:
    """Peak bytes of memory of the process family since `forget_peak`.

    This is the sum of the peak private memory of each process, plus the largest shared memory of
    any of them. It is an upper bound of the joint peak, and exact if all processes peak at once.
    """
    if not KNOWN:
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * UNIT
    sizes = [_sizes(pid) for pid in family()]
    shared = [each["RssShmem"] for each in sizes]
    return sum(each["VmHWM"] for each in sizes) - sum(shared) + max(shared)


def resident(pid: int) -> int:
    """Resident bytes of a process and its descendants now; shared memory counts once."""
    sizes = []
    for each in family(pid):
        with suppress(OSError):  # the process has ended
            sizes.append(_sizes(each))
    shared = [each.get("RssShmem", 0) for each in sizes]
    return sum(each.get("VmRSS", 0) for each in sizes) - sum(shared) + max(shared, default=0)


def forget_peak() -> None:
    """Reset the peak, where the system supports it."""
    for pid in family() if KNOWN else []:
        with suppress(OSError):
            (PROC / f"{pid}/clear_refs").write_text("5")


def other_seconds() -> float | None:
    """Processor seconds of all processes outside the family; None where they are unknown.

    Time that the host takes from a virtual machine (steal) is included.
    """
    if not KNOWN:
        return None
    first = (PROC / "stat").read_text().partition("\n")[0].split()
    user, nice, system, _idle, _iowait, irq, softirq, steal = map(int, first[1:9])
    # the time of a process includes that of its children that have ended
    own = sum(int(ticks) for pid in family() for ticks in _stat(pid)[11:15])
    return (user + nice + system + irq + softirq + steal - own) / os.sysconf("SC_CLK_TCK")


def family(pid: int | None = None) -> list[int]:
    """A process, this one by default, and all its descendants."""
    parents = {}
    for path in PROC.glob("[0-9]*"):
        with suppress(OSError):  # the process has ended
            parents[int(path.name)] = int(_stat(int(path.name))[1])
    pids = [pid or os.getpid()]
    for each in pids:  # the list grows in the loop
        pids += [child for child, parent in parents.items() if parent == each]
    return pids


def _stat(pid: int) -> list[str]:
    """The fields of /proc/PID/stat after the name of the process."""
    return (PROC / f"{pid}/stat").read_text().rpartition(")")[2].split()


def _sizes(pid: int) -> dict[str, int]:
    """The memory of a process by kind, in bytes."""
    lines = (PROC / f"{pid}/status").read_text().splitlines()
    return {line.split(":")[0]: int(line.split()[1]) << 10 for line in lines if " kB" in line}
