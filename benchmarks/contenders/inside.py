"""Profile of a charlm training step: its matrix products and the time of each part.

charlm itself is not changed. The arrays of a step come from a `Workspace`, so a workspace can
return `Watched` arrays. NumPy calls this subclass for every ufunc that involves it (products,
arithmetic, sums; not gathering), so each call is timed with its real shapes, strides and caches.
The timing slows down the step, but not the calls. Therefore a watched run gives only the time
inside calls, and a run without watching gives the total.
"""

import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from itertools import product
from typing import Any, cast

import numpy as np

from benchmarks.contenders import ours
from benchmarks.tasks import Task
from charlm.distributed.data_parallel import DataParallel
from charlm.nn import products
from charlm.nn.cells.protocol import State
from charlm.nn.model import CharLM
from charlm.nn.optimizers import Optimizer, clip_norm
from charlm.nn.params import Params
from charlm.nn.workspace import Workspace
from charlm.system.arrays import Array, aligned
from charlm.system.kernels import Blocks, blocks_for, kernels, use_blocks
from charlm.text.batches import Chunk
from charlm.training.trainer import Trainer

facts = ours.facts

BURST = 4
STEPS = 64  # of a sequence, for which weights are copied once


@dataclass
class Tally:
    """Times of one action.

    Attributes:
        seconds: the total.
        products: seconds in matrix products of watched arrays.
        operations: floating-point operations in those products.
        elementwise: seconds in all other ufuncs of watched arrays.
    """

    seconds: float = 0.0
    products: float = 0.0
    operations: int = 0
    elementwise: float = 0.0


tally = Tally()


def watch(action: Callable[[], object]) -> Tally:
    """Run an action and return its times."""
    global tally
    tally = Tally()
    started = time.perf_counter()
    action()
    tally.seconds = time.perf_counter() - started
    return tally


def _plain(value: Any) -> Any:
    return value.view(np.ndarray) if isinstance(value, Watched) else value


class Watched(np.ndarray[Any, Any]):
    """An array that adds the time of every ufunc that involves it to `tally`."""

    def __array_ufunc__(
        self, ufunc: Any, method: Any, *inputs: Any, out: Any = None, **options: Any
    ) -> Any:
        """Called by NumPy in place of a ufunc."""
        plain = [_plain(value) for value in inputs]
        if out is not None:
            options["out"] = tuple(map(_plain, out))
        started = time.perf_counter()
        result = getattr(ufunc, method)(*plain, **options)
        seconds = time.perf_counter() - started
        if ufunc is np.matmul:
            tally.products += seconds
            tally.operations += 2 * result.size * plain[0].shape[-1]
        else:
            tally.elementwise += seconds
        if out is not None:
            return out[0]
        return result.view(Watched) if isinstance(result, np.ndarray) else result


class WatchedWorkspace(Workspace):
    """A workspace whose arrays are watched."""

    def array(self, name: str, *shape: int) -> Array:
        """A watched array; see `Workspace.array`."""
        return super().array(name, *shape).view(Watched)

    def scope(self, name: str) -> Workspace:
        """A watched workspace; see `Workspace.scope`."""
        if name not in self._scopes:
            self._scopes[name] = WatchedWorkspace(self.dtype)
        return self._scopes[name]


def head_alone(model: CharLM, h: Array) -> CharLM:
    """The same model with the output of its cells given, `(T, B, H)`: only head and loss run."""
    alone = CharLM(model.config, model.vocabulary)

    def forward(p: Params, x: Array, state: State, *_: Any) -> tuple[Array, State, Any]:
        return h, state, lambda g, dy, dstate: (None, state)

    cast(Any, alone.cells).forward = forward
    return alone


