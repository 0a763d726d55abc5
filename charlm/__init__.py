"""Character-level recurrent language models in NumPy.

    import charlm

    text = open("corpus.txt", encoding="utf-8").read()
    model = charlm.train(text)                    # or charlm.load("runs/corpus-1")
    model.perplexity("machine")
    "".join(model.sample("machine", length=200))
    model.save("model.npz")

`train` takes a text, or the `Corpus` that `Corpus.read` makes of files, and settings: `ModelConfig`
for the architecture of the network, `TrainConfig` for the optimizer, `Budget` for how long.
`train` and `load` return a `LanguageModel`, which scores, samples, fills and proofreads text;
`classify` compares several. `join` returns the processes that mpiexec started.

Whatever charlm refuses is a `CharlmError`; `charlm.errors` lists the kinds. Names that are not in
`charlm.__all__` may change.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

if TYPE_CHECKING:
    from charlm.api import load, train
    from charlm.config import Budget, ModelConfig, SampleConfig, TrainConfig
    from charlm.distributed.join import join
    from charlm.errors import CharlmError
    from charlm.inference.classification import classify
    from charlm.language_model import LanguageModel
    from charlm.text.config import TextConfig
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
    "TextConfig": "text.config",
    "TrainConfig": "config",
    "classify": "inference.classification",
    "join": "distributed.join",
    "load": "api",
    "train": "api",
}


_MODULES = ("config", "errors")  # that `import charlm` makes available too


def __getattr__(name: str) -> Any:
    """Load NumPy on first use: the command line sets the variables of BLAS before."""
    if name in _MODULES:
        return import_module(f"charlm.{name}")
    if name not in _HOMES:
        raise AttributeError(f"module 'charlm' has no attribute {name!r}")
    return getattr(import_module(f"charlm.{_HOMES[name]}"), name)


def __dir__() -> list[str]:
    return sorted([*__all__, *_MODULES, *(name for name in globals() if name.startswith("__"))])
