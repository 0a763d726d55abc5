"""The statistics of the fields: area under a ROC curve, correlation, explained variance."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

Floats = NDArray[np.float64]


def auc(positives: ArrayLike, negatives: ArrayLike) -> float:
    """The area under the ROC curve: P(positive > negative) + P(equal) / 2.

    That is the statistic U of Mann and Whitney, divided by the number of pairs.
    """
    ordered = np.sort(np.asarray(negatives, np.float64))
    below = np.searchsorted(ordered, positives, side="left")
    not_above = np.searchsorted(ordered, positives, side="right")
    return float((below + not_above).mean() / 2 / len(ordered))


def correlation(x: Floats, y: Floats) -> float:
    """Pearson's correlation."""
    return float(np.corrcoef(x, y)[0, 1])


def explained(y: Floats, predictors: Sequence[Floats]) -> float:
    """R² of the least-squares regression of y on predictors `(n,)` and a constant."""
    X = np.column_stack([np.ones(len(y)), *predictors])
    residuals = y - X @ np.linalg.lstsq(X, y, rcond=None)[0]
    return 1 - float(residuals.var() / y.var())
