"""An invalid command line is one line: what was given, the value, and what to give instead."""

import io
import re
import sys
from itertools import product
from pathlib import Path

import pytest

from charlm.cli.app import run
from charlm.cli.options import escaped, unescaped
from charlm.cli.parsing import Repeated
from docs.generate_cli import arguments, commands, kinds, options, variable
from tests.shell import Ended

COMMANDS = dict(commands())
OPTIONS = [(name, option) for name, command in COMMANDS.items() for option in options(command)]

# Options that take any value.
ANY_TEXT = {
    *("seed", "prompt_file", "stop", "out", "model", "gap", "separator", "column", "field"),
    *("words", "validation"),
}
ESCAPE = "\x1b[31mred\x1b]0;title\x07\n[red][/]"
NUMBERS = ("abc", "-1", "nan", "inf", "1e999", "0,5", "", ESCAPE, "9" * 9_999)
WRONG = {"INTEGER": (*NUMBERS, "1.5"), "NUMBER": NUMBERS}
OTHERS = ("nonesuch", "", "--json", ESCAPE)  # for choices and encodings


@pytest.fixture
def called(monkeypatch, tmp_path):
    """Runs a command in this process, in an empty directory."""
    monkeypatch.chdir(tmp_path)

    def call(*words: str) -> Ended:
        streams = [io.TextIOWrapper(io.BytesIO(), encoding="utf-8") for _ in range(2)]
        monkeypatch.setattr(sys, "argv", ["charlm", *words])
        monkeypatch.setattr(sys, "stdout", streams[0])
        monkeypatch.setattr(sys, "stderr", streams[1])
        code = run()
        for stream in streams:
            stream.seek(0)
        return Ended(code, *(stream.read() for stream in streams))

    return call


def words_of(name: str) -> list[str]:
    """The words of a command, with an argument in place of each that is required."""
    return [*name.split()[1:], *(a.name for a in arguments(COMMANDS[name]) if a.required)]


def message(ended: Ended) -> str:
    """The line of a usage error, without its beginning."""
    assert ended.code == 2
    assert ended.out == ""
    assert ended.err.startswith("charlm: ")
    assert re.fullmatch(r"[^\x00-\x1f\x7f-\x9f]{10,400}\n", ended.err), ended.err
    return ended.err.removeprefix("charlm: ").rstrip()


def wrong_values(name: str, option) -> tuple[str, ...]:
    """Values that an option does not take; none for a flag, and if it takes any text."""
    if option.is_flag or option.name in ANY_TEXT:
        return ()
    return WRONG.get(kinds(COMMANDS[name])[option.name], OTHERS)


def by_name(value: object) -> str:
    return value if isinstance(value, str) else value.name


@pytest.mark.parametrize(("name", "option"), OPTIONS, ids=by_name)
def test_wrong_value_of_an_option(called, name, option):
    words = words_of(name)
    for flag in [*option.opts, *option.secondary_opts]:
        if option.is_flag:
            line = message(called(*words, f"{flag}=yes"))
            assert line == f"{flag} takes no value, got 'yes'"
            continue
        assert re.fullmatch(
            f"{flag} (takes|must be) .+, got nothing", message(called(*words, flag))
        )
        for value in wrong_values(name, option):
            line = message(called(*words, flag, value))
            assert re.fullmatch(f"{flag} must be .+, got .+", line)
            shown = line.split(", got ")[1]
            assert shown in (value, repr(value)) or len(value) > 9


@pytest.mark.parametrize(("name", "option"), OPTIONS, ids=by_name)
def test_wrong_value_of_a_variable(called, monkeypatch, name, option):
    known = variable(name, option)
    for value in ("maybe",) if known and option.is_flag else wrong_values(name, option):
        if value:  # an empty variable is not set
            monkeypatch.setenv(known, value)
            line = message(called(*words_of(name) or ["corpus", "list"]))
            assert re.fullmatch(f"{known} must be .+, got .+", line)


# Options given more than once, and the answer.
REPEATED = {
    "train --steps 5 --steps=1": "--steps was given twice, as 5 and as 1",
    "train --lr 1 --lr 1 a.txt --lr 0.5": "--lr was given 3 times, as 1 and as 1 and as 0.5",
    "train a.txt --cell gru --cell lstm": "--cell was given twice, as gru and as lstm",
    "train --in-order a.txt --any-order": "--in-order and --any-order cannot be combined",
    "sample -m a -m b": "-m was given twice, as a and as b",
    "sample -ma --model c/d": "--model or -m was given twice, as 'c/d' and as a",
    "sample --seed a --prompt [/]": "--seed or --prompt was given twice, as a and as '[/]'",
    "eval --encoding utf-8 --encoding cp1252 --help": "",
    "eval --json a.txt --json": "",  # flags
    "classify -m a -m b": "",  # lists
    "sample -m a -- -m b": "unexpected argument",
    "sample -m a --seed --stop --stop b": "",  # a value
}


