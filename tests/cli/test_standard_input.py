"""Text that is piped to a command which was given none; and what is never read."""

import io
import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Timer

import pytest

from charlm.cli import standard_input
from charlm.cli.standard_input import piped_text, without_last_newline
from tests.shell import QUICK, TEXT, Shell, end

posix = pytest.mark.skipif(sys.platform == "win32", reason="needs pipes that can be waited for")
LINE = "The machine reads a letter.\n"
WAITS = "charlm eval -"


@contextmanager
def file_with(text: str, position: int = 0) -> Iterator[int]:
    """A regular file that was read up to a position."""
    with open("file.txt", "w+", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        os.lseek(file.fileno(), position, os.SEEK_SET)
        yield file.fileno()


@contextmanager
def pipe_with(text: str, after: float = 0, *, closed: bool = True) -> Iterator[int]:
    """A pipe into which a text is written after some seconds."""
    read_end, write_end = os.pipe()

    def send() -> None:
        os.write(write_end, text.encode())
        if closed:
            os.close(write_end)

    sender = Timer(after, send)
    sender.start()
    yield read_end
    sender.join()
    os.close(read_end)
    if not closed:
        os.close(write_end)


@contextmanager
def opened(path: str | Path) -> Iterator[int]:
    number = os.open(path, os.O_RDONLY)
    yield number
    os.close(number)


@contextmanager
def terminal() -> Iterator[int]:
    import pty

    ours, theirs = pty.openpty()
    os.write(ours, b"typed\n")
    yield theirs
    os.close(ours)
    os.close(theirs)


@contextmanager
def socket_with_text() -> Iterator[int]:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        ours.sendall(LINE.encode())
        yield theirs.fileno()


COUNTED = {
    "file": lambda: file_with(LINE),
    "file from its middle": lambda: file_with(LINE, 5),
    "pipe": lambda: pipe_with(LINE),
    "slow pipe": lambda: pipe_with(LINE, after=0.3),
    "open pipe": lambda: pipe_with(LINE, closed=False),
}
IGNORED = {
    "empty file": lambda: file_with(""),
    "file at its end": lambda: file_with(LINE, len(LINE)),
    "closed pipe": lambda: pipe_with(""),
    "slowly closed pipe": lambda: pipe_with("", after=0.3),
    "null device": lambda: opened(os.devnull),
    "socket": socket_with_text,
    "terminal": terminal,
}


@contextmanager
def as_stdin(monkeypatch, number: int) -> Iterator[io.BufferedReader]:
    with open(number, "rb", closefd=False) as file:
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(file))
        yield file


@posix
@pytest.mark.parametrize("kind", COUNTED)
def test_text_counts_and_none_of_it_is_lost(monkeypatch, tmp_path, kind):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(standard_input, "PATIENCE", 30)
    with COUNTED[kind]() as number, as_stdin(monkeypatch, number) as file:
        assert piped_text(WAITS) == ["-"]
        assert file.read1().decode() == (LINE[5:] if "middle" in kind else LINE)


@posix
@pytest.mark.parametrize("kind", IGNORED)
def test_what_has_no_text_is_as_if_nothing_was_given(monkeypatch, tmp_path, capsys, kind):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(standard_input, "PATIENCE", 30)
    with IGNORED[kind]() as number, as_stdin(monkeypatch, number):
        assert piped_text(WAITS) == []
    assert capsys.readouterr() == ("", "")


@pytest.mark.parametrize("stdin", [None, io.StringIO(LINE), io.TextIOWrapper(io.BytesIO(b"text"))])
def test_closed_or_replaced_stream_is_ignored(monkeypatch, stdin):
    monkeypatch.setattr(sys, "stdin", stdin)
    assert piped_text(WAITS) == []


@posix
def test_silent_pipe_is_left_alone_with_a_line_that_names_the_command(trained, monkeypatch):
    read_end, write_end = os.pipe()
    ended = end(trained.start("eval", stdin=read_end))
    assert ended.code == 0
    assert "the validation split of the model's corpus" in ended.out
    line, model, *_ = ended.err.splitlines()
    assert line.startswith("standard input is a pipe that has sent nothing for 2 seconds")
    assert line.endswith(": charlm eval -")
    assert model.startswith("model: ")
    os.write(write_end, b"later")
    assert os.read(read_end, 10) == b"later"
    os.close(read_end)
    os.close(write_end)


