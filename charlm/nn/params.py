"""All parameters in one flat vector, with named views into it."""

from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np
from numpy.typing import DTypeLike

from charlm.system.arrays import Array, aligned

Shapes = Mapping[str, tuple[int, ...]]


class Params(Mapping[str, Array]):
    """Named arrays that are views of one contiguous vector.

    Clipping, optimizers, checkpoints and sums over shards use `flat`; layers use arrays by name.
    Arrays are written in place, never replaced.

    Args:
        shapes: the name and shape of each array, in memory order. A dot separates the parts of a
            name: `1.W` is the array `W` of layer 1.
        flat: the vector, `(sum of sizes,)`; by default a new one of zeros.
        dtype: the type of a new vector.
    """

    def __init__(
        self, shapes: Shapes, *, flat: Array | None = None, dtype: DTypeLike = np.float32
    ) -> None:
        self.shapes = dict(shapes)
        sizes = [int(np.prod(shape, dtype=np.int64)) for shape in self.shapes.values()]
        ends = np.cumsum(sizes, dtype=np.int64).tolist()
        self.flat = aligned(sum(sizes), dtype) if flat is None else flat
        if flat is None:
            self.flat.fill(0)
        self._views = {
            name: self.flat[end - size : end].reshape(shape)
            for (name, shape), size, end in zip(self.shapes.items(), sizes, ends, strict=True)
        }
        self._ends = dict(zip(self.shapes, ends, strict=True))
        self._scopes: dict[str, Params] = {}

    def __getitem__(self, name: str) -> Array:
        return self._views[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._views)

    def __len__(self) -> int:
        return len(self._views)

    def scope(self, prefix: str) -> "Params":
        """The parameters whose names start with `prefix.`, without the prefix; memory is shared."""
        if prefix not in self._scopes:
            self._scopes[prefix] = self._make_scope(prefix + ".")
        return self._scopes[prefix]

    def _make_scope(self, prefix: str) -> "Params":
        names = [name for name in self.shapes if name.startswith(prefix)]
        shapes = {name.removeprefix(prefix): self.shapes[name] for name in names}
        if not names:
            return Params({}, flat=self.flat[:0])
        start = self._ends[names[0]] - self._views[names[0]].size
        return Params(shapes, flat=self.flat[start : self._ends[names[-1]]])

    def __reduce__(self) -> tuple[Callable[..., "Params"], tuple[Any, ...]]:
        return _unpickled, (self.shapes, self.flat)

    def zeros_like(self) -> "Params":
        """Zeros with the same names, shapes and type, such as for gradients."""
        return Params(self.shapes, dtype=self.flat.dtype)


def _unpickled(shapes: Shapes, flat: Array) -> Params:
    return Params(shapes, flat=flat)


def scoped(prefix: str, shapes: Shapes) -> dict[str, tuple[int, ...]]:
    """The same shapes, with names that start with `prefix.`."""
    return {f"{prefix}.{name}": shape for name, shape in shapes.items()}
