"""Functions that several layers share. They work in place."""

import numpy as np

from charlm.system.arrays import Array

# An array, because a call of NumPy with a Python number has twice the overhead.
HALF = np.array(0.5, np.float32)


def sigmoid_(z: Array) -> None:
    """Replace z by σ(z) = 1 / (1 + exp(-z)), any shape.

    Computed as (1 + tanh(z/2)) / 2: it never overflows, and NumPy's tanh is vectorized.
    """
    z *= HALF
    np.tanh(z, out=z)
    z *= HALF
    z += HALF


def softmax_(z: Array) -> None:
    """Replace each row of z by its softmax, `(N, V)`."""
    z -= z.max(axis=1, keepdims=True)
    np.exp(z, out=z)
    z /= z.sum(axis=1, keepdims=True)
