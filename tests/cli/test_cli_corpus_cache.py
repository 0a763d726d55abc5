"""`charlm corpus cache`: what it occupies, and how it is cleared."""

import json
import os

import pytest

from tests.shell import Shell
from tests.texts import old_file


@pytest.fixture
def shell(tmp_path) -> Shell:
    """A directory with two texts and a separate cache."""
    for name in ("a.txt", "b.txt"):
        old_file(tmp_path / name, f"{name}: the cat sat on the mat\n")
    return Shell(tmp_path, CHARLM_CACHE=str(tmp_path / "cache"))


def usage(shell: Shell, *arguments: str) -> dict:
    ended = shell("corpus", "cache", *arguments, "--json")
    assert (ended.code, ended.err) == (0, "")
    return json.loads(ended.out)


def test_cache_is_shown_and_cleared(shell):
    nothing = {"path": str(shell.folder / "cache"), "texts": 0, "bytes": 0, "limit": 20 * 10**9}
    assert usage(shell) == nothing
    assert not (shell.folder / "cache").exists()
    assert usage(shell, "clear") == nothing | {"removed": 0}
    for name in ("a.txt", "b.txt"):
        assert shell("corpus", "prepare", name).code == 0
    (shell.folder / "cache" / "notes.txt").write_text("mine")
    found = usage(shell)
    assert found["texts"] == 2
    assert found["bytes"] > 0
    rows = dict(line.split() for line in shell("corpus", "cache").out.splitlines()[:2])
    assert rows == {"path": nothing["path"], "texts": "2"}
    assert "removed  2 texts\n" in shell("corpus", "cache", "clear").out
    assert usage(shell) == nothing
    assert os.listdir(shell.folder / "cache") == ["notes.txt"]


def test_other_action_is_a_usage_error(shell):
    ended = shell("corpus", "cache", "empty")
    assert (ended.code, ended.out) == (2, "")
    assert ended.err == "charlm: ACTION must be clear, got 'empty'\n"


def test_path_that_is_no_directory_has_nothing(shell):
    (shell.folder / "file").touch()
    shell.environment["CHARLM_CACHE"] = str(shell.folder / "file")
    assert usage(shell)["texts"] == 0  # nothing is kept there
