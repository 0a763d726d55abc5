"""Commands that read text files: compressed files, directories, standard input and the cache."""

import gzip
import json
import lzma
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from tests.shell import QUICK, TEXT, Ended, Shell
from tests.texts import flipped, old_file

MODEL = "runs/corpus-1"
RARE = TEXT + "ЖЖ灯"
SEEDED = ("--random-seed", 1, "--length", 40)


@pytest.fixture
def shell(tmp_path) -> Shell:
    """A directory with corpus.txt, short training by default, and a separate cache."""
    old_file(tmp_path / "corpus.txt", TEXT)
    return Shell(tmp_path, CHARLM_CACHE=str(tmp_path / "cache"), **QUICK)


def losses(ended: Ended) -> list[float]:
    """The loss of each step, which identifies the training text."""
    return [record["nats_per_char"] for record in ended.records if record["event"] == "step"]


def figures(ended: Ended) -> dict:
    assert ended.code == 0
    return json.loads(ended.out)


# Training


@pytest.mark.parametrize(
    ("sources", "run"),
    [
        (["text.txt.gz"], "text-1"),
        (["text.XZ"], "text-1"),
        (["parts"], "parts-1"),
        (["parts/**/*.txt"], "parts-1"),
        (["parts/1.txt", "parts/2.txt.gz", "parts/in"], "1-1"),
    ],
)
def test_training_does_not_depend_on_how_the_text_is_stored(shell, training, sources, run):
    folder = shell.folder
    (folder / "text.txt.gz").write_bytes(gzip.compress(TEXT.encode()))
    (folder / "text.XZ").write_bytes(lzma.compress(TEXT.encode()))
    (folder / "parts/in").mkdir(parents=True)
    (folder / "parts/.not").mkdir()
    (folder / "parts/.not/this.txt").write_text("x")
    (folder / "parts/.nor this.txt").write_text("x")
    (folder / "parts/1.txt").write_text(TEXT[:1000])
    (folder / "parts/2.txt.gz").write_bytes(gzip.compress(TEXT[1000:1500].encode()))
    (folder / "parts/in/3.txt").write_text(TEXT[1500:])
    if sources == ["parts/**/*.txt"]:
        (folder / "parts/2.txt").write_text(TEXT[1000:1500])
    expected, sizes = training[1], ()
    if not sources[0].startswith("text"):
        sizes = ("--embedding", 0, "--dropout", 0, "--batch-size", 32, "--lr", 0.01)
        (folder / "plain.txt").write_text(TEXT[1000:1500])
        plain = ["parts/1.txt", "plain.txt", "parts/in/3.txt"]
        expected = shell("train", *plain, *sizes, "--json", "--out", "plain")
    ended = shell("train", *sources, *sizes, "--json")
    assert losses(ended) == losses(expected)
    assert ended.records[0]["run"] == f"runs/{run}"
    assert ended.records[-1]["nats_per_char"] == expected.records[-1]["nats_per_char"]
    again = shell("eval", f"runs/{run}", "--json")
    again_nats = figures(again)["nats_per_char"]
    assert again_nats == pytest.approx(ended.records[-1]["nats_per_char"], rel=1e-9)


def test_training_without_a_usable_cache(shell, training):
    ended = shell("train", "corpus.txt", "--json", variables={"CHARLM_CACHE": "corpus.txt"})
    assert losses(ended) == losses(training[1])
    assert not (shell.folder / "cache").exists()


def test_training_from_the_cache(shell, training):
    runs = [shell("train", "corpus.txt", "--json") for _ in range(2)]
    assert losses(runs[0]) == losses(runs[1]) == losses(training[1])
    assert len(os.listdir(shell.folder / "cache")) == 3


# Treats every text as large, so that the cache is not verified before training.
AS_LARGE = (
    "import charlm.text.corpus_cache as cache; cache.VERIFIED = 0; "
    "from charlm.__main__ import main; main()"
)


def test_damage_found_during_training_is_an_error_and_the_next_run_repairs_it(shell, training):
    shell("corpus", "prepare", "corpus.txt")
    (path,) = (shell.folder / "cache").glob("*.ids")
    path.write_bytes(flipped(path.read_bytes(), 2000))
    command = [sys.executable, "-c", AS_LARGE, "train", "corpus.txt", "--json", "--quiet"]
    variables = {**shell.environment, "OPENBLAS_NUM_THREADS": "1"}  # NumPy loads before `main`
    runs = [
        subprocess.run(command, cwd=shell.folder, env=variables, capture_output=True, text=True)
        for _ in range(2)
    ]
    ended, again = (Ended(done.returncode, done.stdout, done.stderr) for done in runs)
    assert ended.code == 1
    (line,) = ended.err.splitlines()
    assert line.startswith(f"charlm: {path}")
    assert "again to encode the text" in line
    assert again.code == 0
    assert losses(again) == losses(training[1])


# Rare characters


