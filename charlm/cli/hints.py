"""What to type instead: for the words of similar programs, misspellings, and likely mistakes."""

import os
from collections.abc import Iterable, Mapping, Sequence
from difflib import get_close_matches
from itertools import pairwise
from typing import Any

from charlm.cli.parsing import Parsed, flags_of
from charlm.errors import CharlmError, RecordError, RunError, TextError, in_short
from charlm.system.shell import quoted
from charlm.text.config import DOCUMENTS

FLAG_VALUES = {"true", "false", "yes", "no", "on", "off", "1", "0"}
SIMILAR = 0.75  # of two words: one letter of four may differ, or two may be exchanged
DASHES = "–—\N{MINUS SIGN}"  # which word processors write for hyphens

# For each option, what it is called elsewhere; hyphens and underscores are the same.
OPTIONS = {
    "lr": "learning-rate learningrate learning eta alpha step-size",
    "hidden": "rnn-size hidden-size hidden-dim hidden-units num-units n-hidden nhid units size",
    "layers": "num-layers n-layers nlayers layer depth",
    "cell": "model rnn rnn-type model-type type arch architecture unit",
    "embedding": "embedding-size embedding-dim embed-size embed-dim emb-size n-embd",
    "dropout": "drop drop-prob drop-rate drop-out p-drop",
    "bidirectional": "bi birnn bidir",
    "seq-len": "seq-length sequence-length bptt unroll context-length block-size timesteps",
    "batch-size": "batch b bs minibatch",
    "optimizer": "optim opt solver",
    "clip": "grad-clip clip-norm clip-grad max-norm max-grad-norm gradient-clip",
    "val-fraction": "val-frac val-split validation-split valid-frac test-frac test-size val-size",
    "validation": "val valid dev val-file valid-file val-data valid-data dev-file test-file",
    "eval-every": "eval-interval eval-val-every checkpoint-every save-every print-every log-every",
    "lines": "by-line per-line line-by-line documents docs",
    "separator": "delimiter delim sep",
    "column": "col csv tsv csv-column",
    "field": "key jsonl json-field json-key",
    "steps": "iterations iters iter max-iters n-iters num-steps max-steps",
    "epochs": "epoch e num-epochs n-epochs max-epochs nepochs",
    "minutes": "time max-time time-limit",
    "threads": "workers num-workers jobs j num-threads cpus cores procs",
    "out": "output output-dir out-dir save save-dir checkpoint-dir run-dir log-dir name o",
    "resume": "continue restore restart init-from",
    "force": "overwrite f replace",
    "quiet": "q silent",
    "json": "format output-format",
    "temperature": "temp t",
    "length": "len max-length max-len num-chars n-chars chars characters max-tokens tokens "
    "max-new-tokens l n",
    "count": "num-samples n-samples nsamples samples num n",
    "top-k": "k topk",
    "top-p": "topp p nucleus",
    "stop": "until end stop-at eos",
    "unique": "distinct dedup no-duplicates",
    "new": "novel unseen",
    "likelihood": "nll logprob logprobs log-prob log-probs log-likelihood",
    "seed": "primetext prime-text prime start start-text prefix context text input",
    "prompt-file": "seed-file input-file prime-file",
    "random-seed": "seed rng-seed manual-seed np-seed rs",
    "unknown": "unk oov on-unknown",
    "model": "checkpoint ckpt run load weights m",
}

# For a command line, the commands that mean it elsewhere.
COMMANDS = {
    "charlm train": "fit learn run start new",
    "charlm train --resume": "resume continue restart restore",
    "charlm sample": "generate gen predict write prompt complete",
    "charlm eval": "evaluate evaluation test validate perplexity ppl",
    "charlm score": "surprisal surprisals logprob logprobs likelihood nll rate",
    "charlm classify": "classification compare",
    "charlm fill": "infill gaps fill-in",
    "charlm proofread": "check correct spellcheck",
    "charlm corpus list": "list ls datasets corpora",
    "charlm corpus get": "get download fetch",
    "charlm corpus prepare": "prepare preprocess encode tokenize inspect",
    "charlm corpus cache clear": "clear clean purge",
    "charlm --version": "version",
    "charlm --help": "help commands usage",
}

