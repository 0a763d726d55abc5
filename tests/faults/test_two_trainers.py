"""Two commands that train in the same directory."""

import signal
import subprocess
import time
from pathlib import Path
from random import Random

import pytest

from tests.shell import TEXT, Ended, Shell, end, overridden
from tests.training.test_resuming import whole

TRAIN = (
    *("train", "corpus.txt", "--steps", 80, "--eval-every", 20, "--json"),
    *("--hidden", 6, "--embedding", 0, "--seq-len", 8, "--batch-size", 6, "--shards", 1),
)
RUN = "runs/one"
OTHERS = [
    ("train", "corpus.txt", "--out", RUN),
    ("train", "corpus.txt", "--out", RUN, "--force"),
    ("train", "corpus.txt", "--out", RUN, "--resume"),
    ("train", "--resume", "--out", RUN),
    ("train", "--resume"),
]


@pytest.fixture
def shell(tmp_path) -> Shell:
    """A folder with a corpus, without settings in the environment."""
    (tmp_path / "corpus.txt").write_text(TEXT, encoding="utf-8")
    return Shell(tmp_path)


def waiting(shell: Shell, *arguments: object) -> "subprocess.Popen[str]":
    """A command that cannot finish until its output is read."""
    return shell.start(*arguments, pipesize=4096)


@pytest.mark.promise(
    8, "A command that trains where another process trains is rejected with its process id"
)
def test_second_trainer(shell, figure):
    assert shell(*TRAIN, "--out", "undisturbed").code == 0
    with waiting(shell, *TRAIN, "--out", RUN) as first:
        assert first.stdout.readline()
        for command in OTHERS:
            line = shell(*command).refusal
            assert line.startswith(f"charlm: {RUN} is in use by process {first.pid};"), line
        assert first.poll() is None
        first.communicate(timeout=60)
    assert first.returncode == 0
    assert whole(shell.folder / RUN) == whole(shell.folder / "undisturbed")
    assert not (shell.folder / RUN / ".lock").exists()
    figure(
        f"{len(OTHERS)} commands, with --resume, --force and neither: all rejected; the first run "
        "ended normally"
    )


@pytest.mark.promise(8, "A lock that a killed process has left does not block")
def test_lock_of_a_killed_process(shell, counted, figure):
    count, left = counted(2, 60), 0
    lock = shell.folder / RUN / ".lock"
    for k in range(count):
        random = Random(k)
        with waiting(shell, *TRAIN, "--out", RUN, "--resume") as process:
            for _ in range(random.choice([0, 1, 30])):
                process.stdout.readline()
            time.sleep(random.uniform(0, 0.5) * (k % 2))
            process.kill()
        assert process.returncode == -signal.SIGKILL
        left += lock.exists()
        ended = shell(*TRAIN, "--out", RUN, "--resume", "--quiet")
        assert (ended.code, ended.err) == (0, "")
        assert not lock.exists()
        assert shell(*overridden(TRAIN, "--steps", 1), "--out", RUN, "--force").code == 0
    figure(f"{count} kills, {left} of which left a lock: the next command trained each time")


@pytest.mark.promise(8, "Of two commands that start at once, one trains and the other is rejected")
def test_two_at_once(shell, counted, figure):
    count, refused = counted(2, 40), 0
    for k in range(count):
        out = f"runs/{k}"
        (shell.folder / out).mkdir(parents=True)
        if k % 2:  # as a killed process leaves it
            (shell.folder / out / ".lock").write_text("1 nowhere\n", encoding="utf-8")
        both = [waiting(shell, *TRAIN, "--out", out) for _ in range(2)]
        second = ended_first(both)
        (first,) = (process for process in both if process is not second)
        assert f"is in use by process {first.pid};" in end(second).refusal
        assert end(first).code == 0
        check_whole(shell, out)
        refused += 1
    figure(f"{count} pairs: {refused} rejected with the process id, {count} trained to the end")


def ended_first(processes: list["subprocess.Popen[str]"]) -> "subprocess.Popen[str]":
    """The process that ends while no output is read."""
    while True:
        for process in processes:
            if process.poll() is not None:
                return process
        time.sleep(0.005)


def check_whole(shell: Shell, out: str) -> None:
    """Check that the history has exactly one complete run."""
    events = [record["event"] for record in shell.history(out)]
    assert (events.count("start"), events.count("step"), events.count("done")) == (1, 80, 1)
    assert sorted(path.name for path in Path(shell.folder / out).iterdir()) == [
        *("best.npz", "history.jsonl", "last.npz")
    ]


def test_runs_without_a_name_get_numbers_of_their_own(shell):
    both = [waiting(shell, *TRAIN) for _ in range(2)]
    assert [end(process).code for process in both] == [0, 0]
    for out in ("runs/corpus-1", "runs/corpus-2"):
        check_whole(shell, out)


def test_reading_a_model_needs_no_lock(shell):
    with waiting(shell, *TRAIN, "--out", RUN) as first:
        while not (shell.folder / RUN / "best.npz").exists():
            assert first.poll() is None
            time.sleep(0.01)
        ended: Ended = shell("sample", RUN, "--length", 5)
        first.communicate(timeout=60)
    assert (ended.code, first.returncode) == (0, 0)
