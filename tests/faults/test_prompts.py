"""Arbitrary arguments and input bytes: only documented outcomes."""

import io
import json
import os
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from charlm.cli import app, console
from tests.shell import SECONDS, Ended, Shell

TEXT = "Ein Kätzchen saß auf der Matte — 灯是灯, 碗是碗. 🙂 aeiou_ -0123456789\n" * 12
STRANGE = "ab" * 300 + "ß灯\U0001f642é"

MODELS = {
    "plain.npz": ["--cell", "gru"],
    "unk.npz": ["--min-count", "2"],
    "both.npz": ["--bidirectional"],
}


@pytest.fixture(scope="module")
def shell(tmp_path_factory) -> Shell:
    """A folder with models of each kind, and with valid and invalid texts."""
    folder = tmp_path_factory.mktemp("prompts")
    (folder / "text.txt").write_text(TEXT, encoding="utf-8")
    (folder / "strange.txt").write_text(STRANGE * 3 + "\u0661", encoding="utf-8")
    (folder / "latin.txt").write_bytes(TEXT.encode("latin-1", "ignore") + b"\xff\xfe\x00")
    (folder / "empty.txt").touch()
    (folder / "damaged.npz").write_bytes(b"PK\x03\x04 and no more")
    shell = Shell(folder, CHARLM_CACHE=str(folder / "cache"))
    options = ["--steps", 3, "--hidden", 4, "--seq-len", 8, "--batch-size", 4, "--threads", 1]
    for name, more in MODELS.items():
        text = "strange.txt" if name == "unk.npz" else "text.txt"
        ended = shell("train", text, "--out", "made", "--force", "--quiet", *options, *more)
        assert ended.code == 0, ended.err
        (folder / "made/best.npz").rename(folder / name)
    (folder / "made/last.npz").unlink()
    return shell


# execve takes any bytes without NUL as an argument; Python decodes those that are not UTF-8 to
# surrogates.
any_bytes = st.binary(max_size=12).map(lambda b: os.fsdecode(b.replace(b"\0", b"")))
any_characters = st.text(
    st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=12
)
near_characters = st.text(st.sampled_from([*sorted(set(TEXT)), "\u202e", "\u0301", "\ufffd"]))
known = st.sampled_from(
    ["", "--", "-", "-1", "--help", "--seed", "_", "Kä_zchen", "灯_灯", "%s{}[red]", "\n", "'\"\\"]
)
long_texts = st.builds(str.__mul__, near_characters, st.sampled_from([50, 1000]))
texts = known | near_characters | any_characters | any_bytes | long_texts

numbers = st.sampled_from(
    ["0", "1", "2", "7", "-1", "0.5", "1e3", "nan", "inf", "-inf", "1e400", "9" * 400, "٣", "x", ""]
)
short = st.sampled_from(["0", "1", "7", "-1", "x", "9" * 9999, "1.5"])
paths = st.sampled_from(
    ["text.txt", "latin.txt", "empty.txt", "strange.txt", ".", "nowhere", "-", "*.txt", "["]
)
models = st.sampled_from([*MODELS] * 3 + ["damaged.npz", "nowhere.npz", "text.txt", ".", ""])
encodings = st.sampled_from(["utf-8", "latin-1", "utf-16", "utf-7", "idna", "hex", "no", "\0" * 0])
choices = st.sampled_from(["refuse", "skip"] * 2 + ["both"])


def an_option(name: str, values: st.SearchStrategy[str]) -> st.SearchStrategy[list[str]]:
    """An option with a value, as one argument or two."""
    return st.builds(lambda v, one: [f"{name}={v}"] if one else [name, v], values, st.booleans())


def a_command(
    name: str, arguments: list[st.SearchStrategy[str]], options: dict[str, st.SearchStrategy | None]
) -> st.SearchStrategy[list[str]]:
    """A command with some of its options and its arguments, sometimes one too many or too few."""
    given_options = st.lists(
        st.one_of(
            *(
                st.just([option]) if values is None else an_option(option, values)
                for option, values in options.items()
            )
        ),
        max_size=4,
    )
    given_arguments = st.tuples(*arguments).map(list)
    odd = st.sampled_from([0] * 9 + [1, 2])

    def joined(
        values: list[str], more: list[list[str]], odd: int, extra: str, ends: bool
    ) -> list[str]:
        words = [word for option in more for word in option]
        values = values[:-1] if odd == 1 else [*values, extra] if odd == 2 else values
        return [name, *words, *["--"] * ends, *values]

    return st.builds(joined, given_arguments, given_options, odd, texts, st.booleans())


