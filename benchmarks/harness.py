"""Shared parts of the benchmarks: worker processes, turns, facts of the machine, tables, results.

Each contender runs in a process of its own (`worker.py`) that stays alive and takes requests over
pipes. So contenders can take turns, A B A B …, without a restart. While one works, the others wait
for a request and use no processor. Every result includes the load that other processes put on the
machine during the measurement.
"""

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any, Self, TypeVar

from benchmarks import resources

T = TypeVar("T")

ROOT = Path(__file__).parent.parent
RESULTS = Path(__file__).parent / "results"
SETTLE = 0.1  # seconds between two turns, so that idle threads stop spinning


# Each library's own switch to leave out what is above AVX2; NumPy's names the features it has.
AVX2 = {
    "OPENBLAS_CORETYPE": "Haswell",
    "ATEN_CPU_CAPABILITY": "avx2",
    "ONEDNN_MAX_CPU_ISA": "AVX2",
    "MKL_ENABLE_INSTRUCTIONS": "AVX2",
    "XLA_FLAGS": "--xla_cpu_max_isa=AVX2",
}
ABOVE_AVX2 = ("X86_V4", "AVX512")  # the beginnings of names of vector instructions


class PeerError(Exception):
    """A peer cannot be imported; the message is the reason."""


class Worker:
    """A process that builds and runs contenders on request; see `worker.py`.

    Args:
        name: a name in `worker.MODULES`.

    Attributes:
        facts: versions and settings of the libraries of the process.

    Raises:
        PeerError: the libraries that the process needs cannot be imported.
    """

    def __init__(self, name: str) -> None:
        self.name = name
        self.process = subprocess.Popen(
            [sys.executable, "-m", "benchmarks.worker", name],
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        try:
            self.facts: dict[str, Any] = self._answer()
        except PeerError:
            self.close()
            raise

    def ask(self, method: str, **arguments: Any) -> Any:
        """Call a method of `worker.Server` and return its result."""
        assert self.process.stdin is not None
        self.process.stdin.write(json.dumps({"method": method, "arguments": arguments}) + "\n")
        self.process.stdin.flush()
        return self._answer()

    def call(self, function: str, **arguments: Any) -> Any:
        """Call a function of the module of the process and return its result."""
        return self.ask("call", function=function, **arguments)

    def make(self, function: str, **arguments: Any) -> "Contender":
        """Build a contender with a function of the module of the process."""
        return Contender(self, self.ask("make", function=function, arguments=arguments))

    def close(self) -> None:
        """End the process."""
        assert self.process.stdin is not None
        with suppress(BrokenPipeError):
            self.process.stdin.close()
        self.process.wait()

    def _answer(self) -> Any:
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        if not line:
            raise RuntimeError(f"the process of {self.name} ended; see its error above")
        answer = json.loads(line)
        if "error" in answer:
            raise PeerError(answer["error"])
        return answer["result"]


@dataclass(frozen=True)
class Contender:
    """A unit of measured work in a worker.

    Attributes:
        worker: the process.
        key: its key in the process.
    """

    worker: Worker
    key: int

    def rate(self, seconds: float = 0.0) -> float:
        """Work for `seconds`, at least one unit; return characters (or other counts) per second."""
        run = self.run(seconds)
        return run["count"] / run["seconds"]

    def run(self, seconds: float) -> dict[str, float]:
        """Work for `seconds`; return the count, the seconds, and the peak memory in bytes."""
        result: dict[str, float] = self.worker.ask("run", key=self.key, seconds=seconds)
        return result

    def drop(self) -> None:
        """Free its memory."""
        self.worker.ask("drop", key=self.key)


@dataclass(frozen=True)
class Spread:
    """The median and the range of some measurements."""

    median: float
    low: float
    high: float

    @classmethod
    def of(cls, values: Iterable[float]) -> Self:
        """The spread of at least one value."""
        values = list(values)
        return cls(statistics.median(values), min(values), max(values))

    def show(self, digits: int = 2, scale: float = 1.0) -> str:
        """Format as `1.52 (1.48–1.60)`, each number times `scale`."""
        median, low, high = (
            f"{value * scale:.{digits}f}" for value in (self.median, self.low, self.high)
        )
        return f"{median} ({low}–{high})"


@dataclass(frozen=True)
class Turns:
    """The results of contenders that took turns.

    Attributes:
        values: for each contender, one value per round.
        others: processors that other processes kept busy, mean over the turns.
    """

    values: dict[str, list[float]]
    others: float

    def spread(self, name: str) -> Spread:
        """The spread of one contender."""
        return Spread.of(self.values[name])

    def ratio(self, a: str, b: str) -> Spread:
        """The ratio of a to b, taken within each round."""
        pairs = zip(self.values[a], self.values[b], strict=True)
        return Spread.of(x / y for x, y in pairs)

    def best(self, prefix: str) -> str | None:
        """The contender with the largest median among those whose names start with `prefix`."""
        names = [name for name in self.values if name.startswith(prefix)]
        return max(names, key=lambda name: self.spread(name).median, default=None)


class Session:
    """One run of a benchmark: its processes, the load of the machine, its results.

    Args:
        name: the name of the benchmark and of its results file.
        options: the command line, as `parse` returns it.

    Attributes:
        missing: for each peer that was left out, the reason.
        others: for each turn, the number of processors that other processes kept busy.
    """

    def __init__(self, name: str, options: argparse.Namespace) -> None:
        self.name = name
        self.options = options
        self.workers: list[Worker] = []
        self.facts: dict[str, Any] = _machine()
        self.missing: dict[str, str] = {}
        self.others: list[float] = []
        self.started = datetime.now(UTC)
        if getattr(options, "avx2", False):
            variables = avx2()
            os.environ |= variables  # worker processes inherit them
            self.facts["variables for AVX2"] = " ".join(f"{k}={v}" for k, v in variables.items())

    def __enter__(self) -> Self:
        print(f"\n# {self.name}\n", flush=True)
        return self

    def __exit__(self, *_: object) -> None:
        for worker in list(self.workers):
            self.close(worker)

    def worker(self, name: str) -> Worker:
        """Start a process."""
        worker = Worker(name)
        self.workers.append(worker)
        self.facts |= worker.facts
        if getattr(self.options, "avx2", False):
            _check_avx2(name, worker.facts)
        return worker

    def close(self, worker: Worker) -> None:
        """End a process before the session ends."""
        self.workers.remove(worker)
        worker.close()

    def peer(self, name: str) -> Worker | None:
        """Start the process of a peer; on failure, note the reason in `missing`."""
        if name not in self.options.peers:
            self.missing[name] = "not selected"
            return None
        try:
            return self.worker(name)
        except PeerError as error:
            self.missing[name] = str(error)
            return None

    def alternate(self, contenders: Mapping[str, Callable[[], float]], rounds: int) -> Turns:
        """Let contenders take turns, one turn each per round."""
        values: dict[str, list[float]] = {name: [] for name in contenders}
        before = len(self.others)
        for _ in range(rounds):
            for name, turn in contenders.items():
                time.sleep(SETTLE)
                values[name].append(self.watched(turn))
        others = self.others[before:]
        return Turns(values, statistics.mean(others) if others else 0.0)

    def race(self, contenders: Mapping[str, Contender], seconds: float | None = None) -> Turns:
        """The rates of contenders that take turns, as often and as long as the options say."""
        seconds = self.options.seconds if seconds is None else seconds
        return self.alternate(
            {name: partial(each.rate, seconds) for name, each in contenders.items()},
            self.options.rounds,
        )

    def watched(self, turn: Callable[[], T]) -> T:
        """Run a turn and record the load from other processes during it."""
        before, started = resources.other_seconds(), time.perf_counter()
        value = turn()
        seconds, after = time.perf_counter() - started, resources.other_seconds()
        if before is not None and after is not None:
            self.others.append(max(0.0, (after - before) / seconds))
        return value

    def finish(self, rows: Sequence[Mapping[str, Any]], **summary: Any) -> None:
        """Print the facts of the machine and its load, and write all results as JSON."""
        print()
        for name, fact in self.facts.items():
            print(f"{name}: {fact}")
        for name, reason in self.missing.items():
            print(f"without {name}: {reason}")
        load = None
        if self.others:
            load = {"mean": statistics.mean(self.others), "most": max(self.others)}
            print(
                f"processors kept busy by other processes during the turns: {load['mean']:.2f} on "
                f"average, {load['most']:.2f} in the worst turn"
            )
        content = {
            "benchmark": self.name,
            "started": self.started.isoformat(timespec="seconds"),
            "options": {k: v for k, v in vars(self.options).items() if not isinstance(v, Path)},
            "machine": self.facts,
            "missing": self.missing,
            "others_busy": load,
            "summary": summary,
            "rows": rows,
        }
        folder: Path = self.options.results
        folder.mkdir(parents=True, exist_ok=True)
        path = folder / f"{self.name}.json"
        path.write_text(json.dumps(content, indent=1, default=_plain) + "\n", encoding="utf-8")
        print(f"written: {path}", flush=True)


def _plain(value: Any) -> Any:
    """What stands for an object in JSON."""
    return value.name if isinstance(value, Path) else asdict(value)


def is_above_avx2(instructions: str) -> bool:
    """Whether vector instructions are above AVX2, given their name."""
    return instructions.startswith(ABOVE_AVX2)


def _check_avx2(name: str, facts: Mapping[str, Any]) -> None:
    """End the benchmark if a process uses more than AVX2."""
    lists = (value for fact, value in facts.items() if fact.endswith("vector instructions"))
    found = [each for value in lists for each in value.split()]
    if any(map(is_above_avx2, found)):
        raise SystemExit(f"{name} uses {' '.join(found)} in spite of --avx2")


def avx2() -> dict[str, str]:
    """The variables that limit all contenders to AVX2."""
    code = "import numpy; print(*numpy.show_config('dicts')['SIMD Extensions']['found'])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    found = filter(is_above_avx2, done.stdout.split())
    return AVX2 | {"NPY_DISABLE_CPU_FEATURES": " ".join(found)}


def _machine() -> dict[str, Any]:
    """The processor, the system, the interpreter."""
    processor = platform.processor() or platform.machine()
    with suppress(OSError, KeyError):
        first = Path("/proc/cpuinfo").read_text().partition("\n\n")[0]
        pairs = (line.partition(":") for line in first.splitlines())
        fields = {name.strip(): value.strip() for name, _, value in pairs}
        processor = "{model name} (family {cpu family}, model {model})".format_map(fields)
    affinity = getattr(os, "sched_getaffinity", None)
    return {
        "processor": processor,
        "cores": len(affinity(0)) if affinity else os.cpu_count(),
        "caches": _caches() or "unknown",
        "system": f"{platform.system()} {platform.machine()}",
        "python": platform.python_version(),
    }


def _caches() -> str:
    """The caches that a processor uses, such as `L1 Data 32K, L2 Unified 1024K` (Linux)."""
    folders = sorted(Path("/sys/devices/system/cpu/cpu0/cache").glob("index*"))
    each = [[(f / name).read_text().strip() for name in ("level", "type", "size")] for f in folders]
    return ", ".join(f"L{level} {kind} {size}" for level, kind, size in each)


def parser(
    description: str | None,
    *,
    rounds: int | None = None,
    seconds: float | None = None,
    peers: Sequence[str] = (),
    avx2: bool = False,
) -> argparse.ArgumentParser:
    """A parser with the shared options; optional ones only if a default is given."""
    result = argparse.ArgumentParser(
        description=description, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = result.add_argument
    add("--quick", action="store_true", help="check that it runs; the figures mean nothing")
    add("--results", type=Path, default=RESULTS, help="directory for the JSON (%(default)s)")
    if rounds is not None:
        add("--rounds", type=int, default=rounds, help="turns per contender (%(default)s)")
    if seconds is not None:
        add("--seconds", type=float, default=seconds, help="length of a turn (%(default)s)")
    if avx2:
        add("--avx2", action="store_true", help="without AVX-512, in all contenders")
    if peers:
        add(
            "--peers",
            type=lambda names: [name for name in names.split(",") if name],
            default=list(peers),
            help=f"peers to compare with, of {','.join(peers)}; empty for none",
        )
    return result


def parse(
    parser: argparse.ArgumentParser, argv: Sequence[str] | None, **quick: Any
) -> argparse.Namespace:
    """Parse the options; with `--quick`, `quick` replaces the defaults."""
    if parser.parse_known_args(argv)[0].quick:
        parser.set_defaults(**quick)
    return parser.parse_args(argv)


def table(title: str, columns: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """Print a Markdown table, the first column aligned left, the others right."""
    cells = [list(columns)] + [[str(cell) for cell in row] for row in rows]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    rule = [":" + "-" * (widths[0] - 1)] + ["-" * (width - 1) + ":" for width in widths[1:]]
    print(f"\n{title}\n")
    for row in [cells[0], rule, *cells[1:]]:
        left = [row[0].ljust(widths[0])]
        right = [cell.rjust(width) for cell, width in zip(row[1:], widths[1:], strict=True)]
        print("| " + " | ".join(left + right) + " |")
    sys.stdout.flush()
