"""Every kind of text input has its documented outcome in every command that reads text."""

import io
import os
import shutil
import subprocess
import sys
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from charlm.api import train
from charlm.cli.app import run
from charlm.config import Budget, ModelConfig
from charlm.text.corpus import Corpus
from tests.faults.texts_moving import CHANGES, changing
from tests.faults.texts_table import COMMANDS, KNOWN, Given, texts
from tests.shell import SECONDS, TEXT, Ended, Shell
from tests.texts import old_file, text_of

pytestmark = pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="the system has no FIFOs")

MOVING = Path(__file__).with_name("texts_moving.py")
AT_ONCE = os.cpu_count() or 1  # processes
# A command that reads an endless device by mistake must fill neither the disk nor the memory.
LIMITED = 'ulimit -f 2000000; ulimit -v 8000000 2>/dev/null; exec "$0" "$@"'
ON_STDIN = ("train", "corpus prepare", "eval", "classify --lines")  # each reads text differently
STDIN = "-"


@pytest.fixture(scope="module")
def models(tmp_path_factory) -> Path:
    """A folder with two models, a bidirectional model, and a run that can be resumed."""
    folder = tmp_path_factory.mktemp("models")
    small, both = ModelConfig(hidden=4), ModelConfig(hidden=4, bidirectional=True)
    for name, config, steps in [("one", small, 5), ("two", small, 6), ("both", both, 5)]:
        train(TEXT, config, budget=Budget(steps=steps)).save(folder / f"{name}.npz")
    train(TEXT, small, budget=Budget(steps=5), out=folder / "run")
    (folder / "run" / "history.jsonl").unlink()
    return folder


Case = tuple[str, Given, str]  # the name of a text, the text, and a command


def cases(line: int) -> list[Case]:
    return [(name, given, each) for name, given in texts(line).items() for each in COMMANDS]


def prepared(folder: Path, case: Case, models: Path) -> Path:
    """The text of a case, in a separate folder."""
    _, given, command = case
    folder.mkdir(parents=True)
    if command == "train --resume":
        shutil.copytree(models / "run", folder / "run")
    path = folder / f"text{given.ending}"
    given.make(path)
    return path


def arguments(case: Case, models: Path, source: object) -> list[str]:
    _, given, command = case
    words = COMMANDS[command].split()
    return [word.format(models=models, text=source) for word in words] + list(given.options)


def check(case: Case, ended: Ended, source: object) -> str:
    """Check how a command ended, and return the outcome."""
    name, given, command = case
    what = f"{command} of {name}: {ended}"
    assert "Traceback" not in ended.err, what
    words = given.refusal(command)
    if words:
        assert ended.code == 1, what
        assert words in ended.refusal, what
        if "" not in (given.refused.get(each, "") for each in COMMANDS):  # it cannot be read
            assert ("standard input" if source == STDIN else str(source)) in ended.refusal, what
        return "refused"
    assert ended.code == 0, what
    assert given.said in ended.err, what
    check_all_was_read(command, given.text, ended, what)
    return "done"


def check_all_was_read(command: str, text: str, ended: Ended, what: str) -> None:
    if command == "classify --lines":
        lines = "\n".join(record["line"] for record in ended.records)
        assert lines == text.replace("\r\n", "\n").removesuffix("\n"), what
    elif command == "score":
        assert "".join(record["text"] for record in ended.records) == text, what
    elif command == "proofread":
        known = sum(character in KNOWN for character in text)
        assert f" characters among {known:,};" in ended.err, what
    elif command == "sample":
        assert len(ended.records[0]["text"]) == 5, what
    else:
        assert characters_read(command, ended.records[0]) == len(text), what


def characters_read(command: str, said: dict[str, Any]) -> int:
    if command == "corpus prepare":
        return said["characters"]
    if command == "classify":
        return said["models"][0]["characters"]
    if command == "eval":  # the first character is not scored
        return 1 + said["characters"] + said["unknown_characters"]
    return said["train_characters"] + said["val_characters"]