NOT_TEXTS = {"model", "name"}  # the arguments that are not files of text

_TEXT = "the text is an argument without an option: {command} FILE"
_CPU = "charlm runs on the CPU only"
_VERBOSE = "charlm --version shows the version; there is no verbose mode"

# For an option that no command has, what to do.
ADVICE = {
    _VERBOSE: "v verbose",
    _CPU: "gpu gpus gpu-id gpuid device cuda use-cuda opencl",
    _TEXT: "text input i data data-dir data-file corpus file filename dataset train-data text-file",
    "the vocabulary is made of the text's characters; --min-count leaves out rare ones": (
        "vocab vocab-size vocabulary"
    ),
    "the directory of a run is all that is written; choose it with --out": "tensorboard wandb log",
}


def unknown_option(typed: str, parsed: Parsed) -> str:
    """The message for an option that a command does not have, as typed, without a value."""
    own = _flags(parsed.parameters())
    word = typed.lstrip("-").replace("_", "-").casefold()
    elsewhere = _meant_by(word, OPTIONS)
    advice = (
        (f"the file of that name is {quoted(typed)}" if os.path.isfile(typed) else "")
        or _spelled(typed, word, parsed)
        or _use(f"--{name}" for name in elsewhere if f"--{name}" in own)
        or _meant(word, parsed)
        or (_begun(word, own) if typed.startswith("--") else "")
        or _of_commands([word, *elsewhere], parsed)
        or _misspelled(word, own)
        or f"{parsed.path} -h lists all options"
    )
    return f"unknown option {in_short(typed)[1:-1]}; {advice}"


def unknown_command(words: Sequence[str], parsed: Parsed) -> str:
    """The message for a word that is not the name of a command; other words follow it."""
    word = words[0].replace("_", "-").casefold()
    names = {f"{parsed.path} {name}": name for name in parsed.context.command.commands}
    close = get_close_matches(word, names.values(), 1, SIMILAR)
    lines = [line for line, name in names.items() if name in close]
    advice = _use(_meant_by(word, COMMANDS)) or "".join(f"did you mean {line}?" for line in lines)
    if os.path.exists(words[0]):
        advice = f"to train on it: charlm train {quoted(words[0])}"
    advice = advice or f"the commands are {', '.join(names.values())}"
    return f"unknown command {in_short(words[0])}; {advice}"


def extra_arguments(words: Sequence[str], parsed: Parsed) -> str:
    """The message for arguments that a command does not take."""
    names = [parsed.named(p) for p in parsed.arguments()]
    taken = f"takes {' and '.join(names)}" if names else "takes no arguments"
    prompt = "; a prompt is passed with --seed" if parsed.parameter("--seed") else ""
    return f"unexpected argument {in_short(words[0])}; {parsed.path} {taken}{prompt}"


def _flags(parameters: Iterable[Any]) -> list[str]:
    return [flag for each in parameters for flag in flags_of(each) if flag not in ("-h", "--help")]


def _meant_by(word: str, table: Mapping[str, str]) -> list[str]:
    """What a word means, by a table of other words."""
    return [meant for meant, words in table.items() if word in words.split()]


def _spelled(typed: str, word: str, parsed: Parsed) -> str:
    """The option whose name is right, but for hyphens, underscores, capitals or a `no-`."""
    if parsed.parameter(f"--{word}"):
        reason = "options have hyphens, not underscores: " if "_" in typed else ""
        return f"{reason}use --{word}"
    flag = f"--{word.removeprefix('no-')}"
    parameter = parsed.parameter(flag)
    if parameter is None:
        return ""
    return _use(parameter.secondary_opts) or f"leave out {flag}"


def _use(names: Iterable[str]) -> str:
    found = " or ".join(names)
    return found and f"use {found}"


def _meant(word: str, parsed: Parsed) -> str:
    advice = "".join(_meant_by(word, ADVICE))
    is_for_texts = advice == _TEXT
    return "" if is_for_texts and not _takes_texts(parsed) else advice.format(command=parsed.path)


