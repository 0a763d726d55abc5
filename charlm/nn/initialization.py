"""Initial weights."""

import numpy as np

from charlm.system.arrays import Array


def orthogonal(rows: int, columns: int, rng: np.random.Generator) -> Array:
    """A random matrix whose rows or columns, whichever are fewer, are orthonormal.

    The Q of a Gaussian matrix, its signs fixed so that Q is uniformly distributed
    (Saxe, McClelland & Ganguli 2014): repeated products neither shrink nor grow.
    """
    tall = rng.standard_normal((max(rows, columns), min(rows, columns)))
    Q, R = np.linalg.qr(tall)
    Q *= np.sign(np.diag(R))
    return Q if rows >= columns else Q.T


def orthogonal_blocks(blocks: int, H: int, rng: np.random.Generator) -> Array:
    """`blocks` square orthogonal matrices, side by side, `(H, blocks·H)`."""
    return np.concatenate([orthogonal(H, H, rng) for _ in range(blocks)], axis=1)


def init_operand_weights(W: Array, H: int, rng: np.random.Generator, *, reads_ids: bool) -> None:
    """Write initial weights of [h, 1, x]: orthogonal, zeros, and those of the input.

    Args:
        W: `(H+1+inputs, gates·H)`.
        H: the width of h.
        rng: draws.
        reads_ids: whether x is ids.
    """
    inputs, columns = len(W) - H - 1, W.shape[1]
    W[:H] = orthogonal_blocks(columns // H, H, rng)
    W[H] = 0
    W[H + 1 :] = input_weights(inputs, columns, rng, reads_ids=reads_ids)


def input_weights(inputs: int, columns: int, rng: np.random.Generator, *, reads_ids: bool) -> Array:
    """Weights of the input, `(inputs, columns)`.

    Of one-hot input only one row acts at a time, so each is drawn as a vector of its own
    from N(0, 1), as embeddings are. Scaled for many inputs at once, characters would hardly
    differ at first, and learning would start slowly.
    """
    if reads_ids:
        return rng.standard_normal((inputs, columns))
    return glorot(inputs, columns, rng)


def glorot(rows: int, columns: int, rng: np.random.Generator) -> Array:
    """Uniform within ±sqrt(6 / (rows + columns)) (Glorot & Bengio 2010)."""
    limit = np.sqrt(6 / (rows + columns))
    return rng.uniform(-limit, limit, (rows, columns))
