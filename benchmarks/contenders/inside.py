"""Our step from inside: which products it makes, and how long each part takes.

charlm is not changed for it. The arrays of a step come from a `Workspace`, so a workspace that
hands out `Watched` arrays, a subclass that NumPy tells of every universal function it takes part
in (products, arithmetic, sums; not gathering), sees each of these calls while the step runs, with
the shapes, strides and caches that it has there. The watching happens between the calls and makes
the step slower, but not the calls: so from a watched run only the time inside calls is taken, and
the time of the whole from one without.
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
from charlm.nn.cells.protocol import State
from charlm.nn.model import CharLM
from charlm.nn.optimizers import Optimizer, clip_norm
from charlm.nn.params import Params
from charlm.nn.workspace import Workspace
from charlm.system.arrays import Array
from charlm.text.batches import Chunk
from charlm.training.trainer import Trainer

facts = ours.facts

BURST = 4


@dataclass
class Tally:
    """What was seen while something was done.

    Attributes:
        seconds: all of it.
        products: seconds in matrix products of watched arrays.
        operations: in those, two for each pair of numbers.
        elementwise: seconds in all other universal functions of watched arrays.
    """

    seconds: float = 0.0
    products: float = 0.0
    operations: int = 0
    elementwise: float = 0.0


tally = Tally()


def watch(action: Callable[[], object]) -> Tally:
    """What is seen while something is done."""
    global tally
    tally = Tally()
    started = time.perf_counter()
    action()
    tally.seconds = time.perf_counter() - started
    return tally


def _plain(value: Any) -> Any:
    return value.view(np.ndarray) if isinstance(value, Watched) else value


class Watched(np.ndarray[Any, Any]):
    """An array that adds every universal function it takes part in to `tally`."""

    def __array_ufunc__(
        self, ufunc: Any, method: Any, *inputs: Any, out: Any = None, **options: Any
    ) -> Any:
        """Called by NumPy in place of a universal function."""
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
        """As in any workspace."""
        return super().array(name, *shape).view(Watched)

    def scope(self, name: str) -> Workspace:
        """As in any workspace."""
        if name not in self._scopes:
            self._scopes[name] = WatchedWorkspace(self.dtype)
        return self._scopes[name]


def head_alone(model: CharLM, h: Array) -> CharLM:
    """The same model, its cells' output `(T, B, H)` given: head and loss remain."""
    alone = CharLM(model.config, model.vocabulary)

    def forward(p: Params, x: Array, state: State, *_: Any) -> tuple[Array, State, Any]:
        return h, state, lambda g, dy, dstate: (None, state)

    cast(Any, alone.cells).forward = forward
    return alone


def _parts(trainer: Trainer, dy: Array) -> dict[str, Callable[[], object]]:
    """The parts of a step of training, each of which can be run alone.

    Those that processes carry at once are given the streams of the first shard.

    Args:
        trainer: has made some steps.
        dy: a gradient of the cells' output, `(T, B, H)`.
    """
    model, p, columns = trainer.model, trainer.p, trainer.shards.columns
    x, y = (ids[:, columns[0]] for ids in trainer.streams.chunk(0)[:2])
    state = tuple(part[columns[0]].copy() for part in trainer.carried)
    alone = DataParallel(model, p, x.shape[1], shards=1)
    head = head_alone(model, np.full_like(dy, 0.1))
    grads = [p.zeros_like() for _ in columns]
    weights, work = p.flat.copy(), Workspace()
    adam = Optimizer("adam", weights)

    def cells(work: Workspace, dy: Array) -> None:
        _, _, backward = model.cells.forward(p, x, state, work)
        backward(grads[0], dy, None)

    def optimiser() -> None:
        total = grads[0].flat
        total.fill(1e-4)
        for g in grads[1:]:
            total += g.flat
        clip_norm(total, trainer.config.clip)
        adam.step(weights, total, 1e-9, 1000)

    return {
        "step": trainer.step,
        "data": partial(trainer.streams.chunk, 1),
        "dealt": partial(alone.loss_and_grad, [Chunk(x, y, x[:0], is_first=False)], state, (0, 0)),
        "head": partial(head.loss_and_grad, p, grads[0], x, y, state, work, scale=1 / x.size),
        "cells": partial(cells, work.scope("cells"), dy),
        "watched": partial(cells, WatchedWorkspace(), dy.view(Watched)),
        "optimiser": optimiser,
    }


def breakdown(seconds: float, **task: Any) -> dict[str, float]:
    """Where a step's time goes, in seconds; the parts sum up to the step.

    The parts take turns of `BURST` times each until `seconds` are over. The first time of each
    turn, with the caches full of something else, does not count; of the others the medians do.
    """
    shape = Task(**task)
    trainer = ours.trainer(shape)
    for _ in range(ours.WARM_UP):
        trainer.step()
    streams = trainer.shards.columns[0]
    dy = np.empty((shape.steps, streams.stop, shape.hidden), np.float32)
    parts = _parts(trainer, dy)
    seen: dict[str, list[Tally]] = {name: [] for name in parts}
    started = time.perf_counter()
    while not seen["step"] or time.perf_counter() - started < seconds:
        for name, number in product(parts, range(BURST)):
            dy.fill(1e-4)  # a backward pass may overwrite it
            found = watch(parts[name])
            if number > 0:
                seen[name].append(found)
    median = {name: statistics.median(t.seconds for t in seen[name]) for name in parts}
    products = statistics.median(t.products for t in seen["watched"])
    elementwise = statistics.median(t.elementwise for t in seen["watched"])
    # a process carries its shards one after the other
    turns = max(map(len, trainer.shards.parts))
    result = {
        "products": turns * products,
        "element-wise": turns * elementwise,
        "calls, copies": turns * (median["cells"] - products - elementwise),
        "head, loss": turns * median["head"],
        "dealing": turns * (median["dealt"] - median["cells"] - median["head"]),
        "optimiser": median["optimiser"],
        "data": median["data"],
    }
    return result | {
        "at once": median["step"] - sum(result.values()),
        "step": median["step"],
        "product speed": seen["watched"][0].operations / products,
    }


def one_thread(size: int) -> float:
    """Operations a second of a large product on one thread."""
    A, B = np.random.default_rng(0).random((2, size, size), dtype=np.float32)
    out = np.empty_like(A)
    started = time.perf_counter()
    np.matmul(A, B, out=out)
    return 2 * size**3 / (time.perf_counter() - started)


def operations(**task: Any) -> int:
    """How many operations the matrix products of a step do."""
    trainer = ours.trainer(Task(**task))
    model, p, work = trainer.model, trainer.p, WatchedWorkspace()
    x, y, *_ = trainer.streams.chunk(0)
    step = partial(model.loss_and_grad, p, p.zeros_like(), x, y, trainer.carried, work)
    return watch(step).operations
