"""Runs that are stopped at random times and resumed, as commands and in this process."""

import signal
from dataclasses import replace
from pathlib import Path
from random import Random
from typing import Any

import pytest

from charlm.nn.cells import CELLS
from charlm.nn.optimizers import OPTIMIZERS
from charlm.training.checkpoint import load, save
from tests.helpers import resumed, run, small_trainer
from tests.shell import TEXT, Ended, Shell
from tests.training.test_resuming import whole

STEPS = 120
STOPS = 3  # per run, at most


def model_of(random: Random) -> dict[str, Any]:
    """A random model and training configuration."""
    cell = random.choice(list(CELLS))
    owns_its_output = cell == "jordan"
    return {
        "cell": cell,
        "optimizer": random.choice(list(OPTIMIZERS)),
        "layers": random.randint(1 + owns_its_output, 2),
        "head_layers": 0 if owns_its_output else random.randint(0, 1),
        "embedding": random.choice([0, 3]),
        "bidirectional": not owns_its_output and random.random() < 0.2,
        "dropout": random.choice([0.0, 0.3]),
        "shards": random.randint(1, 3),
        "accumulate": random.randint(1, 2),
        "random_seed": random.randrange(100),
    }


def flags(options: dict[str, Any]) -> list[object]:
    named = {"--" + name.replace("_", "-"): value for name, value in options.items()}
    yes = [name for name, value in named.items() if value is True]
    pairs = [(name, value) for name, value in named.items() if not isinstance(value, bool)]
    return [*yes, *(part for pair in pairs for part in pair)]


def stopped(shell: Shell, lines: int, *arguments: object) -> Ended:
    """A command that gets SIGTERM after some lines of output, at most a page ahead of them."""
    with shell.start(*arguments, pipesize=4096) as process:
        assert process.stdout
        assert process.stderr
        read = [line for _, line in zip(range(lines), process.stdout, strict=False)]
        process.send_signal(signal.SIGTERM)
        out, err = "".join(read) + process.stdout.read(), process.stderr.read()
    return Ended(process.returncode, out, err)


@pytest.fixture
def shell(tmp_path) -> Shell:
    """A folder with a corpus, without settings in the environment."""
    (tmp_path / "corpus.txt").write_text(TEXT, encoding="utf-8")
    return Shell(tmp_path)