COMMANDS = {
    "sample": a_command(
        "sample",
        [models],
        {
            "--seed": texts,
            "--prompt-file": paths,
            "--encoding": encodings,
            "--temperature": numbers,
            "--top-k": numbers,
            "--top-p": numbers,
            "--stop": texts,
            "--count": short,
            "--unknown": choices,
            "--random-seed": numbers,
            "--json": None,
        },
    ).map(lambda words: [*words[:1], "--length", "5", *words[1:]]),
    "eval": a_command(
        "eval", [models, paths], {"--streams": numbers, "--encoding": encodings, "--json": None}
    ),
    "score": a_command(
        "score",
        [models, paths],
        {
            "--by": st.sampled_from(["character", "word", "Line", "document", ""]),
            "--top": numbers,
            "--space": st.sampled_from(["before", "after", "both"]),
            "--words": paths,
            "--separator": texts,
            "--json": None,
        },
    ),
    "classify": a_command(
        "classify",
        [paths | texts],
        {"--model": models, "--lines": None, "--encoding": encodings, "--json": None},
    ).map(lambda words: [*words[:1], "--model", "plain.npz", "--model", "unk.npz", *words[1:]]),
    "fill": a_command(
        "fill", [texts], {"--model": models, "--gap": texts, "--unknown": choices, "--json": None}
    ).map(lambda words: [*words[:1], "--model", "both.npz", *words[1:]]),
    "proofread": a_command(
        "proofread", [paths], {"--odds": numbers, "--encoding": encodings, "--json": None}
    ).map(lambda words: [*words[:1], "--model", "both.npz", *words[1:]]),
    "train": a_command(
        "train",
        [paths],
        {
            "--cell": st.sampled_from(["rnn", "sru", "jordan", "LSTM", ""]),
            "--hidden": short,
            "--dropout": numbers,
            "--lr": numbers,
            "--clip": numbers,
            "--val-fraction": numbers,
            "--min-count": numbers,
            "--random-seed": numbers,
            "--encoding": encodings,
            "--eval-every": numbers,
            "--json": None,
        },
    ).map(lambda words: [*words[:1], "--steps", "1", "--threads", "1", "--quiet", *words[1:]]),
    "anything": st.lists(texts, max_size=4),
}
# training takes a hundred times as long as the other commands
commands = st.sampled_from([*COMMANDS] * 2 + ["sample", "fill"] * 8).flatmap(COMMANDS.__getitem__)
stdins = st.sampled_from([TEXT.encode(), b"", b"\xff\x00\xfe", "ab_ß\n".encode()])


@dataclass
class Case:
    """A command line, its standard input, and its result."""

    words: list[str]
    stdin: bytes
    ended: Ended


def check_outcome(case: Case) -> str:
    """Check that the outcome is a documented one, and return it."""
    ended, words = case.ended, case.words
    assert "Traceback" not in ended.err, case
    assert ended.code in (0, 1, 2, 3), case
    if ended.code == 0:
        check_output(case)
        return "done"
    messages = [line for line in ended.err.split("\n") if line.startswith("charlm: ")]
    if ended.code == 2:
        # a group of commands without a command, such as `charlm corpus`, shows its help
        assert "Usage: " in ended.out + ended.err or " Error " in ended.err or len(messages) == 1, (
            case
        )
        assert not ended.out or not ended.err, case
        return "usage"
    has_records = words[0] == "train" and "--json" in words  # records may precede the failure
    assert has_records or not ended.out, case
    assert len(messages) == 1, case
    assert ended.err.endswith(messages[0] + "\n"), case
    return "failed"


