"""Our step from inside: which products it makes, and how long each part takes.

charlm is not changed for it. The arrays of a step come from a `Workspace`, so a workspace that
hands out `Watched` arrays, a subclass that NumPy tells of every function it takes part in, sees
each call of the step while it runs, with the shapes, strides and caches that it has there. The
watching happens between the calls and makes the step slower, but not the calls: so from a
watched run only the time inside calls is taken, and the time of the whole from one without.
"""

import math
import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from itertools import product
from typing import Any, cast

import numpy as np

from benchmarks.contenders import ours
from benchmarks.tasks import Task
from charlm.cells import State
from charlm.model import CharLM
from charlm.optim import Optimizer, clip_norm
from charlm.parallel import Shards, available_cores
from charlm.params import Array, Params
from charlm.workspace import Workspace

facts = ours.facts

BURST = 4


@dataclass
class Tally:
    """What watched arrays took part in.

    Attributes:
        products: seconds in matrix products.
        operations: in those, two for each pair of numbers.
        elementwise: seconds in all other functions of arrays.
    """

    products: float = 0.0
    operations: int = 0
    elementwise: float = 0.0


tally = Tally()


def _plain(value: Any) -> Any:
    return value.view(np.ndarray) if isinstance(value, Watched) else value


class Watched(np.ndarray[Any, Any]):
    """An array that adds every call it takes part in to `tally`."""

    def __array_ufunc__(
        self, ufunc: Any, method: Any, *inputs: Any, out: Any = None, **options: Any
    ) -> Any:
        """Called by NumPy in place of a universal function."""
        if out is not None:
            options["out"] = tuple(map(_plain, out))
        result = _timed(getattr(ufunc, method), ufunc is np.matmul, inputs, options)
        return out[0] if out is not None else result

    def __array_function__(self, function: Any, types: Any, inputs: Any, options: Any) -> Any:
        """Called by NumPy in place of its other functions."""
        if function is not np.dot:
            return super().__array_function__(function, types, inputs, options)
        out = options.get("out")
        result = _timed(np.dot, True, inputs, {k: _plain(v) for k, v in options.items()})
        return result if out is None else out


def _timed(call: Any, product: bool, inputs: Sequence[Any], options: dict[str, Any]) -> Any:
    inputs = [_plain(value) for value in inputs]
    started = time.perf_counter()
    result = call(*inputs, **options)
    seconds = time.perf_counter() - started
    if product:
        tally.products += seconds
        tally.operations += 2 * np.size(result) * inputs[0].shape[-1]
    else:
        tally.elementwise += seconds
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


class Given:
    """Stands in for a model's cells with an output that is given: head and loss remain.

    Args:
        h: the output, `(T, B, H)`.
    """

    def __init__(self, h: Array) -> None:
        self.h = h
        self.width = h.shape[2]

    def forward(self, p: Params, x: Array, state: State, *_: Any) -> tuple[Array, State, Any]:
        """Returns what is given, and a backward pass that does nothing."""
        return self.h, state, lambda g, dy, dstate: (None, state)


def head_alone(model: CharLM, h: Array) -> CharLM:
    """The same model with an output of its cells that is given, `(T, B, H)`."""
    alone = CharLM(model.config, model.vocabulary)
    alone.cells = cast(Any, Given(h))
    return alone


