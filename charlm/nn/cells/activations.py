"""The activation functions of rnn and jordan, each with its derivative."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from charlm.nn.elementwise import sigmoid_
from charlm.system.arrays import Array


@dataclass(frozen=True)
class Activation:
    """An element-wise function f.

    Attributes:
        apply: `apply(z, out)` writes h = f(z) into out; z may be overwritten.
        derivative: `derivative(h, out)` writes ∂h/∂z into out, given h = f(z).
    """

    apply: Callable[[Array, Array], None]
    derivative: Callable[[Array, Array], None]


def _tanh_derivative(h: Array, out: Array) -> None:
    np.square(h, out=out)
    np.subtract(1, out, out=out)


def _relu(z: Array, out: Array) -> None:
    np.maximum(z, 0, out=out)


def _relu_derivative(h: Array, out: Array) -> None:
    np.greater(h, 0, out=out)


def _sigmoid(z: Array, out: Array) -> None:
    sigmoid_(z)
    out[...] = z


def _sigmoid_derivative(h: Array, out: Array) -> None:
    np.subtract(1, h, out=out)
    out *= h


ACTIVATIONS = {
    "tanh": Activation(np.tanh, _tanh_derivative),
    "relu": Activation(_relu, _relu_derivative),
    "sigmoid": Activation(_sigmoid, _sigmoid_derivative),
}