@pytest.mark.parametrize("words", REPEATED)
def test_option_given_more_than_once(called, words):
    ended = called(*words.split())
    if REPEATED[words]:
        assert REPEATED[words] in message(ended)
    else:
        assert "given" not in ended.err
        assert "combined" not in ended.err


@pytest.mark.parametrize(
    ("name", "option"), [o for o in OPTIONS if not (o[1].is_flag or o[1].multiple)], ids=by_name
)
def test_no_option_is_overwritten_by_a_second_one(name, option):
    command = COMMANDS[name]
    for one, other in product([*option.opts, *option.secondary_opts], repeat=2):
        words = [*words_of(name)[len(name.split()) - 1 :], one, "7", other, "8"]
        context = command.context_class(command, info_name=name)
        with pytest.raises(Repeated):
            command._refuse_repeated(context, words)


@pytest.mark.parametrize("name", COMMANDS)
def test_unknown_options_and_arguments(called, name):
    words = words_of(name)
    assert message(called(*words, f"--nonesuch{ESCAPE * 99}")).startswith(
        "unknown option --nonesuch"
    )
    assert message(called(*words, "-§")).startswith("unknown option -§")
    takes_many = any(a.nargs == -1 for a in arguments(COMMANDS[name]))
    if not takes_many and name not in ("charlm", "charlm corpus"):
        line = message(called(*words, *"abcd", ESCAPE))
        assert line.startswith("unexpected argument ")
        assert name in line
    if len(words) > len(name.split()) - 1:
        line = message(called(*name.split()[1:]))
        assert line.startswith(f"{name} needs {words[-1].upper()}: ")


@pytest.mark.parametrize("cell", ["LSTM", "Lstm_Peephole", "lstm-peephole", "GRU"])
def test_choices_in_any_case(called, cell):
    context = COMMANDS["charlm train"].make_context("train", ["--cell", cell, "--newlines", "LF"])
    assert context.params["cell"] == cell.lower().replace("_", "-")
    assert context.params["newlines"] == "lf"


# What a new user may type, and what the answer has to contain.
MISTAKES = {
    "train a.txt --learning-rate 0.1": "use --lr",
    "train a.txt --learning_rate=0.1": "use --lr",
    "train a.txt -lr 0.1": "use --lr",
    "train a.txt --rnn_size 8": "use --hidden",
    "train a.txt --hidden-size 8": "use --hidden",
    "train a.txt -hidden 8": "use --hidden",
    "train a.txt --num_layers 2": "use --layers",
    "train a.txt --batch_size 2": "hyphens, not underscores: use --batch-size",
    "train a.txt --seq_length 2": "use --seq-len",
    "train a.txt --epoch 2": "use --epochs",
    "train a.txt --hid 8": "did you mean --hidden?",
    "train a.txt --min 8": "did you mean --min-count or --minutes?",
    "train a.txt --hiden 8": "did you mean --hidden?",
    "train a.txt --model gru": "use --cell",
    "train a.txt --delimiter %%": "use --separator",
    "train a.txt --jsonl text": "use --field",
    "train a.txt --seed 1": "use --random-seed",
    "train a.txt --gpu 0": "CPU only",
    "train a.txt --device cuda": "CPU only",
    "train a.txt -v": "charlm --version",
    "train --input a.txt": "charlm train FILE",
    "train a.txt --no-resume": "leave out --resume",
    "train a.txt --no-in-order": "use --any-order",
    "train a.txt --learning rate 1": "use --lr",
    "train a.txt --tempo 1": "charlm train -h lists all options",
    "train a.txt --steam 1": "charlm train -h lists all options",
    "train a.txt --stpes 1": "did you mean --steps?",
    "sample --tempo 1": "charlm sample -h lists all options",
    "sample --stepz 1": "charlm sample -h lists all options",
    "sample --temprature 1": "did you mean --temperature?",
    "eval --tem 1": "charlm eval -h lists all options",
    "chat": "; the commands are train, sample, eval, ",
    "corpus chat": "; the commands are list, get, prepare, cache",
    "train a.txt --perplexity": "charlm train -h lists all options",
    "train a.txt --temperature 1": "it is an option of charlm sample",
    "train a.txt --steps 5 --epochs 2": "--steps and --epochs cannot be combined",
    "train a.txt --lines --column 1": "--lines and --column cannot be combined",
    "corpus prepare a.txt --files --separator x": "--files and --separator cannot be combined",
    "train a.txt --resume --force": "--resume and --force cannot be combined",
    "train a.txt --residual": "--residual must be omitted for fewer than 2 layers of lstm",
    "train a.txt --cell lstn": "one of rnn, jordan, lstm",
    "train a.txt --cell --hidden 8": "got '--hidden'",
    "--hidden 8 train a.txt": "it is an option of charlm train",
    "-v": "charlm --version",
    "eval --text a.txt": "charlm eval FILE",
    "train a.txt -m 8": "--model is an option of charlm sample",
    "sample --temp 1": "use --temperature",
    "sample --novel": "use --new",
    "sample --distinct": "use --unique",
    "sample --nll": "use --likelihood",
    "sample --max_new_tokens 10": "use --length",
    "sample -n 10": "use --length or --count",
    "sample --primetext The": "use --seed",
    "sample --start The": "use --seed",
    "sample --hidden 8": "it is an option of charlm train",
    "sample --learning-rate 1": "--lr is an option of charlm train",
    "sample --seed a --prompt-file b": "--seed and --prompt-file cannot be combined",
    "sample --prompt a --prompt-file b": "--prompt and --prompt-file cannot be combined",
    "sample runs/a-1 The": "a prompt is passed with --seed",
    "generate": "use charlm sample",
    "gen --length 5": "use charlm sample",
    "evaluate a.txt": "use charlm eval",
    "test a.txt": "use charlm eval",
    "surprisal a.txt": "use charlm score",
    "help": "use charlm --help",
    "help train": "use charlm --help",
    "list": "use charlm corpus list",
    "resume": "use charlm train --resume",
    "fit a.txt": "use charlm train",
    "predict": "use charlm sample",
    "prepare a.txt": "use charlm corpus prepare",
    "trian a.txt": "did you mean charlm train?",
    "Train a.txt": "did you mean charlm train?",
    "corpus lsit": "did you mean charlm corpus list?",
    "corpus download python-docs": "use charlm corpus get",
    "corpus clear": "use charlm corpus cache clear",
    "corpus.txt": "charlm train corpus.txt",
    "train": "charlm train needs CORPUS",
    "--debug": "needs a command: train, sample",
}