def test_rare_characters_become_the_unknown_token(shell):
    old_file(shell.folder / "rare.txt", RARE)
    start, *_ = shell("train", "rare.txt", "--min-count", 3, "--json", "--out", "run").records
    assert start["vocabulary"] == len(set(TEXT)) + 1
    (shell.folder / "new.txt").write_text("the Ж 猫\n", encoding="utf-8")
    (shell.folder / "unk.txt").write_text("the \ufffd \ufffd\n", encoding="utf-8")
    new, unk_id = (figures(shell("eval", "run", f"{n}.txt", "--json")) for n in ("new", "unk"))
    assert new["nats_per_char"] == unk_id["nats_per_char"]
    assert (new["characters"], new["unknown_characters"]) == (7, 2)
    assert unk_id["unknown_characters"] == 0
    assert "2 (25.0 %), read as <unk>" in shell("eval", "run", "new.txt").out
    drawn = shell("sample", "run", "--seed", "the Ж", "--temperature", 50, "--length", 2000)
    assert drawn.code == 0
    assert drawn.out.startswith("the Ж")
    assert "\ufffd" not in drawn.out
    assert "'Ж'" in drawn.err


def test_resumed_run_keeps_the_unknown_token(shell):
    old_file(shell.folder / "rare.txt", RARE)
    shell("train", "rare.txt", "--min-count", 3, "--out", "run", "--quiet")
    assert (
        "--min-count is 2" in shell("train", "--resume", "--out", "run", "--min-count", 2).refusal
    )
    for steps, more in [(23, []), (26, ["--min-count", 3])]:
        ended = shell("train", "--resume", "--out", "run", "--steps", steps, "--json", *more)
        assert ended.code == 0
    with np.load(shell.folder / "run/last.npz") as file:
        assert len(file["vocabulary"]) == len(set(TEXT)) + 1
        assert json.loads(file["meta"].item())["progress"]["step"] == 26


# Scoring and sampling


@pytest.fixture
def long(trained) -> Path:
    """A text with unknown characters, in the directory of the model."""
    path = trained.folder / "long.txt"
    path.write_text(TEXT[::-1] + "猫 the machine\n" * 50, encoding="utf-8")
    return path


@pytest.mark.parametrize("ending", [".gz", ".xz"])
def test_compressed_text_is_scored(trained, long, ending):
    compress = {".gz": gzip.compress, ".xz": lzma.compress}[ending]
    packed = long.with_suffix(ending)
    packed.write_bytes(compress(long.read_bytes()))
    plain = figures(trained("eval", MODEL, "long.txt", "--json"))
    assert plain["unknown_characters"] == 50
    assert figures(trained("eval", MODEL, packed.name, "--json")) == plain | {"text": packed.name}
    packed.write_bytes(packed.read_bytes()[:-9])
    assert packed.name in trained("eval", MODEL, packed.name).refusal


def test_text_is_scored_without_a_usable_cache(trained, long):
    plain = trained("eval", MODEL, "long.txt", "--json")
    taken = {"CHARLM_CACHE": str(long)}
    assert trained("eval", MODEL, "long.txt", "--json", variables=taken) == plain


@pytest.mark.parametrize("source", ["prompt.txt", "prompt.txt.gz", "-"])
@pytest.mark.parametrize("count", [1, 3])
def test_prompt_file_gives_the_same_text_as_seed(trained, source, count):
    prompt = TEXT[:500]
    (trained.folder / "prompt.txt").write_text(prompt)
    (trained.folder / "prompt.txt.gz").write_bytes(gzip.compress(prompt.encode()))
    arguments = ("sample", MODEL, "--json", "--count", count, *SEEDED)
    of_seed = trained(*arguments, "--seed", prompt)
    of_file = trained(*arguments, "--prompt-file", source, stdin=prompt)
    assert of_file.code == 0
    assert [r["text"] for r in of_file.records] == [r["text"] for r in of_seed.records]
    assert {r["prompt_file"] for r in of_file.records} == {source}
    assert len(of_file.records) == count


@pytest.mark.parametrize("count", [1, 2])
def test_prompt_is_printed_alike_from_a_file_without_its_last_newline(trained, count):
    (trained.folder / "prompt.txt").write_text(f"{TEXT[:500]}\n\n")
    arguments = ("sample", MODEL, *SEEDED, "--count", count)
    of_file = trained(*arguments, "--prompt-file", "prompt.txt")
    assert of_file == trained(*arguments, "--seed", f"{TEXT[:500]}\n")


def test_prompt_file_with_an_encoding_and_unknown_characters(trained):
    (trained.folder / "utf16.txt").write_text("the 猫 machine", encoding="utf-16")
    arguments = ("sample", MODEL, *SEEDED, "--prompt-file", "utf16.txt", "--encoding", "utf-16")
    assert "'猫'" in trained(*arguments).refusal
    skipped = trained(*arguments, "--unknown", "skip")
    assert skipped.out == trained("sample", MODEL, *SEEDED, "--seed", "the  machine").out
    assert skipped.err.startswith("warning: 1 (7.7 %) of the characters")


def test_seed_and_prompt_file_cannot_be_combined(trained):
    ended = trained("sample", MODEL, "--seed", "a", "--prompt-file", "corpus.txt")
    assert ended.code == 2
    assert "--prompt-file" in ended.err
    assert "nowhere" in trained("sample", MODEL, "--prompt-file", "nowhere").refusal
