"""What reads from both ends sees all of the text but the character that it predicts."""

from itertools import pairwise

import numpy as np
import pytest

from charlm.config import Budget, ModelConfig, TrainConfig
from charlm.errors import ModelError
from charlm.inference.scoring import score
from charlm.nn.bidirectional import Bidirectional, Reverse
from charlm.nn.cells import CELLS
from charlm.nn.cells.protocol import Cell, State, zero_state
from charlm.nn.model import CharLM
from charlm.nn.params import Params
from charlm.nn.workspace import Workspace
from charlm.system.arrays import Array
from charlm.text.corpus import Corpus
from charlm.training.budget import plan
from charlm.training.setup import set_up
from tests.gradients import CellCheck
from tests.helpers import TEXT, make_cell, random_ids, small_model

I, H, T, B, V = 3, 5, 6, 2, 7  # noqa: E741


def near(got: Array, expected: Array) -> None:
    np.testing.assert_allclose(got, expected, rtol=0, atol=1e-12)


# Layers


def results(check: CellCheck) -> tuple[Array, State]:
    """The output and the final state."""
    y, final, _ = check.cell.forward(check.p, check.x, check.state, check.work)
    return y.copy(), final


layer_inputs = pytest.mark.parametrize("reads_ids", [False, True], ids=["vectors", "ids"])


def layer_input(reads_ids: bool) -> Array:
    if reads_ids:
        return random_ids(T, B, below=I)
    return np.random.default_rng(0).normal(size=(T, B, I))


@layer_inputs
@pytest.mark.parametrize("name", CELLS)
def test_a_cell_from_the_end_is_the_cell_on_the_reversed_sequence(
    name: str, reads_ids: bool
) -> None:
    cell, x = make_cell(name, I, H, reads_ids=reads_ids), layer_input(reads_ids)
    reverse, plain = CellCheck(Reverse(cell), x), CellCheck(cell, x[::-1].copy())
    plain.ry = reverse.ry[::-1].copy()
    (y, final), (turned, plain_final) = results(reverse), results(plain)
    np.testing.assert_array_equal(y, turned[::-1])
    (g, dx, dstate), (plain_g, turned_dx, plain_dstate) = reverse.analytic(), plain.analytic()
    for got, expected in zip(
        (g.flat, *final, *dstate), (plain_g.flat, *plain_final, *plain_dstate), strict=True
    ):
        near(got, expected)
    assert (dx is None) == (turned_dx is None) == reads_ids
    if dx is not None and turned_dx is not None:
        near(dx, turned_dx[::-1])


@layer_inputs
@pytest.mark.parametrize("name", CELLS)
def test_both_ends_are_a_cell_and_another_from_the_end_side_by_side(
    name: str, reads_ids: bool
) -> None:
    right = make_cell(name, I, H, reads_ids=reads_ids)
    left = make_cell(name, I, H + 1, reads_ids=reads_ids)
    both = CellCheck(Bidirectional(right, left), layer_input(reads_ids))
    (y, final), (g, dx, dstate) = results(both), both.analytic()
    parts, middle = len(right.state_widths()), right.width
    halves = [
        half_of(both, right, "forward", slice(parts), slice(middle)),
        half_of(both, Reverse(left), "backward", slice(parts, None), slice(middle, None)),
    ]
    near(y, np.concatenate([results(half)[0] for half in halves], axis=2))
    gradients = [half.analytic() for half in halves]
    for got, expected in zip(final, [s for half in halves for s in results(half)[1]], strict=True):
        near(got, expected)
    for got, expected in zip(dstate, [s for _, _, half in gradients for s in half], strict=True):
        near(got, expected)
    near(g.flat, np.concatenate([half_g.flat for half_g, _, _ in gradients]))
    inputs = [half_dx for _, half_dx, _ in gradients if half_dx is not None]
    if dx is None:
        assert reads_ids
        assert not inputs
    else:
        near(dx, inputs[0] + inputs[1])


def half_of(both: CellCheck, cell: Cell, name: str, state: slice, columns: slice) -> CellCheck:
    """One half with its share of the weights, of the state, and of the gradients of both."""
    half = CellCheck(cell, both.x)
    half.p.flat[:] = both.p.scope(name).flat
    half.state, half.rs = both.state[state], both.rs[state]
    half.ry = both.ry[:, :, columns]
    return half


# The model. A text is the input's first character, the targets, and what is after them.


SHAPES: dict[str, dict] = {
    "one layer": {},
    "two layers": {"layers": 2},
    "three layers": {"layers": 3},
    "a head layer": {"head_layers": 1},
    "shortcuts": {"layers": 3, "residual": True},
    "embedding": {"embedding": 4},
    "all": {"layers": 3, "head_layers": 2, "residual": True, "embedding": 4, "dropout": 0.4},
}

# Jordan's cell is refused: it owns its output layer.
cells = pytest.mark.parametrize("cell", sorted(CELLS.keys() - {"jordan"}))
shapes = pytest.mark.parametrize("shape", SHAPES.values(), ids=SHAPES)


