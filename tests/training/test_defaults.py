"""What is chosen for a text and a budget: laws of the function, for all cells and budgets."""

import dataclasses
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

import charlm
from charlm.config import CELLS, Budget, ModelConfig, TrainConfig
from charlm.nn.model import CharLM
from charlm.training.defaults import PATIENCE, SHORT, choose, choose_for, measured_speed
from charlm.training.events import Start
from tests.helpers import TEXT, lawful, lawful_but_slow

characters = st.integers(2, 10**8)
distinct = st.integers(1, 5000)
operations = st.floats(1, 1e18)


@pytest.mark.parametrize("cell", CELLS)
@lawful_but_slow
@given(characters, distinct, operations, st.integers(1, 4), st.booleans())
def test_every_cell_gets_a_valid_model(cell, N, V, budget, layers, both_ways):
    given_ = {"cell": cell, "layers": layers}
    if cell != "jordan":
        given_["bidirectional"] = both_ways
    model, train = choose(N, V, budget, given_, {})
    assert {k: getattr(model, k) for k in given_} == given_
    assert CharLM(model, V).operations > 0
    assert train.lr > 0


@lawful
@given(characters, distinct, operations)
def test_what_is_given_is_kept_and_nothing_else_is_chosen_again(N, V, budget):
    model, train = choose(N, V, budget, {}, {})
    every = choose(N, V, budget, vars(model), vars(train))
    assert every == (model, train)
    for name, value in {"hidden": 96, "embedding": 5, "dropout": 0.25}.items():
        assert getattr(choose(N, V, budget, {name: value}, {})[0], name) == value
    for name, value in {"batch_size": 3, "lr": 0.5, "patience": 7}.items():
        assert getattr(choose(N, V, budget, {}, {name: value})[1], name) == value


@lawful
@given(characters, distinct, operations, st.floats(1, 100))
def test_more_operations_make_no_model_narrower(N, V, budget, times):
    widths = [choose(N, V, each, {}, {})[0].hidden for each in (budget, budget * times)]
    assert widths == sorted(widths)


@lawful
@given(characters, distinct, operations, st.integers(1, 100))
def test_a_shorter_text_gets_no_less_dropout(N, V, budget, times):
    rates = [choose(n, V, budget, {}, {})[0].dropout for n in (N * times, N)]
    assert rates == sorted(rates)
    assert rates[1] < 1


@pytest.mark.parametrize(
    ("budget", "patience"),
    [
        (Budget(minutes=1), PATIENCE),
        (Budget(operations=SHORT), PATIENCE),
        (Budget(steps=9), 0),
        (Budget(epochs=2), 0),
    ],
)
def test_budgets_without_a_number_of_steps_can_end_early(budget, patience):
    assert choose_for(budget, 1e10, 10**6, 65, {}, {})[1].patience == patience
    assert choose_for(budget, 1e10, 10**6, 65, {}, {"patience": 3})[1].patience == 3


def test_steps_and_epochs_stand_for_those_of_the_reference():
    N, reference = 2048 * 100, CharLM(ModelConfig(), 65).operations
    for budget in (Budget(steps=200), Budget(epochs=2)):
        assert choose_for(budget, 0, N, 65, {}, {}) == choose(N, 65, 2 * N * reference, {}, {})
    by_minutes = choose_for(Budget(minutes=2), 1e10, N, 65, {}, {"patience": 0})
    assert by_minutes == choose(N, 65, 120 * 1e10, {}, {})


def test_the_speed_is_a_power_of_two():
    speed = measured_speed(2)
    assert 1e6 < speed == 2 ** round(math.log2(speed))


def test_the_library_chooses_only_what_is_not_configured():
    def started(*configs):
        records = []
        charlm.train(TEXT, *configs, budget=Budget(steps=2), on_record=records.append, threads=1)
        return next(r for r in records if isinstance(r, Start))

    model, train = choose_for(Budget(steps=2), 0, len(TEXT), len(set(TEXT)), {}, {})
    start = started()
    assert (start.model, start.train) == (dataclasses.asdict(model), dataclasses.asdict(train))
    start = started(ModelConfig(hidden=8), TrainConfig(batch_size=2))
    assert start.model == dataclasses.asdict(ModelConfig(hidden=8))
    assert start.train == dataclasses.asdict(TrainConfig(batch_size=2))
