"""Vanishing gradients in backpropagation through time.

Claim of the lecture: in a plain RNN the gradient vanishes exponentially with the distance between
a loss and an earlier state, and gated cells preserve it.

The experiment measures ‖∂L_t / ∂s_{t-k}‖ as a function of k. L_t is the surprisal of one character
and s_{t-k} the state k characters earlier; for the LSTM, h and c separately, each with the other
held constant. The gradient is exact: the backward passes of single steps propagate it. The norm is
the mean over sentences from `memory`, where L_t is the surprisal of the letter that distinguishes
"was" from "were", and the noun that determines it is as far back as the largest k.

The table has initial weights, and weights trained on such sentences. The recurrent matrices are
initialized as orthogonal matrices, which was not common when the problem was first described. So
there is also a plain RNN initialized with independent weights of variance 1/H.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from random import Random

import numpy as np

from charlm.experiments import memory
from charlm.experiments.report import Line, Picture, Report
from charlm.nn.cells.protocol import Backward
from charlm.nn.elementwise import softmax_
from charlm.nn.initialization import glorot
from charlm.nn.model import CharLM
from charlm.nn.params import Params
from charlm.nn.workspace import Workspace
from charlm.system.arrays import Array

CELLS = ("rnn", "gru", "lstm")
PARTS = {"rnn": "h", "gru": "h", "lstm": "hc"}  # the parts of the state

# The gradient is kept above the first fraction of its norm, and vanishes below the second.
KEPT, LOST = 1e-2, 1e-6

Norms = list[float]  # for k = 1, 2, …


def state_gradients(model: CharLM, p: Params, x: Array, y: Array) -> list[tuple[Array, ...]]:
    """The gradients of the NLL of the last character with respect to all earlier states.

    Args:
        model: a model of recurrent layers and a head.
        p: its parameters, float64.
        x: input ids `(T, B)`; the initial state is zero.
        y: the id that follows the last input, `(B,)`.

    Returns:
        ∂L / ∂s_{T-k} for k = 1 … T: for each part of the state, `(B, features)`.
    """
    work = Workspace(np.float64)
    state = model.zero_state(x.shape[1], np.float64)
    undo: list[Backward] = []
    for t in range(len(x)):
        h, state, backward = model.cells.forward(p, x[t : t + 1], state, Workspace(np.float64))
        undo.append(backward)
    # dL/dlogits = softmax(logits) - one_hot(y)
    dlogits = model.logits_between(p, h[0], None, work)
    softmax_(dlogits)
    dlogits[np.arange(len(y)), y] -= 1
    dy = (dlogits @ p["head.W"].T)[None]
    g, dstate, gradients = p.zeros_like(), None, []
    for backward in reversed(undo):
        _, dstate = backward(g, dy, dstate)
        gradients.append(dstate)
        dy = np.zeros_like(dy)
    return gradients


def mean_norms(gradients: Sequence[tuple[Array, ...]]) -> list[Norms]:
    """The norm of the gradient of each part of the state for each k, mean over streams."""
    norms = [[float(np.linalg.norm(d, axis=1).mean()) for d in parts] for parts in gradients]
    return [list(part) for part in zip(*norms, strict=True)]


def initial(model: CharLM, *, is_orthogonal: bool = True) -> Params:
    """Initial weights; if not orthogonal, the recurrent weights of a plain RNN are Glorot's."""
    rng = np.random.default_rng(0)
    p = model.init_params(rng, np.float64)
    if not is_orthogonal:
        H = model.config.hidden
        p["0.W"][:H] = glorot(H, H, rng)
    return p


def run(*, quick: bool = False) -> Report:
    """Measure the gradient through a clause, before and after training."""
    size, gap = (replace(memory.QUICK, steps=300), 20) if quick else (memory.FULL, 100)
    x, y = memory.as_ids(memory.sentences(size.tested, gap, Random(2)))
    norms: dict[str, Norms] = {}
    for cell in CELLS:
        model = memory.make_model(cell, size.hidden)
        for name, p in weights(model, size).items():
            means = mean_norms(state_gradients(model, p, x, y[-1]))
            for part, of_part in zip(PARTS[cell], means, strict=True):
                norms[f"{cell} {part}, {name}"] = of_part[:gap]
    shown = [k for k in (1, 10, 20, 50, 100) if k <= gap]
    return Report(
        claim="In a plain RNN the gradient vanishes exponentially in time; gates preserve it.",
        columns=["gradient norm at k", *map(str, shown), "factor per step"],
        rows=[
            [name, *(f"{of[k - 1]:.1e}" for k in shown), f"{a_step(of):.2f}"]
            for name, of in norms.items()
        ],
        picture=Picture(
            x="distance k in characters",
            y="gradient norm",
            lines=[Line(name, range(1, gap + 1), of) for name, of in norms.items()],
            log=True,
        ),
        finding=finding(norms),
    )


def weights(model: CharLM, size: memory.Size) -> dict[str, Params]:
    """The weights to examine, float64, by name."""
    found = {"initial": initial(model)}
    if model.config.cell == "rnn":
        found["initial, not orthogonal"] = initial(model, is_orthogonal=False)
    learned = memory.learn(model.config.cell, size)
    return found | {"trained": Params(learned.shapes, flat=learned.flat.astype(np.float64))}


def kept(norms: Norms) -> float:
    """The norm at the largest k as a fraction of the norm at k = 1."""
    return norms[-1] / norms[0]


def a_step(norms: Norms) -> float:
    """The factor by which the norm changes per step, geometric mean."""
    return float(kept(norms) ** (1 / (len(norms) - 1)))


def finding(norms: Mapping[str, Norms]) -> str:
    """What remains of each gradient, and whether trained gates keep what a plain RNN loses."""
    gap = len(norms["rnn h, trained"])
    shares = {name: kept(of) for name, of in norms.items()}
    listed = ", ".join(f"{share:.0e} ({name})" for name, share in shares.items())
    plain = shares["rnn h, trained"]
    gated = {name: of for name, of in shares.items() if name.endswith(", trained")}
    del gated["rnn h, trained"]
    keep = [name for name, share in gated.items() if share >= KEPT]
    loses = plain < LOST
    holds = loses and len(keep) == len(gated)
    return (
        f"Norm at k = {gap} as a fraction of the norm at k = 1: {listed}. With trained weights, "
        f"the RNN {'loses' if loses else 'does not lose'} the gradient (less than {LOST:g} "
        f"remains); {KEPT:g} or more remains for {', '.join(keep) or 'none of the others'}: the "
        f"claim {'holds' if holds else 'does not hold'} for trained weights."
    )
