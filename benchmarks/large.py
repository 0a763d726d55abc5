"""A corpus of gigabytes: time and memory of each command.

`--text` is a large text; without it, one of `--gigabytes` is made from the corpus python-docs (see
`large_text.py`). Each row is a whole command with its worker processes, as run from a shell, with
a corpus cache of its own. Memory is the peak resident memory, sampled ten times a second: the
private memory of all processes, plus their shared memory once. Training is stopped by a signal
after `--seconds` and then resumed.
"""

import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks import harness, large_text, resources
from benchmarks.harness import Session

MEGA = 10**6
SCORED = 20 * MEGA  # bytes of the text for `eval`
INTERVAL = 0.1  # seconds between two samples of the memory


def main(argv: Sequence[str] | None = None) -> None:
    """Run the benchmark."""
    parser = harness.parser(__doc__, rounds=1)
    parser.add_argument("--text", type=Path, help="a large text file")
    parser.add_argument("--gigabytes", type=float, help="size of a made text; 1 by default")
    parser.add_argument("--seconds", type=float, help="training time; 60 by default")
    parser.add_argument("--folder", type=Path, help="for text, cache and run; temporary by default")
    options = harness.parse(parser, argv, rounds=1)
    with Session("large", options) as session, tempfile.TemporaryDirectory() as temporary:
        folder = options.folder or Path(temporary)
        gigabytes = options.gigabytes or (0.05 if options.quick else 1)
        text = options.text or _make(folder / "large.txt", gigabytes)
        seconds = options.seconds or (5 if options.quick else 60)
        rows = list(_rows(text, folder, seconds))
        size = text.stat().st_size
        harness.table(
            f"Commands on a text of {size / 1e9:.2f} · 10⁹ bytes",
            ["command", "seconds", "to the first step", "MB per second", "memory, MB", "exit code"],
            [
                (
                    row.name,
                    f"{row.seconds:.1f}",
                    "" if row.first_step is None else f"{row.first_step:.1f}",
                    f"{row.read / row.seconds / MEGA:.0f}" if row.read else "",
                    f"{row.memory / MEGA:.0f}",
                    str(row.code),
                )
                for row in rows
            ],
        )
        session.finish([vars(row) for row in rows], text=text.name, bytes=size)


@dataclass
class Ran:
    """The result of a command.

    Attributes:
        name: the name in the table.
        seconds: from start to exit.
        first_step: seconds from start to the first record of a step, if there was one.
        read: bytes of text that it processed in full, to compute a rate; otherwise 0.
        memory: peak resident bytes.
        code: the exit code.
    """

    name: str
    seconds: float
    first_step: float | None
    read: int
    memory: int
    code: int


def _rows(text: Path, folder: Path, seconds: float) -> Any:
    """Prepare, prepare again, train, resume, score."""
    size, run = text.stat().st_size, str(folder / "run")
    environment = os.environ | {"CHARLM_CACHE": str(folder / "cache")}
    sizes = ["--hidden", "256", "--embedding", "0", "--head-layers", "0", "--batch-size", "32"]
    train = ["train", *sizes, "--minutes", "60", "--json", "--quiet", "--out", run]
    yield _run("corpus prepare", ["corpus", "prepare", str(text)], environment, read=size)
    yield _run("corpus prepare, again", ["corpus", "prepare", str(text)], environment)
    yield _run("train", [*train, "--force", str(text)], environment, stop_after=seconds)
    resume = ["train", "--resume", "--json", "--quiet", "--out", run]
    yield _run("train --resume", resume, environment, stop_after=seconds)
    part = folder / "part.txt"
    with text.open("rb") as file:
        part.write_bytes(file.read(SCORED))
    for times, name in ((1, "eval"), (4, "eval, four times the text")):
        part.write_bytes(part.read_bytes()[: SCORED // 4] * times)
        yield _run(name, ["eval", run, str(part), "--json"], environment)


def _run(
    name: str,
    arguments: list[str],
    environment: dict[str, str],
    *,
    read: int = 0,
    stop_after: float | None = None,
) -> Ran:
    """Run a command; with `stop_after`, interrupt it that many seconds after its first step."""
    started = time.perf_counter()
    with tempfile.TemporaryFile() as out:
        process = subprocess.Popen(
            [sys.executable, "-m", "charlm", *arguments], env=environment, stdout=out
        )
        memory, first_step = 0, None
        while process.poll() is None:
            memory = max(memory, resources.resident(process.pid))
            now = time.perf_counter() - started
            if first_step is None and stop_after and b'"step"' in _written(out):
                first_step = now
            if first_step is not None and stop_after and now > first_step + stop_after:
                process.send_signal(signal.SIGINT)
                stop_after = None
            time.sleep(INTERVAL)
    return Ran(name, time.perf_counter() - started, first_step, read, memory, process.returncode)


def _written(file: Any) -> bytes:
    """The first 64 KiB of a file."""
    return bytes(os.pread(file.fileno(), 1 << 16, 0))


def _make(path: Path, gigabytes: float) -> Path:
    from charlm.text.datasets import find, get

    source = path.with_name("python-docs.txt")
    get(find("python-docs"), source, force=True)
    large_text.write(path, source.read_text(encoding="utf-8"), int(gigabytes * large_text.GIGA))
    return path


if __name__ == "__main__":
    main()
