"""Every command on every kind of terminal, on a full disk, and with closed pipes."""

import os
import pty
import re
import subprocess
import sys
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from itertools import product
from pathlib import Path
from typing import IO, Any

import pytest

from charlm.training.checkpoint import load
from tests.shell import QUICK, SECONDS, TEXT, Ended, Shell

FULL = "/dev/full"
NO_SPACE = re.compile(
    r"^charlm: cannot write to standard output: No space left on device.*\n", re.M
)
CRASH = re.compile(r"Traceback|Exception|\w+Error:")

TRAIN = ["train", "corpus.txt", "--force", "--out", "made", "--threads", "1"]
COMMANDS: dict[str, list[object]] = {
    "train": TRAIN,
    "train --json": [*TRAIN, "--json"],
    "sample": ["sample", "one.npz", "--length", 3000],
    "sample --count 3": ["sample", "one.npz", "--count", 3, "--length", 1000],
    "sample --json": ["sample", "one.npz", "--json"],
    "eval": ["eval", "one.npz", "corpus.txt"],
    "eval --json": ["eval", "one.npz", "corpus.txt", "--json"],
    "score": ["score", "one.npz", "corpus.txt", "--by", "character", "--top", 3],
    "classify": ["classify", "corpus.txt", "--model", "one.npz", "--model", "two.npz"],
    "classify --lines": [
        *("classify", "corpus.txt", "--model", "one.npz", "--model", "two.npz", "--lines")
    ],
    "fill": ["fill", "the m_chine wr_tes", "--model", "both.npz"],
    "proofread": ["proofread", "corpus.txt", "--model", "both.npz", "--odds", "1.001"],
    "corpus list": ["corpus", "list"],
    "corpus get": ["corpus", "get", "ordinary-things", "--force"],
    "corpus prepare": ["corpus", "prepare", "corpus.txt"],
    "--help": ["--help"],
    "--version": ["--version"],
    "a usage error": ["sample", "--length", "many"],
    "a failure": ["eval", "one.npz", "不.txt"],
}
CODES = {"a usage error": 2, "a failure": 1}
SILENT = {"train", "a usage error", "a failure"}  # on stdout


@dataclass(frozen=True)
class Condition:
    """The conditions under which a command runs.

    Attributes:
        variables: its environment variables.
        streams: the standard streams that are not pipes: a file to be opened, or None for a
            closed stream.
    """

    variables: dict[str, str] = field(default_factory=dict)
    streams: dict[str, str | None] = field(default_factory=dict)


