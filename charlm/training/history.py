"""The history of a run: `history.jsonl`, a line of JSON for each event.

It grows with the length of the run, so it is read line by line. A history may be damaged or forged:
whatever is read from a line is checked.
"""

import json
import math
import os
import sys
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import IO, Any, NoReturn

from charlm.errors import RunError, cause_of
from charlm.system.regular_files import open_regular
from charlm.system.shell import to_move
from charlm.training.events import Done, Eval, Rollback, Step
from charlm.training.summary import Summary

LINE = 1 << 16  # the maximum number of bytes of a line
TOO_LONG = f"it has more than {LINE:,} bytes"
MAX_NATS = 1_000.0  # the perplexity of a higher loss is not finite

# The numbers that are read from an event, besides its step, and their maximum.
NUMBERS = {
    Step.event: {
        "nats_per_char": MAX_NATS,
        "lr": sys.float_info.max,
        "grad_norm": sys.float_info.max,
    },
    Eval.event: {"val_nats_per_char": MAX_NATS},
}
MAY_BE_NULL = {"val_nats_per_char"}  # without validation


def append(path: Path, records: Iterable[Mapping[str, Any]]) -> None:
    """Append records, and sync the file.

    Raises:
        RunError: the file cannot be written.
    """
    try:
        opened = open_regular(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        with open(opened, "a", encoding="utf-8") as file:
            file.writelines(json.dumps(record) + "\n" for record in records)
            file.flush()
            os.fsync(file.fileno())
    except OSError as error:
        raise _cannot("write", path, error) from error


def read(path: Path) -> Iterator[dict[str, Any]]:
    """Yield the records; none without a file. An incomplete last line is ignored.

    Raises:
        RunError: a line is damaged, or the file cannot be read.
    """
    try:
        with open(open_regular(path, os.O_RDONLY), "rb") as file:
            for record, _ in _records(file, path):
                yield record
    except FileNotFoundError:
        return
    except OSError as error:
        raise _cannot("read", path, error) from error


def last(path: Path) -> dict[str, Any] | None:
    """The last record, read from the end of the file; None if there is none.

    Raises:
        RunError: its line is damaged, or the file cannot be read.
    """
    try:
        with open(open_regular(path, os.O_RDONLY), "rb") as file:
            file.seek(max(0, file.seek(0, os.SEEK_END) - 2 * LINE))
            lines, _, _ = file.read().rpartition(b"\n")
    except FileNotFoundError:
        return None
    except OSError as error:
        raise _cannot("read", path, error) from error
    return _record(lines.rpartition(b"\n")[2], path, "its last line") if lines else None


def rewind(path: Path, step: int, rollbacks: int, summary: Summary) -> Summary:
    """Remove the records after a step, for a run that resumes from there.

    Args:
        path: the file.
        step: the last step to keep.
        rollbacks: the number of rollbacks by then; after a rollback, a run repeats steps.
        summary: receives the records that are kept.

    Returns:
        The summary.

    Raises:
        RunError: the history is damaged, or cannot be written. It is unchanged.
    """
    seen = kept = 0
    try:
        with open(open_regular(path, os.O_RDWR), "r+b") as file:
            for record, end in _records(file, path):
                seen += record["event"] == Rollback.event
                is_later = record["step"] > step or record["event"] == Done.event
                if seen > rollbacks or (seen == rollbacks and is_later):
                    break
                summary.add(record)
                kept = end
            file.truncate(kept)
            os.fsync(file.fileno())
    except FileNotFoundError:
        pass
    except OSError as error:
        raise _cannot("write", path, error) from error
    return summary


def _records(file: IO[bytes], path: Path) -> Iterator[tuple[dict[str, Any], int]]:
    """The records of a file, and the offset of the end of each line."""
    end = 0
    for number, line in enumerate(iter(lambda: file.readline(LINE), b""), 1):
        if not line.endswith(b"\n"):
            if any(b"\n" in block for block in iter(lambda: file.read(LINE), b"")):
                _refuse(path, f"line {number}", TOO_LONG)
            return
        end += len(line)
        yield _record(line, path, f"line {number}"), end


def _record(line: bytes, path: Path, where: str) -> dict[str, Any]:
    """The record of a line."""
    if len(line) > LINE:
        _refuse(path, where, TOO_LONG)
    try:
        record: dict[str, Any] = DECODER.decode(line.decode())
    except (ValueError, RecursionError):
        _refuse(path, where, "it is not JSON")
    if not isinstance(record, dict) or not isinstance(record.get("event"), str):
        _refuse(path, where, "it has no event")
    step = record.get("step")
    if type(step) is not int or step < 0:
        _refuse(path, where, "its step is not an integer of at least 0")
    for name, largest in NUMBERS.get(record["event"], {}).items():
        value: Any = record.get(name, math.nan)
        if value is None and name in MAY_BE_NULL:
            continue
        if type(value) not in (int, float) or not 0 <= value <= largest:
            _refuse(path, where, f"its {name} is not a number from 0 to {largest:g}")
    if record["event"] == "setback":  # the name before checkpoints of format 3
        record |= {"event": Rollback.event, "rollbacks": record.pop("setbacks", None)}
    return record


def _no_number(constant: str) -> NoReturn:
    raise ValueError(f"{constant} is not JSON")


DECODER = json.JSONDecoder(parse_constant=_no_number)


def _refuse(path: Path, where: str, cause: str) -> NoReturn:
    raise RunError(f"{path} is damaged in {where}: {cause}; move it away: {to_move(path)}")


def _cannot(do: str, path: Path, error: OSError) -> RunError:
    return RunError(f"cannot {do} {path}: {cause_of(error)}")
