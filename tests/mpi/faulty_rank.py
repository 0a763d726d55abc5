"""Run `charlm` with a fault on one rank: faulty_rank.py FAULT RANK STEP train ..."""

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


def hang(_: Any) -> None:
    os.kill(os.getpid(), signal.SIGSTOP)


def kill(_: Any) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def stop(_: Any) -> None:
    """Send a signal to stop to this rank only."""
    signal.raise_signal(signal.SIGTERM)


def wait(_: Any) -> None:
    """Create the file `waiting`, and wait in this step for a signal to stop."""
    signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS)
    Path("waiting").touch()
    number = signal.sigwait(SIGNALS)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, SIGNALS)
    signal.raise_signal(number)


def diverge(shards: Any) -> None:
    """Change the weights of this rank, as a processor that rounds differently would."""
    shards.p.flat[0] += 1e-3


FAULTS = {fault.__name__: fault for fault in (fail, hang, kill, stop, wait, diverge)}


def inject(fault: str, step: int) -> None:
    """Let the fault happen in the step after `step` steps."""
    set_up_blas()  # before NumPy loads
    from charlm.distributed.data_parallel import DataParallel

    loss_and_grad = DataParallel.loss_and_grad

    def faulty(self, chunks, state, seed):
        if seed[-1] == step:
            FAULTS[fault](self)
        return loss_and_grad(self, chunks, state, seed)

    DataParallel.loss_and_grad = faulty


if __name__ == "__main__":
    _, fault, rank, step, *arguments = sys.argv
    sys.argv[1:] = arguments
    if launcher.place().rank == int(rank):
        inject(fault, int(step))
    main()
