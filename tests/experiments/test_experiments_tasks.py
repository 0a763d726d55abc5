"""Tests of the experiments `cost`, `sums` and `authors`, and of the command."""

import numpy as np
import pytest

from charlm.api import train
from charlm.config import Budget, ModelConfig, TrainConfig
from charlm.experiments import authors, cost, sums
from charlm.experiments.__main__ import main
from charlm.experiments.report import Report
from charlm.nn.cells import CELLS
from tests.reliability import only_full

MODULES = [cost, sums, *only_full(authors)]


@pytest.fixture(scope="module", params=MODULES, ids=lambda module: module.__name__)
def report(request) -> Report:
    return request.param.run(quick=True)


def test_report_has_all_columns_and_finite_points(report):
    assert report.rows
    assert all(len(row) == len(report.columns) for row in report.rows)
    for line in report.picture.lines:
        assert len(line.x) == len(line.y)
        assert np.isfinite(line.y).all()
    assert report.claim in report.markdown()
    assert report.finding in report.markdown()


@pytest.mark.parametrize("H", [3, 256])
def test_parameters_match_the_equations_of_the_cells(H):
    counts = {name: cost.parameters(cost._make(name, H)) for name in CELLS}
    assert counts["rnn"] == H * (2 * H + 1)
    assert counts["lstm"] == 4 * counts["rnn"]
    assert counts["gru"] == 3 * counts["rnn"] + 3 * H
    assert counts["gru-cho"] == 3 * counts["rnn"]
    assert counts["gru-minimal"] == 2 * counts["rnn"]
    assert counts["sru"] == 3 * H * (H + 1)
    assert counts["jordan"] == counts["rnn"] + H * (H + 1)


def test_finding_on_cost_follows_the_figures():
    counts = dict.fromkeys(CELLS, 300) | {"rnn": 100, "lstm": 400}
    times = {name: [3.0, 3.0] for name in CELLS} | {"sru": [2.0, 1.0], "rnn": [1.0, 1.0]}
    as_claimed = cost.finding(counts, times, (8, 16))
    assert as_claimed.count(": as claimed") == 3
    two_thirds = counts | {"lstm": 450}
    slow = times | {"sru": [2.0, 3.5]}
    otherwise = cost.finding(two_thirds, slow, (8, 16))
    assert otherwise.count(": not as claimed") == 3


@pytest.mark.parametrize("digits", [1, 2])
def test_held_out_sums_are_a_tenth_and_do_not_occur_in_training(digits):
    seen, unseen = (
        set(map(tuple, sums.sums(100_000, digits, held_out=which).tolist()))
        for which in (False, True)
    )
    assert not (seen | {(b, a) for a, b in seen}) & unseen
    every = 10 ** (2 * digits)
    assert len(seen | unseen) > 0.95 * every
    assert len(unseen) == pytest.approx(every / 10, abs=4 * (2 * every * 0.09) ** 0.5)
    assert max(max(pair) for pair in seen) == 10**digits - 1


def test_held_out_sums_have_every_last_digit():
    a, b = sums.sums(5_000, 3, held_out=True).T
    assert set((a + b) % 10) == set(range(10))


def test_sums_are_written_in_decimal():
    pairs = np.array([[12, 345], [7, 0]])
    assert sums.written(pairs) == "12+345=357\n7+0=7\n"
    assert sums.written(pairs, is_reversed=True) == "12+345=753\n7+0=7\n"


@pytest.fixture(scope="module")
def adder():
    """A model that has memorized a few sums, and a wrong answer for 4+4."""
    text = sums.written(np.array([[1, 2], [2, 2], [9, 8]])) * 60
    config = TrainConfig(seq_len=16, batch_size=4, lr=0.02)
    return train(text + "4+4=9\n" * 60, ModelConfig("gru", 16), config, Budget(steps=150))


def test_is_right_checks_the_answers(adder):
    pairs = np.array([[1, 2], [4, 4], [9, 8]])
    assert sums.is_right(adder, pairs).tolist() == [True, False, True]
    assert not sums.is_right(adder, pairs[2:], is_reversed=True).any()


def test_completions_equal_samples_at_temperature_zero(adder):
    prompts = ["1+2=", "9+8=", "8+1=", "9=9+", "4+4="]
    drawn = [
        "".join(adder.sample("\n" + each, length=8, temperature=0, stop="\n")) for each in prompts
    ]
    assert sums.completions(adder, prompts) == [each.partition("\n")[0] for each in drawn]


def test_finding_on_sums_follows_the_figures():
    shares = {"rnn": [0.5, 0.1], "gru": [0.5, 0.9], "lstm": [0.5, 0.8]}
    shares["gru, answer reversed"] = [1.0, 1.0]
    shown = sums.finding(shares, 2)
    assert " are completed" in shown
    assert "Gated cells are better" in shown
    refuted = sums.finding(shares | {"gru": [0.5, 0.3], "lstm": [0.5, 0.05]}, 2)
    assert " are not completed" in refuted
    assert "not both better" in refuted


def test_pieces_of_authors_are_held_out():
    for text in authors.texts().values():
        seen, held_out = authors._split(text)
        assert seen + held_out == text
        assert len(held_out) == pytest.approx(0.2 * len(text), abs=1)
        pieces = authors._pieces(held_out, 80, 50)
        assert len(set(pieces)) == 50
        assert all(len(piece) == 80 and piece in held_out for piece in pieces)
        assert sum(piece in seen for piece in pieces) < 5  # repetitions in the text


def test_finding_on_authors_follows_the_figures():
    counts = {
        "a": {"a": 90, "b": 10, "c": 0},
        "b": {"a": 30, "b": 70, "c": 0},
        "c": {"a": 0, "b": 0, "c": 100},
    }
    shown = authors.finding([0.6, 0.7, 0.8], counts, 100)
    assert shown.startswith("The claim holds")
    assert "b classified as a: 30 of 100" in shown
    for means in ([0.6, 0.8, 0.7], [0.6, 0.6, 0.6], [0.4, 0.6, 0.7]):
        assert authors.finding(means, counts, 100).startswith("The claim does not hold")


def test_command_prints_the_table_and_saves_it_with_its_picture(tmp_path, capsys):
    main(["cost", "--quick", "--out", str(tmp_path / "found")])
    table = capsys.readouterr().out
    page = (tmp_path / "found/cost.md").read_text(encoding="utf-8")
    assert table.strip() in page
    assert "](cost.svg)" in page
    picture = (tmp_path / "found/cost.svg").read_text(encoding="utf-8")
    assert "<svg" in picture
    assert "lstm-peephole" in picture


def test_command_reports_an_output_directory_that_cannot_be_made(tmp_path, capsys):
    (tmp_path / "file").touch()
    with pytest.raises(SystemExit):
        main(["cost", "--quick", "--out", str(tmp_path / "file")])
    assert "cannot create the directory" in capsys.readouterr().err
