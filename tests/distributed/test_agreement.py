"""Ranks with other arguments, software or processors are refused when they meet."""

import threading
from collections.abc import Callable
from typing import Any

import pytest

import charlm
from charlm.config import Budget, ModelConfig, TrainConfig
from charlm.distributed import agreement
from charlm.errors import RankError
from charlm.system.numerical_environment import environment
from charlm.text.corpus import Corpus
from charlm.training.setup import set_up
from tests.distributed.test_process_group import Thread, on_threads
from tests.helpers import TEXT


def differing(on_rank: int, name: str, value: Any) -> Any:
    """Train on each rank of three, one of which has another value of an argument."""

    def action(group: Thread) -> Any:
        arguments: dict[str, Any] = {"text": TEXT, "hidden": 3, "lr": 0.1, "steps": 2, "out": None}
        if group.rank == on_rank:
            arguments[name] = value
        try:
            return charlm.train(
                arguments["text"],
                ModelConfig("rnn", arguments["hidden"]),
                TrainConfig(seq_len=5, batch_size=4, lr=arguments["lr"]),
                Budget(steps=arguments["steps"]),
                out=arguments["out"],
                threads=1,
                ranks=group,
            )
        except RankError as error:
            return str(error)

    return on_threads(3, action)


DIFFERENCES = {
    "text": (TEXT[:-1], "the SHA-256 of the text is ", ""),
    "hidden": (4, "`hidden` is 3", "4"),
    "lr": (None, "`lr` is 0.1", "none"),
    "steps": (3, "`steps` is 2", "3"),
    "out": ("run", "`out` is none", "run"),
}


@pytest.mark.parametrize("rank", [0, 1, 2])
@pytest.mark.parametrize("name", DIFFERENCES)
def test_all_ranks_name_the_argument_that_differs(name, rank, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    value, first, other = DIFFERENCES[name]
    messages = differing(rank, name, value)
    assert len(set(messages)) == 1
    line = messages[0]
    if rank:
        assert line.startswith(f"{first}")
        assert f" on rank 0, but {other}" in line
        assert f" on rank {rank}; start all ranks with the same options" in line
    else:
        assert " on rank 0, but " in line
        assert " on rank 1; " in line
    assert list(tmp_path.iterdir()) == []


def disagreement(
    patch: pytest.MonkeyPatch, function: str, other: dict[str, str], check: Callable[[Thread], Any]
) -> str:
    """Return what all ranks raise where a function of `agreement` returns another value on one."""
    same, here = getattr(agreement, function)(), threading.local()
    patch.setattr(agreement, function, lambda: same | (other if here.rank == 2 else {}))

    def action(group: Thread) -> str:
        here.rank = group.rank
        with pytest.raises(RankError) as refused:
            check(group)
        return str(refused.value)

    (message,) = set(on_threads(3, action))
    return message


@pytest.mark.parametrize("name", agreement.versions())
def test_all_ranks_name_the_version_that_differs(name, monkeypatch):
    value = agreement.versions()[name]
    message = disagreement(
        monkeypatch, "versions", {name: "7.0"}, lambda group: agreement.check_options(group, {})
    )
    assert message.startswith(f"{name} is {value} on rank 0, but 7.0 on rank 2; install ")


def prepared(group: Thread, *, in_order: bool = True) -> None:
    config = TrainConfig(seq_len=5, batch_size=4, in_order=in_order)
    set_up(Corpus.of(TEXT), ModelConfig("rnn", 3), config, threads=1, group=group)


@pytest.mark.parametrize("kernels", ["unset", "Haswell"])
@pytest.mark.parametrize("name", environment())
def test_ranks_that_may_round_differently_are_refused_if_the_order_matters(
    name, kernels, monkeypatch
):
    monkeypatch.setenv("OPENBLAS_CORETYPE", kernels)
    if name == "processor" and kernels != "unset":  # kernels are the same on any processor
        with pytest.raises(BaseException, match="DID NOT RAISE"):
            disagreement(monkeypatch, "environment", {name: "another"}, prepared)
        return
    value = environment()[name]
    message = disagreement(monkeypatch, "environment", {name: "another"}, prepared)
    assert message.startswith(f"{name} is {value} on rank 0, but another on rank 2; set ")
    assert "`in_order=False`" in message
    on_threads(3, lambda group: prepared(group, in_order=False))  # the remedy
