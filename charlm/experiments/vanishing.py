"""How fast the gradient fades on its way back through time.

The lecture says that in a plain RNN the gradient vanishes exponentially with the gap between a
loss and the state it depends on, and that gates keep it.

Measured is ‖∂L_t / ∂s_{t-k}‖ against k: L_t is the surprise of one character, s_{t-k} the state
k characters earlier, for the LSTM its h and its c, each with the other held fast. It is exact: a
step at a time, the backward passes hand the gradient of the state back. The norm is the mean over
sentences of `memory`, where L_t is the surprise of the letter that tells "was" from "were", and
where the noun that decides it is as far back as the largest k.

Weights are looked at as they are at first, and after learning such sentences. The recurrent
matrices are orthogonal at first, as was not yet usual when the problem was described; so there is
also a plain RNN that starts with independent weights of variance 1/H.
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
PARTS = {"rnn": "h", "gru": "h", "lstm": "hc"}  # of the state

KEPT, LOST = 1e-2, 1e-6  # of the gradient: more than that is kept, less than that is lost

Norms = list[float]  # for k = 1, 2, …


def state_gradients(model: CharLM, p: Params, x: Array, y: Array) -> list[tuple[Array, ...]]:
    """The gradients of the last character's surprise with respect to all states before it.

    Args:
        model: a model of recurrent layers and a head.
        p: its parameters, float64.
        x: input ids `(T, B)`, read from a state of zeros.
        y: the id that follows the last of them, `(B,)`.

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
    """For each part of the state, the norm of its gradient for each k: the mean over streams."""
    norms = [[float(np.linalg.norm(d, axis=1).mean()) for d in parts] for parts in gradients]
    return [list(part) for part in zip(*norms, strict=True)]


def fresh(model: CharLM, *, is_orthogonal: bool = True) -> Params:
    """Initial weights; if not orthogonal, the recurrent ones of a plain RNN are Glorot's."""
    rng = np.random.default_rng(0)
    p = model.init_params(rng, np.float64)
    if not is_orthogonal:
        H = model.config.hidden
        p["0.W"][:H] = glorot(H, H, rng)
    return p


def run(*, quick: bool = False) -> Report:
    """Follow the gradient back through a clause, before training and after."""
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
        claim="In a plain RNN the gradient vanishes exponentially with the gap; gates keep it.",
        columns=["norm of the gradient, k", *map(str, shown), "factor a step"],
        rows=[
            [name, *(f"{of[k - 1]:.1e}" for k in shown), f"{a_step(of):.2f}"]
            for name, of in norms.items()
        ],
        picture=Picture(
            x="k, characters back",
            y="norm of the gradient",
            lines=[Line(name, range(1, gap + 1), of) for name, of in norms.items()],
            log=True,
        ),
        finding=finding(norms),
    )


def weights(model: CharLM, size: memory.Size) -> dict[str, Params]:
    """The weights to look at, float64, by what they are called."""
    found = {"fresh": fresh(model)}
    if model.config.cell == "rnn":
        found["fresh, not orthogonal"] = fresh(model, is_orthogonal=False)
    learned = memory.learn(model.config.cell, size)
    return found | {"trained": Params(learned.shapes, flat=learned.flat.astype(np.float64))}


def kept(norms: Norms) -> float:
    """What is left of the gradient at the largest k, as a share of that at k = 1."""
    return norms[-1] / norms[0]


def a_step(norms: Norms) -> float:
    """The factor by which the norm changes a step, the geometric mean."""
    return float(kept(norms) ** (1 / (len(norms) - 1)))


def finding(norms: Mapping[str, Norms]) -> str:
    """What is left of each gradient, and whether trained gates keep what a plain RNN loses."""
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
        f"Left at k = {gap} of the norm at k = 1: {listed}. Of trained weights, the RNN "
        f"{'loses' if loses else 'does not lose'} the gradient (less than {LOST:g} is left); it is "
        f"kept ({KEPT:g} or more) by {', '.join(keep) or 'none of the others'}: the claim "
        f"{'holds' if holds else 'does not hold'} for trained weights."
    )
