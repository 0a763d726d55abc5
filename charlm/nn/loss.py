"""The negative log-likelihood of characters."""

import numpy as np
from numpy.typing import NDArray

from charlm.system.arrays import Array


def nll(logits: Array, targets: Array) -> tuple[NDArray[np.float64], Array]:
    """The NLL -ln softmax(logits) of each target in nats, and the softmax up to a factor.

    Args:
        logits: `(N, V)`, overwritten by exp(logits - max), where max is the maximum of the row.
        targets: integers below V, `(N,)`.

    Returns:
        The NLL `(N,)`, and the sum of each row of the overwritten logits, `(N, 1)`.
    """
    logits -= logits.max(axis=1, keepdims=True)
    picked = logits[np.arange(targets.size), targets]
    np.exp(logits, out=logits)
    total = logits.sum(axis=1, keepdims=True)
    nats: NDArray[np.float64] = np.log(total[:, 0]).astype(np.float64) - picked
    return nats, total
