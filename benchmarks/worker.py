"""The other end of `harness.Worker`: a process that is kept alive and commanded over pipes.

It reads a line of JSON from standard input and answers with one: a request names a method below
and its arguments, an answer has "result" or "error". Whatever the libraries print goes to stderr.

    make    builds a contender by a function of the process's module; the function returns
            another, which does one unit of work and returns how much that was: characters, say
    run     repeats a contender's work for so many seconds, at least once
    drop    forgets a contender and its memory
    call    calls any function of the module and returns what it returns
"""

import gc
import json
import os
import sys
import time
from collections.abc import Callable
from importlib import import_module
from itertools import count
from typing import Any

from benchmarks import resources

MODULES = {
    "ours": "benchmarks.contenders.ours",
    "inside": "benchmarks.contenders.inside",
    "plain": "benchmarks.contenders.plain",
    "torch": "benchmarks.contenders.torch_peer",
    "jax": "benchmarks.contenders.jax_peer",
}
OURS = ("ours", "inside")


class Server:
    """What can be asked of the process.

    Args:
        name: a name in `MODULES`.
    """

    def __init__(self, name: str) -> None:
        if name in OURS:  # as the command does, before NumPy loads
            from charlm.system.blas import set_up_blas

            set_up_blas()
        self.module = import_module(MODULES[name])
        self.contenders: dict[int, Callable[[], int]] = {}
        self.keys = count()

    def make(self, function: str, arguments: dict[str, Any]) -> int:
        """Build a contender, and forget the peak of memory; returns the contender's key."""
        key = next(self.keys)
        self.contenders[key] = getattr(self.module, function)(**arguments)
        resources.forget_peak()
        return key

    def run(self, key: int, seconds: float) -> dict[str, float]:
        """Do a contender's work for so long; returns count, seconds and peak bytes."""
        work = self.contenders[key]
        gc.collect()
        done = 0
        started = time.perf_counter()
        while True:
            done += work()
            elapsed = time.perf_counter() - started
            if elapsed >= seconds:
                return {"count": done, "seconds": elapsed, "peak": resources.peak()}

    def drop(self, key: int) -> None:
        """Forget a contender."""
        del self.contenders[key]
        gc.collect()

    def call(self, function: str, **arguments: Any) -> Any:
        """Call a function of the module."""
        return getattr(self.module, function)(**arguments)


def main() -> None:
    """Answer requests until standard input ends."""
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)

    def answer(**content: Any) -> None:
        answers.write(json.dumps(content) + "\n")
        answers.flush()

    try:
        server = Server(sys.argv[1])
    except ImportError as error:
        answer(error=f"{type(error).__name__}: {error}")
        return
    answer(result=server.call("facts"))
    for line in sys.stdin:
        request = json.loads(line)
        answer(result=getattr(server, request["method"])(**request["arguments"]))


if __name__ == "__main__":
    main()
