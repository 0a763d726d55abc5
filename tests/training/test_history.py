"""The history of a run: read line by line, checked, and rewound to any moment."""

import json
import os
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from charlm.errors import RunError
from charlm.system.shell import to_move
from charlm.training import history
from charlm.training.events import Step
from charlm.training.summary import BINS, Curve, Speed, Summary
from tests.helpers import lawful


@pytest.fixture
def path(tmp_path) -> Path:
    return tmp_path / "history.jsonl"


def record(event: str, step: int, **more: object) -> dict[str, Any]:
    figures = {
        "step": {"nats_per_char": 1 + step / 7, "lr": 0.1 / (1 + step), "grad_norm": step / 3},
        "eval": {"val_nats_per_char": 2 - step / 10},
    }
    return {"event": event, "step": step, **figures.get(event, {}), **more}


def records_of_a_run() -> list[dict[str, Any]]:
    """A run that has diverged twice, evaluated at every second step."""
    records = [record("start", 0), record("eval", 0)]
    for first, last, back_to in [(1, 5, 2), (3, 7, 4), (5, 8, None)]:
        for step in range(first, last + 1):
            records.append(record("step", step, n=len(records)))
            if step % 2 == 0:
                records.append(record("eval", step, n=len(records)))
        if back_to is not None:
            records.append(record("rollback", back_to))
    return [*records, record("done", 8)]


RECORDS = records_of_a_run()


def rewind(path: Path, step: int, rollbacks: int = 0) -> Summary:
    return history.rewind(path, step, rollbacks, Summary())


# Rewinding


@pytest.mark.parametrize("k", range(2, len(RECORDS) - 1))
def test_history_is_rewound_to_any_moment_and_summed_up(path, k):
    history.append(path, RECORDS)
    at, following = RECORDS[k], RECORDS[k + 1]
    rollbacks = sum(record["event"] == "rollback" for record in RECORDS[: k + 1])
    belongs = following["event"] == "eval" and following["step"] == at["step"]
    expected = RECORDS[: k + 2] if belongs else RECORDS[: k + 1]
    summary = Summary()
    for each in expected:
        summary.add(each)
    for _ in range(2):
        assert rewind(path, at["step"], rollbacks) == summary
        assert [*history.read(path)] == expected
        assert history.last(path) == expected[-1]


def test_history_of_an_older_version_has_rollbacks_by_their_old_name(path):
    history.append(path, [record("step", 1), record("setback", 0, cause="nan", setbacks=2)])
    expected = [record("step", 1), record("rollback", 0, cause="nan", rollbacks=2)]
    assert [*history.read(path)] == expected
    assert history.last(path) == expected[-1]
    history.append(path, [record("step", 1), record("step", 2)])
    rewind(path, 1, rollbacks=1)
    assert [*history.read(path)] == [*expected, record("step", 1)]


def test_run_that_went_back_to_its_beginning_keeps_what_was_before(path):
    before = [record("start", 0), record("eval", 0), record("step", 1), record("rollback", 0)]
    history.append(path, [*before, record("step", 1), record("step", 2)])
    rewind(path, 0, rollbacks=1)
    assert [*history.read(path)] == before


def test_line_that_was_cut_off_is_passed_over_and_gone_after_rewinding(path):
    history.append(path, RECORDS)
    whole = path.read_bytes()
    last = json.dumps(RECORDS[-1]).encode() + b"\n"
    for cut in range(1, len(last) + 1):
        path.write_bytes(whole[:-cut])
        assert [*history.read(path)] == RECORDS[:-1]
        assert history.last(path) == RECORDS[-2]
    rewind(path, 8, 2)
    assert path.read_bytes() == whole.removesuffix(last)


@pytest.mark.parametrize("size", [1, 1000, history.LINE, 3 * history.LINE])
def test_zeros_that_a_power_failure_left_are_passed_over(path, size):
    history.append(path, RECORDS)
    with path.open("ab") as file:
        file.write(bytes(size))
    assert [*history.read(path)] == RECORDS
    rewind(path, 8, 2)
    assert [*history.read(path)] == RECORDS[:-1]


def test_history_without_a_record(path):
    assert [*history.read(path)] == []
    assert history.last(path) is None
    assert rewind(path, 3) == Summary()
    path.touch()
    assert [*history.read(path)] == []
    assert history.last(path) is None


# Damage

VALID = json.dumps(record("step", 1))


