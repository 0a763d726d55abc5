"""Initial weights."""

import numpy as np

from charlm.system.arrays import Array


def orthogonal(rows: int, columns: int, rng: np.random.Generator) -> Array:
    """A random matrix whose rows or columns, whichever are fewer, are orthonormal.

    It is the Q of a Gaussian matrix, with signs such that Q is uniformly distributed (Saxe,
    McClelland & Ganguli 2014). Repeated products neither shrink nor grow.
    """
    tall = rng.standard_normal((max(rows, columns), min(rows, columns)))
    Q, R = np.linalg.qr(tall)
    Q *= np.sign(np.diag(R))
    return Q if rows >= columns else Q.T


def orthogonal_blocks(blocks: int, H: int, rng: np.random.Generator) -> Array:
    """The columns of `blocks` orthogonal matrices `(H, H)`, `(H, blocks·H)`."""
    return np.concatenate([orthogonal(H, H, rng) for _ in range(blocks)], axis=1)


def init_operand_weights(W: Array, H: int, rng: np.random.Generator, *, reads_ids: bool) -> None:
    """Write the initial weights of [h, 1, x]: orthogonal, zero, and input weights.

    Args:
        W: `(H+1+inputs, gates·H)`.
        H: the width of h.
        rng: the random generator.
        reads_ids: whether x is ids.
    """
    inputs, columns = len(W) - H - 1, W.shape[1]
    W[:H] = orthogonal_blocks(columns // H, H, rng)
    W[H] = 0
    W[H + 1 :] = input_weights(inputs, columns, rng, reads_ids=reads_ids)


def input_weights(inputs: int, columns: int, rng: np.random.Generator, *, reads_ids: bool) -> Array:
    """The initial weights of the input, `(inputs, columns)`.

    They are drawn from N(0, 1) for one-hot input, of which one row is active, and from N(0, 1/I)
    for the I features of an embedding or a layer. So their product with the input has the same
    scale for both (LeCun et al. 1998). With a smaller one, characters would barely differ at first,
    and learning would start slowly.
    """
    active = 1 if reads_ids else inputs
    weights: Array = rng.standard_normal((inputs, columns)) / np.sqrt(active)
    return weights


def glorot(rows: int, columns: int, rng: np.random.Generator) -> Array:
    """Uniform within ±sqrt(6 / (rows + columns)) (Glorot & Bengio 2010)."""
    limit = np.sqrt(6 / (rows + columns))
    return rng.uniform(-limit, limit, (rows, columns))
