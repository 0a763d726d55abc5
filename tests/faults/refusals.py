"""Reads the checkpoints whose paths come on standard input; a line of JSON says how each went.

Each is read in a process of its own, forked from one that has read a good checkpoint before, so
that neither what is imported nor an earlier file counts.
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

HANGS = 600  # seconds after which reading hangs
READINGS = 3  # the best of these counts: a busy machine is no fault of the reader
QUICK = 1.0  # seconds that need no better reading
NOTHING = {"error": "", "message": "", "grown": 0, "seconds": 0.0, "peak": 0, "stray": []}
STRAY: list[str] = []  # warnings and errors that nobody could catch


def refusal(path: Path) -> tuple[str, str]:
    """The name of the error in which reading ends, and what it says; of none if it does not."""
    try:
        load(path)
    except BaseException as error:
        return type(error).__name__, str(error)
    return "", ""


def highest() -> int:
    """The most memory that this process ever had, in bytes."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def quickest(path: Path, seconds: float) -> float:
    """The seconds that reading takes, of the first reading or the best of some more.

    They are the processor's, which are those of the clock where there is nothing else to do.
    """
    for _ in range(READINGS - 1):
        if seconds > QUICK:
            start = time.process_time()
            refusal(path)
            seconds = min(seconds, time.process_time() - start)
    return seconds


def traced(path: Path) -> int:
    """The most memory that reading had of Python and NumPy, in bytes."""
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
            load(good)  # what the system maps into a process when it is used, is
            print(json.dumps(read(Path(line.removesuffix("\n")))), flush=True)
            os._exit(0)
        _, status = os.waitpid(child, 0)
        if status:
            print(json.dumps(NOTHING | {"error": f"status {status}"}), flush=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
