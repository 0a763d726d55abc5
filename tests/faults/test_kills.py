"""`kill -9` during training: at random times, and before and after each disk call of a save."""

import json
import signal
import subprocess
import time
import zipfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from random import Random

import pytest

from tests.faults.shim import (
    FIRST,
    NEXT,
    TRAIN,
    Disk,
    Fault,
    build,
    check_goes_on,
    check_left,
    problems,
)
from tests.shell import Ended

STEPS = 40
LONG = (*TRAIN, "--steps", STEPS, "--resume", "--json")
CHAINS = 2  # runs that are killed in parallel
LINES = 30  # of output after which a run is killed, at most


@pytest.fixture(scope="module")
def library(tmp_path_factory) -> Path:
    return build(tmp_path_factory.mktemp("shim"))


class Chain:
    """Runs that are killed and resumed until they finish.

    Args:
        disk: a disk with a corpus.
        whole: a disk on which the same run was never killed.
        seconds: the duration of that run.
        seed: the seed for the random times.
    """

    def __init__(self, disk: Disk, whole: Disk, seconds: float, seed: int) -> None:
        self.disk, self.whole, self.seconds = disk, whole, seconds
        self.random = Random(seed)
        self.kills = self.strays = self.runs = 0

    def until(self, kills: int) -> "Chain":
        while self.kills < kills:
            self.run_once_and_kill()
        self.finish()
        return self

    def run_once_and_kill(self) -> None:
        step = step_of(self.disk)
        with self.disk.shell.start(*LONG) as process:
            evaluated = self.wait(process)
            process.kill()
        if process.returncode == 0:
            self.finish()
            return
        assert process.returncode == -signal.SIGKILL
        self.kills += 1
        self.strays += bool(self.disk.left_over())
        assert step_of(self.disk) >= max(step, evaluated - 1)

    def wait(self, process: "subprocess.Popen[str]") -> int:
        """Wait for some lines and a random part of a step, or for a random part of the start.

        Returns the step of the last evaluation in the output; all earlier ones were saved.
        """
        assert process.stdout
        count = self.random.choice([0, self.random.randint(1, LINES)])
        lines = [line for _, line in zip(range(count), process.stdout, strict=False)]
        time.sleep(self.random.uniform(0, self.seconds / (STEPS if count else 1)))
        records = [json.loads(line) for line in lines]
        return max((r["step"] for r in records if r["event"] == "eval"), default=0)

    def finish(self) -> None:
        """Finish the run, compare it with the run that was never killed, and clear the disk."""
        assert self.disk(*LONG).code == 0
        assert self.disk.ends_as(self.whole), "a different result"
        assert not self.disk.left_over()
        self.runs += 1
        for file in self.disk.run.files:
            file.unlink()


def step_of(disk: Disk) -> int:
    """The step of the last checkpoint; all existing checkpoints must be intact."""
    found = disk.numbers()
    return found["last.npz"][0] if found else -1


