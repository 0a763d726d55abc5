"""`charlm corpus prepare`: the cache of encoded text, and the report."""

import json
import os
import shlex
import signal
import subprocess
from collections import Counter
from pathlib import Path

import pytest

from tests.shell import Ended, Shell, end
from tests.texts import flipped, old_file

TEXT = "the [red]cat[/red] sat :cat: on the mat\n" * 30 + "猫坐在垫子上。\n"
CACHE = "[red] :cat: cache"  # not rich markup
WRONG = "\0 U\x85 \ufffd a\ufeffb cafÃ© â€œ one\r\ntwo\rthree [bold]\n" + TEXT


@pytest.fixture
def shell(tmp_path) -> Shell:
    """A directory with texts and a separate cache."""
    old_file(tmp_path / "text.txt", TEXT)
    old_file(tmp_path / "wrong [b].txt", WRONG)
    return Shell(tmp_path, CHARLM_CACHE=str(tmp_path / CACHE))


def report(ended: Ended) -> dict:
    """The one JSON object on stdout."""
    assert ended.code == 0
    return json.loads(ended.out)


def kept(shell: Shell, kind: str) -> list[Path]:
    return list((shell.folder / CACHE).glob(f"*{kind}"))


def test_text_is_encoded_only_once(shell):
    first, second = (shell("corpus", "prepare", "text.txt") for _ in range(2))
    (path,) = kept(shell, ".ids")
    for ended, state in [(first, "new"), (second, "existing")]:
        assert ended.code == 0
        assert f"{path} ({state})" in ended.out
        assert f"{len(TEXT):,}" in ended.out
        assert f"{len(set(TEXT))} characters, 1-byte ids\n" in ended.out
        assert ended.err == "next: charlm train text.txt\n"
    assert first.out.replace("(new)", "(existing)") == second.out
    start, *_ = shell("train", "text.txt", "--steps", 1, "--hidden", 4, "--json").records
    assert start["train_characters"] + start["val_characters"] == len(TEXT)
    assert len(kept(shell, ".ids")) == 1


def test_report_shows_characters_without_markup(shell):
    lines = shell("corpus", "prepare", "text.txt").out.splitlines()
    (most,) = (line for line in lines if line.startswith("most frequent"))
    (least,) = (line for line in lines if line.startswith("least frequent"))
    (rare,) = (line for line in lines if line.startswith("rare"))
    counts = Counter(TEXT)
    for character, count in counts.most_common(5):
        assert f"{character!r} {count:,}" in most
    assert f"'[' {counts['[']:,}" in shell("corpus", "prepare", "text.txt").out
    assert "'猫' 1" in least
    assert rare.endswith("7 characters that occur fewer than 5 times each, 7 occurrences in total")


def test_json_has_the_report(shell):
    ended = shell("corpus", "prepare", "wrong [b].txt", "--json", "--min-count", 2)
    assert ended.err == ""
    found = report(ended)
    counts = Counter(WRONG)
    assert found["characters"] == len(WRONG)
    assert found["vocabulary"] == len(counts)
    assert (found["id_bytes"], found["found"]) == (1, False)
    assert found["path"] == str(kept(shell, ".ids")[0])
    assert dict(map(tuple, found["most_frequent"])).items() <= counts.items()
    assert [n for _, n in found["least_frequent"]] == sorted(counts.values())[:10]
    seldom = [n for n in counts.values() if n < 5]
    assert found["rare"] == {
        "min_count": 5,
        "distinct": len(seldom),
        "characters": sum(seldom),
    }
    once = [c for c, n in counts.items() if n < 2]
    assert found["min_count"] == {
        "min_count": 2,
        "distinct": len(once),
        "characters": len(once),
        "vocabulary": len(counts) - len(once) + 1,
    }
    assert {concern["kind"]: concern["count"] for concern in found["concerns"]} == {
        "control_characters": 1,
        "c1_characters": 1,
        "replacement_characters": 1,
        "byte_order_marks": 1,
        "misread_utf8": 2,
        "mixed_line_ends": 1,
        "bare_carriage_returns": 1,
    }


def warnings(ended) -> list[str]:
    return [line for line in ended.err.splitlines() if line.startswith("warning: ")]


def test_each_problem_is_a_warning(shell):
    ended = shell("corpus", "prepare", "wrong [b].txt")
    wrong = warnings(ended)
    words = ["(U+0000): 1", "(U+0085): 1", "U+FFFD", "U+FEFF", "'Ã©'", "CRLF", "retu"]
    assert len(wrong) == 7
    for line, word in zip(wrong, words, strict=True):
        assert word in line
    assert "warning" not in shell("corpus", "prepare", "text.txt").err


def test_train_warns_as_prepare_does(shell):
    expected = warnings(shell("corpus", "prepare", "wrong [b].txt"))
    command = ("train", "wrong [b].txt", "--steps", 1, "--hidden", 4, "--out", "run")
    assert warnings(shell(*command)) == expected  # of a cached text, too
    assert warnings(shell(*command, "--force", "--json")) == expected
    assert warnings(shell("train", "--resume", "--out", "run", "--steps", 2)) == []
    assert shell(*command, "--force", "--quiet").err == ""
    assert warnings(shell("train", "text.txt", *command[2:], "--force")) == []


