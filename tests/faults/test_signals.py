"""SIGINT, SIGTERM, SIGHUP and closing terminals during commands."""

import os
import pty
import shlex
import shutil
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path
from random import Random

import pytest

from charlm.training.checkpoint import load
from tests.shell import TEXT, Ended, Shell, overridden
from tests.training.test_resuming import whole

SIGNALS = [signal.SIGINT, signal.SIGTERM, signal.SIGHUP]
STEPS = 12
TRAIN = (
    *("train", "corpus.txt", "--json", "--out", "a run", "--steps", STEPS, "--eval-every", 3),
    *("--hidden", 6, "--embedding", 0, "--seq-len", 8, "--batch-size", 6),
    *("--shards", 2, "--threads", 1),
)

# A command that sends itself a signal, once or twice, at the n-th call of a function.
SENDS = """
import importlib, os, sys
from charlm.system.blas import set_up_blas
place, call, number, times = sys.argv[1], *map(int, sys.argv[2:5])
del sys.argv[1:5]
set_up_blas()
module, _, path = place.partition(":")
holder = importlib.import_module(module)
*classes, name = path.split(".")
for each in classes:
    holder = getattr(holder, each)
function, calls = getattr(holder, name), 0
def sends(*args, **more):
    global calls
    calls += 1
    for _ in range(times if calls == call else 0):
        os.kill(os.getpid(), number)
    return function(*args, **more)
setattr(holder, name, sends)
from charlm.__main__ import main
main()
"""

# A command that sends itself a signal when it imports a module.
SENDS_AT_IMPORT = """
import os, sys
module, number = sys.argv[1], int(sys.argv[2])
del sys.argv[1:3]
class Finder:
    def find_spec(self, name, *rest):
        if name == module:
            sys.meta_path.remove(self)
            os.kill(os.getpid(), number)
from charlm.__main__ import main
sys.meta_path.insert(0, Finder())
main()
"""

# The functions in which a run of STEPS steps gets a signal, and the numbers of the calls.
STEP = "charlm.training.trainer:Trainer.step"
WITHIN_STEP = "charlm.distributed.data_parallel:DataParallel._sum_gradients"
EVALUATION = "charlm.training.validation:validate"
SAVE = "charlm.training.loop:save"
SYNC, RENAME = "os:fsync", "os:replace"
LAST_SCORING = "charlm.training.validation:score_together"
EVALUATIONS = 1 + STEPS // 3
CALLS = {
    LAST_SCORING: [EVALUATIONS + 1],
    WITHIN_STEP: range(1, STEPS + 1),
    SYNC: range(5, 21),  # earlier ones may belong to the encoded text, before training
    EVALUATION: range(1, EVALUATIONS + 1),
    STEP: range(1, STEPS + 1),
    SAVE: range(1, 9),
    RENAME: range(4, 9),
}


@pytest.fixture
def shell(tmp_path) -> Shell:
    """A folder with a corpus, without settings in the environment."""
    (tmp_path / "corpus.txt").write_text(TEXT, encoding="utf-8")
    return Shell(tmp_path)


def python(shell: Shell, script: str, *arguments: object) -> Ended:
    """Run a script."""
    command = [sys.executable, "-c", script, *map(str, arguments)]
    done = subprocess.run(
        command, cwd=shell.folder, env=shell.environment, capture_output=True, text=True, timeout=60
    )
    return Ended(done.returncode, done.stdout, done.stderr)


@pytest.fixture(scope="module")
def unbroken(tmp_path_factory) -> dict:
    """The result of a run without signals."""
    shell = Shell(tmp_path_factory.mktemp("unbroken"))
    (shell.folder / "corpus.txt").write_text(TEXT, encoding="utf-8")
    assert shell(*TRAIN).code == 0
    return whole(shell.folder / "a run")


def step_of(out: Path) -> int:
    return load(out / "last.npz").training.progress.step


def go_on(shell: Shell, ended: Ended) -> dict:
    """Run the command in the last line, and return the result of the run."""
    note, _, command = ended.last_note.partition("; resume with: charlm ")
    assert note == f"saved after step {step_of(shell.folder / 'a run'):,}"
    assert shell(*shlex.split(command)).code == 0
    return whole(shell.folder / "a run")


def clear(shell: Shell) -> None:
    shutil.rmtree(shell.folder / "a run", ignore_errors=True)


