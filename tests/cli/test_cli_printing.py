"""Names, texts and messages that would control a terminal or are markup are printed as they are."""

import json
import math
import re
import shutil
import subprocess
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from charlm.cli import console
from charlm.cli.console import plural, print_json
from charlm.errors import printable
from charlm.system.shell import quoted
from charlm.training.checkpoint import load, save
from tests.helpers import lawful
from tests.shell import QUICK, TEXT, Ended
from tests.terminal import run, run_on_terminal

# Cursor, color, clipboard, title, link; C1; a delete; overrides and isolates of the writing
# direction; zero-width and separators; a byte that is not UTF-8; markup of rich and its emoji.
CONTROLS = (
    "\x1b[31m\x1b[2J\x1b]52;c;QQ==\x07\x1b]8;;http://a\x07\x9b5m\x85\x7f\b\v\f\r"
    "\u202e\u2066\u200b\u2028\u2029\ufeff"
)
MARKUP = "[green]word[/green][/][link=http:]:bomb:"
NAME = f"-{CONTROLS}\udcff {MARKUP}".replace("/", "\u2215")
HOSTILE_TEXT = f"{TEXT[:600]}{CONTROLS}{MARKUP}\n{TEXT[600:]}" * 2

SGR = re.compile(r"\x1b\[([\d;]*)m")
STYLES = {"0", "1", "2", "1;31", "33"}  # of titles, notes, errors and warnings


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """A directory with a hostile name, texts and runs in it, and a checkpoint that names them."""
    folder = tmp_path_factory.mktemp("printing") / NAME
    folder.mkdir()
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        for name, value in QUICK.items():
            patch.setenv(name, value)
        text = f"{NAME}.txt"
        Path(text).write_text(HOSTILE_TEXT, encoding="utf-8", newline="")
        for out, options in {NAME: [], "other": [], "both": ["--bidirectional"]}.items():
            words = ["train", "--out", out, "--quiet", *options, "--", text]
            assert run(words) == Ended(0, "", "")
        checkpoint = load(Path(NAME, "best.npz"))
        assert checkpoint.training is not None
        for out, sources in {"gone": (text, f"{CONTROLS}{MARKUP}"), "changed": (text,)}.items():
            info = replace(checkpoint.training.corpus, sources=sources, sha256="0" * 64)
            shutil.copytree(NAME, out)
            forged = replace(checkpoint, training=replace(checkpoint.training, corpus=info))
            save(Path(out, "best.npz"), forged)
            save(Path(out, "last.npz"), forged)
        shutil.copytree(NAME, "damaged")
        Path("damaged", "history.jsonl").write_text(
            json.dumps({"event": NAME, "step": NAME}) + "\n"
        )
        Path(f"{NAME}.npz").write_bytes(b"PK")
        Path("latin.txt").write_bytes(CONTROLS.encode("latin-1", "replace") + b"\xe9\xff\n")
    return folder


@pytest.fixture
def inside(folder, monkeypatch) -> None:
    """Run in that directory."""
    monkeypatch.chdir(folder)
    monkeypatch.setenv("CHARLM_CACHE", str(folder / f"cache {NAME}"))
    for name, value in QUICK.items():
        monkeypatch.setenv(name, value)


