"""A run directory from an archive or a clone has links, pipes and devices in place of its files."""

import os
import signal
from collections.abc import Callable
from itertools import product
from pathlib import Path

import pytest

from charlm.training.checkpoint import load
from tests.faults.shim import FIRST, NEXT, Disk
from tests.shell import Ended

NAMES = (".lock", "best.npz", "last.npz", "history.jsonl", ".charlm-0123456789abcdef.tmp")
SECRET = "precious"

Plant = Callable[[Path, Path], object]  # plants something at a path, perhaps pointing at a file

PLANTS: dict[str, Plant] = {
    "link": lambda path, victim: path.symlink_to(victim),
    "dangling link": lambda path, victim: path.symlink_to(victim.with_name("created")),
    "link to itself": lambda path, victim: path.symlink_to(path.name),
    "hard link": lambda path, victim: os.link(victim, path),
    "link to a device": lambda path, victim: path.symlink_to("/dev/zero"),
    "pipe": lambda path, victim: os.mkfifo(path),
    "directory": lambda path, victim: path.mkdir(),
}


@pytest.fixture(scope="module")
def disks(tmp_path_factory) -> dict[tuple, Disk]:
    """Before a run starts, and before it is resumed."""
    folder = tmp_path_factory.mktemp("planted")
    return {FIRST: Disk.new(folder / "new"), NEXT: Disk.begun(folder / "begun")}


@pytest.mark.promise(
    6,
    "A link, pipe, device or directory in place of a file of a run: one-line error and exit code "
    "1, or it is replaced; no other file is changed",
)
def test_no_file_outside_a_run_is_changed(disks, tmp_path, counted, figure):
    cases = list(product(disks, NAMES, PLANTS))[:: counted(16, 1)]
    trained = sum(
        trial(disks[command].copy(tmp_path / str(number)), command, name, PLANTS[plant])
        for number, (command, name, plant) in enumerate(cases)
    )
    figure(f"{len(cases)} cases: {trained} trained, {len(cases) - trained} errors")


def trial(disk: Disk, command: tuple, name: str, plant: Plant) -> bool:
    """Whether the command trained; otherwise it was an error."""
    victim, path = disk.folder / "victim", disk.run.path / name
    victim.write_text(SECRET)
    disk.run.path.mkdir(exist_ok=True)
    path.unlink(missing_ok=True)
    plant(path, victim)
    signal.alarm(120)  # a pipe that is opened would wait
    ended: Ended = disk(*command)
    signal.alarm(0)
    assert victim.read_text() == SECRET, (name, plant)
    assert not (disk.folder / "created").exists()
    if ended.code:
        assert "disk/run" in ended.refusal
        return False
    assert load(disk.run.last).training.progress.step == command[command.index("--steps") + 1]
    return True