@pytest.mark.promise(
    4,
    "A signal during training: the step is finished, the run is saved, and the exit code is 130, "
    "143 or 129; the last line has the command that resumes the run to the same result",
)
def test_signal_at_any_place(shell, unbroken, counted, figure):
    places = list(CALLS)
    count = counted(2, 63)
    for k in range(count):
        place, number = places[k % len(places)], SIGNALS[k // 2 % 3]
        call = Random(k).choice(CALLS[place])
        clear(shell)
        ended = python(shell, SENDS, place, call, int(number), 1, *TRAIN)
        assert ended.code == 128 + number, (place, call, ended)
        assert len(ended.err.splitlines()) == 1
        step = step_of(shell.folder / "a run")
        assert step >= (call if place in (STEP, WITHIN_STEP) else 1), "the step was not finished"
        assert step <= (call if place in (STEP, WITHIN_STEP) else STEPS), "training continued"
        assert go_on(shell, ended) == unbroken
    figure(
        f"{count} signals before and within steps, evaluations, saves, syncs, renames and the "
        "final scoring: all saved, all resumed to a bit-identical result"
    )


@pytest.mark.promise(
    4, "A signal from another process at a random time: the run is saved and can be resumed"
)
def test_signal_at_a_random_time(shell, counted, figure):
    command = overridden(TRAIN, "--steps", 120)
    assert shell(*command).code == 0
    expected = whole(shell.folder / "a run")
    count = counted(1, 40)
    for k in range(count):
        number, random = SIGNALS[k % 3], Random(k)
        clear(shell)
        with shell.start(*command, pipesize=4096) as process:
            for _ in range(random.randint(1, 80)):
                process.stdout.readline()
            time.sleep(random.uniform(0, 0.01))
            process.send_signal(number)
            out, err = process.stdout.read(), process.stderr.read()
        assert process.returncode == 128 + number
        assert go_on(shell, Ended(process.returncode, out, err)) == expected
    figure(f"{count} signals: all saved, all resumed to a bit-identical result")


@pytest.mark.promise(4, "A second signal ends the run at once; the last save is intact")
def test_second_signal(shell, unbroken, counted, figure):
    count, rest = counted(1, 40), {WITHIN_STEP: 0, SYNC: 0, LAST_SCORING: 0, EVALUATION: 0}
    for k in range(count):
        place, number = list(rest)[k % len(rest)], SIGNALS[k // 2 % 3]
        call = Random(k).choice(CALLS[place][-10:])
        clear(shell)
        ended = python(shell, SENDS, place, call, int(number), 2, *TRAIN)
        assert ended.code == 128 + number
        assert ended.err == ""
        steps = [r["step"] for r in shell.history("a run") if r["event"] == "step"]
        assert len(steps) < call or place != WITHIN_STEP, "the step was finished"
        assert "done" not in [record["event"] for record in shell.history("a run")]
        assert not list((shell.folder / "a run").glob(".*")), "a temporary file is left"
        assert step_of(shell.folder / "a run") <= len(steps)
        assert shell("train", "--resume", "--out", "a run", "--quiet").code == 0
        assert whole(shell.folder / "a run") == unbroken
        rest[place] += 1
    figure(f"{count} times, within steps, evaluations, syncs and the final scoring: ended at once")


@pytest.fixture
def fifo(shell) -> Path:
    path = shell.folder / "fifo"
    os.mkfifo(path)
    return path


PATIENCE = 10.0  # seconds for a process to end


def interrupted_reader(shell: Shell, fifo: Path, number: int, *arguments: object) -> Ended:
    """Run a command that gets a signal while it waits for more text."""
    with shell.start(*arguments) as process:
        writer = opened_for(process, fifo)
        os.write(writer, TEXT.encode())
        while process.poll() is None:  # one just before Python waits is handled with the next
            process.send_signal(number)
            with suppress(subprocess.TimeoutExpired):
                process.wait(PATIENCE)
        out, err = process.communicate()
        os.close(writer)
    return Ended(process.returncode, out, err)


def opened_for(process: "subprocess.Popen[str]", fifo: Path) -> int:
    """The write end of a FIFO, once a process has opened the read end."""
    while True:
        try:
            return os.open(fifo, os.O_WRONLY | os.O_NONBLOCK)
        except OSError:
            assert process.poll() is None, process.stderr.read()
            time.sleep(0.01)


@pytest.mark.promise(
    4, "A signal before the first save: exit code 130, 143 or 129, and no new files"
)
@pytest.mark.parametrize("number", SIGNALS)
def test_signal_before_the_first_save(shell, fifo, number, figure):
    before = sorted(shell.folder.iterdir())
    ended = interrupted_reader(shell, fifo, number, "train", "fifo", "--out", "new")
    assert (ended.code, ended.out) == (128 + number, "")
    assert "Traceback" not in ended.err
    assert sorted(shell.folder.iterdir()) == before

    ended = python(shell, SENDS, STEP, 2, int(number), 1, "train", "corpus.txt", "--hidden", 6)
    assert ended.code == 128 + number
    assert ended.err == "corpus: timing a few steps to plan 1 min of training\n"
    assert not (shell.folder / "runs").exists()
    figure("while the text is read, and while steps are timed: 130, 143 and 129")


@pytest.fixture
def models(shell) -> Shell:
    """A folder with a model `one` and a bidirectional model `two`."""
    for out, more in (("one", ()), ("two", ("--bidirectional",))):
        options = ("--steps", 1, "--hidden", 6, "--quiet", "--out", out, *more)
        assert shell("train", "corpus.txt", *options).code == 0
    return shell


READERS = [
    ("eval", "one", "fifo"),
    ("corpus", "prepare", "fifo"),
    ("classify", "fifo", "--model", "one", "--model", "two"),
    ("proofread", "fifo", "--model", "two"),
    ("sample", "one", "--prompt-file", "fifo"),
]


@pytest.mark.promise(4, "A signal to any other command: exit code 130, 143 or 129, and no message")
def test_signal_to_other_commands(models, fifo, counted, figure):
    signals = counted(1, 3)
    for k, command in enumerate(READERS):
        for number in (SIGNALS * 2)[k % 3 :][:signals]:
            ended = interrupted_reader(models, fifo, number, *command)
            assert ended == Ended(128 + number, "", ""), command
    for number in SIGNALS[:signals]:
        with models.start("sample", "one", "--length", 10**9) as process:
            process.stdout.read(1)
            process.send_signal(number)
            err = process.communicate()[1]
        assert (process.returncode, err) == (128 + number, "")
    figure(f"{len(READERS) + 1} commands, {signals} signals each: 130, 143 and 129")


@pytest.mark.parametrize("module", ["charlm.cli.app", "typer", "numpy"])
@pytest.mark.parametrize("number", SIGNALS)
def test_signal_while_modules_are_imported(shell, number, module):
    ended = python(shell, SENDS_AT_IMPORT, module, int(number), "corpus", "prepare", "corpus.txt")
    assert (ended.code, ended.err) == (128 + number, "")


# Makes standard input the controlling terminal of this process and its children.
ON_TERMINAL = """
import fcntl, os, sys, termios
fcntl.ioctl(0, termios.TIOCSCTTY, 0)
os.execvp(sys.argv[1], sys.argv[1:])
"""
STEPS_LONG = 400
LONG = overridden(TRAIN, "--steps", STEPS_LONG, "--eval-every", 50)


class Terminal:
    """A terminal that runs a command, and whose window can be closed."""

    def __init__(self, shell: Shell, *command: object) -> None:
        self.window, theirs = pty.openpty()
        self.process = subprocess.Popen(
            [sys.executable, "-c", ON_TERMINAL, *map(str, command)],
            cwd=shell.folder,
            env=shell.environment,
            start_new_session=True,
            **dict.fromkeys(("stdin", "stdout", "stderr"), theirs),
        )
        os.close(theirs)

    def close_once(self, out: Path) -> int:
        """Close the window after the first save of a run, and return the exit code."""
        while not (out / "best.npz").exists():
            assert self.process.poll() is None
            time.sleep(0.01)
        assert self.process.poll() is None
        os.close(self.window)
        return self.process.wait(timeout=60)


@pytest.fixture(scope="module")
def whole_long(tmp_path_factory) -> dict:
    shell = Shell(tmp_path_factory.mktemp("long"))
    (shell.folder / "corpus.txt").write_text(TEXT, encoding="utf-8")
    assert shell(*LONG).code == 0
    return whole(shell.folder / "a run")


shows = pytest.mark.parametrize("shown", ["the table", "--json", "--quiet"])


def on_terminal(shell: Shell, shown: str, *before: str) -> Terminal:
    """The long run on a terminal, with a table, JSON or no output."""
    command = [part for part in LONG if part != "--json"]
    options = [shown] if shown.startswith("--") else []
    return Terminal(shell, *before, sys.executable, "-m", "charlm", *command, *options)


@pytest.mark.promise(4, "A terminal that closes does not end a run under nohup")
@pytest.mark.skipif(not shutil.which("nohup"), reason="there is no nohup")
@shows
def test_terminal_that_goes_away_under_nohup(shell, whole_long, shown, figure):
    terminal = on_terminal(shell, shown, "nohup")
    assert terminal.close_once(shell.folder / "a run") == 0
    assert whole(shell.folder / "a run") == whole_long
    figure("3 runs, with the table, JSON and no output: the same result as with an open terminal")


@pytest.mark.promise(
    4, "A terminal that closes, without nohup: the run is saved, and the exit code is 129"
)
@shows
def test_terminal_that_goes_away(shell, whole_long, shown, figure):
    terminal = on_terminal(shell, shown)
    assert terminal.close_once(shell.folder / "a run") == 129
    assert 0 < step_of(shell.folder / "a run") < STEPS_LONG
    assert shell("train", "--resume", "--out", "a run", "--quiet").code == 0
    assert whole(shell.folder / "a run") == whole_long
    figure("3 runs, with the table, JSON and no output: all saved, all resumed to the same result")
