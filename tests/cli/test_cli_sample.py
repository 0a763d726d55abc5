"""`charlm sample`: the choice of the model, the output, and the sampling options."""

import os
import re
import shutil
from pathlib import Path

import numpy as np
import pytest

import charlm
from tests.shell import Shell

SEEDED = ("--random-seed", 1)
CHECKPOINTS = sorted(Path(__file__).parents[1].glob("checkpoints/*.npz"))  # of older formats


@pytest.fixture
def runs(trained, tmp_path) -> Shell:
    """A directory with two runs; old-2 is the newer one."""
    shell = Shell(tmp_path)
    for age, name in enumerate(["old-2", "old-1"]):
        shutil.copytree(trained.folder / "runs/corpus-1", tmp_path / "runs" / name)
        os.utime(tmp_path / "runs" / name / "best.npz", (1e9 - age, 1e9 - age))
    return shell


def damage(shell: Shell, *names: str) -> None:
    for name in names:
        path = shell.folder / "runs" / name / "best.npz"
        times = path.stat().st_atime, path.stat().st_mtime
        path.write_bytes(path.read_bytes()[:-100])
        os.utime(path, times)


@pytest.mark.parametrize(
    ("arguments", "prompt", "length"),
    [
        ([], "", 500),
        (["--seed", "machine"], "machine", 500),
        (["--seed", "The machine\nreads", "--length", 30], "The machine\nreads", 30),
        (["--seed", "", "--length", 30], "", 30),
        (["--prompt", "machine", "--length", 30], "machine", 30),
        (["--seed", "machine", "--length", 0], "machine", 0),
    ],
)
def test_output_is_the_prompt_and_length_characters(trained, arguments, prompt, length):
    ended = trained("sample", *arguments)
    assert ended.code == 0
    assert ended.out.startswith(prompt)
    assert len(ended.out) == len(prompt) + length + 1
    assert ended.out.endswith("\n")


@pytest.mark.parametrize(
    "arguments", [[], ["runs/corpus-1"], ["runs/corpus-1/best.npz"], ["runs/corpus-1/last.npz"]]
)
def test_default_model_is_reported(trained, arguments):
    ended = trained("sample", *arguments, "--length", 5)
    assert ended.code == 0
    assert ended.err == ("" if arguments else "model: runs/corpus-1/best.npz\n")


def test_newest_model_is_the_default(runs):
    assert runs("sample", "--length", 5).err == "model: runs/old-2/best.npz\n"
    os.utime(runs.folder / "runs/old-1/best.npz", (2e9, 2e9))
    assert runs("sample", "--length", 5).err == "model: runs/old-1/best.npz\n"


def test_damaged_model_is_skipped_with_a_note(runs):
    damage(runs, "old-2")
    ended = runs("sample", "--length", 5)
    assert ended.code == 0
    note, model = ended.err.splitlines()
    assert "damaged" in note
    assert "runs/old-2/best.npz" in note
    assert model == "model: runs/old-1/best.npz"


def test_only_damaged_models_are_an_error(runs):
    damage(runs, "old-1", "old-2")
    ended = runs("sample")
    assert ended.code == 1
    assert "skipping a damaged checkpoint: runs/old-1/best.npz" in ended.err
    assert ended.last_note.startswith("charlm: no model under runs/")


def test_unknown_characters_of_the_prompt_are_an_error(trained):
    line = trained("sample", "runs/corpus-1", "--seed", "The Übel\t猫").refusal
    for character in ("'Ü'", "'b'", "'\\t'", "'猫'"):
        assert character in line
    assert "'T'" not in line
    assert "--unknown skip" in line


def test_unknown_characters_of_the_prompt_can_be_skipped(trained):
    arguments = ("sample", "runs/corpus-1", "--length", 30, *SEEDED)
    ended = trained(*arguments, "--seed", "maÜchine猫", "--unknown", "skip")
    assert ended.out == trained(*arguments, "--seed", "machine").out
    assert ended.out.startswith("machine")
    assert "'Ü', '猫'" in ended.err


