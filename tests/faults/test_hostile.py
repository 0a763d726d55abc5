"""Hostile checkpoints are rejected with one line, in little memory and little time.

Each is read in its own process, which measures both; see `refusals.py`.
"""

import json
import subprocess
import sys
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from charlm.training.checkpoint import save
from tests.faults.hostile import Arrays, arrays_of, hostile_contents
from tests.faults.hostile_bytes import hostile_bytes
from tests.faults.hostile_large import LARGE, large_model
from tests.faults.rawzip import members, zipped
from tests.helpers import trained
from tests.shell import TEXT, Shell

MB = 10**6
ROOM = 32 * MB  # of memory that reading may take in addition to the file size
SIZES = (1 * MB, 4 * MB, 20 * MB, 99 * MB)
SECONDS = 2.0  # within which a file of up to 100 MB is rejected
LONGEST = 1000  # characters of a message, without the path

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="memory is measured as on Linux")


@pytest.fixture(scope="module")
def good(tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("good") / "good.npz"
    save(path, trained())
    return path


@pytest.fixture(scope="module")
def arrays(good) -> Arrays:
    return arrays_of(good)


class Reader:
    """Reads files in separate processes and measures them; see `refusals.py`."""

    def __init__(self, good: Path, folder: Path) -> None:
        self.path = folder / "hostile.npz"
        self.process = subprocess.Popen(
            [sys.executable, "-W", "error", "-m", "tests.faults.refusals", str(good)],
            cwd=Path(__file__).parents[2],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            encoding="utf-8",
        )

    def read(self, pieces: Iterable[bytes]) -> dict[str, Any]:
        """Read a file of these bytes and return the measurements."""
        with self.path.open("wb") as file:
            file.writelines(pieces)
        size = self.path.stat().st_size
        assert self.process.stdin
        assert self.process.stdout
        self.process.stdin.write(f"{self.path}\n")
        self.process.stdin.flush()
        found = json.loads(self.process.stdout.readline())
        self.path.unlink()
        above = max(found["grown"], found["peak"]) - size
        return found | {"size": size, "above": above}


@pytest.fixture
def reader(good, tmp_path) -> Iterator[Reader]:
    reader = Reader(good, tmp_path)
    with reader.process:
        yield reader
        reader.process.kill()


def faults_of(found: dict[str, Any], path: Path) -> list[str]:
    """The ways in which reading a hostile file broke the promise."""
    message = found["message"].replace(str(path), "PATH")
    broken = {
        f"not rejected but {found['error'] or 'read'}": found["error"] != "CheckpointError",
        f"not one line that names the file: {message!r:.200}": not is_line(message),
        f"more than {LONGEST} characters": len(message) > LONGEST,
        f"{found['above'] / MB:.0f} MB above its size": found["above"] > ROOM,
        f"{found['seconds']:.1f} s": found["seconds"] > SECONDS,
        f"stray {found['stray']}": bool(found["stray"]),
    }
    return [fault for fault, is_true in broken.items() if is_true]


def is_line(message: str) -> bool:
    return "PATH" in message and message.isprintable()


def summary(found: list[dict[str, Any]]) -> str:
    above = max(each["above"] for each in found) / MB
    seconds = max(each["seconds"] for each in found)
    largest = max(each["size"] for each in found) / MB
    return (
        f"{len(found):,} files of up to {largest:.2f} MB: all rejected, with at most "
        f"{above:.1f} MB above their size, in at most {seconds:.2f} s"
    )


@pytest.mark.promise(
    6, "A checkpoint with false headers or content is rejected with one line, in 32 MB and 2 s"
)
def test_file_that_lies_is_refused(arrays, reader, counted, figure):
    every = counted(40, 1)
    found, broken = [], {}
    for number, (kind, data) in enumerate(kinds(arrays)):
        if number % every == 0:
            found.append(reader.read([data]))
            broken[kind] = faults_of(found[-1], reader.path)
    assert {kind: faults for kind, faults in broken.items() if faults} == {}
    figure(summary(found))


def kinds(arrays: Arrays) -> Iterator[tuple[str, bytes]]:
    yield from hostile_contents(arrays)
    yield from hostile_bytes(arrays)


@pytest.mark.promise(6, "A large hostile file is rejected in its size plus 32 MB, and in 2 s")
def test_large_file_is_refused(arrays, reader, counted, figure):
    found, broken = [], {}
    for size in SIZES[: counted(1, len(SIZES))]:
        for kind, pieces in LARGE.items():
            found.append(reader.read(pieces(arrays, size)))
            broken[kind, size] = faults_of(found[-1], reader.path)
    assert max(each["size"] for each in found) <= 100 * MB
    assert {kind: faults for kind, faults in broken.items() if faults} == {}
    figure(summary(found))


@pytest.mark.promise(6, "A valid checkpoint is read in its size plus 32 MB")
def test_large_checkpoint_is_read_in_its_size(arrays, reader, counted, figure):
    found = reader.read([zipped(members(large_model(arrays, counted(MB, 99 * MB))))])
    assert found["error"] == "", found["message"]
    assert found["above"] <= ROOM
    figure(f"{found['size'] / MB:.0f} MB, with {found['above'] / MB:.1f} MB more")


@pytest.mark.promise(6, "The command line rejects each hostile file with exit code 1 and one line")
def test_command_line_says_one_line(arrays, tmp_path, counted, figure):
    (tmp_path / "corpus.txt").write_text(TEXT, encoding="utf-8")
    shell, every = Shell(tmp_path), counted(200, 1)

    def refused(numbered: tuple[int, tuple[str, bytes]]) -> bool:
        number, (_, data) = numbered
        path = tmp_path / f"{number}.npz"
        path.write_bytes(data)
        refusal = shell("eval", path.name, "corpus.txt").refusal
        path.unlink()
        return path.name in refusal

    chosen = (each for each in enumerate(kinds(arrays)) if each[0] % every == 0)
    with ThreadPoolExecutor(max_workers=4) as pool:
        ends = list(pool.map(refused, chosen))
    assert all(ends)
    figure(f"{len(ends):,} files")
