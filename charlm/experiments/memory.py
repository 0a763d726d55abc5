"""Over how many characters does each cell remember whether it was a cat or cats?

The lecture's example is "The cat, which already ate …, was full" against "The cats, which already
ate …, were full": the verb agrees with a noun that may be a whole clause away. It says that a
plain RNN loses the noun on the way, and that gated cells keep it.

Here a model of each cell learns to predict every letter of such sentences up to the verb. What
stands between noun and verb is drawn without regard to the noun, and nothing in it depends on
number, so who forgets the noun can only guess. Then it reads new sentences, each once with a
singular and once with its plural, up to the w of the verb, and we look whether it finds the right
one of the a of "was" and the e of "were" likelier. Half of the answers are right by chance. The
gap is the number of characters between noun and verb.

Gradients reach over the whole sentence. Each batch has a gap of its own, short ones as well as
long ones, as sentences have.
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
RIGHT = 0.9  # the share of right answers from which on a cell is said to remember


# The gates of an SRU see the letter and not what came before it; those of a second layer see more.
DEEP_SRU = "2-layer sru"
SYSTEMS = {cell: ModelConfig(cell) for cell in CELL_NAMES}
SYSTEMS[DEEP_SRU] = ModelConfig("sru", layers=2)


@dataclass(frozen=True)
class Size:
    """How large the experiment is."""

    systems: tuple[str, ...]
    gaps: tuple[int, ...]  # that are tested, in characters; asides are learned from as well
    hidden: int
    steps: int
    tested: int  # sentences for each gap


FULL = Size(tuple(SYSTEMS), gaps=tuple(range(10, 101, 10)), hidden=64, steps=3000, tested=200)
QUICK = Size(("rnn", "gru", "lstm"), gaps=(5, 10), hidden=32, steps=1000, tested=100)
TRAIN = TrainConfig(batch_size=32, lr=0.01)


def between(gap: int, random: Random) -> str:
    """What stands between noun and verb, `gap` characters: an aside, or a clause."""
    if gap in ASIDE_GAPS:
        return random.choice([aside for aside in ASIDES if len(aside) == gap])
    text = ""
    while len(text) != gap:  # draw again until the length is right
        text = ", which " + _deed(random)
        while len(text) + len(", ") < gap:
            text += " and " + _deed(random)
        text += ", "
    return text


def _deed(random: Random) -> str:
    return random.choice(DEEDS) + random.choice(THINGS)


def sentences(count: int, gap: int, random: Random) -> list[str]:
    """Sentences up to the second letter of their verb: a singular, its plural, and so on."""
    texts = []
    for _ in range(count // 2):
        (one, many), middle = random.choice(list(NOUNS.items())), between(gap, random)
        texts += [f"\nthe {one}{middle}wa", f"\nthe {many}{middle}we"]
    return texts


def as_ids(texts: Sequence[str]) -> tuple[Array, Array]:
    """The ids of all letters but the last, `(T, B)`, and of the letter after each, `(T, B)`.

    A longer text begins later, so that all end at once.
    """
    length = min(map(len, texts))
    ids = np.stack([VOCABULARY.encode(text[-length:])[0] for text in texts], axis=1)
    return ids[:-1], ids[1:]


def make_model(system: str, hidden: int) -> CharLM:
    """A model of that system for the letters of the sentences."""
    return CharLM(replace(SYSTEMS[system], hidden=hidden), len(VOCABULARY))


def learn(system: str, size: Size) -> Params:
    """The weights of a model of that system that has learned from sentences of all gaps."""
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
    """The share of sentences after whose w the right letter is the likelier one of a and e."""
    x, y = as_ids(texts)
    logits, _ = model.next_logits(p, x, model.zero_state(len(texts)), Workspace())
    a, e = VOCABULARY.encode("ae")[0]
    return float(np.mean(np.where(logits[:, a] > logits[:, e], a, e) == y[-1]))


def run(*, quick: bool = False) -> Report:
    """Train a model of each system, and ask it for the verb after gaps of several lengths."""
    size = QUICK if quick else FULL
    random = Random(1)
    tests = [sentences(size.tested, gap, random) for gap in size.gaps]
    shares = {}
    for system in size.systems:
        model, p = make_model(system, size.hidden), learn(system, size)
        shares[system] = [accuracy(model, p, texts) for texts in tests]
    return Report(
        claim="A plain RNN loses the subject over a long clause, gated cells keep it.",
        columns=["right answers in %, gap", *map(str, size.gaps)],
        rows=[[cell, *(f"{100 * a:.1f}" for a in row)] for cell, row in shares.items()],
        picture=Picture(
            x="characters between noun and verb",
            y="right answers in %",
            lines=[Line(cell, size.gaps, [100 * a for a in row]) for cell, row in shares.items()],
        ),
        finding=finding(size.gaps, shares),
    )


def reach(gaps: Sequence[int], shares: Sequence[float]) -> int:
    """The longest gap up to which, at each gap, enough answers are right; 0 if at none."""
    reached = 0
    for gap, share in zip(gaps, shares, strict=True):
        if share < RIGHT:
            break
        reached = gap
    return reached


def finding(gaps: Sequence[int], shares: dict[str, list[float]]) -> str:
    """How far each system remembers, and whether every gated one beats the plain ones."""
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
        f"At least {100 * RIGHT:.0f} % of the answers are right for {'; '.join(lines)}. "
        f"{len(gated) - len(fail)} of {len(gated)} networks with gates remember over longer gaps "
        f"than the plain ones do: the claim {verdict}."
    )
