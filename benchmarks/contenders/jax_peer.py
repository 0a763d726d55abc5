"""The same training in JAX: one jitted function for the whole step, `lax.scan` over time.

The products with the input are computed before the scan, for all steps at once. The first layer
gathers rows of its weights, or multiplies them by one-hot vectors.
"""

from collections.abc import Callable
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp

from benchmarks.contenders import data
from benchmarks.tasks import GATES, Task
from charlm.config import TrainConfig

WARM_UP = 3


def facts() -> dict[str, Any]:
    """Version and device."""
    return {"jax": jax.__version__, "jax device": str(jax.devices()[0])}


def rnn(state: Any, z: Any, U: Any, b: Any) -> tuple[Any, Any]:
    """h = tanh(V x + U h + b), given z = V x `(B, H)`."""
    (h,) = state
    h = jnp.tanh(z + h @ U + b)
    return (h,), h


def gru(state: Any, z: Any, U: Any, b: Any) -> tuple[Any, Any]:
    """The GRU of cuDNN: the reset gate is applied after the product."""
    (h,) = state
    zx, rx, nx = jnp.split(z, 3, axis=1)
    za, ra, na = jnp.split(h @ U + b, 3, axis=1)
    update, reset = jax.nn.sigmoid(zx + za), jax.nn.sigmoid(rx + ra)
    n = jnp.tanh(nx + reset * na)
    h = n + update * (h - n)
    return (h,), h


def lstm(state: Any, z: Any, U: Any, b: Any) -> tuple[Any, Any]:
    """The LSTM, gates in the order i, f, o, g."""
    h, c = state
    i, f, o, g = jnp.split(z + h @ U + b, 4, axis=1)
    c = jax.nn.sigmoid(f) * c + jax.nn.sigmoid(i) * jnp.tanh(g)
    h = jax.nn.sigmoid(o) * jnp.tanh(c)
    return (h, c), h


STEPS = {"rnn": rnn, "gru": gru, "lstm": lstm}


def init(task: Task) -> Any:
    """Weights: rows for inputs, columns for gates."""
    G, H, V = GATES[task.cell], task.hidden, task.vocabulary
    keys = iter(jax.random.split(jax.random.key(0), 2 * task.layers + 1))
    scale = H**-0.5

    def uniform(*shape: int) -> Any:
        return jax.random.uniform(next(keys), shape, minval=-scale, maxval=scale)

    layers = [
        {"V": uniform(V if k == 0 else H, G * H), "U": uniform(H, G * H), "b": jnp.zeros(G * H)}
        for k in range(task.layers)
    ]
    return {"layers": layers, "head": uniform(H, V), "bias": jnp.zeros(V)}


def loss(p: Any, state: Any, x: Any, y: Any, *, cell: str, one_hot: bool) -> tuple[Any, Any]:
    """The mean NLL of y `(T, B)`, and the final state."""
    h, final = x, []
    for layer, before in zip(p["layers"], state, strict=True):
        V = layer["V"]
        if h.ndim == 3:
            z = h @ V
        elif one_hot:
            z = jax.nn.one_hot(h, V.shape[0]) @ V
        else:
            z = V[h]
        after, h = jax.lax.scan(partial(STEPS[cell], U=layer["U"], b=layer["b"]), before, z)
        final.append(after)
    logits = h @ p["head"] + p["bias"]
    picked = jnp.take_along_axis(logits, y[..., None], axis=-1)[..., 0]
    return jnp.mean(jax.nn.logsumexp(logits, axis=-1) - picked), final


def update(
    p: Any, m: Any, v: Any, t: Any, state: Any, x: Any, y: Any, *, cell: str, one_hot: bool
) -> Any:
    """A whole step: gradients, gradient-norm clipping, Adam."""
    config = TrainConfig()
    beta1, beta2 = 0.9, 0.99
    value_and_grad = jax.value_and_grad(partial(loss, cell=cell, one_hot=one_hot), has_aux=True)
    (nats, state), g = value_and_grad(p, state, x, y)
    norm = jnp.sqrt(sum(jnp.vdot(leaf, leaf) for leaf in jax.tree.leaves(g)))
    scale = jnp.minimum(1.0, config.clip / norm)
    each = jax.tree.map
    m = each(lambda m, g: beta1 * m + (1 - beta1) * scale * g, m, g)
    v = each(lambda v, g: beta2 * v + (1 - beta2) * (scale * g) ** 2, v, g)
    rate = config.peak_lr * jnp.sqrt(1 - beta2**t) / (1 - beta1**t)
    p = each(lambda p, m, v: p - rate * m / (jnp.sqrt(v) + 1e-8), p, m, v)
    return p, m, v, t + 1, state, nats


def training(variant: str, **task: Any) -> Callable[[], int]:
    """A training step that ends before the next one starts; the state is carried over."""
    shape = Task(**task)
    step = jax.jit(
        partial(update, cell=shape.cell, one_hot=variant == "one-hot"), donate_argnums=(0, 1, 2, 4)
    )
    p = init(shape)
    parts = 2 if shape.cell == "lstm" else 1
    state = [
        tuple(jnp.zeros((shape.batch, shape.hidden)) for _ in range(parts))
        for _ in range(shape.layers)
    ]
    carry = (p, jax.tree.map(jnp.zeros_like, p), jax.tree.map(jnp.zeros_like, p), 1.0, state)
    chunks = [(jnp.asarray(x), jnp.asarray(y)) for x, y in data.chunks(shape)]
    done = 0

    def work() -> int:
        nonlocal carry, done
        x, y = chunks[done % len(chunks)]
        done += 1
        *rest, nats = jax.block_until_ready(step(*carry, x, y))
        carry = tuple(rest)
        float(nats)
        return int(x.size)

    for _ in range(WARM_UP):
        work()
    return work