def _parts(trainer: Trainer, dy: Array) -> dict[str, Callable[[], object]]:
    """The parts of a training step, each as a function of its own.

    Parts that run in parallel get the streams of the first shard.

    Args:
        trainer: a trainer after some steps.
        dy: a gradient of the output of the cells, `(T, B, H)`.
    """
    model, p, columns = trainer.model, trainer.p, trainer.parallel.columns
    x, y = (ids[:, columns[0]] for ids in trainer.streams.chunk(0)[:2])
    state = tuple(part[columns[0]].copy() for part in trainer.carried)
    alone = DataParallel(model, p, x.shape[1], shards=1)
    head = head_alone(model, np.full_like(dy, 0.1))
    grads = [p.zeros_like() for _ in columns]
    weights, work = p.flat.copy(), Workspace()
    adam = Optimizer("adam", weights)

    chunk = [Chunk(x, y, x[:0], None)]

    def cells(work: Workspace, dy: Array) -> None:
        _, _, backward = model.cells.forward(p, x, state, work)
        backward(grads[0], dy, None)

    def optimizer() -> None:
        total = grads[0].flat
        total.fill(1e-4)
        for g in grads[1:]:
            total += g.flat
        clip_norm(total, trainer.config.clip)
        adam.step(weights, total, 1e-9, 1000)

    return {
        "step": trainer.step,
        "data": partial(trainer.streams.chunk, 1),
        "sharded": partial(alone.loss_and_grad, chunk, state, (0, 0)),
        "head": partial(head.loss_and_grad, p, grads[0], x, y, state, work, scale=1 / x.size),
        "cells": partial(cells, work.scope("cells"), dy),
        "watched": partial(cells, WatchedWorkspace(), dy.view(Watched)),
        "optimizer": optimizer,
    }


def breakdown(seconds: float, **task: Any) -> dict[str, float]:
    """The seconds of each part of a step; they add up to the step.

    The parts take turns of `BURST` runs each until `seconds` are over. The first run of each turn
    has cold caches and is ignored; the result is the median of the others.
    """
    shape = Task(**task)
    trainer = ours.trainer(shape)
    for _ in range(ours.WARM_UP):
        trainer.step()
    streams = trainer.parallel.columns[0]
    dy = np.empty((shape.steps, streams.stop, shape.hidden), np.float32)
    parts = _parts(trainer, dy)
    seen: dict[str, list[Tally]] = {name: [] for name in parts}
    started = time.perf_counter()
    while not seen["step"] or time.perf_counter() - started < seconds:
        for name, number in product(parts, range(BURST)):
            dy.fill(1e-4)  # a backward pass overwrites it
            found = watch(parts[name])
            if number > 0:
                seen[name].append(found)
    median = {name: statistics.median(t.seconds for t in seen[name]) for name in parts}
    multiplied = statistics.median(t.products for t in seen["watched"])
    elementwise = statistics.median(t.elementwise for t in seen["watched"])
    # a process runs its shards one after another
    turns = max(map(len, trainer.parallel.parts))
    result = {
        "products": turns * multiplied,
        "element-wise": turns * elementwise,
        "calls, copies": turns * (median["cells"] - multiplied - elementwise),
        "head, loss": turns * median["head"],
        "sharding": turns * (median["sharded"] - median["cells"] - median["head"]),
        "optimizer": median["optimizer"],
        "data": median["data"],
    }
    return result | {
        "parallel": median["step"] - sum(result.values()),
        "step": median["step"],
        "product speed": seen["watched"][0].operations / multiplied,
    }


def step_product(
    K: int, B: int, N: int, gates: int, blocks: dict[str, Any] | None, *, is_transposed: bool
) -> Callable[[], int]:
    """The product of a recurrent step, `STEPS` times; counts operations.

    Args:
        K, N: the shape of the weights.
        B: the number of rows.
        gates: the number of gates among the columns.
        blocks: the fields of `Blocks`; None for those of this processor.
        is_transposed: whether the weights are transposed, as in the backward pass.
    """
    chosen = Blocks(**blocks) if blocks is not None else blocks_for(kernels())
    rng = np.random.default_rng(0)
    W = rng.random((N, K), np.float32).T if is_transposed else rng.random((K, N), np.float32)
    X = aligned(STEPS * B * K, np.float32).reshape(STEPS, B, K)
    X[...] = rng.random(X.shape, np.float32)
    out = aligned(B * N, np.float32).reshape(gates, B, N // gates)
    work = Workspace()

    def run() -> int:
        use_blocks(chosen)
        product = products.step_product(W, B, STEPS, work, gates)
        for t in range(STEPS):
            product(X[t], out)
        return 2 * STEPS * B * K * N

    run()
    return run


def one_thread(size: int) -> float:
    """Operations per second of a large product on one thread."""
    A, B = np.random.default_rng(0).random((2, size, size), dtype=np.float32)
    out = np.empty_like(A)
    started = time.perf_counter()
    np.matmul(A, B, out=out)
    return 2 * size**3 / (time.perf_counter() - started)


def operations(**task: Any) -> int:
    """The number of operations in the matrix products of a step."""
    trainer = ours.trainer(Task(**task))
    model, p, work = trainer.model, trainer.p, WatchedWorkspace()
    x, y, *_ = trainer.streams.chunk(0)
    step = partial(model.loss_and_grad, p, p.zeros_like(), x, y, trainer.carried, work)
    return watch(step).operations