@posix
def test_producer_that_sleeps_a_second_is_waited_for(trained):
    code = f"import time; time.sleep(1); print({TEXT!r}, end='')"
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE) as producer:
        (figures,) = end(trained.start("eval", "--json", stdin=producer.stdout)).records
    assert figures["text"] == "-"
    assert figures["length"] == len(TEXT)


def test_stdin_that_is_closed_is_ignored(trained):
    ended = end(trained.start("eval", stdin=None, preexec_fn=lambda: os.close(0)))
    assert ended.code == 0
    assert "the validation split of the model's corpus" in ended.out


@pytest.mark.parametrize(
    "arguments", [("sample", "--seed", "x"), ("sample", "--seed", ""), ("eval", "corpus.txt")]
)
def test_command_with_a_text_leaves_the_lines_of_a_loop(trained, arguments):
    """As in `while read line; do charlm sample --seed "$line"; done < lines`."""
    with open(trained.folder / "corpus.txt", "rb") as lines:
        end(trained.start(*arguments, stdin=lines))
        assert os.lseek(lines.fileno(), 0, os.SEEK_CUR) == 0
    read_end, write_end = os.pipe()
    os.write(write_end, LINE.encode())
    end(trained.start(*arguments, stdin=read_end))
    assert os.read(read_end, 100) == LINE.encode()
    os.close(read_end)
    os.close(write_end)


@pytest.fixture(scope="module")
def models(tmp_path_factory) -> Shell:
    """A folder with models of each kind; tests must not change it, but for a run `new`."""
    folder = tmp_path_factory.mktemp("models")
    (folder / "corpus.txt").write_text(TEXT, encoding="utf-8")
    shell = Shell(folder, **QUICK)
    for name, options in {"one": [], "two": ["--cell", "gru"], "both": ["--bidirectional"]}.items():
        shell("train", "corpus.txt", "--out", name, "--quiet", "--steps", 1, *options)
    return shell


PIPED = {
    "eval": (["eval", "one", "--json"], ["-"]),
    "sample": (["sample", "one", "--random-seed", 1], ["--prompt-file", "-"]),
    "score": (["score", "one"], ["-"]),
    "classify": (["classify", "one", "two"], ["-"]),
    "classify --lines": (["classify", "--lines", "-m", "one", "-m", "two"], ["-"]),
    "proofread": (["proofread", "--model", "both", "--odds", 1.5], ["-"]),
    "fill": (["fill", "-m", "both"], ["-"]),
    "train": (["train", "--steps", 1, "--out", "new", "--force", "--json"], ["-"]),
    "corpus prepare": (["corpus", "prepare", "--json"], ["-"]),
}


@pytest.mark.parametrize("command", PIPED)
def test_piped_text_is_read_as_if_a_hyphen_were_given(models, command):
    arguments, named = PIPED[command]
    text = "the m_chine\n" if command == "fill" else TEXT
    if command == "corpus prepare":
        models(*arguments, *named, stdin=text)  # the second one finds it in the cache
    piped, given = models(*arguments, stdin=text), models(*arguments, *named, stdin=text)
    assert piped.code == 0, piped.err
    if command == "train":
        assert piped.records[0] == given.records[0]
        assert piped.records[0]["train_characters"] > 0
    else:
        assert piped == given
    nothing = models(*arguments)
    assert nothing.code == (0 if command in ("eval", "sample") else 2)
    assert nothing != given


def test_resumed_run_of_piped_text_takes_piped_text(models):
    models("train", "--steps", 1, "--out", "piped", "--quiet", stdin=TEXT)
    resume = ("train", "--resume", "--out", "piped", "--steps", 2, "--json")
    assert "-" in models(*resume).refusal
    assert models(*resume, stdin=TEXT).code == 0


@pytest.mark.parametrize(
    ("pieces", "text"),
    [
        ([], ""),
        (["a"], "a"),
        (["a\n"], "a"),
        (["a", "\n"], "a"),
        (["a\n", "\n"], "a\n"),
        (["a\r", "\n"], "a"),
        (["a\r"], "a\r"),
        (["a\n", "b", "\n", "", "c\r\n"], "a\nb\nc"),
        (["\n"], ""),
    ],
)
def test_last_newline_is_left_out_wherever_pieces_end(pieces, text):
    assert "".join(without_last_newline(pieces)) == text
