"""The command line on several kinds of terminals, and without one."""

import fcntl
import os
import pty
import re
import struct
import termios

import pytest

from tests.shell import Shell, end

NARROW = {"COLUMNS": "20"}
ASCII = {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONIOENCODING": "ascii"}
COMMANDS = {
    "help": ["train", "--help"],
    "wrong": ["train", "--foo"],
    "failed": ["train", "不.txt"],
    "train": ["train", "corpus.txt"],
    "sample": ["sample", "--length", 50],
    "eval": ["eval"],
}
CODES = {"wrong": 2, "failed": 1}


def on_terminal(shell: Shell, *arguments: object, columns: int = 100, **variables: str):
    """Run a command on a terminal; return its exit code and output."""
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 25, columns, 0, 0))
    streams = dict.fromkeys(("stdin", "stdout", "stderr"), theirs)
    variables = {"TERM": "xterm", "COLUMNS": "", **variables}
    process = shell.start(*arguments, variables=variables, **streams)
    os.close(theirs)
    got = b""
    try:
        while data := os.read(ours, 1 << 16):
            got += data
    except OSError:  # the end of the output on Linux
        pass
    os.close(ours)
    return process.wait(), got.decode().replace("\r\n", "\n")


@pytest.fixture(scope="module")
def watched(trained, tmp_path_factory) -> str:
    """The output of training on a terminal."""
    shell = Shell(tmp_path_factory.mktemp("watched"), CHARLM_TRAIN_HIDDEN="8")
    code, seen = on_terminal(shell, "train", trained.folder / "corpus.txt", "--steps", 20)
    assert code == 0
    return seen


def test_training_shows_a_bar_on_a_terminal(watched):
    bars = [part for part in watched.split("\r") if "left" in part]
    assert re.match(r"  0%\|.*\| 0/20 ", bars[0])
    figures = r"100%\|█+\| 20/20, loss \d\.\d{3}, ppl \d+\.\d\d, [\d,]+ char/s \d\d:\d\d left"
    assert re.match(figures, bars[-1])


def test_training_shows_a_row_for_each_evaluation(watched):
    rows = [line.rpartition("\r")[2].split() for line in watched.split("\n")]
    header = ["step", "train", "ppl", "val", "ppl", "bits", "lr", "|grad|", "sample"]
    first = rows.index(header) + 1
    assert [row[0] for row in rows[first : first + 3]] == ["0", "10", "20"]
    assert rows[first][1] == "-"
    assert re.fullmatch(r"\d+\.\d{3}", rows[first + 1][1])


def test_bar_is_removed_at_the_end(watched):
    summary = watched[watched.index("held-out perplexity") :]
    assert "\r" not in summary
    assert "left" not in summary


def test_sample_is_printed_on_a_terminal(trained):
    code, seen = on_terminal(trained, "sample", "--seed", "machine", "--length", 30, TERM="dumb")
    assert code == 0
    note, text = seen.split("\n", 1)
    assert note == "model: runs/corpus-1/best.npz"
    assert text.startswith("machine")
    assert len(text) == len("machine") + 30 + 1


@pytest.mark.parametrize("command", ["wrong", "train", "eval"])
def test_dumb_terminal_gets_no_escape_sequences(charlm, trained, command):
    shell = charlm if command == "train" else trained
    code, seen = on_terminal(shell, *COMMANDS[command], columns=20, TERM="dumb")
    assert code == CODES.get(command, 0)
    assert seen
    assert "\x1b" not in seen


def test_no_color(trained):
    _, plain = on_terminal(trained, "sample", "nowhere.npz", NO_COLOR="1")
    _, colored = on_terminal(trained, "sample", "nowhere.npz")
    red = re.compile(r"\x1b\[[\d;]*31m")
    assert red.search(colored)
    assert not red.search(plain)


@pytest.mark.parametrize("command", COMMANDS)
def test_narrow_ascii_terminal(charlm, command):
    text = "灯是灯，碗是碗。\n" * 50
    (charlm.folder / "corpus.txt").write_text(text, encoding="utf-8")
    if command in ("sample", "eval"):
        charlm("train", "corpus.txt", "--quiet")
    ended = charlm(*COMMANDS[command], variables=NARROW | ASCII)
    assert ended.code == CODES.get(command, 0)
    assert (ended.out + ended.err).isascii()
    assert "Traceback" not in ended.err
    if command in ("train", "eval"):
        assert "\\u" not in ended.err
    if command == "sample":
        assert re.fullmatch(r"(\\u[0-9a-f]{4}|\n)+", ended.out)


@pytest.mark.parametrize(
    "arguments",
    [
        ["sample", "--length", 100_000],
        ["train", "corpus.txt", "--steps", 600, "--json"],
    ],
)
def test_closed_pipe_ends_a_command_without_a_message(charlm, trained, arguments):
    shell = charlm if arguments[0] == "train" else trained
    process = shell.start(*arguments, pipesize=4096)
    assert len(process.stdout.read(10)) == 10
    process.stdout.close()
    process.stdout = None
    ended = end(process)
    assert ended.code == 1
    assert ended.err.splitlines() in ([], ["model: runs/corpus-1/best.npz"])


@pytest.mark.parametrize("stream", ["stdout", "stderr"])
@pytest.mark.parametrize("command", ["sample", "eval"])
def test_command_runs_with_a_closed_stream(trained, command, stream):
    number = {"stdout": 1, "stderr": 2}[stream]
    closed = {stream: None, "preexec_fn": lambda: os.close(number)}
    ended = end(trained.start(*COMMANDS[command], **closed))
    assert ended.code == 0
    assert "Traceback" not in (ended.err or "")
