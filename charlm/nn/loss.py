"""The negative log-likelihood of characters."""

import numpy as np
from numpy.typing import NDArray

from charlm.system.arrays import Array


def nll(logits: Array, targets: Array) -> tuple[NDArray[np.float64], Array]:
    """The surprise -ln softmax(logits) of each target in nats, and the softmax but for a factor.

    Args:
        logits: `(N, V)`, overwritten by exp(logits - their maximum).
        targets: `(N,)` integers below V.

    Returns:
        The surprise `(N,)`, and what each row of logits now sums up to, `(N, 1)`.
    """
    logits -= logits.max(axis=1, keepdims=True)
    picked = logits[np.arange(targets.size), targets]
    np.exp(logits, out=logits)
    total = logits.sum(axis=1, keepdims=True)
    nats: NDArray[np.float64] = np.log(total[:, 0]).astype(np.float64) - picked
    return nats, total
