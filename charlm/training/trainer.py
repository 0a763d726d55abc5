"""The state of a training run, and its step: truncated backpropagation through time."""

import math
import time
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from charlm.config import TrainConfig
from charlm.distributed.data_parallel import DataParallel
from charlm.errors import DivergedError
from charlm.inference.scoring import perplexity
from charlm.nn.optimizers import Optimizer, clip_norm, learning_rate
from charlm.nn.params import Params
from charlm.system.arrays import Array
from charlm.system.numerical_environment import environment, quiet_overflow
from charlm.text.batches import Streams
from charlm.text.corpus import Corpus
from charlm.text.document_streams import DocumentStreams
from charlm.text.splits import Texts
from charlm.text.vocabulary import Vocabulary
from charlm.training.checkpoint import Checkpoint, CorpusInfo, TrainingProgress, TrainingState
from charlm.training.events import Step

FEWEST_SCORED, MOST_SCORED = 1_000, 50_000  # characters of an evaluation
TRAINED_PER_SCORED = 75  # so evaluations take less than a tenth of the time of training
AS_SET = ".15g"  # all digits of a number that a user set
LR_FACTOR = 0.25  # of the learning rate, after each rollback


@dataclass(frozen=True)
class Data:
    """A corpus, its vocabulary, and the texts for training and for validation.

    Attributes:
        corpus: the corpus.
        vocabulary: its vocabulary.
        train: the training split.
        val: the validation split; empty if there is none.
        validation: the corpus of the validation split, if that is not held out of the first one.
        unknown: the number of its characters that are not in the vocabulary.
    """

    corpus: Corpus
    vocabulary: Vocabulary
    train: Texts
    val: Texts
    validation: Corpus | None = None
    unknown: int = 0

    @cached_property
    def info(self) -> CorpusInfo:
        """The description of the corpus that a checkpoint keeps."""
        return CorpusInfo.of(self.corpus, self.validation)


