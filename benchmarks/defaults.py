"""The search behind the settings that `charlm train` chooses.

    python -m benchmarks.defaults run --data DIR --text plays --rung 0
    python -m benchmarks.defaults table

For each text of `TEXTS` settings are drawn at random and tried in rungs: 40 with a quarter of
SHORT operations, the best 12 of them with SHORT, the best 4 of those with another random seed, and
the best 2 with LONG. `--trial 'hidden=256 dropout=0.1'` tries one setting by hand. Of each text the
last tenth is held out and scored whole, with the state carried; where a text of docs/defaults.md is
involved, it is its training part only.

Every finished run is a line of `docs/defaults.jsonl`, and a run that has a line is not repeated: so
the search can be stopped and resumed, and the table grows. Runs are deterministic; run several
processes for several cores, since each takes one and claims its runs in the file `claims`.
"""

import argparse
import fcntl
import json
import math
import sysconfig
from collections.abc import Callable, Iterator, Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any

import numpy as np

from charlm.config import Budget, ModelConfig, TrainConfig
from charlm.inference.document_scoring import score_texts
from charlm.nn.params import Params
from charlm.system.arrays import Array
from charlm.text.corpus import Corpus
from charlm.training.budget import plan
from charlm.training.defaults import SHORT
from charlm.training.setup import set_up
from charlm.training.trainer import Trainer
from charlm.training.validation import validate

RESULTS = Path("docs/defaults.jsonl")
LONG = 10 * SHORT
RUNGS = ((SHORT / 4, 0, 40), (SHORT, 0, 12), (SHORT, 1, 4), (LONG, 0, 2))  # operations, seed, count

VALUES: dict[str, tuple[Any, ...]] = {
    "hidden": (128, 192, 256, 384, 512),
    "embedding": (0, 32, 64, 128),
    "head_layers": (0, 0, 1),
    "dropout": (0.0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6),
    "batch_size": (16, 32, 64),
    "lr": (5e-3, 7e-3, 1e-2, 1.4e-2, 2e-2),
}

Settings = Mapping[str, Any]


def _file(name: str, start: int = 0, stop: int | None = None) -> Callable[[Path], str]:
    return lambda data: (data / name).read_text(encoding="utf-8")[start:stop]


def _source_code(_: Path) -> str:
    """The first million characters of the modules of Python's standard library."""
    folder = Path(sysconfig.get_paths()["stdlib"])
    modules = sorted(folder.glob("*.py"))
    return "".join(path.read_text(encoding="utf-8") for path in modules)[:1_000_000]


TEXTS: dict[str, Callable[[Path], str]] = {
    "plays": _file("tinyshakespeare.txt", 0, 1_003_854),  # what is for training of this text
    "novel": _file("timemachine.txt"),
    "novel 60": _file("timemachine.txt", 2_000, 62_000),
    "novel 20": _file("timemachine.txt", 2_000, 22_000),
    "tunes": _file("nottingham.abc"),
    "code": _source_code,
    "poems": _file("tang-poetry.txt", 0, 300_000),
}


