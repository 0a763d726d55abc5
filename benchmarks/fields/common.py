"""Shared parts of the fields: options, the split, training, and what is said about it."""

import argparse
import subprocess
import sys
from collections.abc import Iterator, Sequence
from dataclasses import fields
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

import charlm
from benchmarks import harness
from benchmarks.harness import ROOT, Session
from charlm.config import Budget, ModelConfig, TrainConfig
from charlm.inference.document_sampling import Document
from charlm.language_model import LanguageModel
from charlm.text.corpus import Corpus
from charlm.training.events import Done, Eval, Record, Start

T = TypeVar("T")

QUICK = 20  # steps
OWN = ("cell", "hidden", "layers", "dropout", "seq_len", "batch_size", "lr", "random_seed")


def parser(description: str | None, **defaults: Any) -> argparse.ArgumentParser:
    """A parser with the options of all fields; `defaults` replace those of charlm."""
    result = harness.parser(description)
    add = result.add_argument
    add("--data", type=Path, required=True, help="the data, see docs/fields.md")
    add("--minutes", type=float, default=10.0, help="training time (%(default)s)")
    add("--steps", type=int, help="training steps, in place of --minutes")
    for config in (ModelConfig, TrainConfig):
        for each in fields(config):
            if each.name in OWN:
                default = defaults.get(each.name, each.default)
                kind = float if default is None else type(default)
                flag = "--" + each.name.replace("_", "-")
                add(flag, type=kind, default=default, help=f"{each.metadata['help']} (%(default)s)")
    return result


def parse(parser: argparse.ArgumentParser, argv: Sequence[str] | None) -> argparse.Namespace:
    """Parse the options; with `--quick`, training takes a few steps."""
    return harness.parse(parser, argv, steps=QUICK)


def split(items: Sequence[T], count: int, random_seed: int = 0) -> tuple[list[T], list[T]]:
    """Hold out `count` items of a random permutation.

    Returns:
        The others, and those held out.
    """
    order = np.random.default_rng(random_seed).permutation(len(items)).tolist()
    kept, held_out = order[: len(items) - count], order[len(items) - count :]
    return [items[k] for k in kept], [items[k] for k in held_out]


def train(
    text: list[str] | Corpus, session: Session, val_fraction: float | None = None
) -> LanguageModel:
    """Train a model as the options say, and add the settings to the facts of the session."""
    options = session.options
    model = ModelConfig(**_set(options, ModelConfig))
    config = TrainConfig(**_set(options, TrainConfig), val_fraction=val_fraction)
    steps = options.steps
    budget = Budget(steps=steps) if steps else Budget(minutes=options.minutes)
    records = list[Record]()

    def on_record(record: Record) -> None:
        if isinstance(record, (Start, Done)):
            records.append(record)
        elif isinstance(record, Eval):
            print(f"step {record.step:,}: {_bits(record)}", file=sys.stderr)

    trained = charlm.train(text, model, config, budget, on_record=on_record)
    start, done = records
    assert isinstance(start, Start)
    assert isinstance(done, Done)
    asked = f"{steps:,} steps" if steps else f"{options.minutes:g} minutes"
    session.facts |= _facts(start, done, asked)
    return trained


def _set(options: argparse.Namespace, config: type) -> dict[str, Any]:
    """The options that are fields of a configuration."""
    return {each.name: getattr(options, each.name) for each in fields(config) if each.name in OWN}


def _facts(start: Start, done: Done, asked: str) -> dict[str, str]:
    """What the figures depend on."""
    settings = {k: v for k, v in (start.model | start.train).items() if k in OWN and v is not None}
    listed = " ".join(f"--{name.replace('_', '-')} {value}" for name, value in settings.items())
    epochs = done.step / start.steps_per_epoch
    return {
        "date": datetime.now(UTC).strftime("%Y-%m-%d"),
        "commit": commit(),
        "model": f"{start.parameters:,} parameters, vocabulary of {start.vocabulary}",
        "settings": f"{listed}, other settings by default",
        "training": f"{asked}: {done.step:,} steps, {epochs:.1f} epochs, "
        f"{done.seconds:.0f} s; {start.train_characters:,} characters",
        "validation": f"{start.val_characters:,} characters, {_bits(done)} after step "
        f"{done.best_step:,}, on which the model was selected",
    }


def _bits(record: Eval | Done) -> str:
    assert record.bits_per_char is not None, "there is a validation split"
    return f"{record.bits_per_char:.4f} bits per character"


def commit() -> str:
    """The commit of this repository, `-dirty` if files differ from it."""
    command = ["git", "describe", "--always", "--dirty", "--abbrev=10"]
    try:
        return subprocess.run(
            command, cwd=ROOT, capture_output=True, text=True, check=True
        ).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return "unknown"


def lines(path: Path) -> list[str]:
    """The lines of a file that are not empty, without white space around them."""
    stripped = (line.strip() for line in path.read_text(encoding="utf-8").splitlines())
    return [line for line in stripped if line]


def samples(model: LanguageModel, count: int, length: int, random_seed: int) -> list[Document]:
    """Sampled documents, drawn from the model's distribution as it is."""
    rng = np.random.default_rng(random_seed)
    drawn: Iterator[Document] = model.sample_documents(count, length=length, rng=rng)
    return list(drawn)


def share(count: int, total: int) -> str:
    """A share as `0.975`; `-` of nothing."""
    return f"{count / total:.3f}" if total else "-"