TXT, DASHED = f"{NAME}.txt", f"./{NAME}.txt"
BOTH = ["--model", "both"]
COMMANDS: dict[str, tuple[list[str], int]] = {
    "train": (["train", "--out", f"./{NAME}", "--force", "--", TXT], 0),
    "train --resume": (["train", "--resume", "--out", f"./{NAME}", "--steps", "21"], 0),
    "train: finished": (["train", "--resume", "--out", "other"], 0),
    "train: there is a run": (["train", "--out", f"./{NAME}", "--", TXT], 1),
    "train: a file is missing": (["train", "--out", "new", "--", f"{NAME}?"], 1),
    "train: no UTF-8": (["train", "--out", "new", "latin.txt"], 1),
    "resume: no such file": (["train", "--resume", "--out", "gone", "--steps", "30"], 1),
    "resume: another text": (["train", "--resume", "--out", "changed", "--steps", "30"], 1),
    "resume: a damaged history": (["train", "--resume", "--out", "damaged"], 1),
    "sample": (["sample", "./" + NAME, "--length", "40"], 0),
    "sample: a prompt": (["sample", "other", "--seed", f"{CONTROLS}\u2067", "--length", "5"], 1),
    "sample: a prompt in markup": (["sample", "other", f"--seed={MARKUP}", "--length", "5"], 0),
    "sample --count": (["sample", "other", "--count", "2", "--length", "40"], 0),
    "sample --json": (["sample", "./" + NAME, "--length", "40", "--json"], 0),
    "sample: a damaged file": (["sample", f"./{NAME}.npz"], 1),
    "eval": (["eval", "./" + NAME], 0),
    "eval TEXT": (["eval", "./" + NAME, "--", TXT], 0),
    "eval --json": (["eval", "./" + NAME, DASHED, "--json"], 0),
    "eval: no such file": (["eval", "gone"], 1),
    "eval: a changed text": (["eval", "changed"], 1),
    "eval: no such text": (["eval", "other", f"{DASHED}?"], 1),
    "classify": (["classify", "--model", "./" + NAME, "--model", "other", "--", TXT], 0),
    "classify --lines": (
        ["classify", "--lines", "--model", "./" + NAME, "--model", "other", DASHED],
        0,
    ),
    "score": (["score", "other", "--by", "character", "--top", "2", "--", TXT], 0),
    "score: two texts": (["score", "other", DASHED, "-", "--by", "word"], 0),
    "score --json": (["score", "other", DASHED, "--json"], 0),
    "score --words": (["score", "other", "--words", DASHED], 1),
    "fill": (["fill", f"The m_chine {CONTROLS}{MARKUP}", *BOTH, "--unknown", "skip"], 0),
    "fill: no gap": (["fill", f"{CONTROLS}{MARKUP}", *BOTH], 1),
    "proofread": (["proofread", *BOTH, "--odds", "1.01", "--", TXT], 0),
    "proofread: unknown": (["proofread", *BOTH, "--odds", "1e30", "-"], 0),
    "corpus get": (["corpus", "get", "ordinary-things", "--force", f"--out={NAME}.got"], 0),
    "corpus get: unknown": (["corpus", "get", "--", NAME], 1),
    "corpus prepare": (["corpus", "prepare", "--", TXT, TXT], 0),
    "corpus prepare --json": (["corpus", "prepare", "--json", "--", TXT], 0),
    "corpus cache": (["corpus", "cache"], 0),
    "eval: two texts": (["eval", "other", DASHED, "latin.txt", "--errors", "replace"], 0),
    "eval: no such model": (["eval", "--model", f"{NAME}?"], 1),
    "sample: no such model": (["sample", f"./{NAME}?"], 1),
    "train: no such name": (["train", f"{MARKUP}\x1b"], 1),
    "an unknown option": (["eval", f"-{NAME}"], 2),
    "an unknown command": ([NAME[1:]], 2),
    "an invalid choice": (["train", DASHED, f"--cell={NAME}"], 2),
    "an invalid number": (["sample", f"--length={NAME}"], 2),
    "an unknown encoding": (["eval", "other", DASHED, f"--encoding={NAME}"], 2),
}
RAW = {
    "sample",
    "sample --count",
    "sample: a prompt in markup",
    "fill",
    "classify --lines",
    "score",
    "score: two texts",
}  # to pipes


def check(shown: str, *, may_be_raw: bool = False) -> None:
    """Check that a text has only characters that are visible, newlines and tabs."""
    if not may_be_raw:
        assert printable(shown, keep="\n\t") == shown
    assert "\N{BOMB}" not in shown


