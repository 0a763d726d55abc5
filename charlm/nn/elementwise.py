"""Element-wise functions that several layers share, in place."""

import numpy as np

from charlm.system.arrays import Array

# A half as an array: NumPy takes twice as long to begin a call with a Python number.
HALF = np.array(0.5, np.float32)


def sigmoid_(z: Array) -> None:
    """Replace z by σ(z) = 1 / (1 + exp(-z)), any shape.

    Written as (1 + tanh(z/2)) / 2: no overflow for any z, and NumPy's tanh is vectorised.
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
