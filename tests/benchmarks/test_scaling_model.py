"""Tests of properties of the scaling model that hold for any measurements."""

import math
from dataclasses import replace

import pytest

from benchmarks.scaling_model import (
    LINKS,
    MOST,
    Link,
    Model,
    check,
    efficiency,
    exchange,
    fastest,
    simulated,
    simulated_step,
    slower,
    step,
)
from benchmarks.tasks import Task

MODEL = Model(
    Task("lstm", 1, 832),
    parameters=3_000_000,
    chunk={1: 0.04, 8: 0.1, 64: 0.7},
    update=5e-3,
    add=3e-10,
    sum_=1e-6,
    jitter=(0.9, 1.0, 1.2),
)
PERFECT = Link("infinitely fast", math.inf, 0.0)
EACH_LINK = pytest.mark.parametrize("link", LINKS, ids=lambda link: link.name)


@EACH_LINK
def test_one_node_has_efficiency_one(link):
    assert efficiency(MODEL, link, 1, 8) == 1
    assert simulated(MODEL, link, 1, 8) == pytest.approx(1)


def test_exchange_without_cost_has_efficiency_one():
    free = replace(MODEL, add=0.0, sum_=0.0)
    assert efficiency(free, PERFECT, MOST, 8) == 1
    assert simulated(free, PERFECT, MOST, 8) < 1  # the slowest node decides
    assert simulated(replace(free, jitter=(1.0,)), PERFECT, MOST, 8) == pytest.approx(1)


@EACH_LINK
def test_efficiency_falls_with_nodes_and_rises_with_accumulation(link):
    by_nodes = [efficiency(MODEL, link, 2**k, 8) for k in range(11)]
    assert by_nodes == sorted(by_nodes, reverse=True)
    by_chunks = [efficiency(MODEL, link, 64, 8, chunks) for chunks in (1, 2, 4, 8, 16)]
    assert by_chunks == sorted(by_chunks)


def test_two_nodes_transfer_all_parameters_once_each_way():
    link = Link("1 MB/s", 1e6, 0.0)
    free = replace(MODEL, add=0.0, sum_=0.0)
    assert exchange(free, link, 2) == pytest.approx(4 * 3_000_000 / 1e6)


@EACH_LINK
def test_any_order_is_never_slower(link):
    for nodes in (2, 8, 64, 1024):
        in_order = exchange(MODEL, link, nodes)
        assert exchange(MODEL, link, nodes, in_order=False) <= in_order


def test_simulated_step_equals_the_formula_only_if_all_nodes_are_alike():
    alike = replace(MODEL, jitter=(1.0,))
    for chunks in (1, 2):
        case = (LINKS[0], 4, 8, chunks)
        assert simulated_step(alike, *case) == pytest.approx(step(alike, *case))
        assert simulated_step(MODEL, *case) > step(MODEL, *case)


@EACH_LINK
def test_slower_exchange_does_not_change_compute_time(link):
    model, slow = slower(MODEL, link, 3)
    assert exchange(model, slow, 64) == pytest.approx(3 * exchange(MODEL, link, 64))
    assert step(model, slow, 1, 8) == step(MODEL, link, 1, 8)


def test_check_compares_the_step_with_the_measured_one():
    part = {name: {"median": 0.01} for name in ("exchange", "wait")}
    seconds = 2 * MODEL.compute(8) + MODEL.update  # two of the four shards per thread
    row = {
        "alone": {"bandwidth": 1e9, "latency": 0.0},
        "parts_apart": {"1 process, 2 threads": part | {"step": {"median": seconds}}},
    }
    line = check(row, replace(MODEL, jitter=(1.0,)), "1 process, 2 threads", 1, 2)
    assert line[-1] == "+0%, +0%"


def test_chunk_times_are_interpolated_linearly():
    assert [MODEL.compute(s) for s in (1, 8, 64)] == pytest.approx([0.04, 0.1, 0.7])
    assert MODEL.compute(4.5) == pytest.approx(0.07)
    assert MODEL.compute(120) == pytest.approx(1.3)


def test_batch_uses_no_more_processors_than_it_has_streams():
    free = replace(MODEL, add=0.0, sum_=0.0)
    assert fastest(free, PERFECT, 256, 1, processors=2)[0] == 128
    assert fastest(free, PERFECT, 256, 1, processors=32)[0] == 8