@pytest.mark.parametrize("name", COMMANDS)
def test_nothing_that_is_printed_controls_a_terminal(inside, name):
    words, code = COMMANDS[name]
    stdin = f"The machine {CONTROLS}\u2067 reads {MARKUP}\n"
    piped = run(words, stdin)
    assert piped.code == code, piped.err
    check(piped.out, may_be_raw=name in RAW)
    check(piped.err)
    assert code == 0 or len(piped.err.splitlines()) == 1 or name == "a traceback"
    shown = run_on_terminal(words, stdin=stdin)
    assert shown.code == code, shown.out
    assert set(SGR.findall(shown.out)) <= STYLES
    check(SGR.sub("", shown.out).replace("\r", ""))
    for line in shown.out.split("\n"):  # what returns to the beginning of a line is an erased bar
        before, _, rest = SGR.sub("", line).rpartition("\r")
        assert not rest or not before.rpartition("\r")[2].strip()


def test_text_that_is_the_result_is_unchanged_on_a_pipe_and_escaped_on_a_terminal(inside):
    prompt = f"{CONTROLS}\n{MARKUP}"
    words = ["sample", "other", "--length", "0", f"--seed={prompt}"]
    assert run(words).out == f"{prompt}\n"
    escaped = printable(CONTROLS)
    assert run_on_terminal(words).out.endswith(f"{escaped}\n{MARKUP}\n")


@pytest.mark.parametrize(
    "text", ["naïve", "你好，世界", "e\u0301", "🎉", "\u3000a\u00a0b", "\\x1b", "ไทย"]
)
def test_ordinary_text_is_printed_unchanged(text):
    assert printable(text) == text


@lawful
@given(st.text(st.characters(codec=None)))
def test_printable_text_has_only_visible_characters(text):
    shown = printable(text)
    assert all(c.isprintable() or c.isspace() for c in shown)
    assert not re.search("[\u2028\u2029\t-\r\x1c-\x1f\x85]", shown)
    assert printable(shown) == shown


NAMES = ["a b", "-x", "--", "-", "~", "it's", "$(x)", "a\nb", "\\n'\x1b", "\udcffé", "灯\u202e"]


@pytest.mark.skipif(not shutil.which("bash"), reason="there is no bash")
def test_quoted_names_are_what_the_shell_passes_on():
    command = " ".join(["printf '%s\\0'", *map(quoted, [*NAMES, NAME])])
    check(command)
    got = subprocess.run(["bash", "-c", command], capture_output=True, check=True).stdout
    words = [word.decode("utf-8", "surrogateescape") for word in got.split(b"\0")[:-1]]
    assert words[3] == "-"
    assert [word.removeprefix("./") for word in words] == [*NAMES, NAME]
    assert not any(word.startswith("-") for word in words if word != "-")


def test_advice_can_be_run(inside, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    Path(TXT).write_text(TEXT, encoding="utf-8")
    advice = run(["corpus", "prepare", "--newlines", "lf", "--", TXT]).err.splitlines()[-1]
    command = advice.removeprefix("next: charlm ")
    split = subprocess.run(
        ["bash", "-c", f"printf '%s\\0' {command}"], capture_output=True, check=True
    ).stdout
    words = [word.decode("utf-8", "surrogateescape") for word in split.split(b"\0")[:-1]]
    assert words == ["train", DASHED, "--newlines", "lf"]
    assert run([*words, "--out", "-r", "--quiet"]) == Ended(0, "", "")
    assert run(["sample", "./-r", "--length", "3"]).code == 0


def test_counts_have_singular_and_plural():
    assert [plural(n, "step") for n in (0, 1, 2000)] == ["0 steps", "1 step", "2,000 steps"]
    assert plural(1, "entry", "entries") == "1 entry"
    assert plural(2, "entry", "entries") == "2 entries"


@pytest.mark.parametrize("number", [math.inf, -math.inf, math.nan, np.float64("inf")])
def test_json_has_no_number_that_is_not_finite(capsys, number):
    print_json({"a": [{"b": number}, (number, 1.5)], "c": number, "d": "Infinity"})
    assert json.loads(capsys.readouterr().out, parse_constant=pytest.fail) == {
        "a": [{"b": None}, [None, 1.5]],
        "c": None,
        "d": "Infinity",
    }


def test_only_one_function_makes_json():
    files = sorted(Path(console.__file__).parent.glob("*.py"))
    assert [file.name for file in files if "json.dump" in file.read_text()] == ["console.py"]
