"""The process side of `harness.Worker`: a server that takes requests over pipes.

It reads requests from stdin and writes answers, one line of JSON each. A request names a method
below and its arguments; an answer has "result" or "error". Output of the libraries goes to stderr.

    make    build a contender with a function of the module. The function returns another one
            that does one unit of work and returns its size, such as a number of characters
    run     repeat the work of a contender for some seconds, at least once
    drop    delete a contender and free its memory
    call    call any function of the module and return its result
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
    """The requests that the process answers.

    Args:
        name: a name in `MODULES`.
    """

    def __init__(self, name: str) -> None:
        if name in OURS:  # as the charlm command does, before NumPy loads
            from charlm.system.blas import set_up_blas

            set_up_blas()
        self.module = import_module(MODULES[name])
        self.contenders: dict[int, Callable[[], int]] = {}
        self.keys = count()

    def make(self, function: str, arguments: dict[str, Any]) -> int:
        """Build a contender and reset the memory peak; return the key of the contender."""
        key = next(self.keys)
        self.contenders[key] = getattr(self.module, function)(**arguments)
        resources.forget_peak()
        return key

    def run(self, key: int, seconds: float) -> dict[str, float]:
        """Run a contender for `seconds`; return the count, the seconds and the peak in bytes."""
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
        """Delete a contender."""
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
