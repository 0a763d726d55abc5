"""charlm as a library: load a model, train one. What it can do then is in `language_model.py`."""

from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

from charlm.config import Budget, ModelConfig, TrainConfig
from charlm.distributed.process_group import SINGLE_PROCESS, ProcessGroup
from charlm.language_model import LanguageModel
from charlm.text.corpus import Corpus
from charlm.training import checkpoint
from charlm.training.events import Record
from charlm.training.loop import train as run_training
from charlm.training.run_directory import RunDirectory, model_file
from charlm.training.trainer import Trainer


def load(path: str | Path) -> LanguageModel:
    """Read a model from a `.npz`, or from a run's directory, which means its `best.npz`.

    Raises:
        CheckpointError: the file is missing, is not a checkpoint, or is damaged.
    """
    read = checkpoint.load(model_file(path))
    return LanguageModel(read.config, read.vocabulary, read.params, read.training)


def train(
    text: str | Corpus,
    model: ModelConfig | None = None,
    config: TrainConfig | None = None,
    budget: Budget | None = None,
    *,
    out: str | Path | None = None,
    on_record: Callable[[Record], None] = lambda record: None,
    threads: int = 0,
    ranks: ProcessGroup = SINGLE_PROCESS,
) -> LanguageModel:
    """Train a model on a text and return the best one that validation saw.

    Args:
        text: the corpus, or what `Corpus.read` makes of files; its last part is held out for
            validation.
        model: the shape of the network.
        config: how to train it.
        budget: for how long; a minute by default.
        out: a directory for checkpoints and history; by default nothing is written.
        on_record: called with each record: `Start`, `Step`, `Eval`, `Done`.
        threads: how many processors to use, 0 for all; the result does not depend
            on it.
        ranks: with which processes to share the work: `charlm.join()` gives those that
            mpiexec started. Each of them calls this, and gets the model; rank 0 writes to `out`.

    Raises:
        TextError: the text is too short.
        ModelError: there is too little memory.
        RunError: `out` holds a run, is in use, or cannot be written to.
        DivergedError: the loss or the gradient became a NaN or an infinity; with `out`, after
            going back to the best model and lowering the learning rate several times.
        RankError: a process does not answer.
    """
    config = config or TrainConfig()
    corpus = Corpus.of(text) if isinstance(text, str) else text
    trainer = Trainer(corpus, model or ModelConfig(), config, threads=threads, group=ranks)
    with ExitStack() as stack:
        directory = None if out is None else ranks.broadcast(lambda: _claimed(Path(out), stack))
        trainer.plan(budget or Budget(minutes=1))
        for record in run_training(trainer, directory if ranks.rank == 0 else None):
            on_record(record)
    best = trainer.checkpoint(trainer.best)
    return LanguageModel(best.config, best.vocabulary, best.params, best.training)


def _claimed(path: Path, stack: ExitStack) -> RunDirectory:
    """The directory of a new run, which is held until the end."""
    directory = RunDirectory(path)
    stack.enter_context(directory.held())
    directory.check_free()
    return directory