class Step:
    """A step of training in its parts, each of which can be run alone.

    Args:
        task: the model and the shape of the whole batch; the parts that threads carry are given
            the columns of the first shard.
    """

    def __init__(self, task: Task) -> None:
        self.trainer = ours.trainer(task)
        for _ in range(ours.WARM_UP):
            self.trainer.step()
        self.model, self.p = self.trainer.model, self.trainer.p
        self.count = len(self.trainer.shards.columns)
        columns = self.trainer.shards.columns[0]
        x, y, _ = self.trainer.streams.chunk(0)
        self.x, self.y = x[:, columns], y[:, columns]
        self.state = tuple(part[columns].copy() for part in self.trainer.carried)
        self.alone = Shards(self.model, self.p, self.x.shape[1], shards=1)
        self.rng = np.random.default_rng(0)
        self.work, self.watched = Workspace(), WatchedWorkspace()
        self.grads = [self.p.zeros_like() for _ in range(self.count)]
        self.weights = self.p.flat.copy()
        self.optimizer = Optimizer("adam", self.weights)
        self.dy = np.full((*self.x.shape, task.hidden), 1e-4, np.float32)
        self.head_alone = head_alone(self.model, np.full_like(self.dy, 0.1))

    def step(self) -> None:
        """All of it, as in training."""
        self.trainer.step()

    def data(self) -> None:
        """The batch."""
        self.trainer.streams.chunk(1)

    def dealt(self) -> None:
        """A shard with what `Shards` does for it: zeroed gradients, forgetting, draws."""
        self.alone.loss_and_grad(self.x, self.y, self.state, (0, 0))

    def head(self) -> None:
        """The head and the loss of a shard, forward and backward."""
        arguments = (self.p, self.grads[0], self.x, self.y, self.state, self.work)
        self.head_alone.loss_and_grad(*arguments, scale=1 / self.x.size)

    def cells(self) -> None:
        """The recurrent layers of a shard, forward and backward."""
        self._cells(self.work)

    def watched_cells(self) -> None:
        """The same, watched."""
        self._cells(self.watched)

    def _cells(self, work: Workspace) -> None:
        work = work.scope("cells")
        _, _, backward = self.model.cells.forward(self.p, self.x, self.state, work, self.rng)
        backward(self.grads[0], self.dy, None)

    def optimiser(self) -> None:
        """The sum over shards, clipping, Adam."""
        total = self.grads[0].flat
        total.fill(1e-4)
        for g in self.grads[1:]:
            total += g.flat
        clip_norm(total, self.trainer.config.clip)
        self.optimizer.step(self.weights, total, 1e-9, 1000)


def breakdown(seconds: float, **task: Any) -> dict[str, float]:
    """Where a step's time goes, in seconds; the parts sum up to the step.

    The parts take turns of `BURST` times each until `seconds` are over. The first time of each
    turn, with the caches full of something else, does not count; of the others the medians do.
    """
    step = Step(Task(**task))
    parts: list[Callable[[], None]] = [
        step.step,
        step.data,
        step.dealt,
        step.head,
        step.cells,
        step.watched_cells,
        step.optimiser,
    ]
    times: dict[str, list[float]] = {part.__name__: [] for part in parts}
    tallies: list[Tally] = []
    started = time.perf_counter()
    while not tallies or time.perf_counter() - started < seconds:
        for part, number in product(parts, range(BURST)):
            step.dy.fill(1e-4)  # a backward pass may overwrite it
            _reset()
            before = time.perf_counter()
            part()
            spent = time.perf_counter() - before
            if number > 0:
                times[part.__name__].append(spent)
            if number > 0 and part == step.watched_cells:
                tallies.append(Tally(**asdict(tally)))
    median = {name: statistics.median(values) for name, values in times.items()}
    products = statistics.median(t.products for t in tallies)
    elementwise = statistics.median(t.elementwise for t in tallies)
    # threads carry the shards; with fewer threads than shards, one after the other
    turns = math.ceil(step.count / min(available_cores(), step.count))
    result = {
        "products": turns * products,
        "element-wise": turns * elementwise,
        "calls, copies": turns * (median["cells"] - products - elementwise),
        "head, loss": turns * median["head"],
        "dealing": turns * (median["dealt"] - median["cells"] - median["head"]),
        "optimiser": median["optimiser"],
        "data": median["data"],
    }
    rest = median["step"] - sum(result.values())
    return result | {
        "at once": rest,
        "step": median["step"],
        "product speed": tallies[0].operations / products,
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
    shape = Task(**task)
    trainer = ours.trainer(shape)
    x, y, _ = trainer.streams.chunk(0)
    g = trainer.p.zeros_like()
    _reset()
    trainer.model.loss_and_grad(trainer.p, g, x, y, trainer.carried, WatchedWorkspace())
    return tally.operations


def _reset() -> None:
    tally.products = tally.elementwise = 0.0
    tally.operations = 0
