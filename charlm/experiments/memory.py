"""Long-range dependencies: subject-verb agreement over gaps of different lengths.

The example of the lecture is "The cat, which already ate …, was full" and "The cats, which already
ate …, were full": the verb agrees with a noun that may be a whole clause away. Claim: a plain RNN
forgets the noun, and gated cells remember it.

For each cell, a model is trained to predict every letter of such sentences up to the verb. The
text between noun and verb is random and independent of the noun, so a model that forgets the noun
can only guess. The model then reads new sentences up to the w of the verb, each once in the
singular and once in the plural. An answer is correct if the model assigns the higher probability
to the right letter, the a of "was" or the e of "were". Chance level is 50 %. The gap is the number
of characters between noun and verb.

Backpropagation covers the whole sentence. Each training batch has one gap, drawn from short and
long ones.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from random import Random

import numpy as np

from charlm.config import CELL_NAMES, PLAIN_CELLS, ModelConfig, TrainConfig
from charlm.experiments.report import Line, Picture, Report
from charlm.nn.model import CharLM
from charlm.nn.optimizers import Optimizer, clip_norm, learning_rate
from charlm.nn.params import Params
from charlm.nn.workspace import Workspace
from charlm.system.arrays import Array
from charlm.text.vocabulary import Vocabulary

NOUNS = {
    "cat": "cats",
    "dog": "dogs",
    "fox": "foxes",
    "goat": "goats",
    "goose": "geese",
    "horse": "horses",
    "mouse": "mice",
    "pony": "ponies",
}
ASIDES = (
    *(" ", " now ", " then ", " often ", " surely ", " at last "),
    *(", I hear, ", ", I know, ", ", we say, ", ", I think, ", ", you say, ", ", they say, "),
)
DEEDS = ("ate", "hid", "saw", "stole", "wanted")
THINGS = ("", "", " a pie", " it all", " fish", " the best hat")

VOCABULARY = Vocabulary.of("\n ,abcdefghijklmnopqrstuvwxyzI")
ASIDE_GAPS = tuple(sorted({len(aside) for aside in ASIDES}))
RIGHT = 0.9  # a cell remembers if at least this fraction of the answers is correct


# The gates of an SRU depend on the current input only; with two layers they see earlier letters.
DEEP_SRU = "2-layer sru"
SYSTEMS = {cell: ModelConfig(cell) for cell in CELL_NAMES}
SYSTEMS[DEEP_SRU] = ModelConfig("sru", layers=2)


@dataclass(frozen=True)
class Size:
    """The size of the experiment."""

    systems: tuple[str, ...]
    gaps: tuple[int, ...]  # tested gaps in characters; training also has those of the asides
    hidden: int
    steps: int
    tested: int  # sentences per gap


FULL = Size(tuple(SYSTEMS), gaps=tuple(range(10, 101, 10)), hidden=64, steps=3000, tested=200)
QUICK = Size(("rnn", "gru", "lstm"), gaps=(5, 10), hidden=32, steps=1000, tested=100)
TRAIN = TrainConfig(batch_size=32, lr=0.01)


def between(gap: int, random: Random) -> str:
    """The text between noun and verb, `gap` characters: an aside, or a clause."""
    if gap in ASIDE_GAPS:
        return random.choice([aside for aside in ASIDES if len(aside) == gap])
    text = ""
    while len(text) != gap:  # rejection sampling of the length
        text = ", which " + _deed(random)
        while len(text) + len(", ") < gap:
            text += " and " + _deed(random)
        text += ", "
    return text


def _deed(random: Random) -> str:
    return random.choice(DEEDS) + random.choice(THINGS)


def sentences(count: int, gap: int, random: Random) -> list[str]:
    """Sentences up to the second letter of the verb, singular and plural in turn."""
    texts = []
    for _ in range(count // 2):
        (one, many), middle = random.choice(list(NOUNS.items())), between(gap, random)
        texts += [f"\nthe {one}{middle}wa", f"\nthe {many}{middle}we"]
    return texts


def as_ids(texts: Sequence[str]) -> tuple[Array, Array]:
    """Input ids and target ids, both `(T, B)`.

    Longer sentences are truncated at the start, so that all end at the same step.
    """
    length = min(map(len, texts))
    ids = np.stack([VOCABULARY.encode(text[-length:])[0] for text in texts], axis=1)
    return ids[:-1], ids[1:]


def make_model(system: str, hidden: int) -> CharLM:
    """An untrained model of a system for the letters of the sentences."""
    return CharLM(replace(SYSTEMS[system], hidden=hidden), len(VOCABULARY))


def learn(system: str, size: Size) -> Params:
    """Train a model of a system on sentences of all gaps; return its parameters."""
    model, random = make_model(system, size.hidden), Random(0)
    p = model.init_params(np.random.default_rng(0))
    g, work = p.zeros_like(), Workspace()
    optimizer = Optimizer(TRAIN.optimizer, p.flat)
    gaps = sorted({*ASIDE_GAPS, *size.gaps})
    for step in range(size.steps):
        x, y = as_ids(sentences(TRAIN.batch_size, random.choice(gaps), random))
        state = model.zero_state(TRAIN.batch_size)
        model.loss_and_grad(p, g, x, y, state, work, scale=1 / x.size)
        clip_norm(g.flat, TRAIN.clip)
        optimizer.step(p.flat, g.flat, learning_rate(step, size.steps, TRAIN), step + 1)
    return p


def accuracy(model: CharLM, p: Params, texts: Sequence[str]) -> float:
    """The fraction of sentences where the correct one of a and e is the more probable letter."""
    x, y = as_ids(texts)
    logits, _ = model.next_logits(p, x, model.zero_state(len(texts)), Workspace())
    a, e = VOCABULARY.encode("ae")[0]
    return float(np.mean(np.where(logits[:, a] > logits[:, e], a, e) == y[-1]))


def run(*, quick: bool = False) -> Report:
    """Train a model of each system, and test it on gaps of several lengths."""
    size = QUICK if quick else FULL
    random = Random(1)
    tests = [sentences(size.tested, gap, random) for gap in size.gaps]
    shares = {}
    for system in size.systems:
        model, p = make_model(system, size.hidden), learn(system, size)
        shares[system] = [accuracy(model, p, texts) for texts in tests]
    return Report(
        claim="A plain RNN forgets the subject over a long clause; gated cells remember it.",
        columns=["correct answers in %, gap", *map(str, size.gaps)],
        rows=[[cell, *(f"{100 * a:.1f}" for a in row)] for cell, row in shares.items()],
        picture=Picture(
            x="characters between noun and verb",
            y="correct answers in %",
            lines=[Line(cell, size.gaps, [100 * a for a in row]) for cell, row in shares.items()],
        ),
        finding=finding(size.gaps, shares),
    )


def reach(gaps: Sequence[int], shares: Sequence[float]) -> int:
    """The longest gap such that the answers are correct at it and all shorter gaps; 0 if none."""
    reached = 0
    for gap, share in zip(gaps, shares, strict=True):
        if share < RIGHT:
            break
        reached = gap
    return reached


def finding(gaps: Sequence[int], shares: dict[str, list[float]]) -> str:
    """How far each system remembers, and whether every gated one exceeds the plain ones."""
    reaches = {cell: reach(gaps, row) for cell, row in shares.items()}
    lines = []
    for gap in sorted(set(reaches.values()), reverse=True):
        cells = ", ".join(cell for cell in reaches if reaches[cell] == gap)
        where = f"up to a gap of {gap} characters" if gap else "at none of the gaps"
        lines.append(f"{cells}: {where}")
    plain = max(reaches[cell] for cell in reaches if cell in PLAIN_CELLS)
    gated = [cell for cell in reaches if cell not in PLAIN_CELLS]
    fail = [cell for cell in gated if reaches[cell] <= plain]
    verdict = f"does not hold for {', '.join(fail)}" if fail else "holds"
    return (
        f"At least {100 * RIGHT:.0f} % of the answers are correct for {'; '.join(lines)}. "
        f"{len(gated) - len(fail)} of {len(gated)} gated networks remember over longer gaps than "
        f"the plain ones: the claim {verdict}."
    )