class Trainer:
    """A model in training; `charlm.training.setup` makes one.

    Every rank of a process group has a trainer, and all of them call the same methods. The result
    does not depend on the ranks.

    Args:
        data: the corpus and its split.
        config: how to train.
        streams: the parallel streams of the training split.
        parallel: the model, its parameters, and the processes that compute their gradients.

    Attributes:
        best: the parameters with the lowest validation loss, a flat vector; without validation,
            those of the last evaluation.
        progress: how far training has come.
        carried: the state of the streams of this rank, arrays `(B, features)`.
    """

    def __init__(
        self,
        data: Data,
        config: TrainConfig,
        streams: Streams | DocumentStreams,
        parallel: DataParallel,
    ) -> None:
        self.data, self.config, self.streams, self.parallel = data, config, streams, parallel
        self.model, self.p, self.group = parallel.model, parallel.p, parallel.group
        self.best = self.p.flat.copy()
        self.optimizer = Optimizer(config.optimizer, self.p.flat)
        self.progress = TrainingProgress()
        self.environment = environment() | {"shards": str(parallel.count)}
        self.carried = self._own(self.model.zero_state(streams.batch_size))

    def _own(self, state: tuple[Array, ...]) -> tuple[Array, ...]:
        """The state of this rank's streams, given that of all streams."""
        return tuple(part[self.parallel.streams] for part in state)

    @property
    def best_params(self) -> Params:
        """The parameters with the lowest validation loss."""
        return Params(self.p.shapes, flat=self.best)

    @property
    def lr_factor(self) -> float:
        """The factor of the scheduled learning rate, which is lower after each rollback."""
        return LR_FACTOR**self.progress.rollbacks

    @property
    def steps_per_epoch(self) -> float:
        """The number of steps in one pass over the training split."""
        return self.streams.chunks_per_epoch / self.config.accumulate

    @property
    def eval_every(self) -> int:
        """The number of steps between two evaluations."""
        return self.progress.eval_every(self.config)

    @property
    def characters_per_step(self) -> float:
        """The mean number of characters of a step."""
        return self.data.train.targets / self.steps_per_epoch

    @property
    def eval_characters(self) -> int:
        """The number of characters of an evaluation, in proportion to those of the run."""
        trained = self.progress.steps * self.characters_per_step
        return int(min(max(FEWEST_SCORED, trained / TRAINED_PER_SCORED), MOST_SCORED))

    def step(self, lr: float | None = None) -> Step:
        """Update the parameters with the next chunks of all streams.

        Args:
            lr: the learning rate; by default that of the schedule.

        Raises:
            DivergedError: the loss or the gradient is not finite, and the parameters are unchanged;
                or a parameter is not finite.
        """
        started = time.perf_counter()
        done = self.progress.step
        if lr is None:
            lr = learning_rate(done, self.progress.steps, self.config) * self.lr_factor
        numbers = range(done * self.config.accumulate, (done + 1) * self.config.accumulate)
        chunks = [self.streams.chunk(number) for number in numbers]
        seed = (self.config.random_seed, done)
        loss, g, carried = self.parallel.loss_and_grad(chunks, self.carried, seed)
        with quiet_overflow():
            norm = clip_norm(g.flat, self.config.clip)
        if not all(map(math.isfinite, (loss, perplexity(loss), norm))):
            raise self.diverged(f"the loss is {loss:g} and the gradient norm is {norm:g}")
        with quiet_overflow():
            self.optimizer.step(self.p.flat, g.flat, lr, done + 1)
        self._check_finite("a parameter", self.p.flat)
        self.carried = carried
        seconds = time.perf_counter() - started
        self.progress = replace(
            self.progress, step=done + 1, seconds=self.progress.seconds + seconds
        )
        characters = sum(len(chunk.x) for chunk in chunks) * self.streams.batch_size
        return Step(done + 1, loss, lr, norm, characters, seconds)

    def keep_if_best(self, val_nats_per_char: float | None) -> bool:
        """Keep the parameters if no validation loss was lower; return whether they were kept.

        Without validation, the newest ones are always kept.
        """
        best = self.progress.best_nats
        is_best = best is None or val_nats_per_char is None or val_nats_per_char <= best
        if is_best:
            self.best[:] = self.p.flat
            self.progress = replace(
                self.progress, best_nats=val_nats_per_char, best_step=self.progress.step
            )
        return is_best

    def diverged(self, cause: str) -> DivergedError:
        """The error for a value that is not finite."""
        lr, clip = self.config.peak_lr, self.config.clip
        clipping = f"a lower `clip` (it was {clip:{AS_SET}})" if clip else "`clip=1` (it was off)"
        advice = f"start a new run with a lower `lr` (it was {lr:{AS_SET}}) or {clipping}"
        return DivergedError(self.progress.step + 1, cause, advice)

    def checkpoint(self) -> Checkpoint:
        """The model and its training state.

        Raises:
            DivergedError: a number is not finite. Such a checkpoint never replaces a good one.
        """
        parts = zip(*self.group.all_gather(self.carried), strict=True)
        carried = tuple(np.concatenate(part) for part in parts)
        self._check_finite("a parameter", self.p.flat)
        self._check_finite("an optimizer moment", self.optimizer.moments)
        self._check_finite("a state", *carried)
        state = TrainingState(
            self.config,
            self.progress,
            self.data.info,
            self.optimizer.moments,
            carried,
            self.environment,
        )
        text = self.data.corpus.config
        return Checkpoint(self.model.config, self.data.vocabulary, self.p, state, text)

    def _check_finite(self, what: str, *arrays: Array) -> None:
        if not all(np.isfinite(array).all() for array in arrays):
            raise self.diverged(f"{what} is not finite")

    def restore(self, last: Checkpoint, best: Checkpoint | None = None) -> None:
        """Continue from a checkpoint.

        Args:
            last: a checkpoint with a training state.
            best: the best checkpoint of the run. It can be newer than `last`, since it is saved
                first. None if the run has not begun.
        """
        assert last.training is not None
        self.p.flat[:] = last.params.flat
        self.optimizer.moments[:] = last.training.moments
        self.carried = self._own(last.training.carried)
        reached = best.training.progress if best and best.training else TrainingProgress()
        self.best[:] = (best or last).params.flat
        self.progress = replace(
            last.training.progress, best_nats=reached.best_nats, best_step=reached.best_step
        )

    def roll_back(self, best: Checkpoint) -> None:
        """Continue from the best checkpoint, with a lower learning rate."""
        now = self.progress
        self.restore(best, best)
        self.progress = replace(
            self.progress, steps=now.steps, seconds=now.seconds, rollbacks=now.rollbacks + 1
        )
