"""The entry points of the library: load a model, train one. `language_model.py` has the rest."""

import os
import signal
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

from charlm import checks
from charlm.checks import checked, instance, optional, whole
from charlm.config import DEFAULT_MINUTES, Budget, ModelConfig, TrainConfig
from charlm.distributed.agreement import arguments, check_options
from charlm.distributed.process_group import SINGLE_PROCESS, ProcessGroup
from charlm.errors import CheckpointError
from charlm.language_model import LanguageModel
from charlm.system.callbacks import ignore
from charlm.system.signals import noted
from charlm.text.corpus import Corpus
from charlm.training import checkpoint
from charlm.training.budget import plan
from charlm.training.defaults import choose_for, measured_speed
from charlm.training.events import Done, Record
from charlm.training.loop import train as run_training
from charlm.training.run_directory import RunDirectory, model_file
from charlm.training.setup import set_up
from charlm.training.validation import keep_if_best


@checked(path=checks.path)
def load(path: str | Path) -> LanguageModel:
    """Load a model from a `.npz` file, or from the `best.npz` of a run directory.

    Raises:
        ConfigError: `path` is not a path.
        CheckpointError: the file is missing, damaged, or not a checkpoint.
    """
    file = model_file(path)
    if file != path and not file.exists():
        raise CheckpointError(
            f"{path} has no {file.name}, so it is not the directory of a run; specify a .npz file "
            "or a run directory"
        )
    read = checkpoint.load(file)
    return LanguageModel(read.config, read.vocabulary, read.params, read.training, read.text)


_text = instance(
    (str, list, tuple, os.PathLike, Corpus),
    "a string, a list of documents, or a Corpus, as from Corpus.read(path)",
)


@checked(
    text=_text,
    model=optional(instance(ModelConfig, "a ModelConfig")),
    config=optional(instance(TrainConfig, "a TrainConfig")),
    budget=optional(instance(Budget, "a Budget, such as Budget(minutes=1)")),
    validation=optional(_text),
    out=optional(checks.path),
    on_record=checks.function,
    threads=whole(0),
    ranks=instance(ProcessGroup, "a process group, from charlm.join()"),
)
def train(
    text: str | list[str] | tuple[str, ...] | Corpus,
    model: ModelConfig | None = None,
    config: TrainConfig | None = None,
    budget: Budget | None = None,
    *,
    validation: str | list[str] | tuple[str, ...] | Corpus | None = None,
    out: str | Path | None = None,
    on_record: Callable[[Record], object] = ignore,
    threads: int = 0,
    ranks: ProcessGroup = SINGLE_PROCESS,
) -> LanguageModel:
    """Train a model on a text, and return the model with the lowest validation loss.

    The model has only weights. To resume a run, give `out` and use `charlm train --resume`, for the
    corpus of a string with a file that has the same text.

    An interrupt (Ctrl-C) ends training after the current step. Then there is no `Done`; with `out`
    the run is saved and can be resumed; and the model is the one after this step if it is better
    than all evaluated ones. A second interrupt, and one before the first step is complete, raises
    `KeyboardInterrupt`. Python interrupts only the main thread, and a program that handles SIGINT
    itself keeps its handler.

    Args:
        text: the text, of which the end is held out for validation; a list of documents, some of
            which are held out; or the result of `Corpus.read` for files. A path in its place is
            refused.
        model: the architecture of the network; by default one that suits the text and the budget.
        config: how to train it; by default as suits the text, the budget and the model.
        budget: how long to train; by default one minute.
        validation: a text or documents for validation, as `text`; then nothing of `text` is held
            out. Characters that `text` does not have become the unknown token, or are left out
            if there is none.
        out: a directory for checkpoints and history; by default no files are written.
        on_record: called with each event: `Start`, `Step`, `Eval`, `Rollback`, `Done`.
        threads: the number of processors to use, 0 for all. The result does not depend on it.
        ranks: the process group that shares the work, from `charlm.join()`. Each rank calls this
            and gets the model; rank 0 writes to `out`.

    Raises:
        ConfigError: an argument has an invalid value.
        TextError: a text is too short, or is the path of a file; or one consists of documents and
            the other does not.
        ModelError: there is not enough memory.
        RunError: `out` contains a run, is in use, or cannot be written.
        DivergedError: the loss or the gradient was not finite; with `out`, after several rollbacks.
        RankError: a rank does not respond, or has other arguments or software.
    """
    corpus = text if isinstance(text, Corpus) else Corpus.of(text)
    if validation is not None and not isinstance(validation, Corpus):
        validation = Corpus.of(checks.corpus_text("validation", validation), corpus.config)
    budget = budget or Budget(minutes=DEFAULT_MINUTES)
    of_model, of_training = vars(model) if model else {}, vars(config) if config else {}
    shared = arguments({"out": out, **of_model, **of_training, **vars(budget)})
    shared |= {"the SHA-256 of the text": corpus.encoded.sha256}
    shared |= {"the SHA-256 of the validation text": validation and validation.encoded.sha256}
    check_options(ranks, shared)
    if model is None or config is None:
        speed = ranks.broadcast(lambda: measured_speed(threads or ranks.cores))
        distinct = len(corpus.vocabulary(config.min_count if config else 1))
        model, config = choose_for(budget, speed, len(corpus), distinct, of_model, of_training)
    trainer = set_up(corpus, model, config, validation=validation, threads=threads, group=ranks)
    with ExitStack() as stack:
        directory = None if out is None else ranks.broadcast(lambda: _claimed(Path(out), stack))
        plan(trainer, budget)
        writes = directory if ranks.rank == 0 else None
        with noted(_interrupt(), lambda: trainer.progress.step > 0) as received:
            for record in run_training(trainer, writes, lambda: bool(received)):
                on_record(record)
            if not isinstance(record, Done):
                keep_if_best(trainer)
    return LanguageModel(
        trainer.model.config,
        trainer.data.vocabulary,
        trainer.best_params,
        text_config=corpus.config,
    )


def _interrupt() -> list[int]:
    """The signal of an interrupt, unless the program handles it itself."""
    is_default = signal.getsignal(signal.SIGINT) is signal.default_int_handler
    return [signal.SIGINT] if is_default else []


def _claimed(path: Path, stack: ExitStack) -> RunDirectory:
    """The directory of a new run, locked until the stack is closed."""
    directory = RunDirectory(path)
    stack.enter_context(directory.held())
    directory.check_free()
    return directory