@pytest.mark.promise(
    1,
    "`kill -9` at a random time loses only the work since the last save: both checkpoints are "
    "intact, neither is older than before, and `--resume` reaches bit-identical weights",
)
def test_kills_at_random_times(library, tmp_path, counted, figure):
    whole = Disk.new(tmp_path / "whole", library)
    before = time.monotonic()
    assert whole(*LONG).code == 0
    seconds = time.monotonic() - before
    kills = counted(2, 500)

    def chain(seed: int) -> Chain:
        disk = Disk.new(tmp_path / str(seed), library)
        return Chain(disk, whole, seconds, seed).until(kills // CHAINS)

    with ThreadPoolExecutor(CHAINS) as pool:
        chains = list(pool.map(chain, range(CHAINS)))
    killed, runs, strays = (sum(getattr(c, n) for c in chains) for n in ("kills", "runs", "strays"))
    figure(
        f"{killed} kills of {runs} runs, {strays} of them with a temporary file left: all "
        "checkpoints intact, all runs with the same result"
    )


@pytest.mark.promise(
    1,
    "`kill -9` before and after each call that writes, syncs, renames or removes a file: the same, "
    "and the next start removes leftover files",
)
def test_kill_at_each_call(library, tmp_path, counted, figure):
    sweeps = [
        Sweep(Disk.new(tmp_path / "new/start", library), FIRST, counted(150, 1)),
        Sweep(Disk.begun(tmp_path / "begun/start", library), NEXT, counted(150, 1)),
    ]
    found = [problem for sweep in sweeps for problem in problems(sweep.trial, sweep.cases)]
    assert not found, "\n".join(found)
    count, strays = sum(len(s.cases) for s in sweeps), sum(s.strays for s in sweeps)
    kills, lost = plainly_saved(sweeps[1].start, counted(70, 1))
    figure(
        f"{count} kills: {strays} left a temporary file, all of them removed; plain `numpy.savez` "
        f"lost the file in {lost} of {kills} such kills"
    )


class Sweep:
    """A command that is killed before and after each of its disk calls.

    Args:
        start: the disk before the command.
        command: the arguments.
        stride: the distance between two calls.
    """

    def __init__(self, start: Disk, command: tuple, stride: int) -> None:
        self.start, self.command = start, command
        self.whole = start.copy(start.folder.with_name("whole"))
        counting = Fault(calls="change")
        assert self.whole(*command, fault=counting, under="disk/run").code == 0
        assert not renamed_unsynced(self.whole.calls())
        places = range(1, len(self.whole.calls()) + 1, stride)
        self.cases = [Fault(h, k, calls="change") for k in places for h in ("before", "after")]
        self.strays = 0
        self.seen: set[str] = set()

    def trial(self, fault: Fault) -> None:
        disk = self.start.copy(self.start.folder.with_name(str(fault).replace(" ", "-")))
        before = disk.bytes()
        ended = disk(*self.command, fault=fault, under="disk/run")
        assert ended == Ended(-signal.SIGKILL, "", "")
        self.strays += bool(disk.left_over())
        check_left(disk, before, can_remove=False)
        check_goes_on(disk, self.command, self.whole, self.seen)


def renamed_unsynced(calls: list[str]) -> list[Path]:
    """The files that were renamed into place before all their data was synced."""
    unsynced, found = set(), []
    for name, path in ((name, Path(path)) for name, path in (call.split(" ", 1) for call in calls)):
        if name == "write":
            unsynced.add(path)
        elif name == "fsync":
            unsynced.discard(path)
        elif name == "rename" and any(relies(path, other) for other in unsynced):
            found.append(path)
    return found


def relies(path: Path, other: Path) -> bool:
    """Whether renaming a file requires that another file has been synced."""
    is_itself = other.name.startswith(f".{path.name}.")
    return is_itself or (path.name, other.name) == ("last.npz", "history.jsonl")


SAVEZ = """
import numpy as np

with np.load("disk/run/last.npz") as file:
    arrays = {name: file[name] for name in file.files}
np.savez("disk/run/last.npz", **arrays)
"""


def plainly_saved(start: Disk, stride: int) -> tuple[int, int]:
    """The number of kills of a plain `numpy.savez`, and the number of lost files.

    It shows that the kills would be detected if checkpoints were not written atomically.
    """
    folder = start.folder.with_name("plain")
    whole = start.copy(folder / "whole")
    assert whole.python(SAVEZ, fault=Fault(calls="change"), under="disk/run").code == 0
    places = range(2, len(whole.calls()) + 1, stride)  # the first call truncates the file
    lost = 0
    for place in places:
        disk = start.copy(folder / str(place))
        fault = Fault("before", place, calls="change")
        assert disk.python(SAVEZ, fault=fault, under="disk/run").code == -signal.SIGKILL
        lost += not zipfile.is_zipfile(disk.run.last)
    assert lost, "these kills have no effect"
    return len(places), lost
