"""What this process and those that descend from it use: memory, processor time.

Only Linux tells all of it. Elsewhere memory is that of this process alone, from its start on, and
what others spend is not known.
"""

import os
import resource
import sys
from contextlib import suppress
from pathlib import Path

UNIT = 1 if sys.platform == "darwin" else 1024  # of ru_maxrss, in bytes
PROC = Path("/proc")
KNOWN = (PROC / "stat").exists()


def peak() -> int:
    """The most bytes of memory that the family has had since it last forgot its peak.

    It is the sum of each process's own peak without what it shares, and what is shared once: as
    much as the process that has the most of it has. It is never less than what they had
    together, and more only if their peaks are not at the same moment.
    """
    if not KNOWN:
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * UNIT
    sizes = [_sizes(pid) for pid in family()]
    shared = [each["RssShmem"] for each in sizes]
    return sum(each["VmHWM"] for each in sizes) - sum(shared) + max(shared)


def resident(pid: int) -> int:
    """The bytes of memory that a process and its family have now, what they share counted once."""
    sizes = []
    for each in family(pid):
        with suppress(OSError):  # it has ended
            sizes.append(_sizes(each))
    shared = [each.get("RssShmem", 0) for each in sizes]
    return sum(each.get("VmRSS", 0) for each in sizes) - sum(shared) + max(shared, default=0)


def forget_peak() -> None:
    """Count the peak from here, where the system can; elsewhere it stays as it is."""
    for pid in family() if KNOWN else []:
        with suppress(OSError):
            (PROC / f"{pid}/clear_refs").write_text("5")


def other_seconds() -> float | None:
    """Processor seconds spent by everything but the family, where the system tells.

    Time that the host of a virtual machine took from it counts as spent by others.
    """
    if not KNOWN:
        return None
    first = (PROC / "stat").read_text().partition("\n")[0].split()
    user, nice, system, _idle, _iowait, irq, softirq, steal = map(int, first[1:9])
    # a process's own time, and that of its children that have ended
    own = sum(int(ticks) for pid in family() for ticks in _stat(pid)[11:15])
    return (user + nice + system + irq + softirq + steal - own) / os.sysconf("SC_CLK_TCK")


def family(pid: int | None = None) -> list[int]:
    """A process, this one by default, and all that descend from it."""
    parents = {}
    for path in PROC.glob("[0-9]*"):
        with suppress(OSError):  # it has ended
            parents[int(path.name)] = int(_stat(int(path.name))[1])
    pids = [pid or os.getpid()]
    for each in pids:  # grows meanwhile
        pids += [child for child, parent in parents.items() if parent == each]
    return pids


def _stat(pid: int) -> list[str]:
    """The fields that follow a process's name."""
    return (PROC / f"{pid}/stat").read_text().rpartition(")")[2].split()


def _sizes(pid: int) -> dict[str, int]:
    """A process's memory of each kind, in bytes."""
    lines = (PROC / f"{pid}/status").read_text().splitlines()
    return {line.split(":")[0]: int(line.split()[1]) << 10 for line in lines if " kB" in line}
