"""Optimisers against their equations, number by number; clipping and the schedule by their laws."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from charlm.config import TrainConfig
from charlm.nn.optimizers import OPTIMIZERS, Optimizer, clip_norm, learning_rate
from tests.helpers import lawful

# Each rule as its source writes it: one parameter, the numbers kept for it, one step.


def adam(p, g, kept, lr, t):
    """Kingma & Ba 2015, the efficient order of computation at the end of section 2."""
    m = 0.9 * kept[0] + 0.1 * g
    v = 0.99 * kept[1] + 0.01 * g**2
    return p - lr * math.sqrt(1 - 0.99**t) / (1 - 0.9**t) * m / (math.sqrt(v) + 1e-8), (m, v)


def rmsprop(p, g, kept, lr, t):
    """Tieleman & Hinton 2012: divide by a running root mean square."""
    v = 0.95 * kept[0] + 0.05 * g**2
    return p - lr * g / (math.sqrt(v) + 1e-8), (v,)


def adagrad(p, g, kept, lr, t):
    """Duchi, Hazan & Singer 2011: divide by the root of the sum of squares."""
    v = kept[0] + g**2
    return p - lr * g / (math.sqrt(v) + 1e-8), (v,)


def sgd(p, g, kept, lr, t):
    """Polyak 1964: a velocity that loses a tenth a step."""
    velocity = 0.9 * kept[0] + g
    return p - lr * velocity, (velocity,)


REFERENCES = {"adam": adam, "rmsprop": rmsprop, "adagrad": adagrad, "sgd": sgd}

everyone = pytest.mark.parametrize("name", OPTIMIZERS)


def gradients(size: int, steps: int) -> np.ndarray:
    """Of every size, some of them zero."""
    rng = np.random.default_rng(3)
    g = rng.normal(size=(steps, size)) * 10.0 ** rng.integers(-4, 4, size=size)
    g[rng.random(g.shape) < 0.1] = 0
    return g


def run(name: str, p: np.ndarray, gs: np.ndarray) -> tuple[np.ndarray, Optimizer]:
    """The parameters after a step with each gradient, at a learning rate that changes."""
    p = p.copy()
    optimizer = Optimizer(name, p)
    for t, g in enumerate(gs, 1):
        optimizer.step(p, g.copy(), 0.1 / t, t)
    return p, optimizer


@everyone
def test_steps_follow_the_equations(name):
    start, gs = np.random.default_rng(4).normal(size=9), gradients(9, steps=12)
    p, optimizer = run(name, start, gs)
    for i, value in enumerate(start.tolist()):
        kept = (0.0,) * len(optimizer.names)
        for t, g in enumerate(gs[:, i].tolist(), 1):
            value, kept = REFERENCES[name](value, g, kept, 0.1 / t, t)
        assert p[i] == pytest.approx(value, rel=1e-12)
        assert optimizer.moments[:, i] == pytest.approx(kept, rel=1e-12)


@everyone
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_every_number_of_a_long_vector_is_treated_as_if_it_were_alone(name, dtype):
    size = 100_003
    start = np.random.default_rng(5).normal(size=size).astype(dtype)
    gs = gradients(size, steps=3).astype(dtype)
    p, optimizer = run(name, start, gs)
    assert p.dtype == optimizer.moments.dtype == dtype
    near = 1e-6 if dtype == np.float32 else 1e-12
    # single places, places about powers of two, and scattered ones
    for places in ([0], [16383, 16384, 16385, 65535, 65536], [size - 1], range(7, size, 9973)):
        places = list(places)
        alone, small = run(name, start[places], gs[:, places])
        np.testing.assert_allclose(p[places], alone, rtol=near)
        np.testing.assert_allclose(optimizer.moments[:, places], small.moments, rtol=near)


@everyone
def test_blocks_of_any_size_give_the_same(name, monkeypatch):
    start, gs = np.random.default_rng(6).normal(size=23), gradients(23, steps=5)
    expected, whole = run(name, start, gs)
    for block in (1, 4, 23, 24):
        monkeypatch.setattr("charlm.nn.optimizers.BLOCK", block)
        p, optimizer = run(name, start, gs)
        np.testing.assert_allclose(p, expected, rtol=1e-13)
        np.testing.assert_allclose(optimizer.moments, whole.moments, rtol=1e-13)


@everyone
def test_every_rule_finds_the_minimum_of_a_quadratic(name):
    rng = np.random.default_rng(7)
    curvature, minimum = rng.uniform(0.5, 2, 20), rng.normal(size=20)
    p = minimum + rng.uniform(-1, 1, 20)
    optimizer = Optimizer(name, p)
    for t in range(1, 501):
        optimizer.step(p, curvature * (p - minimum), 0.2 * (1 - t / 501), t)
    assert np.abs(p - minimum).max() < 1e-3


@everyone
def test_first_step_goes_against_the_gradient_and_nowhere_without_one(name):
    p = np.zeros(3)
    Optimizer(name, p).step(p, np.array([2.0, 0.0, -3.0]), 0.1, 1)
    assert p[0] < 0 == p[1] < p[2]


@everyone
def test_what_is_kept_has_a_name_each_and_is_zero_at_first(name):
    optimizer = Optimizer(name, np.ones(4, np.float32))
    assert optimizer.moments.shape == (len(optimizer.names), 4)
    assert len(set(optimizer.names)) == len(optimizer.names)
    assert optimizer.moments.dtype == np.float32
    assert not optimizer.moments.any()


VECTORS = st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=20).map(np.array)


@lawful
@given(VECTORS, st.floats(1e-6, 1e6))
def test_clipping_keeps_the_direction_and_never_exceeds_the_limit(g, limit):
    before = g.copy()
    norm = clip_norm(g, limit)
    assert norm == pytest.approx(math.hypot(*before), rel=1e-12, abs=1e-150)
    assert math.hypot(*g) <= limit * (1 + 1e-12)
    if norm <= limit:
        assert g.tobytes() == before.tobytes()
    else:
        np.testing.assert_allclose(g, before * (limit / norm), rtol=1e-12, atol=1e-300)
        assert math.hypot(*g) == pytest.approx(limit, rel=1e-12)


@lawful
@given(VECTORS)
def test_limit_of_zero_leaves_the_gradient_alone(g):
    before = g.copy()
    assert clip_norm(g, 0) == pytest.approx(math.hypot(*before), rel=1e-12, abs=1e-150)
    assert g.tobytes() == before.tobytes()


def schedule(steps: int, **options) -> list[float]:
    config = TrainConfig(**options)
    return [learning_rate(step, steps, config) for step in range(steps)]


@lawful
@given(st.integers(0, 10**6), st.integers(0, 10**6), st.integers(0, 10**5), st.floats(1e-9, 1e3))
def test_learning_rate_is_above_zero_and_never_above_the_peak(step, steps, warmup, lr):
    rate = learning_rate(step, steps, TrainConfig(lr=lr, warmup=warmup))
    assert 0 < rate <= lr * (1 + 1e-12)


@lawful
@given(st.integers(1, 400), st.integers(0, 60))
def test_learning_rate_rises_over_the_warm_up_and_then_falls(steps, warmup):
    rates = np.array(schedule(steps, warmup=warmup, lr=1.0))
    top = min(warmup, steps // 10)
    assert rates[top] == pytest.approx(1)
    assert (np.diff(rates[: top + 1]) > 0).all()
    assert (np.diff(rates[top:]) < 0).all()
    assert rates[0] == pytest.approx(1 / (top + 1))


@pytest.mark.parametrize("warmup", [0, 10, 10**6])
@pytest.mark.parametrize("steps", [20, 100, 3000])
def test_learning_rate_ends_low_and_stays_there(steps, warmup):
    config = TrainConfig(lr=2.0, warmup=warmup)
    assert learning_rate(steps - 1, steps, config) < 0.1
    for after in (steps, steps + 1, 10 * steps):
        assert learning_rate(after, steps, config) == pytest.approx(0.02)


def test_peak_is_the_optimizers_own_unless_one_is_given():
    for name in OPTIMIZERS:
        config = TrainConfig(optimizer=name)
        assert max(schedule(200, optimizer=name)) == pytest.approx(config.peak_lr)