def check_output(case: Case) -> None:
    """Check that JSON output is valid, and that a sample has the requested length."""
    ended, words = case.ended, case.words
    if "Usage: " in ended.out or not words:  # the help was requested
        return
    lines = ended.out.split("\n")
    assert not lines.pop(), case
    if "--json" in words and "--" not in words[: words.index("--json")]:
        for line in lines:
            json.loads(line)
    elif words[0] == "sample" and not any(word.startswith(("--count", "--stop")) for word in words):
        assert len(ended.out) > 5, case


def stream(data: bytes = b"") -> io.TextIOWrapper:
    """A text stream like the standard streams."""
    return io.TextIOWrapper(io.BytesIO(data), encoding="utf-8")


def in_this_process(words: list[str], stdin: bytes) -> Ended:
    """Run a command line in this process."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "argv", ["charlm", *words])
        for name, data in (("stdin", stdin), ("stdout", b""), ("stderr", b"")):
            patch.setattr(sys, name, stream(data))
        console.stderr.cache_clear()  # a console keeps its stream
        patch.setattr(app, "_shows_tracebacks", False)
        try:
            code = app.run()
        finally:
            console.stderr.cache_clear()
        return Ended(code, *map(written, (sys.stdout, sys.stderr)))


def written(file: io.TextIOWrapper) -> str:
    file.flush()
    return file.buffer.getvalue().decode("utf-8")


@pytest.fixture
def in_folder(shell, monkeypatch) -> Iterator[Path]:
    """Make this process behave as if it had been started in the folder."""
    monkeypatch.chdir(shell.folder)
    for name in [name for name in os.environ if name.startswith("CHARLM_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("COLUMNS", "100")
    monkeypatch.setenv("CHARLM_CACHE", str(shell.folder / "cache"))
    return shell.folder


def try_all(count: int, run) -> Counter[str]:
    """Run a number of cases, and count the outcomes."""
    outcomes: Counter[str] = Counter()

    @settings(
        derandomize=True,
        deadline=None,
        database=None,
        max_examples=count,
        suppress_health_check=list(HealthCheck),
    )
    @given(commands, stdins)
    def law(words: list[str], stdin: bytes) -> None:
        outcomes[check_outcome(Case(words, stdin, run(words, stdin)))] += 1

    law()
    return outcomes


def summary(outcomes: Counter[str]) -> str:
    return ", ".join(f"{outcomes[name]:,} {name}" for name in ("done", "failed", "usage"))


@pytest.mark.promise(12, "Any command line: a documented outcome")
def test_any_arguments_in_one_process(in_folder, counted, figure):
    outcomes = try_all(counted(80, 10_000), in_this_process)
    assert set(outcomes) == {"done", "failed", "usage"}
    figure(f"{outcomes.total():,} command lines in one process: {summary(outcomes)}")


@pytest.mark.promise(12, "Any bytes that a shell can pass, also invalid text: a documented outcome")
def test_any_bytes_in_separate_processes(shell, counted, figure):
    def run(words: list[str], stdin: bytes) -> Ended:
        ended = subprocess.run(
            [os.fsencode(sys.executable), b"-m", b"charlm", *map(os.fsencode, words)],
            cwd=shell.folder,
            env=shell.environment,
            input=stdin,
            capture_output=True,
            timeout=SECONDS,
        )
        return Ended(ended.returncode, ended.stdout.decode(), ended.stderr.decode())

    outcomes = try_all(counted(3, 200), run)
    figure(f"{outcomes.total():,} command lines in separate processes: {summary(outcomes)}")


@pytest.mark.parametrize("model", ["plain.npz", "unk.npz"])
def test_sample_prints_the_prompt_and_the_requested_length(in_folder, counted, model):
    known = sorted(set(TEXT)) if model == "plain.npz" else [*sorted(set(STRANGE)), "♞"]

    @settings(derandomize=True, deadline=None, database=None, max_examples=counted(30, 300))
    @given(st.text(st.sampled_from(known)), st.integers(0, 20))
    def law(prompt: str, length: int) -> None:
        words = ["sample", model, f"--seed={prompt}", "--length", str(length)]
        ended = in_this_process(words, b"")
        assert ended.code == 0
        assert ended.out.startswith(prompt)
        assert len(ended.out) == len(prompt) + length + 1

    law()
