"""Read checkpoints whose paths come from standard input, and print one line of JSON for each.

Each file is read in its own process, forked from one that has already read a valid checkpoint, so
that neither imports nor earlier files affect the measurement.
"""

import gc
import json
import os
import resource
import signal
import sys
import time
import tracemalloc
from pathlib import Path
from typing import Any

from charlm.training.checkpoint import load

HANGS = 600  # seconds after which a read counts as hanging
READINGS = 3  # the fastest counts, since the machine may be busy
QUICK = 1.0  # seconds below which no further read is needed
NOTHING = {"error": "", "message": "", "grown": 0, "seconds": 0.0, "peak": 0, "stray": []}
STRAY: list[str] = []  # exceptions that cannot be caught


def refusal(path: Path) -> tuple[str, str]:
    """The name and message of the error that reading raises; empty if there is none."""
    try:
        load(path)
    except BaseException as error:
        return type(error).__name__, str(error)
    return "", ""


def highest() -> int:
    """The peak memory of this process, in bytes."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def quickest(path: Path, seconds: float) -> float:
    """The time of the first read, or of the fastest of several, in seconds of CPU time."""
    for _ in range(READINGS - 1):
        if seconds > QUICK:
            start = time.process_time()
            refusal(path)
            seconds = min(seconds, time.process_time() - start)
    return seconds


def traced(path: Path) -> int:
    """The peak memory that Python and NumPy allocate for a read, in bytes."""
    tracemalloc.start()
    refusal(path)
    return tracemalloc.get_traced_memory()[1]


def read(path: Path) -> dict[str, Any]:
    before, start = highest(), time.process_time()
    error, message = refusal(path)
    seconds, grown = time.process_time() - start, highest() - before
    seconds, peak = quickest(path, seconds), traced(path)
    gc.collect()
    figures = {"grown": grown, "seconds": seconds, "peak": peak, "stray": STRAY}
    return {"error": error, "message": message, **figures}


def main(good: Path) -> None:
    sys.unraisablehook = lambda stray: STRAY.append(repr(stray.exc_value))
    load(good)
    for line in sys.stdin:
        child = os.fork()
        if not child:
            signal.alarm(HANGS)
            load(good)  # maps into the process all pages that reading uses
            print(json.dumps(read(Path(line.removesuffix("\n")))), flush=True)
            os._exit(0)
        _, status = os.waitpid(child, 0)
        if status:
            print(json.dumps(NOTHING | {"error": f"status {status}"}), flush=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