def _takes_texts(parsed: Parsed) -> bool:
    """Whether an argument of the command is a file of text."""
    return any(p.name not in NOT_TEXTS for p in parsed.arguments())


def _of_commands(words: Sequence[str], parsed: Parsed) -> str:
    """The commands that have an option that this one does not have."""
    commands = parsed.all_commands()
    for word in words:
        having = [name for name, each in commands.items() if f"--{word}" in _flags(each.params)]
        if having:
            option = "it" if word == words[0] else f"--{word}"
            return f"{option} is an option of {', '.join(having)}"
    return ""


def _begun(word: str, own: Sequence[str]) -> str:
    """The options that begin with a word."""
    return _mean([flag for flag in own if word and flag.startswith(f"--{word}")][:3])


def _misspelled(word: str, own: Sequence[str]) -> str:
    """The option whose name is most similar to a word."""
    similar = get_close_matches(word, [flag.lstrip("-") for flag in own], 1, SIMILAR)
    return _mean([f"--{name}" for name in similar])


def _mean(flags: Sequence[str]) -> str:
    return f"did you mean {' or '.join(flags)}?" if flags else ""


def failure(error: CharlmError, parsed: Parsed) -> str:
    """What the user may have meant by a command that failed; empty if there is nothing to add."""
    given = list(parsed.given())
    missing = [word for word in given if not os.path.exists(word)]
    if dashed := [word for word in missing if word.startswith(tuple(DASHES))]:
        return f"did you mean --{dashed[0].lstrip(DASHES)}, with two hyphens?"
    for word, following in pairwise(parsed.words):
        if following in missing and following.casefold() in FLAG_VALUES:
            return f"{word} takes no value"
    if parsed.path == "charlm sample":
        return _of_prompt(error, parsed, missing)
    if parsed.path == "charlm fill" and isinstance(error, TextError):
        return _of_gaps(str(parsed.context.params["text"]))
    if parsed.path == "charlm train":
        for word in given:
            if os.path.exists(os.path.join(word, "last.npz")):
                return f"to resume a run: charlm train --resume --out {quoted(word)}"
    if isinstance(error, RunError) and missing and parsed.parameter("texts"):
        return f"there is no file or run {in_short(missing[0])}"
    if isinstance(error, RecordError) and _reads_as_trained(parsed):
        return "it is read as the corpus of the model was; to read it otherwise: --lines or --files"
    return _of_corpus(missing) if _takes_texts(parsed) else ""


def _of_gaps(text: str) -> str:
    """What is meant by a file, or by a model, in place of a text with gaps."""
    from charlm.training.run_directory import ROOT, is_run

    if os.path.isfile(text):
        return f"to fill the gaps in that file: charlm fill - < {quoted(text)}"
    if is_run(text) or is_run(os.path.join(ROOT, text)):
        return f"the model is the second argument: charlm fill - {quoted(text)}"
    return ""


def _reads_as_trained(parsed: Parsed) -> bool:
    """Whether the model alone says what a document of a text is."""
    can_do_so = parsed.parameter("model") and parsed.parameter("column")
    options = parsed.context.params
    return bool(can_do_so) and not any(options.get(name) for name in (*DOCUMENTS, "words"))


def _of_prompt(error: CharlmError, parsed: Parsed, missing: Sequence[str]) -> str:
    """What is meant by text in place of a model, or by a number in place of a prompt."""
    if any(len(word.split()) > 1 for word in missing):
        return "a prompt is passed with --seed"
    is_number = str(parsed.context.params.get("seed")).isdecimal()
    is_unknown = isinstance(error, TextError)
    return "the seed of the generator is --random-seed" if is_number and is_unknown else ""


def _of_corpus(missing: Sequence[str]) -> str:
    """The command that gets a corpus of the name of a missing file."""
    if not missing:
        return ""
    from charlm.text.datasets import DATASETS

    names = [word for word in missing if word in DATASETS]
    return f"to get the corpus of that name: charlm corpus get {names[0]}" if names else ""