def main() -> None:
    """Run a rung or a trial, or print the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("action", choices=("run", "table"))
    parser.add_argument("--data", type=Path, help="folder of the texts")
    parser.add_argument("--text", choices=TEXTS, help="the text")
    parser.add_argument("--rung", type=int, choices=range(len(RUNGS)), help="the rung")
    parser.add_argument("--trial", metavar="SETTINGS", help="one setting instead of a rung")
    parser.add_argument("--operations", type=float, default=SHORT, help="of a trial")
    parser.add_argument("--seed", type=int, default=0, help="random seed of a trial")
    parser.add_argument("--results", type=Path, default=RESULTS, help="file of the finished runs")
    options = parser.parse_args()
    if options.action == "table":
        print(_table(_finished(options.results)))
        return
    if (
        options.data is None
        or options.text is None
        or (options.rung is None) == (not options.trial)
    ):
        parser.error("run needs --data, --text, and one of --rung and --trial")
    text = TEXTS[options.text](options.data)
    for run in _runs(options):
        if _claimed(run, options.results):
            figures = _trained(text, run)
            with options.results.open("a", encoding="utf-8") as file:
                print(json.dumps(run | figures), file=file, flush=True)


def _runs(options: argparse.Namespace) -> Iterator[dict[str, Any]]:
    """The runs of a rung, best settings first, or of a trial."""
    if options.trial:
        settings = dict(map(_setting, options.trial.split()))
        operations, seed, chosen = options.operations, options.seed, [settings]
    else:
        operations, seed, count = RUNGS[options.rung]
        chosen = _best(options, count) if options.rung else [_drawn(k) for k in range(count)]
    for settings in chosen:
        yield {
            "text": options.text,
            "operations": operations,
            "seed": seed,
            "settings": settings,
            "rung": options.rung,
        }


def _setting(word: str) -> tuple[str, Any]:
    name, _, value = word.partition("=")
    return name, value if name == "cell" else json.loads(value)


def _drawn(number: int) -> dict[str, Any]:
    """The settings of that number, drawn at random."""
    rng = np.random.default_rng(number)
    return {name: values[rng.integers(len(values))] for name, values in VALUES.items()}


def _best(options: argparse.Namespace, count: int) -> list[dict[str, Any]]:
    """The best settings of the rung before."""
    rung = options.rung - 1
    before = [
        run
        for run in _finished(options.results)
        if (run["text"], run["rung"]) == (options.text, rung)
    ]
    if len(before) < RUNGS[rung][2]:
        raise SystemExit(f"rung {rung} of {options.text} is not finished: {len(before)} runs")
    return [run["settings"] for run in sorted(before, key=lambda run: run["nats"])[:count]]


def _finished(results: Path) -> list[dict[str, Any]]:
    if not results.exists():
        return []
    return [json.loads(line) for line in results.read_text(encoding="utf-8").splitlines()]


def _claimed(run: Settings, results: Path) -> bool:
    """Claim a run for this process; False if it is finished or another process has claimed it."""
    key = json.dumps([run["text"], run["operations"], run["seed"], sorted(run["settings"].items())])
    done = [
        json.dumps([r["text"], r["operations"], r["seed"], sorted(r["settings"].items())])
        for r in _finished(results)
    ]
    with results.with_suffix(".claims").open("a+", encoding="utf-8") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        file.seek(0)
        if key in done or key in file.read().splitlines():
            return False
        print(key, file=file, flush=True)
        return True


def _trained(text: str, run: Settings) -> dict[str, Any]:
    """The figures of a run: the NLL of its best and of its last model on the validation split."""
    corpus, settings = Corpus.of(text), run["settings"]
    model, train = (
        {f.name: settings[f.name] for f in fields(kind) if f.name in settings}
        for kind in (ModelConfig, TrainConfig)
    )
    config = TrainConfig(random_seed=run["seed"], **train)
    trainer = set_up(corpus, ModelConfig(**model), config, threads=1)
    plan(trainer, Budget(operations=run["operations"]))
    best, best_step, best_nats, training = trainer.p.flat.copy(), 0, math.inf, []
    while trainer.progress.step < trainer.progress.steps:
        training.append(trainer.step().nats_per_char)
        step = trainer.progress.step
        if step % trainer.eval_every == 0 or step == trainer.progress.steps:
            score = validate(trainer)
            assert score is not None
            if score.nats_per_char < best_nats:
                best[:], best_step, best_nats = trainer.p.flat, step, score.nats_per_char
    last = training[-trainer.eval_every :]
    return {
        "characters": len(corpus),
        "distinct": len(trainer.data.vocabulary),
        "parameters": trainer.p.flat.size,
        "steps": trainer.progress.steps,
        "best_step": best_step,
        "nats": round(_nats(trainer, best), 4),
        "last_nats": round(_nats(trainer, trainer.p.flat), 4),
        "train_nats": round(float(np.mean(last)), 4),
        "seconds": round(trainer.progress.seconds),
    }


def _nats(trainer: Trainer, flat: Array) -> float:
    """The NLL per character of the whole validation split."""
    p = Params(trainer.p.shapes, flat=flat)
    return score_texts(trainer.model, p, trainer.data.val, threads=1).nats_per_char


def _table(runs: list[dict[str, Any]]) -> str:
    """The runs of each text and budget, best first, in Markdown."""
    lines = [
        "| text | operations | seed | nats, best step | at | last step | training | settings |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for run in sorted(runs, key=lambda run: (run["text"], run["operations"], run["nats"])):
        settings = " ".join(f"{name}={value}" for name, value in run["settings"].items())
        share = run["best_step"] / run["steps"]
        lines.append(
            f"| {run['text']} | {run['operations']:.3g} | {run['seed']} | {run['nats']:.4f} | "
            f"{share:.0%} | {run['last_nats']:.4f} | {run['train_nats']:.3f} | {settings} |"
        )
    return "\n".join(lines)


if __name__ == "__main__":
    main()
