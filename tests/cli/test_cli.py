"""All commands: help, exit codes, error messages, and the modules that are loaded."""

import json
import os
import subprocess
import sys

import pytest

import charlm as package

TRACEBACK = "Traceback (most recent call last)"


def test_version(charlm):
    ended = charlm("--version")
    assert ended.out == f"charlm {package.__version__}\n"
    assert ended.code == 0


@pytest.mark.parametrize("way", ["--help", "-h"])
def test_help_lists_the_commands(charlm, way):
    ended = charlm(way)
    assert ended.code == 0
    for command in ("train", "sample", "eval", "corpus"):
        assert f" {command} " in ended.out
    assert not ended.err


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        ("train corpus.txt --hidden 0", "hidden"),
        ("train corpus.txt --hidden many", "--hidden"),
        ("train corpus.txt --cell foo", "rnn, jordan, lstm"),
        ("train corpus.txt --optimizer foo", "adam, rmsprop, adagrad, sgd"),
        ("train corpus.txt --steps 5 --minutes 1", "--steps and --minutes"),
        ("train corpus.txt --encoding foo", "--encoding must be an encoding"),
        ("train corpus.txt --foo", "--foo"),
        ("train", "CORPUS"),
        ("sample --length -1", "length"),
        ("sample --temperature -1", "temperature"),
        ("sample --count 0", "--count"),
        ("sample --random-seed -1", "--random-seed"),
        ("sample --unknown guess", "--unknown"),
        ("eval --streams 0", "--streams"),
        ("eval one.npz two.npz", "one.npz, two.npz"),
        ("eval one.npz --model two.npz", "one.npz, two.npz"),
        ("eval --encoding latin-1", "--encoding"),
        ("foo", "foo"),
    ],
)
def test_usage_error_exits_with_2(charlm, arguments, named):
    ended = charlm(*arguments.split(), variables={"CHARLM_TRAIN_STEPS": ""})
    assert ended.code == 2
    assert named in ended.err
    assert TRACEBACK not in ended.err
    assert not ended.out
    assert os.listdir(charlm.folder) == ["corpus.txt"]


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        ("train nowhere.txt", ["nowhere.txt", "No such file"]),
        ("train latin.txt", ["latin.txt", "utf-8", "byte 12", "line 2", "--encoding"]),
        ("train empty.txt", ["empty.txt", "the text is empty"]),
        ("train tiny.txt", ["5 characters"]),
        ("train corpus.txt --out corpus.txt", ["corpus.txt"]),
        ("train --resume", ["last.npz", "runs/", "charlm train corpus.txt"]),
        ("sample", ["no model", "runs/", "charlm train corpus.txt"]),
        ("sample nowhere.npz", ["nowhere.npz"]),
        ("sample noise.npz", ["noise.npz", "damaged"]),
        ("sample corpus.txt", ["corpus.txt"]),
        ("sample .", ["best.npz"]),
        ("eval", ["no model", "runs/", "charlm train corpus.txt"]),
    ],
)
def test_failure_prints_one_line_and_exits_with_1(charlm, arguments, named):
    (charlm.folder / "latin.txt").write_bytes("the sea\nthe \xdcbel\n".encode("latin-1"))
    (charlm.folder / "empty.txt").touch()
    (charlm.folder / "tiny.txt").write_text("abcde")
    (charlm.folder / "noise.npz").write_bytes(b"PK\x03\x04 and no more")
    line = charlm(*arguments.split()).refusal
    for words in named:
        assert words in line


@pytest.mark.parametrize("variables", [{}, {"CHARLM_DEBUG": "1"}])
def test_debug_shows_the_traceback(charlm, variables):
    asked = [] if variables else ["--debug"]
    ended = charlm(*asked, "train", "nowhere.txt", variables=variables)
    assert ended.code == 1
    assert TRACEBACK in ended.err
    assert ended.last_note.startswith("charlm: cannot read nowhere.txt")


def test_unrelated_variables_are_ignored(charlm):
    ended = charlm("corpus", "list", variables={"CHARLM_VERSION": "0.1", "CHARLM_HOME": "/"})
    assert ended.code == 0
    assert "tiny-shakespeare" in ended.out


def test_json_can_be_set_by_a_variable(charlm):
    ended = charlm("corpus", "list", variables={"CHARLM_CORPUS_LIST_JSON": "1"})
    assert "tiny-shakespeare" in [row["name"] for row in json.loads(ended.out)]


# Prints the modules that each import loads, and whether the environment is unchanged.
REPORT = """
import importlib, json, os, pkgutil, sys
environment = dict(os.environ)
import charlm
found = {"charlm": sorted(sys.modules)}
for _, name, _ in pkgutil.walk_packages(charlm.__path__, "charlm."):
    if not name.startswith(("charlm.cli", "charlm.distributed.mpi_group")):  # mpi4py is optional
        importlib.import_module(name)
        found[name] = sorted(sys.modules)
print(json.dumps([found, os.environ == environment]))
"""


@pytest.fixture(scope="module")
def loaded(trained) -> tuple[dict[str, set[str]], bool]:
    """The modules that each module of the library loads; whether the environment is unchanged."""
    command = [sys.executable, "-c", REPORT]
    found, unchanged = json.loads(subprocess.check_output(command, env=trained.environment))
    return {module: set(after) for module, after in found.items()}, unchanged


@pytest.mark.parametrize("heavy", ["typer", "click", "rich", "tqdm", "charlm.cli.app"])
def test_library_does_not_load_the_command_line(loaded, heavy):
    modules, _ = loaded
    assert {"charlm.api", "charlm.training.loop", "charlm.nn.cells.lstm"} <= set(modules)
    assert [module for module, after in modules.items() if heavy in after] == []


def test_package_does_not_load_numpy(loaded):
    modules, _ = loaded
    assert "numpy" not in modules["charlm"]
    assert "numpy" in modules["charlm.api"]


def test_library_does_not_change_the_environment(loaded):
    _, unchanged = loaded
    assert unchanged
