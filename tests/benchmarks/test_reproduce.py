"""Tests of the parts of the remade tables that need neither their texts nor much training."""

import argparse
import hashlib
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks.contenders import data
from benchmarks.reproduce.common import Source, train
from benchmarks.reproduce.time_machine import classic, last_epoch
from charlm.config import Budget, ModelConfig, TrainConfig

CONTENT = b"The Time Machine\n"
SOURCE = Source("text.txt", "https://example.org/text.txt", hashlib.sha256(CONTENT).hexdigest())


def options(folder, *, quick=False):
    return argparse.Namespace(data=folder, quick=quick)


def test_missing_text_is_named_with_its_address(tmp_path):
    for quick in (False, True):
        with pytest.raises(SystemExit, match=r"text\.txt is missing; .*https://example\.org"):
            SOURCE.find(options(tmp_path, quick=quick))


def test_another_text_is_refused_except_for_a_quick_run(tmp_path, capsys):
    path = tmp_path / SOURCE.name
    path.write_bytes(CONTENT)
    assert SOURCE.find(options(tmp_path)) == path
    path.write_bytes(CONTENT.replace(b"\n", b"\r\n"))
    with pytest.raises(SystemExit, match=f"SHA-256 .* instead of {SOURCE.sha256}"):
        SOURCE.find(options(tmp_path))
    assert SOURCE.find(options(tmp_path, quick=True)) == path
    assert SOURCE.sha256 in capsys.readouterr().err


def test_classic_text_joins_lines_with_nothing_between():
    text = "The Time Machine, by H. G. Wells [1898]\n\n\nI\n\n  The--Traveller's \n"
    assert classic(text) == "the time machine by h g wellsithe traveller s"


@given(st.lists(st.text(st.sampled_from("aZé ,1-\t\r"))))
def test_classic_text_is_that_of_each_line(lines):
    text = classic("\n".join(lines))
    assert text == "".join(map(classic, lines))
    assert set(text) <= set("az ")
    assert "  " not in text
    assert [c.lower() for c in "".join(lines) if c in "aZ"] == [c for c in text if c != " "]


def test_last_epoch_is_the_mean_of_its_characters():
    text = "abcd" * 50  # 199 targets in 4 streams of 49: chunks of 20, 20 and 9 steps
    config = TrainConfig(seq_len=20, batch_size=4, val_fraction=0)
    trained = train(text, ModelConfig(hidden=4), config, Budget(epochs=3), threads=1)
    steps = trained.steps
    assert [step.characters for step in steps] == [80, 80, 36] * 3
    a, b, c = (step.nats_per_char for step in steps[6:])
    assert last_epoch(trained) == pytest.approx(math.exp((80 * a + 80 * b + 36 * c) / 196))


@given(st.text(st.characters(exclude_characters="\r", exclude_categories=["Cs"])))
def test_parts_of_a_text(tmp_path_factory, text):
    path = tmp_path_factory.mktemp("parts") / "text.txt"
    path.write_text(text, encoding="utf-8")
    known, rest = data.parts(str(path), 0.1)
    assert known + rest == text
    assert len(rest) == round(len(text) / 10)
