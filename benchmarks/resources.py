"""What processes use: memory of this one, processor time of this one and of all."""

import os
import resource
import sys
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

UNIT = 1 if sys.platform == "darwin" else 1024  # of ru_maxrss, in bytes


def _status(field: str) -> int | None:
    """A field of /proc/self/status in bytes, where there is such a file."""
    try:
        lines = Path("/proc/self/status").read_text().splitlines()
    except OSError:
        return None
    for line in lines:
        if line.startswith(field + ":"):
            return int(line.split()[1]) * 1024
    return None


def peak() -> int:
    """The most bytes of memory this process has had since it started or last forgot its peak."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * UNIT


def resident() -> int:
    """The bytes of memory this process has now, or its peak where the system does not say."""
    return _status("VmRSS") or peak()


def forget_peak() -> None:
    """Count the peak from here, where the system can (Linux); elsewhere it stays as it is."""
    with suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5")


def busy_seconds() -> float | None:
    """Processor seconds spent by everything on the machine, or None without /proc/stat.

    Time that the host of a virtual machine took from it counts as spent.
    """
    try:
        with Path("/proc/stat").open() as file:
            fields = [int(field) for field in file.readline().split()[1:9]]
    except OSError:
        return None
    user, nice, system, _idle, _iowait, irq, softirq, steal = fields
    return (user + nice + system + irq + softirq + steal) / os.sysconf("SC_CLK_TCK")


def own_seconds(pids: Iterable[int]) -> float:
    """Processor seconds spent by this process, its ended children, and the processes `pids`."""
    own = sum(os.times()[:4])
    for pid in pids:
        after_name = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        own += sum(int(ticks) for ticks in after_name[11:13]) / os.sysconf("SC_CLK_TCK")
    return own
