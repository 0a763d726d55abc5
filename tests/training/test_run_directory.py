"""A run's directory: held by one process, tidied up, with a history that can be gone back in."""

import json

import pytest

from charlm.errors import RunError
from charlm.training.run_directory import RunDirectory, numbered_run


@pytest.fixture
def run(tmp_path) -> RunDirectory:
    return RunDirectory(tmp_path / "run")


# Holding


def test_directory_that_nothing_has_come_of_is_removed(run):
    with run.held():
        assert run.path.is_dir()
    assert not run.path.exists()


def test_directory_with_a_file_stays(run):
    with run.held():
        run.append_history([])
    assert [path.name for path in run.path.iterdir()] == ["history.jsonl"]


def test_directory_that_was_there_stays(run):
    run.path.mkdir()
    with run.held():
        pass
    assert run.path.is_dir()


def test_numbered_directory_that_nothing_has_come_of_is_removed(tmp_path):
    first = numbered_run("text", tmp_path)
    with first.held():
        assert numbered_run("text", tmp_path).path == tmp_path / "text-2"
    assert not first.path.exists()


def test_directory_is_held_by_one_and_let_go_after_an_error(run):
    other = RunDirectory(run.path)

    def hold_and_fail() -> None:
        with run.held():
            with pytest.raises(RunError, match=f"{run.path} is in use"), other.held():
                pytest.fail("two hold it")
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        hold_and_fail()
    with other.held():
        pass


def test_who_is_refused_leaves_everything_as_it_is(run):
    other = RunDirectory(run.path)
    with run.held():
        left = run.path / ".last.npz.0123.tmp"
        left.touch()
        with pytest.raises(RunError), other.held():
            pytest.fail("two hold it")
        assert left.exists()
        assert run.path.is_dir()


def test_what_a_killed_process_has_left_is_removed_and_nothing_else(run):
    run.path.mkdir()
    strays = [run.path / f".{file.name}.0123456789abcdef.tmp" for file in run.files]
    others = [run.path / name for name in ("notes.tmp", ".mine.tmp", "last.npz", ".last.npz.bak")]
    for path in strays + others:
        path.touch()
    with run.held():
        pass
    assert sorted(run.path.iterdir()) == sorted(others)


# The history


def record(event: str, step: int, **more: object) -> dict:
    return {"event": event, "step": step, **more}


def history() -> list[dict]:
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


RECORDS = history()


@pytest.mark.parametrize("k", range(2, len(RECORDS) - 1))
def test_history_is_rewound_to_any_moment(run, k):
    run.path.mkdir()
    run.append_history(RECORDS)
    at, following = RECORDS[k], RECORDS[k + 1]
    rollbacks = sum(record["event"] == "rollback" for record in RECORDS[: k + 1])
    run.rewind_history(at["step"], rollbacks)
    belongs = following["event"] == "eval" and following["step"] == at["step"]
    expected = RECORDS[: k + 2] if belongs else RECORDS[: k + 1]
    assert run.read_history() == expected
    run.rewind_history(at["step"], rollbacks)
    assert run.read_history() == expected


def test_history_of_an_older_version_has_rollbacks_by_their_old_name(run):
    run.path.mkdir()
    run.append_history([record("step", 1), record("setback", 0, cause="nan", setbacks=2)])
    expected = [record("step", 1), record("rollback", 0, cause="nan", rollbacks=2)]
    assert run.read_history() == expected


def test_history_of_a_run_that_begins_is_empty(run):
    run.path.mkdir()
    run.append_history(RECORDS)
    run.rewind_history(0)
    assert run.read_history() == []


def test_run_that_went_back_to_its_beginning_keeps_what_was_before(run):
    run.path.mkdir()
    before = [record("start", 0), record("eval", 0), record("step", 1), record("rollback", 0)]
    run.append_history([*before, record("step", 1), record("step", 2)])
    run.rewind_history(0, rollbacks=1)
    assert run.read_history() == before


def test_line_that_was_cut_off_is_passed_over_and_gone_after_rewinding(run):
    run.path.mkdir()
    run.append_history(RECORDS)
    whole = run.history.read_bytes()
    last = json.dumps(RECORDS[-1]).encode() + b"\n"
    for cut in range(1, len(last) + 1):
        run.history.write_bytes(whole[:-cut])
        assert run.read_history() == RECORDS[:-1]
    run.rewind_history(8, 2)
    assert run.history.read_bytes() == whole.removesuffix(last)


@pytest.mark.parametrize(
    "line",
    [
        b"",
        b"step",
        b"[]",
        b"1",
        b'{"event": "step"}',
        b'{"step": 1}',
        b'{"event": "step", "step": "1"}',
        b'{"event": "step", "step": 1.0}',
        b'{"event": "step", "step": true}',
        b'{"event": "step", "step": NaN}',
        b'{"event": "st\xff", "step": 1}',
        b'{"event": "step", "step": 1' + b"0" * 5000 + b"}",
        b"[" * 100_000,
        b"\x00" * 20,
    ],
    ids=range(14),
)
@pytest.mark.parametrize("place", [0, 5])
def test_damaged_line_is_refused_in_words(run, line, place):
    run.path.mkdir()
    run.append_history(RECORDS)
    lines = run.history.read_bytes().splitlines()
    lines.insert(place, line)
    run.history.write_bytes(b"\n".join(lines) + b"\n")
    before = run.history.read_bytes()
    for act in (run.read_history, lambda: run.rewind_history(3)):
        with pytest.raises(RunError) as info:
            act()
        assert str(info.value).startswith(f"{run.history} is damaged: ")
        assert str(info.value).endswith("; remove it to continue")
        assert len(str(info.value).splitlines()) == 1
    assert run.history.read_bytes() == before


def test_run_without_a_history_has_an_empty_one(run):
    assert run.read_history() == []


def test_history_that_is_a_directory_is_said(run):
    run.history.mkdir(parents=True)
    with pytest.raises(RunError, match="cannot read"):
        run.read_history()
    with pytest.raises(RunError, match="cannot write"):
        run.append_history([])