def model_of(cell: str, shape: dict, vocabulary: int = V) -> tuple[CharLM, Params]:
    return small_model(cell, vocabulary, bidirectional=True, **shape)


def logits_in(model: CharLM, p: Params, text: Array, targets: int) -> Array:
    """The logits of characters 1 … `targets` of a text, `(targets, V)`."""
    x, y, after = text[:targets], text[1 : targets + 1], text[targets + 1 :]
    state = model.zero_state(1, np.float64)
    columns = (x[:, None], y[:, None])
    logits, _ = model.logits(p, *columns, state, Workspace(np.float64), after[:, None])
    return logits[:, 0]


def logits_between(model: CharLM, p: Params, left: Array, after: Array) -> Array:
    """The logits of a character by hand, `(V,)`.

    Args:
        model: the model.
        p: its parameters.
        left: what its cells put out at the character before, `(width,)`.
        after: the text after it.
    """
    assert isinstance(model.backward_cells, Reverse)
    right = np.zeros(model.cells.width)
    if len(after):
        right = outputs(model.backward_cells.cell, p.scope("backward"), after[::-1])[-1]
    h = np.concatenate([left, right])
    for i in range(model.config.head_layers):
        h = np.tanh(h @ p[f"dense{i}.W"] + p[f"dense{i}.b"])
    return h @ p["head.W"] + p["head.b"]


def outputs(cell: Cell, p: Params, text: Array) -> Array:
    """What a cell puts out at each character of a text, `(N, width)`."""
    state = zero_state(cell, 1, np.float64)
    y, _, _ = cell.forward(p, text[:, None], state, Workspace(np.float64))
    return y[:, 0].copy()


@shapes
@cells
def test_prediction_depends_on_every_character_but_the_one_predicted(
    cell: str, shape: dict
) -> None:
    model, p = model_of(cell, shape)
    text, targets = random_ids(9), 5
    logits = logits_in(model, p, text, targets)
    for changed in range(len(text)):
        other = text.copy()
        other[changed] = (text[changed] + 1) % V
        differs = (logits_in(model, p, other, targets) != logits).any(axis=1)
        assert differs.tolist() == [changed != target for target in range(1, targets + 1)]


@pytest.mark.parametrize("after", [0, 1, 4])
@shapes
@cells
def test_prediction_is_made_from_what_is_before_and_the_reverse_of_what_is_after(
    cell: str, shape: dict, after: int
) -> None:
    model, p = model_of(cell, shape)
    targets = 5
    text = random_ids(1 + targets + after)
    logits = logits_in(model, p, text, targets)
    for t in range(1, targets + 1):
        left = outputs(model.cells, p, text[:t])[-1]
        near(logits[t - 1], logits_between(model, p, left, text[t + 1 :]))


@shapes
@cells
def test_prediction_from_what_either_side_has_read_is_that_of_the_window(
    cell: str, shape: dict
) -> None:
    model, p = model_of(cell, shape)
    text, targets, work = random_ids(9), 5, Workspace(np.float64)
    logits = logits_in(model, p, text, targets)
    right = model.read_back(p, text[:, None], work).copy()
    for t in range(1, targets + 1):
        left, _ = model.read(p, text[:t, None], model.zero_state(1, np.float64), work)
        near(logits[t - 1], model.logits_between(p, left, right[t + 1], work)[0])


@cells
def test_chunks_with_all_of_the_rest_after_them_are_the_whole(cell: str) -> None:
    model, p = model_of(cell, SHAPES["all"])
    text, work = random_ids(12, B), Workspace(np.float64)
    state = model.zero_state(B, np.float64)
    whole, final = model.nats(p, text[:9], text[1:10], state, work, text[10:])
    for start, stop in [(0, 1), (1, 5), (5, 9)]:
        x, y, after = text[start:stop], text[start + 1 : stop + 1], text[stop + 1 :]
        nats, state = model.nats(p, x, y, state, work, after)
        near(nats, whole[start:stop])
    for got, expected in zip(state, final, strict=True):
        near(got, expected)


def test_model_that_reads_what_comes_after_predicts_nothing_without_it() -> None:
    model, p = model_of("gru", {})
    state = model.zero_state(1, np.float64)
    with pytest.raises(ModelError, match="bidirectional"):
        model.next_logits(p, random_ids(3, 1), state, Workspace(np.float64))


@cells
def test_training_lowers_the_loss(cell: str) -> None:
    config = TrainConfig(seq_len=16, batch_size=4)
    trainer = set_up(Corpus.of(TEXT), ModelConfig(cell, 12, bidirectional=True), config, threads=1)
    plan(trainer, Budget(steps=80))
    before = score(trainer.model, trainer.p, trainer.data.val.end_to_end()).nats
    losses = [trainer.step().nats_per_char for _ in range(80)]
    assert np.mean(losses[-5:]) < 0.5 * np.mean(losses[:5])
    assert score(trainer.model, trainer.p, trainer.data.val.end_to_end()).nats < 0.5 * before


# Scores


Window = tuple[int, int]  # its first target, and the one after its last


def nll(logits: Array, target: int) -> float:
    return float(np.log(np.exp(logits).sum()) - logits[target])