@pytest.mark.parametrize("words", MISTAKES)
def test_likely_mistake(called, words):
    Path("corpus.txt").touch()
    line = message(called(*words.split()))
    assert MISTAKES[words] in line
    assert "--help" not in line or "help" in words


def test_empty_argument(called):
    assert "got ''" in message(called("train", ""))


# Failures, with exit code 1.
FAILURES = {
    ("train", "python-docs"): "charlm corpus get python-docs",
    ("corpus", "prepare", "python-docs"): "charlm corpus get python-docs",
    ("train", "tinyshakespeare"): "No such file or directory",
    ("train", "corpus.txt", "—hidden", "8"): "did you mean --hidden, with two hyphens?",
    ("train", "corpus.txt", "–hidden", "8"): "did you mean --hidden, with two hyphens?",
    (
        "train",
        "corpus.txt",
        "\N{MINUS SIGN}" * 2 + "steps",
    ): "did you mean --steps, with two hyphens?",
    ("train", "runs/a-1"): "charlm train --resume --out runs/a-1",
    ("train", "corpus.txt", "--quiet", "true"): "--quiet takes no value",
    ("sample", "The time machine"): "a prompt is passed with --seed",
    ("eval", "a-2"): "; there is no file or run 'a-2'",
    ("proofread", "a-2"): "; there is no file or run 'a-2'",
}


@pytest.mark.parametrize("words", FAILURES)
def test_likely_mistake_in_an_argument(called, words):
    Path("corpus.txt").write_text("the text")
    Path("runs/a-1").mkdir(parents=True)
    Path("runs/a-1/last.npz").touch()
    ended = called(*words)
    assert ended.code == 1
    assert ended.out == ""
    assert ended.err.startswith("charlm: ")
    assert FAILURES[words] in ended.err
    assert ended.err.count("\n") == 1


def test_digits_as_a_prompt(trained):
    line = trained("sample", "runs/corpus-1", "--seed", "42").refusal
    assert "not in the model's vocabulary" in line
    assert line.endswith("; the seed of the generator is --random-seed")
    assert "--random-seed" not in trained("sample", "runs/corpus-1", "--seed", "4 + 2").refusal


def test_options_of_variables_that_contradict(called, monkeypatch):
    monkeypatch.setenv("CHARLM_TRAIN_STEPS", "5")
    monkeypatch.setenv("CHARLM_TRAIN_EPOCHS", "")
    monkeypatch.setenv("CHARLM_TRAIN_MINUTES", "1")
    line = message(called("train", "a.txt"))
    assert line == "CHARLM_TRAIN_STEPS and CHARLM_TRAIN_MINUTES cannot be combined"
    monkeypatch.setenv("CHARLM_TRAIN_ACTIVATION", "RELU")
    line = message(called("train", "a.txt", "--steps", "5"))
    assert line.startswith("CHARLM_TRAIN_ACTIVATION must be omitted for the cell lstm")


