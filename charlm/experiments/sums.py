"""Sequence to sequence through a prompt: addition learned from text such as 12+345=357.

Claim: a language model learns to map one sequence to another from lines that contain both. It is
prompted with the first sequence and generates the second. A gated network is better at this than a
plain one.

The training text consists of lines such as 12+345=357, with numbers of one to three digits. A
random tenth of all pairs of numbers is held out; neither order of such a pair occurs in training.
The model is prompted with a held-out sum up to the equals sign and generates the most probable
characters up to the newline. An answer is correct if all characters are. In one row the answers
are written with the last digit first, the order in which carries propagate.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from charlm.api import train
from charlm.config import Budget, ModelConfig, TrainConfig
from charlm.experiments.report import Line, Picture, Report
from charlm.language_model import LanguageModel
from charlm.nn.workspace import Workspace

HELD_OUT = 0.1  # fraction of all pairs of numbers

# cell, whether the digits of the answers are reversed
MODELS = (("rnn", False), ("gru", False), ("lstm", False), ("gru", True))

Pairs = NDArray[np.int64]  # one row per sum


def run(*, quick: bool = False) -> Report:
    """Train a model with each cell on sums, and prompt it; quick: two digits, a small model."""
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
    rows.append(("number of prompts", *(f"{(size == k).sum():,}" for k in kinds)))
    return Report(
        claim="A language model trained on sums as text, 12+345=357, completes held-out sums, and "
        "a gated one is better than a plain one.",
        columns=["cell", *(f"correct, {k} digit{'s' * (k > 1)}" for k in kinds)],
        rows=rows,
        picture=Picture(
            x="digits of the longer number",
            y="fraction of correct answers",
            lines=[Line(name, kinds, each) for name, each in shares.items()],
        ),
        finding=finding(shares, digits),
    )


def sums(count: int, digits: int, *, held_out: bool = False) -> Pairs:
    """Pairs of numbers to add, the same at each call.

    Each number has one to `digits` digits with equal probability. Of `count` random pairs, only
    those that are held out are returned, or only those that are not.
    """
    rng = np.random.default_rng(int(held_out))
    power = 10 ** rng.integers(digits, size=(count, 2))
    pairs: Pairs = rng.integers(np.where(power == 1, 0, power), 10 * power)
    top = 10**digits
    is_held_out = np.random.default_rng(2).random((top, top)) < HELD_OUT
    wanted: NDArray[np.bool_] = is_held_out[pairs.min(axis=1), pairs.max(axis=1)] == held_out
    return pairs[wanted]


def written(pairs: Pairs, *, is_reversed: bool = False) -> str:
    """Sums as text, one per line."""
    lines = zip(prompts(pairs), answers(pairs, is_reversed=is_reversed), strict=True)
    return "".join(f"{prompt}{answer}\n" for prompt, answer in lines)


def prompts(pairs: Pairs) -> list[str]:
    """The sums up to the equals sign."""
    return [f"{a}+{b}=" for a, b in pairs.tolist()]


def answers(pairs: Pairs, *, is_reversed: bool = False) -> list[str]:
    """The text after each prompt."""
    return [f"{a + b}"[:: -1 if is_reversed else 1] for a, b in pairs.tolist()]


def _model(text: str, cell: str, hidden: int, steps: int) -> LanguageModel:
    config = TrainConfig(seq_len=48, batch_size=64, lr=0.015, val_fraction=0.01)
    return train(text, ModelConfig(cell, hidden), config, Budget(steps=steps))


def is_right(model: LanguageModel, pairs: Pairs, *, is_reversed: bool = False) -> NDArray[np.bool_]:
    """Whether the model completes each sum correctly, `(pairs,)`."""
    all_prompts = np.array(prompts(pairs))
    all_answers = np.array(answers(pairs, is_reversed=is_reversed))
    lengths = np.strings.str_len(all_prompts)
    right = np.empty(len(pairs), bool)
    for length in np.unique(lengths):
        batch = lengths == length
        right[batch] = completions(model, all_prompts[batch].tolist()) == all_answers[batch]
    return right


def completions(model: LanguageModel, batch: Sequence[str], length: int = 8) -> list[str]:
    """The text that a model generates after each prompt, up to the newline.

    The prompts have equal lengths. The result equals that of
    `model.sample("\\n" + prompt, temperature=0, stop="\\n")`, computed as a batch. The prompt
    starts with a newline because every training line follows another line.
    """
    network, work = model.network, Workspace()
    ids = np.stack([model.vocabulary.encode("\n" + each)[0] for each in batch]).T
    state, drawn = network.zero_state(len(batch)), []
    for _ in range(length):
        logits, state = network.next_logits(model.params, ids, state, work)
        ids = logits.argmax(axis=1)[None]
        drawn.append(ids[0])
    return [model.vocabulary.decode(each).partition("\n")[0] for each in np.stack(drawn, axis=1)]


def finding(shares: dict[str, list[float]], digits: int) -> str:
    """Whether held-out sums are completed, and by which cells."""
    last = {name: each[-1] for name, each in shares.items()}
    gated = max(("gru", "lstm"), key=lambda name: last[name])
    is_done, is_better = last[gated] > 0.5, min(last["gru"], last["lstm"]) > last["rnn"]
    return (
        f"Held-out sums of {digits} digits are {'' if is_done else 'not '}completed: the better "
        f"gated network, the {gated}, has {last[gated]:.1%} correct answers; for one digit, with "
        f"few training examples, {shares[gated][0]:.1%}. "
        f"Gated cells are {'' if is_better else 'not both '}better than the plain one, which has "
        f"{last['rnn']:.1%} for {digits} digits. With reversed answers, the gru has "
        f"{last['gru, answer reversed']:.1%} instead of {last['gru']:.1%}."
    )