def by_hand(model: CharLM, p: Params, ids: Array, windows: list[Window]) -> float:
    """The surprise of a stream, given what is before a character, and after it to a window's
    end and `lookahead` further.
    """
    left = outputs(model.cells, p, ids)
    return sum(
        nll(logits_between(model, p, left[t - 1], ids[t + 1 : stop + model.lookahead]), ids[t])
        for start, stop in windows
        for t in range(start, stop)
    )


def windows(edges: list[int], chunk: int) -> list[Window]:
    """The windows of parts, each cut off where its part ends; a part's first target is 1 later."""
    return [
        (t + 1, min(t + chunk, stop) + 1)
        for start, stop in pairwise(edges)
        for t in range(start, stop, chunk)
    ]


def small_windows(patch: pytest.MonkeyPatch, **values: int) -> None:
    """Windows of 5 characters and 3 more."""
    sizes = {"FORWARD_STEPS": 5} | values
    for name, value in sizes.items():
        patch.setattr(f"charlm.inference.parts.{name}", value)
    patch.setattr("charlm.nn.model.LOOKAHEAD", 3)


@pytest.mark.parametrize("n", [2, 3, 6, 7, 33])
@cells
def test_score_is_the_sum_of_each_characters_surprise(
    cell: str, n: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    small_windows(monkeypatch)
    model, p = model_of(cell, SHAPES["all"])
    ids, progress = random_ids(n), list[int]()
    result = score(model, p, ids, progress=progress.append)
    assert result.nats == pytest.approx(by_hand(model, p, ids, windows([0, n - 1], 5)), rel=1e-12)
    assert (result.characters, result.lookahead, sum(progress)) == (n - 1, 3, n - 1)


@cells
def test_streams_know_nothing_of_each_other(cell: str, monkeypatch: pytest.MonkeyPatch) -> None:
    small_windows(monkeypatch)
    model, p = model_of(cell, {"layers": 2})
    ids = random_ids(4 * 12 + 1)
    result = score(model, p, ids, streams=4, threads=2)
    streams = [ids[12 * b : 12 * b + 13] for b in range(4)]
    expected = sum(by_hand(model, p, stream, windows([0, 12], 5)) for stream in streams)
    assert result.nats == pytest.approx(expected, rel=1e-12)
    assert result.streams == 4


def test_last_character_of_a_longer_stream_is_a_window_of_its_own(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    small_windows(monkeypatch)
    model, p = model_of("gru", {})
    ids = random_ids(10 + 9 + 9 + 10 + 1)
    result = score(model, p, ids, streams=4)
    edges = [0, 10, 19, 28, 38]
    of_each = {9: [(1, 6), (6, 10)], 10: [(1, 6), (6, 10), (10, 11)]}
    expected = sum(by_hand(model, p, ids[a : b + 1], of_each[b - a]) for a, b in pairwise(edges))
    assert result.nats == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize("forgets", [True, False])
@cells
def test_parts_see_beyond_their_ends_and_not_beyond_their_streams(
    cell: str, forgets: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    small_windows(monkeypatch, WARM_UP=90 if forgets else 1, PARTS=4)
    model, p = model_of(cell, {})
    p.flat[:] *= 0.2  # gates stay near one half, and what was read is soon gone
    ids = random_ids(2 * 360 + 1)
    result = score(model, p, ids, streams=2)
    edges = [0, 180, 360]
    expected = sum(by_hand(model, p, text, windows(edges, 5)) for text in (ids[:361], ids[360:]))
    assert result.nats == pytest.approx(expected, rel=1e-12)
    assert (result.parts, result.reread) == (4, 0 if forgets else 2)


def test_a_part_that_is_read_again_keeps_its_windows(monkeypatch: pytest.MonkeyPatch) -> None:
    small_windows(monkeypatch, PARTS=4)
    model, p = model_of("gru", {})
    p.flat[:] *= 0.2
    ids, results = random_ids(731), []  # parts of 182 and 183 characters
    for warm_up in (90, 1):
        monkeypatch.setattr("charlm.inference.parts.WARM_UP", warm_up)
        results.append(score(model, p, ids))
    assert [result.reread for result in results] == [0, 3]
    assert results[0].nats == pytest.approx(results[1].nats, rel=1e-12)


@pytest.mark.parametrize(("n", "streams"), [(20, 1), (201, 1), (301, 2)])
def test_windows_are_of_128_characters_and_32_more(n: int, streams: int) -> None:
    model, p = model_of("gru", {"layers": 2})
    ids = random_ids(n)
    result = score(model, p, ids, streams=streams)
    length = (n - 1) // streams
    texts = [ids[length * b : length * (b + 1) + 1] for b in range(streams)]
    expected = sum(by_hand(model, p, text, windows([0, length], 128)) for text in texts)
    assert result.nats == pytest.approx(expected, rel=1e-12)
    assert result.lookahead == model.lookahead == 32


def test_model_that_reads_one_way_looks_at_nothing_ahead() -> None:
    assert CharLM(ModelConfig("gru", H), V).lookahead == 0