def test_kind_of_documents_on_the_command_line_replaces_that_of_a_variable(called, monkeypatch):
    monkeypatch.setenv("CHARLM_TRAIN_LINES", "1")
    monkeypatch.setenv("CHARLM_TRAIN_FILES", "0")
    monkeypatch.setenv("CHARLM_CORPUS_PREPARE_FILES", "1")
    Path("a.csv").write_text("n,name\n1,one\n2,two\n")
    start, *_ = called(
        *("train", "a.csv", "--column", "name", "--steps", "1", "--hidden", "4", "--json")
    ).records
    assert start["train_documents"] + start["val_documents"] == 2
    assert "--column name" in called("corpus", "prepare", "a.csv", "--column", "name").err
    monkeypatch.setenv("CHARLM_TRAIN_COLUMN", "name")
    line = message(called("train", "a.csv"))
    assert line == "CHARLM_TRAIN_LINES and CHARLM_TRAIN_COLUMN cannot be combined"


@pytest.mark.parametrize("words", [["--debug", "train", "no.txt"], ["train", "no.txt", "--debug"]])
def test_debug_stands_before_or_after_the_command(called, words):
    assert "Traceback" in called(*words).err
    assert "Traceback" not in called(*[word for word in words if word != "--debug"]).err


@pytest.mark.parametrize("words", [[], ["corpus"]])
def test_no_command_shows_the_help(called, words):
    ended = called(*words)
    assert ended.code == 2
    assert "Usage: charlm" in ended.out
    assert "bool" not in ended.out  # flags take no value
    assert not ended.err


@pytest.mark.parametrize("name", COMMANDS)
def test_help_shows_arguments_in_capitals(called, name):
    shown = re.search(r"Usage: .*\[OPTIONS\](.*)", called(*name.split()[1:], "-h").out)
    assert shown is not None
    assert shown[1] == shown[1].upper()
    assert len(shown[1].split()) >= len(arguments(COMMANDS[name]))


@pytest.mark.parametrize(
    ("typed", "completed"),
    [
        (["tr"], {"train"}),
        (["corpus", "p"], {"prepare"}),
        (["train", "--hid"], {"--hidden"}),
        (["train", "--cell", "gru-"], {"gru-cho", "gru-minimal"}),
        (["train", "--optimizer", "a"], {"adam", "adagrad"}),
        (["sample", "--unknown", ""], {"refuse", "skip"}),
        (["corpus", "get", "python"], {"python-docs"}),
        (["sample", "runs/o"], {"runs/old-1", "runs/other-2"}),
        (["train", "corp"], set()),  # the shell completes names of files
    ],
)
def test_completion(called, monkeypatch, typed, completed):
    for run_name in ("old-1", "other-2"):
        path = Path("runs", run_name, "best.npz")
        path.parent.mkdir(parents=True)
        path.touch()
    monkeypatch.setenv("_CHARLM_COMPLETE", "complete_bash")
    monkeypatch.setenv("COMP_WORDS", " ".join(["charlm", *typed]))
    monkeypatch.setenv("COMP_CWORD", str(len(typed)))
    with pytest.raises(SystemExit) as ended:
        called()
    assert not ended.value.code
    assert set(sys.stdout.buffer.getvalue().decode().split()) == completed


ESCAPED_OPTIONS = ("stop", "separator")
ESCAPED = {
    r"\n": "\n",
    r"a\tb\n": "a\tb\n",
    r"\\n": r"\n",
    r"\\\n": "\\\n",
    r"\r\n\0": "\r\n\0",
    r"\\r\\0": r"\r\0",
    r"\d\x\\": "\\d\\x\\",
    "\\": "\\",
    "\n": "\n",
}


@pytest.mark.parametrize(
    ("name", "option"), [each for each in OPTIONS if each[1].name in ESCAPED_OPTIONS], ids=by_name
)
def test_escapes_in_texts_that_are_searched_for(name, option):
    for typed, text in ESCAPED.items():
        words = [*words_of(name)[len(name.split()) - 1 :], option.opts[0], typed]
        context = COMMANDS[name].make_context(name, words)
        assert context.params[option.name] in (text, [text], (text,))
        assert unescaped(escaped(text)) == text


@pytest.mark.parametrize("name", ["-x.txt", "--out.txt"])
def test_file_named_as_an_option(tmp_path, monkeypatch, called, name):
    monkeypatch.chdir(tmp_path)
    (tmp_path / name).write_text("a text")
    advice = f"; the file of that name is ./{name}"
    assert message(called("train", name)).endswith(advice)
