"""Character-level recurrent language models in NumPy.

import charlm

model = charlm.train(text)                    # or charlm.load("runs/corpus-1")
model.perplexity("machine")
"".join(model.sample("machine", length=200))
model.save("model.npz")
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

if TYPE_CHECKING:
    from charlm.api import load, train
    from charlm.config import Budget, ModelConfig, SampleConfig, TextConfig, TrainConfig
    from charlm.distributed.join import join
    from charlm.errors import CharlmError
    from charlm.inference.classification import classify
    from charlm.language_model import LanguageModel
    from charlm.text.corpus import Corpus

__all__ = [
    "Budget",
    "CharlmError",
    "Corpus",
    "LanguageModel",
    "ModelConfig",
    "SampleConfig",
    "TextConfig",
    "TrainConfig",
    "classify",
    "join",
    "load",
    "train",
]

_HOMES = {
    "Budget": "config",
    "CharlmError": "errors",
    "Corpus": "text.corpus",
    "LanguageModel": "language_model",
    "ModelConfig": "config",
    "SampleConfig": "config",
    "TextConfig": "config",
    "TrainConfig": "config",
    "classify": "inference.classification",
    "join": "distributed.join",
    "load": "api",
    "train": "api",
}


def __getattr__(name: str) -> Any:
    """Load NumPy on first use: the command line sets the variables of BLAS before."""
    if name not in _HOMES:
        raise AttributeError(f"module 'charlm' has no attribute {name!r}")
    return getattr(import_module(f"charlm.{_HOMES[name]}"), name)