def test_json_has_each_text_with_its_settings(trained):
    ended = trained(
        *("sample", "--seed", "machine", "--length", 30, "--temperature", 0.5, "--json"),
        *("--count", 3, *SEEDED),
    )
    assert len({record["text"] for record in ended.records}) == 3
    for record in ended.records:
        assert len(record.pop("text")) == 30
        assert record == {
            "model": "runs/corpus-1/best.npz",
            "prompt": "machine",
            "length": 30,
            "temperature": 0.5,
            "top_k": 0,
            "top_p": 1.0,
            "stop": "",
            "random_seed": 1,
        }


def test_random_seed_in_json_reproduces_the_text(trained):
    arguments = ("sample", "--seed", "machine", "--length", 30, "--json")
    record, *_ = trained(*arguments).records
    assert trained(*arguments, "--random-seed", record["random_seed"]).records == [record]


def test_several_texts_are_printed_in_turn(trained):
    ended = trained("sample", "runs/corpus-1", "--seed", "machine", "--length", 30, "--count", 3)
    before, *texts = re.split(r"--- (\d) of 3\n", ended.out)
    assert (before, ended.err) == ("", "")
    assert texts[::2] == ["1", "2", "3"]
    assert all(len(text) == len("machine") + 30 + 1 for text in texts[1::2])
    assert all(text.startswith("machine") for text in texts[1::2])


@pytest.mark.parametrize("count", [1, 2])
def test_text_ends_with_stop(trained, count):
    ended = trained(
        *("sample", "--seed", "e", "--stop", "e", "--length", 5000, "--json"),
        *("--count", count, *SEEDED),
    )
    assert len(ended.records) == count
    for record in ended.records:
        assert record["text"].index("e") == len(record["text"]) - 1


@pytest.mark.parametrize("stop", ["\n", r"\n"])
@pytest.mark.parametrize("count", [1, 3])
def test_text_that_stops_at_a_newline_has_only_that_one(trained, stop, count):
    arguments = ("sample", "corpus-1", "--seed", "e", "--length", 5000, "--count", count, *SEEDED)
    ended = trained(*arguments, "--stop", stop)
    texts = [record["text"] for record in trained(*arguments, "--stop", stop, "--json").records]
    assert all(text.endswith("\n") and text.count("\n") == 1 for text in texts)
    heads = [f"--- {n} of {count}\n" if count > 1 else "" for n in range(1, count + 1)]
    assert ended.out == "".join(f"{head}e{text}" for head, text in zip(heads, texts, strict=True))


@pytest.mark.parametrize(("stop", "shown"), [("§", "'§'"), ("a猫", "'猫'"), (r".\\", r"'\\'")])
def test_stop_text_that_cannot_come_is_refused(trained, stop, shown):
    ended = trained("sample", "corpus-1", "--stop", stop)
    assert (ended.code, ended.out) == (2, "")
    (line,) = ended.err.splitlines()
    assert line.startswith("charlm: --stop must be a text that the model can generate")
    assert shown in line


def test_greedy_sampling_is_deterministic(trained):
    ways = ("--temperature 0", "--temperature 0 --random-seed 2", "--top-k 1", "--top-p 1e-9")
    assert len({trained("sample", "--seed", "machine", *way.split()).out for way in ways}) == 1


def test_same_random_seed_gives_the_same_text(trained):
    texts = [trained("sample", "--random-seed", seed).out for seed in (1, 1, 2)]
    assert texts[0] == texts[1] != texts[2]


def test_text_differs_without_a_random_seed(trained):
    assert trained("sample").out != trained("sample").out


@pytest.mark.parametrize("prompt", ["", "ost", "\n", "the cat"])
@pytest.mark.parametrize("path", [*CHECKPOINTS, "runs/corpus-1"], ids=lambda path: Path(path).stem)
def test_text_is_that_of_the_library(trained, path, prompt):
    ended = trained("sample", path, "--seed", prompt, "--length", 40, "--random-seed", 2)
    model = charlm.load(trained.folder / path)
    sampled = model.sample(prompt, length=40, rng=np.random.default_rng(2))
    assert (ended.code, ended.out) == (0, prompt + "".join(sampled) + "\n")
