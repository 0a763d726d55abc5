"""`charlm`, of which one rank gets into trouble: troubled.py TROUBLE RANK STEP train …"""

import os
import signal
import sys
from pathlib import Path
from typing import Any

from charlm.__main__ import main
from charlm.distributed import launcher
from charlm.system.blas import set_up_blas

SIGNALS = {signal.SIGINT, signal.SIGTERM}


def fail(_: Any) -> None:
    raise MemoryError("no room")


def freeze(_: Any) -> None:
    os.kill(os.getpid(), signal.SIGSTOP)


def die(_: Any) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def ask(_: Any) -> None:
    """A signal to stop that reaches this rank only."""
    signal.raise_signal(signal.SIGTERM)


def wait(_: Any) -> None:
    """Say that training is at this step, and stay there until a signal to stop has come."""
    signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS)
    Path("waiting").touch()
    number = signal.sigwait(SIGNALS)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, SIGNALS)
    signal.raise_signal(number)


def stray(shards: Any) -> None:
    """Other weights than those of the other ranks, as from a processor that rounds otherwise."""
    shards.p.flat[0] += 1e-3


TROUBLES = {trouble.__name__: trouble for trouble in (fail, freeze, die, ask, wait, stray)}


def trouble_at(step: int, trouble: str) -> None:
    """Let training meet a trouble in the step after so many."""
    set_up_blas()  # before NumPy loads
    from charlm.distributed.data_parallel import DataParallel

    learn = DataParallel.loss_and_grad

    def meet(self, chunks, state, seed):
        if seed[-1] == step:
            TROUBLES[trouble](self)
        return learn(self, chunks, state, seed)

    DataParallel.loss_and_grad = meet


if __name__ == "__main__":
    _, trouble, rank, step, *arguments = sys.argv
    sys.argv[1:] = arguments
    if launcher.rank() == int(rank):
        trouble_at(int(step), trouble)
    main()