@pytest.mark.promise(9, "Each kind of text, each command: the documented outcome, no traceback")
def test_each_text_has_its_outcome_by_each_command(tmp_path, models, counted, figure):
    tried = cases(line=5_000)[:: counted(7, 1)]
    ended = Counter(
        check(case, *in_this_process(tmp_path / str(number), case, models))
        for number, case in enumerate(tried)
    )
    figure(f"{len(tried)} pairs in one process, {outcomes(ended)}")


def outcomes(ended: Counter[str]) -> str:
    return f"{ended['done']} done, {ended['refused']} rejected with one line"


def in_this_process(folder: Path, case: Case, models: Path) -> tuple[Ended, Path]:
    """Run a command on a text in this process, and return the path of the text, too."""
    path = prepared(folder, case, models)
    streams = [io.TextIOWrapper(io.BytesIO(), encoding="utf-8") for _ in range(2)]
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.setattr(sys, "argv", ["charlm", *arguments(case, models, path)])
        for name, stream in zip(("stdout", "stderr"), streams, strict=True):
            patch.setattr(sys, name, stream)
        if case[1].change:
            patch.setattr("charlm.text.text_files._block", changing(case[1].change, str(path)))
        code = run()
    out, err = (written(stream) for stream in streams)
    return Ended(code, out, err), path


def written(stream: io.TextIOWrapper) -> str:
    stream.seek(0)
    return stream.read()


@pytest.mark.promise(9, "The same in separate processes, from a path and from standard input")
def test_each_text_has_its_outcome_by_each_process(tmp_path, models, counted, figure):
    all_cases = cases(line=counted(5_000, 1_000_000))
    tried = [(case, False) for case in all_cases]
    tried += [(case, True) for case in all_cases if case[2] in ON_STDIN and not case[1].has_a_name]
    tried = tried[:: counted(121, 1)]
    folders = (tmp_path / str(number) for number in range(len(tried)))

    def ended_of(folder: Path, case: Case, is_stdin: bool) -> str:
        return check(case, *as_a_process(folder, case, models, is_stdin=is_stdin))

    with ThreadPoolExecutor(AT_ONCE) as pool:
        ended = Counter(pool.map(ended_of, folders, *zip(*tried, strict=True)))
    by_stdin = sum(is_stdin for _, is_stdin in tried)
    figure(f"{len(tried)} processes, {by_stdin} of them from standard input: {outcomes(ended)}")


def as_a_process(
    folder: Path, case: Case, models: Path, *, is_stdin: bool
) -> tuple[Ended, Path | str]:
    path = prepared(folder, case, models)
    source = STDIN if is_stdin else path
    change = case[1].change
    program = [str(MOVING), change, str(path)] if change else ["-m", "charlm"]
    with open(path if is_stdin else os.devnull, "rb") as file:
        done = subprocess.run(
            ["sh", "-c", LIMITED, sys.executable, *program, *arguments(case, models, source)],
            cwd=folder,
            env=Shell(folder).environment,
            stdin=file,
            capture_output=True,
            encoding="utf-8",
            timeout=10 * SECONDS,
        )
    return Ended(done.returncode, done.stdout, done.stderr), source


@pytest.mark.promise(9, "A file that changes while it is read is read again the next time")
def test_file_that_changes_while_it_is_read_is_read_again(tmp_path, counted, figure):
    sizes = [1, 1000, 4096, 300_000, *range(5000, counted(5000, 200_000), 5000)]
    tried = [(kind, size) for kind in sorted(CHANGES) for size in sizes]
    for number, (kind, size) in enumerate(tried):
        check_it_is_read_again(tmp_path / f"{number}.txt", kind, "a" * size + TEXT)
    figure(f"{len(tried)} files that changed: each read to its end, and read again the next time")


def check_it_is_read_again(path: Path, kind: str, text: str) -> None:
    old_file(path, text)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("charlm.text.text_files._block", changing(kind, str(path)))
        patch.setattr("charlm.text.corpus_cache.SETTLED", -1e9)  # even if the change is recent
        first = Corpus.read(path)
    expected = {"grows": text + "the end\n", "shrinks": text[:300], "vanishes": text}[kind]
    assert text_of(first.encoded) == expected
    again = Corpus.read(old_file(path, text))  # with the original size and time
    assert not again.found
    assert text_of(again.encoded) == text
