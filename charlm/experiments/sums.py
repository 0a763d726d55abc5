"""Sequence to sequence through a prompt: 12+345=357, learnt as text.

Claimed: a language model maps one sequence to another if both stand in a line of its training
text: it is prompted with the first, and draws the second. A network with gates does it better than
a plain one.

Measured: the training text is lines such as 12+345=357, with numbers of one to three digits. A
tenth of all pairs of numbers is held out at random, and seen in training in neither order. A model
is prompted with the part up to the equals sign of sums that were held out, and draws the most
probable characters up to the newline; it is right if all of them are. One row is for answers
written from their last digit on, the order in which carries arise.
"""

from collections import defaultdict
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from charlm.api import train
from charlm.config import Budget, ModelConfig, TrainConfig
from charlm.experiments.report import Line, Picture, Report
from charlm.language_model import LanguageModel
from charlm.nn.workspace import Workspace

HELD_OUT = 0.1  # of all pairs of numbers

# cell, and whether answers are written from their last digit on
MODELS = (("rnn", False), ("gru", False), ("lstm", False), ("gru", True))

CLAIM = (
    "A language model that has read sums as text, 12+345=357, completes sums that it has never "
    "seen, and one with gates does it better than a plain one."
)

Pairs = NDArray[np.int64]  # a row for each sum


def run(*, quick: bool = False) -> Report:
    """Train a model on sums with each cell, and prompt it; quick: two digits, a small model."""
    digits, hidden, steps, lines = (2, 24, 60, 2_000) if quick else (3, 128, 3_000, 400_000)
    seen, unseen = sums(lines, digits), sums(lines // 10, digits, held_out=True)
    held_out = np.unique(unseen, axis=0)
    size = np.array([len(str(max(pair))) for pair in held_out.tolist()])
    kinds = range(1, digits + 1)
    shares: dict[str, list[float]] = {}
    for cell, is_reversed in MODELS:
        model = _model(written(seen, is_reversed=is_reversed), cell, hidden, steps)
        right = is_right(model, held_out, is_reversed=is_reversed)
        name = cell + (", answer reversed" if is_reversed else "")
        shares[name] = [float(right[size == k].mean()) for k in kinds]
    rows = [(name, *(f"{share:.1%}" for share in each)) for name, each in shares.items()]
    rows.append(("sums prompted with", *(f"{(size == k).sum():,}" for k in kinds)))
    columns = ["cell", *(f"right, {k} digit{'s' * (k > 1)}" for k in kinds)]
    picture = Picture(
        "digits of the longer number",
        "share of held-out sums completed rightly",
        [Line(name, list(kinds), each) for name, each in shares.items()],
    )
    return Report(CLAIM, columns, rows, picture, finding(shares, digits))


def sums(count: int, digits: int, *, held_out: bool = False) -> Pairs:
    """Pairs of numbers to be added, the same at each call.

    Each number has one to `digits` digits, one as often as the other. Of `count` pairs that are
    drawn, those remain that are held out, or those that are not.
    """
    rng = np.random.default_rng(int(held_out))
    power = 10 ** rng.integers(digits, size=(count, 2))
    pairs: Pairs = rng.integers(np.where(power == 1, 0, power), 10 * power)
    top = 10**digits
    is_held_out = np.random.default_rng(2).random((top, top)) < HELD_OUT
    wanted: NDArray[np.bool_] = is_held_out[pairs.min(axis=1), pairs.max(axis=1)] == held_out
    return pairs[wanted]


def written(pairs: Pairs, *, is_reversed: bool = False) -> str:
    """Sums as text, one a line."""
    return "".join(
        prompt(a, b) + answer(a, b, is_reversed=is_reversed) + "\n" for a, b in pairs.tolist()
    )


def prompt(a: int, b: int) -> str:
    """A sum up to its equals sign."""
    return f"{a}+{b}="


def answer(a: int, b: int, *, is_reversed: bool = False) -> str:
    """What follows it."""
    return str(a + b)[::-1] if is_reversed else str(a + b)


def _model(text: str, cell: str, hidden: int, steps: int) -> LanguageModel:
    config = TrainConfig(seq_len=48, batch_size=64, lr=0.015, val_fraction=0.01)
    return train(text, ModelConfig(cell, hidden), config, Budget(steps=steps))


def is_right(model: LanguageModel, pairs: Pairs, *, is_reversed: bool = False) -> NDArray[np.bool_]:
    """Whether a model completes each sum as it should, `(pairs,)`."""
    by_length: dict[int, list[int]] = defaultdict(list)
    prompts = [prompt(a, b) for a, b in pairs.tolist()]
    for i, each in enumerate(prompts):
        by_length[len(each)].append(i)
    right = np.empty(len(pairs), bool)
    for which in by_length.values():
        drawn = completions(model, [prompts[i] for i in which])
        asked = [answer(a, b, is_reversed=is_reversed) for a, b in pairs[which].tolist()]
        right[which] = [ours == theirs for ours, theirs in zip(drawn, asked, strict=True)]
    return right


def completions(model: LanguageModel, prompts: Sequence[str], length: int = 8) -> list[str]:
    """What a model writes after each of several prompts of one length, up to the newline.

    It is what `model.sample("\\n" + prompt, temperature=0, stop="\\n")` draws, for all of them
    at once. The newline stands for the line before: a state of zeros is not what a line follows.
    """
    network, work = model.network, Workspace()
    ids = np.stack([model.vocabulary.encode("\n" + each)[0] for each in prompts]).T
    state, drawn = network.zero_state(len(prompts)), []
    for _ in range(length):
        logits, state = network.next_logits(model.params, ids, state, work)
        ids = logits.argmax(axis=1)[None]
        drawn.append(ids[0])
    return [model.vocabulary.decode(each).partition("\n")[0] for each in np.stack(drawn, axis=1)]


def finding(shares: dict[str, list[float]], digits: int) -> str:
    """Whether unseen sums are completed, and by which cells."""
    last = {name: each[-1] for name, each in shares.items()}
    gated = max(("gru", "lstm"), key=lambda name: last[name])
    is_done, is_better = last[gated] > 0.5, min(last["gru"], last["lstm"]) > last["rnn"]
    return (
        f"Sums that were never seen, with a number of {digits} digits, are "
        f"{'' if is_done else 'not '}completed: the better network with gates, the {gated}, gets "
        f"{last[gated]:.1%} of them wholly right; of those of one digit, of which there are few to "
        f"learn from, {shares[gated][0]:.1%}. "
        f"Gated cells are {'' if is_better else 'not both '}better than the plain one, which gets "
        f"{last['rnn']:.1%} of the longest. With answers written from the last digit on, the gru "
        f"gets {last['gru, answer reversed']:.1%} of those in place of {last['gru']:.1%}."
    )
