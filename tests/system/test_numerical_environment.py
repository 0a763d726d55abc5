"""The numerical environment and its differences between two runs."""

from pathlib import Path

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from charlm.system.numerical_environment import differences, environment
from charlm.training.checkpoint import load, save
from tests.helpers import lawful, small_trainer

some = st.dictionaries(st.sampled_from("abcd"), st.sampled_from(["", "1", "2"]))


def test_environment_maps_names_to_strings():
    found = environment()
    assert found["NumPy"] == np.__version__
    assert found.keys() == {
        *("NumPy", "BLAS", "kernels", "blocks of products", "OPENBLAS_CORETYPE"),
        *("processor", "vector instructions"),
    }
    assert all(isinstance(value, str) for value in found.values())
    assert found["processor"]
    assert found["BLAS"]


def test_environment_does_not_change_between_calls():
    assert differences(environment(), environment()) == []


def test_environment_includes_the_selected_kernels(monkeypatch):
    monkeypatch.delenv("OPENBLAS_CORETYPE", raising=False)
    before = environment()
    monkeypatch.setenv("OPENBLAS_CORETYPE", "Haswell")
    assert differences(before, environment()) == ["OPENBLAS_CORETYPE unset, now Haswell"]


def test_processor_has_a_name_without_proc_cpuinfo(monkeypatch):
    def fail(*arguments: object, **more: object) -> None:
        raise FileNotFoundError

    monkeypatch.setattr(Path, "open", fail)
    assert environment()["processor"]


@lawful
@given(some, some)
def test_differences_are_the_common_entries_that_differ(before, now):
    lines = differences(before, now)
    unlike = [name for name in before if name in now and before[name] != now[name]]
    assert [line.split()[0] for line in lines] == unlike
    for name, line in zip(unlike, lines, strict=True):
        assert line == f"{name} {before[name] or 'none'}, now {now[name] or 'none'}"


def test_checkpoint_stores_the_environment_and_the_number_of_shards(tmp_path):
    checkpoint = small_trainer(shards=3).checkpoint()
    save(tmp_path / "c.npz", checkpoint)
    kept = load(tmp_path / "c.npz").training.environment
    assert kept == environment() | {"shards": "3"}