@pytest.mark.parametrize(
    "line",
    [
        b"",
        b"step",
        b"[]",
        b"1",
        b'{"event": "step"}',
        b'{"step": 1}',
        b'{"event": 1, "step": 1}',
        b'{"event": ["step"], "step": 1}',
        b'{"event": "start", "step": "1"}',
        b'{"event": "start", "step": 1.0}',
        b'{"event": "start", "step": true}',
        b'{"event": "start", "step": NaN}',
        b'{"event": "start", "step": -1}',
        b'{"event": "st\xff", "step": 1}',
        b'{"event": "start", "step": 1' + b"0" * 5000 + b"}",
        b"[" * 60_000,
        b"\x00" * 20,
        b'{"event": "eval", "step": 1}',
        b'{"event": "eval", "step": 1, "val_nats_per_char": 1e400}',
        b'{"event": "eval", "step": 1, "val_nats_per_char": true}',
        VALID.replace("1", "1e3").encode(),
        VALID.replace("nats_per_char", "nats").encode(),
        VALID.replace('"lr": 0', '"lr": -1').encode(),
        VALID.replace('"lr": 0', '"lr": 1' + "0" * 400).encode(),
        VALID.replace('"grad_norm": 0', '"grad_norm": Infinity, "x": 0').encode(),
        b" " * history.LINE + VALID.encode(),
    ],
    ids=range(26),
)
def test_damaged_line_is_refused_in_words_that_name_it(path, line):
    lines = [json.dumps(each).encode() for each in RECORDS]
    for place in (0, 5, len(lines)):
        path.write_bytes(b"\n".join([*lines[:place], line, *lines[place:]]) + b"\n")
        before = path.read_bytes()
        acts: list[Callable[[], object]] = [
            lambda: [*history.read(path)],
            lambda: rewind(path, 8, 3),
        ]
        for act in acts:
            with pytest.raises(RunError) as info:
                act()
            assert str(info.value).startswith(f"{path} is damaged in line {place + 1}: it")
            assert str(info.value).endswith(f"; move it away: {to_move(path)}")
            assert len(str(info.value)) < 300 + 3 * len(str(path))
        assert path.read_bytes() == before
    with pytest.raises(RunError, match=f"{path} is damaged in its last line"):
        history.last(path)


ODD = st.sampled_from(
    [None, True, False, "", "1", "\x1b[31m", [], {}, -1, 0, 3, 1.5, -0.0, 1e308, 10**400, 2**70]
)


@lawful
@given(
    lines=st.lists(
        st.fixed_dictionaries(
            {},
            optional=dict.fromkeys(
                ("step", "nats_per_char", "lr", "grad_norm", "val_nats_per_char", "rollbacks"),
                ODD | st.floats() | st.integers(),
            )
            | {"event": st.sampled_from(["start", "step", "eval", "rollback", "setback", "done"])},
        ),
        max_size=4,
    )
)
def test_forged_history_is_refused_in_a_line_or_can_be_summed_up(tmp_path_factory, lines):
    path = tmp_path_factory.mktemp("forged") / "history.jsonl"
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    message, summary = "", Summary()
    try:
        history.rewind(path, 3, 1, summary)
        history.last(path)
    except RunError as error:
        message = str(error)
    assert len(message.splitlines()) <= 1
    assert message.isprintable()
    assert np.isfinite([*summary.train.means(3), *summary.val.means(3)]).all()
    assert isinstance(summary.since.grad_norm or 0.0, float)


@pytest.mark.parametrize("kind", ["directory", "FIFO", "link to itself"])
def test_history_that_is_no_file_is_said(path, kind):
    match kind:
        case "directory":
            path.mkdir()
        case "FIFO":
            os.mkfifo(path)
        case "link to itself":
            path.symlink_to(path)
    with pytest.raises(RunError, match="cannot read"):
        [*history.read(path)]
    with pytest.raises(RunError, match="cannot read"):
        history.last(path)
    with pytest.raises(RunError, match="cannot write"):
        history.append(path, [])
    with pytest.raises(RunError, match="cannot write"):
        rewind(path, 1)


# What is kept of it


@pytest.mark.parametrize("count", [0, 1, 2, 7, 40, BINS, BINS + 1, 3 * BINS + 5, 10 * BINS])
@pytest.mark.parametrize("parts", [1, 7, 40])
def test_curve_has_the_means_of_consecutive_parts(count, parts):
    values = np.random.default_rng(count).random(count)
    curve = Curve()
    for value in values:
        curve.add(float(value))
    means = curve.means(parts)
    assert len(means) == min(parts, count)
    assert curve.count == count
    if count <= BINS:
        edges = [count * k // len(means) for k in range(len(means) + 1)] if count else [0]
        expected = [values[a:b].mean() for a, b in pairwise(edges)]
        np.testing.assert_allclose(means, expected)
    else:  # the parts differ by a bin at most, and a bin is a fraction of a part
        even = [part.mean() for part in np.array_split(values, parts)]
        np.testing.assert_allclose(means, even, atol=0.1)


def test_speed_is_none_before_a_step_was_timed():
    speed = Speed()
    for step in range(3):
        speed.add(Step(step, 1.0, 0.1, 1.0, 100, 50.0))
    assert speed.characters_per_second is None
    speed.add(Step(4, 1.0, 0.1, 1.0, 100, 0.5))
    assert speed.characters_per_second == 200