ASCII = {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0", "PYTHONIOENCODING": ""}

# Conditions that do not change the exit code of a command.
HARMLESS = {
    "as ever": Condition(),
    "NO_COLOR": Condition({"NO_COLOR": "1"}),
    "TERM=dumb": Condition({"TERM": "dumb"}),
    "20 columns": Condition({"COLUMNS": "20"}),
    "1 column": Condition({"COLUMNS": "1"}),
    "ASCII": Condition(ASCII),
    "ASCII, 20 columns": Condition(ASCII | {"COLUMNS": "20"}),
    "stdout closed": Condition(streams={"stdout": None}),
    "stderr closed": Condition(streams={"stderr": None}),
    "stdin closed": Condition(streams={"stdin": None}),
    "all closed": Condition(streams=dict.fromkeys(("stdin", "stdout", "stderr"))),
    "stderr on a full disk": Condition(streams={"stderr": FULL}),
}
NUMBERS = {"stdin": 0, "stdout": 1, "stderr": 2}


@pytest.fixture(scope="module")
def models(tmp_path_factory) -> Path:
    """A folder with a text, two models and a bidirectional model."""
    folder = tmp_path_factory.mktemp("terminals")
    (folder / "corpus.txt").write_text(TEXT, encoding="utf-8")
    shell = Shell(folder, **QUICK)
    for name, options in {"one": [], "two": ["--cell", "rnn"], "both": ["--bidirectional"]}.items():
        assert shell(*TRAIN, *options).code == 0
        (folder / "made/best.npz").rename(folder / f"{name}.npz")
    (folder / "made/last.npz").unlink()
    return folder


@pytest.fixture
def shells(models, tmp_path) -> Callable[[int], Shell]:
    """A separate folder with the same files for each number."""

    def made(number: int) -> Shell:
        folder = tmp_path / str(number)
        folder.mkdir()
        for path in models.iterdir():
            if path.is_file():
                (folder / path.name).symlink_to(path)
        return Shell(folder, **QUICK)

    return made


def run(shell: Shell, command: str, condition: Condition) -> Ended:
    """Run a command under a condition; streams that are not pipes give no output."""
    closed = [NUMBERS[name] for name, path in condition.streams.items() if path is None]
    streams: dict[str, IO[Any] | int | None] = {
        name: path and open(path, "wb")  # noqa: SIM115
        for name, path in condition.streams.items()
    }
    if "stdin" not in streams:
        streams["stdin"] = subprocess.DEVNULL

    def close() -> None:
        for number in closed:
            os.close(number)

    more = streams | {"preexec_fn": close, "errors": "backslashreplace"}
    process = shell.start(*COMMANDS[command], variables=condition.variables, **more)
    try:
        out, err = process.communicate(timeout=SECONDS)
    finally:
        process.kill()
        for file in streams.values():
            if hasattr(file, "close"):
                file.close()
    return Ended(process.returncode, out or "", err or "")


def all_of(shells, count: Callable, cases: Sequence[tuple], check: Callable[..., str]) -> int:
    """Run all cases, two at a time, and report the failures."""
    chosen = cases[:: count(31, 1)]
    with ThreadPoolExecutor(2) as pool:
        wrong = list(pool.map(lambda n: check(shells(n), *chosen[n]), range(len(chosen))))
    found = [f"{case}: {said}" for case, said in zip(chosen, wrong, strict=True) if said]
    assert not found, "\n".join(found)
    return len(chosen)


def harm(shell: Shell, command: str, condition: str) -> str:
    """The failure of a command that should end normally; empty if there is none."""
    ended = run(shell, command, HARMLESS[condition])
    if ended.code != CODES.get(command, 0):
        return f"ended with {ended.code}: {ended.err}"
    if CRASH.search(ended.err):
        return f"said {ended.err}"
    if "ASCII" in condition and not (ended.out + ended.err).isascii():
        return f"is not ASCII: {ended.out + ended.err}"
    if "\x1b" in ended.out + ended.err:
        return "has escape sequences"
    has_out = "stdout" not in HARMLESS[condition].streams
    if has_out and bool(ended.out) == (command in SILENT):
        return f"printed {ended.out!r}"
    return ""


@pytest.mark.promise(11, "The kind of terminal and closed streams do not change how a command ends")
def test_command_ends_as_ever(shells, counted, figure):
    cases = list(product(COMMANDS, HARMLESS))
    count = all_of(shells, counted, cases, harm)
    figure(
        f"{count} of {len(COMMANDS)} commands x {len(HARMLESS)} terminals: "
        "the documented exit code, no traceback"
    )


def unsaid(shell: Shell, command: str) -> str:
    """The failure of a command whose output goes to a full disk; empty if there is none."""
    ended = run(shell, command, Condition(streams={"stdout": FULL}))
    if command in SILENT:
        return "" if ended.code == CODES.get(command, 0) else f"ended with {ended.code}"
    notes, told = NO_SPACE.subn("", ended.err)
    if ended.code != 1 or told != 1 or "charlm: " in notes or CRASH.search(notes):
        return f"ended with {ended.code}: {ended.err}"
    return ""


@pytest.mark.skipif(not Path(FULL).exists(), reason=f"there is no {FULL}")
@pytest.mark.promise(11, "Output to a full disk: one-line error and exit code 1")
def test_full_disk_is_told_of(shells, counted, figure):
    count = all_of(shells, lambda few, many: counted(11, 1), [(name,) for name in COMMANDS], unsaid)
    figure(f"{count} commands with output to {FULL}: those that print end with exit code 1")


def unread(shell: Shell, command: str) -> str:
    """The failure of a command that writes to a closed pipe; empty if there is none."""
    ours, theirs = os.pipe()
    os.close(ours)
    process = shell.start(*COMMANDS[command], stdin=subprocess.DEVNULL, stdout=theirs)
    os.close(theirs)
    _, err = process.communicate(timeout=SECONDS)
    expected = CODES.get(command, 0 if command in SILENT else 1)
    quiet = "charlm: " not in err or command in CODES
    if process.returncode != expected or not quiet or CRASH.search(err):
        return f"ended with {process.returncode}: {err}"
    return ""


@pytest.mark.promise(11, "A closed pipe ends a command with exit code 1 and no message")
def test_closed_pipe_ends_quietly(shells, counted, figure):
    count = all_of(shells, lambda few, many: counted(11, 1), [(name,) for name in COMMANDS], unread)
    figure(f"{count} commands with output to a closed pipe: those that print end with exit code 1")


@pytest.mark.parametrize(
    "command",
    [
        "sample one.npz --length 100000",
        "sample one.npz --length 20000 --count 3 --json",
        "train corpus.txt --steps 100000 --threads 1 --json",
        "proofread corpus.txt --model both.npz --odds 1.0001",
    ],
)
def test_head_takes_what_it_wants(shells, command):
    shell = shells(0)
    line = f'{{ "$PYTHON" -m charlm {command}; echo $? > code; }} 2> err | head -c 10'
    ended = subprocess.run(
        ["sh", "-c", line],
        cwd=shell.folder,
        env=shell.environment | {"PYTHON": sys.executable},
        capture_output=True,
        timeout=SECONDS,
        check=True,
    )
    assert len(ended.stdout) == 10
    assert not ended.stderr
    code, err = ((shell.folder / name).read_text(encoding="utf-8") for name in ("code", "err"))
    # short output may fit into the pipe
    assert code == "1\n" or (code == "0\n" and command.startswith("proofread"))
    assert "charlm: " not in err
    assert not CRASH.search(err)


def hung_up(shell: Shell, command: str) -> str:
    """The failure of a command whose terminal closes before any output; empty if there is none."""
    ours, theirs = pty.openpty()
    streams = dict.fromkeys(("stdin", "stdout", "stderr"), theirs)
    process = shell.start(*COMMANDS[command], **streams)
    os.close(theirs)
    os.close(ours)
    code = process.wait(SECONDS)
    if code != CODES.get(command, 0 if command in SILENT else 1):
        return f"ended with {code}"
    return ""


@pytest.mark.promise(11, "A terminal that closes ends a command that prints with exit code 1")
def test_terminal_that_goes_away(shells, counted, figure):
    count = all_of(
        shells, lambda few, many: counted(11, 1), [(name,) for name in COMMANDS], hung_up
    )
    figure(f"{count} commands on a closed terminal: the documented exit code")


def test_training_saves_when_its_terminal_hangs_up(shells):
    shell = shells(0)
    ours, theirs = pty.openpty()
    streams = dict.fromkeys(("stdin", "stdout", "stderr"), theirs)
    command = [*TRAIN, "--steps", 10**6]
    process = shell.start(*command, preexec_fn=lambda: os.login_tty(theirs), **streams)
    os.close(theirs)
    seen = b""
    while b"train ppl" not in seen:  # training is about to start
        seen += os.read(ours, 1 << 16)
    os.close(ours)
    assert process.wait(SECONDS) == 129
    checkpoint = load(shell.folder / "made/last.npz")
    assert checkpoint.training is not None
    assert 0 < checkpoint.training.progress.step < 10**6