def broken(shell: Shell, random: Random, out: Path, *command: object) -> list[Ended]:
    """Run a command to its end with stops, on one or two processes; return the stopped parts."""
    sittings: list[Ended] = []
    for _ in range(STOPS):
        ended = stopped(shell, random.randint(1, STEPS // 2), *command, "--out", out)
        if ended.code == 0:  # it had fewer steps
            return sittings
        assert ended.code == 128 + signal.SIGTERM, ended.err
        sittings.append(ended)
        command = ("train", "--resume", "--json", "--threads", random.randint(1, 2))
    assert shell(*command, "--resume", "--out", out).code == 0
    return sittings


@pytest.mark.promise(
    2,
    "A run that is stopped by SIGTERM and resumed with `--resume` is bit-identical to an unbroken "
    "run: weights, optimizer, carried state, position, history",
)
def test_commands_that_are_stopped_at_random(shell, counted, figure):
    size = {"hidden": 6, "seq_len": 8, "batch_size": 6, "steps": STEPS, "threads": 1}
    count, stops = counted(1, 30), 0
    for seed in range(count):
        random = Random(seed)
        options = flags(model_of(random) | size | {"eval_every": random.randint(1, 50)})
        command = ("train", "corpus.txt", "--json", *options)
        ours, theirs = (shell.folder / f"{name}-{seed}" for name in ("broken", "unbroken"))
        assert shell(*command, "--out", theirs).code == 0
        sittings = broken(shell, random, ours, *command)
        assert whole(ours) == whole(theirs), options
        stops += len(sittings)
    assert stops >= count
    figure(
        f"{count} runs of random cells, optimizers, layers, dropout, shards and accumulation, "
        f"stopped {stops} times: bit-identical"
    )


@pytest.mark.promise(
    2, "In Python, a run that is stopped after any step and resumed: bit-identical likewise"
)
def test_trainers_that_are_stopped_at_random(tmp_path, counted, figure):
    count, stops = counted(6, 60), 0
    for seed in range(count):
        random = Random(1000 + seed)
        options = model_of(random) | {"eval_every": random.randint(1, 12)}
        expected = whole_run(tmp_path / f"{seed}-unbroken", options, [])
        chosen = sorted(random.sample(range(1, 16), random.randint(1, STOPS)))
        got = whole_run(tmp_path / f"{seed}-broken", options, chosen)
        assert got == expected, f"{options}, stopped after {chosen}"
        stops += len(chosen)
    figure(f"{count} runs, stopped {stops} times: bit-identical")


def whole_run(path: Path, options: dict[str, Any], stops: list[int]) -> dict:
    """The result of a run that is stopped after these steps."""
    trainer = small_trainer(**options, warmup=2)
    for stop in stops:
        run(trainer, path, stop_after=stop)
        trainer = resumed(path)
        assert trainer.progress.step == stop
    run(trainer, path)
    return whole(path)


@pytest.mark.promise(2, "With `--minutes`, the number of steps is fixed before the first save")
def test_steps_that_minutes_have_fixed(shell, counted, figure):
    count, plans, stops = counted(1, 6), [], 0
    for seed in range(count):
        options = ("corpus.txt", "--json", "--hidden", 6, "--random-seed", seed, "--shards", 2)
        timed, plain = shell.folder / f"timed-{seed}", shell.folder / f"plain-{seed}"
        sittings = broken(shell, Random(seed), timed, "train", *options, "--minutes", 0.02)
        steps = load(timed / "last.npz").training.progress.steps
        assert {ended.records[0]["steps"] for ended in sittings} <= {steps}
        assert shell("train", *options, "--steps", steps, "--out", plain).code == 0
        assert whole(timed) == whole(plain)
        plans.append(steps)
        stops += len(sittings)
    figure(
        f"{count} runs of {min(plans)} to {max(plans)} steps, stopped {stops} times: the number of "
        "steps stays, and the results are bit-identical to those with `--steps`"
    )


BEGUN = ("train", "corpus.txt", "--hidden", 6, "--steps", 4, "--out", "run", "--quiet")
MORE = ("train", "--resume", "--out", "run", "--steps", 6)


@pytest.mark.promise(
    2, "The environment that rounding depends on is saved, and `--resume` reports a difference"
)
def test_environment_that_has_changed(shell, counted, figure):
    assert shell(*BEGUN).code == 0
    file = shell.folder / "run/last.npz"
    last = load(file)
    environment = dict(last.training.environment)
    assert "bit-identical" not in shell(*MORE).err
    tried = list(environment)[-counted(1, len(environment)) :]
    for name in tried:
        state = replace(last.training, environment=environment | {name: "another"})
        save(file, replace(last, training=state))
        ended = shell(*MORE)
        assert ended.code == 0
        (said,) = (line for line in ended.err.splitlines() if "bit-identical" in line)
        assert said.endswith(f": {name} another, now {environment[name]}")
    figure(f"{len(tried)} differences reported: {', '.join(tried)}")


@pytest.mark.promise(2, "Resuming with a changed corpus is rejected, and changes nothing")
def test_corpus_that_has_changed(shell, counted, figure):
    count = counted(2, 20)
    corpus, out = shell.folder / "corpus.txt", shell.folder / "run"
    assert shell(*BEGUN).code == 0
    before = {path.name: path.read_bytes() for path in out.iterdir()}
    for seed in range(count):
        corpus.write_text(changed(TEXT, Random(seed)), encoding="utf-8")
        assert "the corpus has changed" in shell(*MORE).refusal
        assert {path.name: path.read_bytes() for path in out.iterdir()} == before
    corpus.write_text(TEXT, encoding="utf-8")
    assert shell(*MORE).code == 0
    figure(f"{count} changes of one character, all rejected; the original text is accepted")


def changed(text: str, random: Random) -> str:
    """The text with one character inserted, replaced or removed."""
    at = random.randrange(len(text))
    other = random.choice(sorted(set(text) - {text[at]}))
    return text[:at] + random.choice(["", other, other + text[at]]) + text[at + 1 :]
