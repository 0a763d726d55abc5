"""A run's directory: held by one process and tidied up; how runs are numbered and found."""

import os
import subprocess
from pathlib import Path

import pytest

from charlm.errors import RunError
from charlm.training.run_directory import RunDirectory, numbered_run, runs_by_age


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
        run.history.touch()
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


# All runs


@pytest.mark.parametrize("kind", ["link to nothing", "link to itself", "file", "FIFO"])
def test_root_that_is_no_directory_is_said(tmp_path, kind):
    root = tmp_path / "runs"
    match kind:
        case "link to nothing":
            root.symlink_to("nowhere")
        case "link to itself":
            root.symlink_to("runs")
        case "file":
            root.touch()
        case "FIFO":
            os.mkfifo(root)
    with pytest.raises(RunError, match=f"cannot create the directory {root}"):
        numbered_run("text", root)
    with pytest.raises(RunError, match=r"no best\.npz under"):
        runs_by_age("best.npz", root)


def test_number_is_the_first_that_nothing_has(tmp_path):
    (tmp_path / "text-1").mkdir()
    (tmp_path / "text-2").touch()
    (tmp_path / "text-3").symlink_to("nowhere")
    assert numbered_run("text", tmp_path).path == tmp_path / "text-4"


@pytest.mark.parametrize("letter", ["a", "灯"])
def test_name_of_any_length_becomes_a_directory(tmp_path, letter):
    name = letter * 250
    assert numbered_run(name, tmp_path).path.name in (f"{'a' * 200}-1", f"{'灯' * 66}-1")


def test_runs_are_found_by_age_whatever_else_is_there(tmp_path):
    for age, name in enumerate("bca"):
        file = tmp_path / name / "best.npz"
        file.parent.mkdir()
        file.touch()
        os.utime(file, (age, age))
    others = [tmp_path / name / "best.npz" for name in ("dangling", "loop", "directory", "FIFO")]
    for file in others:
        file.parent.mkdir()
    others[0].symlink_to("nowhere")
    others[1].symlink_to("best.npz")
    others[2].mkdir()
    os.mkfifo(others[3])
    (tmp_path / "away").symlink_to("nowhere")
    (tmp_path / "self").symlink_to(".")
    assert [run.path for run in runs_by_age("best.npz", tmp_path)] == [
        tmp_path / name for name in "acb"
    ]


def test_link_to_a_model_counts(tmp_path):
    (tmp_path / "model.npz").touch()
    (tmp_path / "runs/linked").mkdir(parents=True)
    (tmp_path / "runs/linked/best.npz").symlink_to(Path("../../model.npz"))
    (found,) = runs_by_age("best.npz", tmp_path / "runs")
    assert found.path == tmp_path / "runs/linked"


# Files that cannot be replaced

PLANTS = {
    "directory": Path.mkdir,
    "pipe": os.mkfifo,
    "link to nothing": lambda path: path.symlink_to("nothing"),
    "link to itself": lambda path: path.symlink_to(path.name),
    "link to a device": lambda path: path.symlink_to("/dev/zero"),
}


@pytest.mark.parametrize("plant", PLANTS)
@pytest.mark.parametrize("name", ["best.npz", "last.npz", "history.jsonl"])
def test_file_that_cannot_be_replaced_is_refused_before_training(tmp_path, name, plant):
    run = RunDirectory(tmp_path / "-a run")
    run.make()
    path = run.path / name
    PLANTS[plant](path)
    with pytest.raises(RunError, match=f"cannot write {path}: it is ") as info, run.held():
        pytest.fail("it is held")
    assert os.listdir(run.path) == [name]
    subprocess.run(str(info.value).rpartition(": ")[2], shell=True, check=True)
    with run.held():
        assert sorted(os.listdir(run.path)) == [".lock", f"{name}.old"]


def test_link_to_a_file_can_be_replaced(run):
    run.make()
    run.best.symlink_to("kept.npz")
    (run.path / "kept.npz").touch()
    with run.held():
        pass
