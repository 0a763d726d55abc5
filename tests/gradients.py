"""Gradients by central differences, to hold backward passes against."""

from collections.abc import Callable

import numpy as np

from charlm.nn.cells.protocol import Cell, Pass, zero_state
from charlm.nn.cells.resets import NO_RESETS, Resets
from charlm.nn.params import Params
from charlm.nn.workspace import Workspace
from charlm.system.arrays import Array

TOLERANCE = 1e-6  # of an array's largest entry


def numerical_gradient(f: Callable[[], float], array: Array, step: float = 1e-5) -> Array:
    """df / d array for every entry of a float64 array, which is put back as it was."""
    gradient = np.empty_like(array)
    for index in np.ndindex(array.shape):
        kept = array[index]
        array[index] = kept + step
        above = f()
        array[index] = kept - step
        gradient[index] = (above - f()) / (2 * step)
        array[index] = kept
    return gradient


def assert_close(name: str, got: Array, expected: Array) -> None:
    """The greatest error is at most TOLERANCE of the greatest expected entry."""
    assert got.shape == expected.shape, name
    error = np.abs(got - expected).max(initial=0)
    scale = np.abs(expected).max(initial=0)
    assert error <= TOLERANCE * scale, f"{name}: {error / scale:.1e} off"


class CellCheck:
    """A cell with random parameters, input, state and a random linear function of its results.

    The loss is Σ y·ry + Σ state·rs, so its gradients with respect to y and the final state are
    ry and rs.
    """

    def __init__(
        self, cell: Cell, x: Array, *, random_seed: int = 1, resets: Resets = NO_RESETS
    ) -> None:
        rng = np.random.default_rng(random_seed)
        self.cell, self.x, self.resets = cell, x, resets
        self.p = Params(cell.shapes(), dtype=np.float64)
        self.p.flat[:] = rng.normal(scale=0.5, size=self.p.flat.size)
        T, B = x.shape[:2]
        self.state = tuple(rng.normal(size=s.shape) for s in zero_state(cell, B, np.float64))
        self.ry = rng.normal(size=(T, B, cell.width))
        self.rs = tuple(rng.normal(size=s.shape) for s in self.state)
        self.work = Workspace(np.float64)

    def loss(self) -> float:
        y, state, _ = self.forward()
        return float(
            (y * self.ry).sum() + sum((s * r).sum() for s, r in zip(state, self.rs, strict=True))
        )

    def forward(self) -> Pass:
        return self.cell.forward(
            self.p, self.x, self.state, self.work, self.generator(), self.resets
        )

    def generator(self) -> np.random.Generator:
        return np.random.default_rng(7)

    def analytic(self) -> tuple[Params, Array | None, tuple[Array, ...]]:
        """The gradients of the parameters, x and the first state, by the backward pass."""
        _, _, backward = self.forward()
        g = self.p.zeros_like()
        dx, dstate = backward(g, self.ry.copy(), self.rs)
        return g, None if dx is None else dx.copy(), dstate

    def run(self) -> None:
        """Hold every gradient against differences."""
        g, dx, dstate = self.analytic()
        for name, array in self.p.items():
            assert_close(name, g[name], numerical_gradient(self.loss, array))
        for k, array in enumerate(self.state):
            assert_close(f"state {k}", dstate[k], numerical_gradient(self.loss, array))
        if dx is not None:
            assert_close("x", dx, numerical_gradient(self.loss, self.x))
