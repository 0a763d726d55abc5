"""Each cell's step, exactly as its equations are written: for readers, not for speed.

A step maps an input x_t `(B, I)` and the state before it to the output y_t and the state after it:

    y_t, state = STEPS["lstm"](p, x_t, state)

The parameters p and the states are those of the cell of the same name in this folder, and the tests
compare every cell with its step here. The bias is a row of the weights: `row(h, 1, x) @ W` is
[h, 1, x] W.
"""

from collections.abc import Callable, Mapping

import numpy as np

from charlm.nn.cells.protocol import State
from charlm.system.arrays import Array

Weights = Mapping[str, Array]
Step = Callable[[Weights, Array, State], tuple[Array, State]]


def sigmoid(z: Array) -> Array:
    """σ(z) = 1 / (1 + exp(-z))."""
    return 1 / (1 + np.exp(-z))


def softmax(z: Array) -> Array:
    """exp(z) / Σ exp(z), of each row `(B, V)`."""
    y: Array = np.exp(z) / np.exp(z).sum(axis=1, keepdims=True)
    return y


ACTIVATIONS = {"tanh": np.tanh, "sigmoid": sigmoid, "relu": lambda z: np.maximum(z, 0)}


def row(*parts: Array | int) -> Array:
    """[a, 1, b]: matrices `(B, ·)` in one, where 1 stands for a column of ones."""
    (B,) = {len(part) for part in parts if not isinstance(part, int)}
    return np.hstack([np.ones((B, 1)) if isinstance(part, int) else part for part in parts])


def rnn(
    p: Weights, x: Array, state: State, f: Callable[[Array], Array] = np.tanh
) -> tuple[Array, State]:
    """Elman 1990."""
    (h,) = state
    h = f(row(h, 1, x) @ p["W"])
    return h, (h,)


def jordan(
    p: Weights, x: Array, state: State, f: Callable[[Array], Array] = np.tanh
) -> tuple[Array, State]:
    """Jordan 1986."""
    (y,) = state
    h = f(row(y, 1, x) @ p["W"])
    o = row(h, 1) @ p["O"]
    return o, (softmax(o),)


def lstm(p: Weights, x: Array, state: State) -> tuple[Array, State]:
    """Hochreiter & Schmidhuber 1997, with the forget gate of Gers et al. 2000."""
    h, c = state
    W_g, W_i, W_f, W_o = np.split(p["W"], 4, axis=1)
    a = row(h, 1, x)
    g = np.tanh(a @ W_g)
    i = sigmoid(a @ W_i)
    f = sigmoid(a @ W_f)
    o = sigmoid(a @ W_o)
    c = f * c + i * g
    h = o * np.tanh(c)
    return h, (h, c)


def lstm_peephole(p: Weights, x: Array, state: State) -> tuple[Array, State]:
    """Gers & Schmidhuber 2000."""
    h, c = state
    W_g, W_i, W_f, W_o = np.split(p["W"], 4, axis=1)
    P_i, P_f, P_o = p["P"]
    a = row(h, 1, x)
    g = np.tanh(a @ W_g)
    i = sigmoid(a @ W_i + c * P_i)
    f = sigmoid(a @ W_f + c * P_f)
    c = f * c + i * g
    o = sigmoid(a @ W_o + c * P_o)
    h = o * np.tanh(c)
    return h, (h, c)


def lstm_coupled(p: Weights, x: Array, state: State) -> tuple[Array, State]:
    """CIFG in Greff et al. 2017."""
    h, c = state
    W_g, W_f, W_o = np.split(p["W"], 3, axis=1)
    a = row(h, 1, x)
    g = np.tanh(a @ W_g)
    f = sigmoid(a @ W_f)
    o = sigmoid(a @ W_o)
    c = f * c + (1 - f) * g
    h = o * np.tanh(c)
    return h, (h, c)


def gru(p: Weights, x: Array, state: State) -> tuple[Array, State]:
    """The form of cuDNN: the reset gate acts after the product."""
    (h,) = state
    U_z, U_r, U_n = np.split(p["U"], 3, axis=1)
    V_n, V_z, V_r = np.split(p["V"], 3, axis=1)
    z = sigmoid(row(h, 1) @ U_z + row(1, x) @ V_z)
    r = sigmoid(row(h, 1) @ U_r + row(1, x) @ V_r)
    n = np.tanh(r * (row(h, 1) @ U_n) + row(1, x) @ V_n)
    h = z * h + (1 - z) * n
    return h, (h,)


def gru_cho(p: Weights, x: Array, state: State) -> tuple[Array, State]:
    """Cho et al. 2014: the reset gate acts before the product."""
    (h,) = state
    U_z, U_r, U_n = np.split(p["U"], 3, axis=1)
    V_z, V_r, V_n = np.split(p["V"], 3, axis=1)
    z = sigmoid(h @ U_z + row(1, x) @ V_z)
    r = sigmoid(h @ U_r + row(1, x) @ V_r)
    n = np.tanh((r * h) @ U_n + row(1, x) @ V_n)
    h = z * h + (1 - z) * n
    return h, (h,)


def gru_minimal(p: Weights, x: Array, state: State) -> tuple[Array, State]:
    """The GRU of introductory lectures, without a reset gate."""
    (h,) = state
    W_z, W_n = np.split(p["W"], 2, axis=1)
    z = sigmoid(row(h, 1, x) @ W_z)
    n = np.tanh(row(h, 1, x) @ W_n)
    h = z * h + (1 - z) * n
    return h, (h,)


def sru(p: Weights, x: Array, state: State) -> tuple[Array, State]:
    """Lei, Zhang & Artzi 2017. Without the columns of s, the shortcut is x itself."""
    (c,) = state
    blocks = p["W"].shape[1] // c.shape[1]
    W_n, W_f, W_r, *W_s = np.split(p["W"], blocks, axis=1)
    s = row(1, x) @ W_s[0] if W_s else x
    f = sigmoid(row(1, x) @ W_f)
    r = sigmoid(row(1, x) @ W_r)
    n = row(1, x) @ W_n
    c = f * c + (1 - f) * n
    return r * np.tanh(c) + (1 - r) * s, (c,)


STEPS: dict[str, Step] = {
    "rnn": rnn,
    "jordan": jordan,
    "lstm": lstm,
    "lstm-peephole": lstm_peephole,
    "lstm-coupled": lstm_coupled,
    "gru": gru,
    "gru-cho": gru_cho,
    "gru-minimal": gru_minimal,
    "sru": sru,
}
