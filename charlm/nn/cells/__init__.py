"""The recurrent cells, one per file, each with its equations at the top.

To add a cell, write its file, its line in `charlm.config.CELLS`, and its step in `reference.py`. A
cell does not depend on the layers above and below it.
"""

from collections.abc import Callable
from importlib import import_module

from charlm import config
from charlm.nn.cells.protocol import Cell


def _class_of(name: str) -> Callable[..., Cell]:
    module = import_module(f"charlm.nn.cells.{name.replace('-', '_')}")
    cell: Callable[..., Cell] = getattr(module, config.CELLS[name].class_name)
    return cell


# A cell is created by `CELLS[name](inputs, hidden, reads_ids=...)`; the initial weights of a layer
# that reads ids differ from those of a layer that reads vectors. `rnn` and `jordan` also take an
# `activation`, and `jordan`, which has its own output layer, its `width`.
CELLS = {name: _class_of(name) for name in config.CELLS}