def test_suggested_command_can_be_run(shell):
    note = shell(
        *("corpus", "prepare", "wrong [b].txt", "text.txt"),
        *("--encoding", "utf8", "--min-count", 3),
    ).last_note
    command = shlex.split(note.removeprefix("next: charlm "))
    assert command == [
        *("train", "wrong [b].txt", "text.txt", "--encoding", "utf8", "--min-count", "3")
    ]
    ended = shell(*command, "--steps", 1, "--hidden", 4, "--json")
    assert ended.records[0]["train"]["min_count"] == 3
    assert len(kept(shell, ".ids")) == 1


@pytest.mark.parametrize(
    ("count", "options"),
    [
        (9, ["--lines"]),
        (2, ["--files"]),
        (9, ["--separator", r"\n"]),
        (10, ["--separator", r"\\n"]),
        (9, ["--column", "2"]),
    ],
)
def test_suggested_command_reads_the_same_documents(shell, count, options):
    old_file(shell.folder / "more.txt", "\n".join(f"one,{n}\\n,three" for n in range(9)))
    sources = ["text.txt", "more.txt"] if "--files" in options else ["more.txt"]
    ended = shell("corpus", "prepare", *sources, *options)
    assert ended.code == 0
    command = shlex.split(ended.last_note.removeprefix("next: charlm "))
    assert command == ["train", *sources, *options]
    start, *_ = shell(*command, "--steps", 1, "--hidden", 4, "--json").records
    assert start["train_documents"] + start["val_documents"] == count
    assert len(kept(shell, ".ids")) == 1, "both read the same text"


def test_byte_order_mark_and_line_endings(shell):
    old_file(shell.folder / "marked.txt", "\ufeffone\r\ntwo\r\n" * 9)
    ended = shell("corpus", "prepare", "marked.txt", "text.txt", "--newlines", "lf")
    assert ended.err.startswith("marked.txt: ignoring the byte-order mark\n")
    assert ended.last_note == "next: charlm train marked.txt text.txt --newlines lf"
    kept = report(shell("corpus", "prepare", "marked.txt", "text.txt", "--json"))
    assert kept["characters"] == 9 * 11 - 1 + len(TEXT)
    found = shell("corpus", "prepare", "marked.txt", "text.txt", "--newlines", "lf", "--json")
    assert report(found)["characters"] == kept["characters"] - 18
    assert shell("corpus", "prepare", "text.txt", "--newlines", "crlf").code == 2


def test_min_count_that_leaves_no_character_is_an_error(shell):
    assert "--min-count" in shell("corpus", "prepare", "text.txt", "--min-count", 9999).refusal
    assert shell("corpus", "prepare", "text.txt", "--min-count", 0).code == 2


@pytest.mark.parametrize("folder", ["text.txt", "text.txt/cache"])
def test_unusable_cache_is_an_error(shell, folder):
    ended = shell("corpus", "prepare", "text.txt", variables={"CHARLM_CACHE": folder})
    assert f"cannot write the encoded corpus in {folder}" in ended.refusal
    assert "CHARLM_CACHE" in ended.refusal


@pytest.mark.parametrize(
    ("source", "named"),
    [
        ("nowhere", "nowhere"),
        ("empty", "empty"),
        ("latin.txt", "--encoding"),
        ("run", "run is a run, not a text"),
    ],
)
def test_unreadable_text_is_an_error(shell, source, named):
    for name in ("empty", "run"):
        (shell.folder / name).mkdir()
    (shell.folder / "run/last.npz").touch()
    (shell.folder / "latin.txt").write_bytes(b"\xe9\n")
    assert named in shell("corpus", "prepare", source).refusal
    assert not kept(shell, "")


@pytest.mark.parametrize(
    ("sources", "words"), [([], "needs SOURCES"), ([""], "SOURCES must be the names of text files")]
)
def test_missing_argument_exits_with_2(shell, sources, words):
    ended = shell("corpus", "prepare", *sources)
    assert (ended.code, ended.out) == (2, "")
    assert words in ended.last_note


def test_damaged_cache_is_written_again(shell):
    shell("corpus", "prepare", "text.txt")
    (path,) = kept(shell, ".ids")
    whole = path.read_bytes()
    path.write_bytes(flipped(whole, 100))
    assert not report(shell("corpus", "prepare", "text.txt", "--json"))["found"]
    assert path.read_bytes() == whole
    assert report(shell("corpus", "prepare", "text.txt", "--json"))["found"]


def test_two_processes_at_once(shell):
    large = old_file(shell.folder / "large.txt", TEXT * 3000)
    started = [shell.start("corpus", "prepare", large.name, "--json") for _ in range(2)]
    reports = [report(end(process)) for process in started]
    (path,) = kept(shell, ".ids")
    for found in [*reports, report(shell("corpus", "prepare", large.name, "--json"))]:
        assert found["characters"] == len(TEXT) * 3000
        assert found["path"] == str(path)
    assert report(shell("corpus", "prepare", large.name, "--json"))["found"]
    suffixes = sorted(name.rpartition(".")[2] for name in os.listdir(shell.folder / CACHE))
    assert suffixes == ["ids", "json", "npz"]


@pytest.mark.parametrize("name", ["SIGINT", "SIGTERM", "SIGHUP"])
def test_signal_during_encoding_leaves_no_file(shell, tmp_path, name):
    number = getattr(signal, name)
    cache = tmp_path / "its own cache"
    variables = {"CHARLM_CACHE": str(cache)}
    process = shell.start("corpus", "prepare", "-", variables=variables, stdin=subprocess.PIPE)
    process.stdin.write("some text\n" * 200_000)  # more than a pipe holds
    process.stdin.flush()
    process.send_signal(number)
    assert end(process).code == 128 + number
    assert list(cache.glob(".*")) == []
