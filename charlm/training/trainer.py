"""The state of a training run, and its step: truncated backpropagation through time."""

import math
import time
from collections.abc import Callable
from dataclasses import replace
from zlib import crc32

import numpy as np

from charlm.config import Budget, ModelConfig, SampleConfig, TrainConfig
from charlm.distributed.data_parallel import DataParallel
from charlm.distributed.process_group import SINGLE_PROCESS, ProcessGroup
from charlm.distributed.scheduling import default_shards
from charlm.errors import CheckpointError, DivergedError, RankError, TextError
from charlm.inference.sampling import sample
from charlm.inference.scoring import Score, perplexity, score
from charlm.nn.model import CharLM
from charlm.nn.optimizers import Optimizer, clip_norm, learning_rate
from charlm.nn.params import Params
from charlm.nn.workspace import Workspace
from charlm.system.arrays import Array
from charlm.system.available_memory import check_fits
from charlm.system.blas import one_blas_thread
from charlm.system.numerical_environment import environment, quiet_overflow
from charlm.text.batches import Streams
from charlm.text.corpus import Corpus
from charlm.text.id_sequences import IdSequence
from charlm.training.checkpoint import Checkpoint, CorpusInfo, TrainingProgress, TrainingState
from charlm.training.events import Eval, Step
from charlm.training.memory_estimate import check_training_fits

EVALUATIONS = 10  # in a run, where `eval_every` does not say otherwise
EVAL_CHARACTERS = 50_000
EVAL_STREAMS, EVAL_STREAM = 32, 1000  # at most so many, of so many characters at least
SAMPLE_CHARACTERS = 64
TRIAL_SECONDS = 5.0  # at most, to time a step
LOWER = 0.25  # of the learning rate, after training has diverged


class Trainer:
    """A model in training on a text.

    Args:
        corpus: the text.
        model_config: the shape of the network.
        config: how to train it.
        threads: how many processors carry the shards, 0 for all of them. The result does
            not depend on it.
        ranks: the processes that share the shards. Each has a trainer, and all call the same
            methods, but for those that only look; the result does not depend on them either.

    Raises:
        TextError: the text is too short to be split.
        ModelError: there is too little memory.
        RankError: a rank does not answer, now or in any method.
    """

    def __init__(
        self,
        corpus: Corpus,
        model_config: ModelConfig,
        config: TrainConfig,
        *,
        threads: int = 0,
        group: ProcessGroup = SINGLE_PROCESS,
    ) -> None:
        self.corpus, self.config, self.group, self.threads = corpus, config, group, threads
        self.vocabulary = corpus.vocabulary(config.min_count)
        train_ids, self.val_ids = corpus.split(self.vocabulary, config.val_fraction)
        self.train_characters = len(train_ids)
        check_training_fits(  # before an object is made of each layer
            model_config,
            len(self.vocabulary),
            config,
            characters=len(train_ids),
            held_out=len(self.val_ids),
            ranks=group.size,
        )
        self.model = CharLM(model_config, len(self.vocabulary))
        self.streams = Streams(train_ids, config.batch_size, config.seq_len, self.model.lookahead)
        self.p = self.model.init_params(np.random.default_rng(config.random_seed))
        self.best = self.p.flat.copy()
        self.optimizer = Optimizer(config.optimizer, self.p.flat)
        self.progress = TrainingProgress()
        batch_size = self.streams.batch_size
        shards = config.shards or default_shards(batch_size)
        self.shards = DataParallel(
            self.model, self.p, batch_size, shards, threads, group, in_order=config.in_order
        )
        self.environment = environment() | {"shards": str(self.shards.count)}
        self.streams.keep(self.shards.streams)
        everything = self.model.zero_state(batch_size)
        self.carried = tuple(part[self.shards.streams] for part in everything)
        self.info = CorpusInfo(
            corpus.sources,
            corpus.encoding,
            len(corpus),
            corpus.encoded.sha256,
            corpus.newlines,
        )

    @classmethod
    def resumed(
        cls,
        checkpoint: Checkpoint,
        corpus: Corpus,
        *,
        best: Checkpoint | None = None,
        threads: int = 0,
        group: ProcessGroup = SINGLE_PROCESS,
    ) -> "Trainer":
        """The trainer as it was when a checkpoint was saved.

        Args:
            checkpoint: one with a training state.
            corpus: the text it was trained on.
            best: the best checkpoint of the run; none where it is still fresh.
            threads: as for a new trainer.
            ranks: likewise.

        Raises:
            CheckpointError: the checkpoint has no training state, or one of other sizes.
            TextError: the text is not the one that it was trained on.
        """
        state = checkpoint.training
        if state is None:
            raise CheckpointError("the checkpoint holds a model without its training")
        trainer = cls(corpus, checkpoint.config, state.config, threads=threads, group=group)
        if trainer.info.sha256 != state.corpus.sha256:
            raise TextError(
                "the corpus has changed since training began; start a new run: it has "
                f"{len(corpus):,} characters now and had {state.corpus.characters:,}, "
                "or other ones"
            )
        if any(len(part) != trainer.streams.batch_size for part in state.carried):
            raise CheckpointError("the checkpoint's state does not fit its batch size")
        trainer._put_back(checkpoint.params.flat, state)
        trainer.progress = replace(state.progress, best_nats=None, best_step=0)
        trainer.best[:] = checkpoint.params.flat
        # the best may be younger than the last: it is saved first
        if best is not None and best.training is not None:
            reached = best.training.progress
            trainer.best[:] = best.params.flat
            trainer.progress = replace(
                trainer.progress, best_nats=reached.best_nats, best_step=reached.best_step
            )
        return trainer

    def _put_back(self, flat: Array, state: TrainingState) -> None:
        """The weights and all that changes with them as they were."""
        self.p.flat[:] = flat
        self.optimizer.moments[:] = state.moments
        self.carried = tuple(part[self.shards.streams] for part in state.carried)

    def roll_back(self, best: Checkpoint) -> None:
        """Go on from the best model, with a lower learning rate.

        Args:
            best: the checkpoint that was made when it was reached.
        """
        assert best.training is not None
        self._put_back(best.params.flat, best.training)
        self.best[:] = best.params.flat
        self.progress = replace(
            best.training.progress,
            steps=self.progress.steps,
            seconds=self.progress.seconds,
            rollbacks=self.progress.rollbacks + 1,
        )

    def plan(self, budget: Budget) -> None:
        """Fix the number of steps: minutes count from now, and a step is timed first."""
        if budget.minutes is not None:
            steps = (
                self.progress.step + self.group.all_gather(self._steps_in(60 * budget.minutes))[0]
            )
        elif budget.epochs is not None:
            steps = math.ceil(budget.epochs * self.steps_per_epoch)
        else:
            assert budget.steps is not None
            steps = budget.steps
        self.progress = replace(self.progress, steps=steps)

    @property
    def lr_factor(self) -> float:
        """By what the schedule's learning rate is multiplied: less after each setback."""
        return LOWER**self.progress.rollbacks

    @property
    def steps_per_epoch(self) -> float:
        """The steps in one pass over the text."""
        return self.streams.chunks_per_epoch / self.config.accumulate

    @property
    def eval_every(self) -> int:
        """The steps between two evaluations."""
        return self.config.eval_every or max(1, math.ceil(self.progress.steps / EVALUATIONS))

    def step(self) -> Step:
        """Learn from the next chunk of every stream, or the next ones.

        Raises:
            DivergedError: the perplexity or the gradient is not finite, and the weights are
                untouched; or a weight is not.
        """
        done, steps = self.progress.step, self.progress.steps
        return self._step(learning_rate(done, steps, self.config) * self.lr_factor)

    def _step(self, lr: float) -> Step:
        started = time.perf_counter()
        done = self.progress.step
        numbers = range(done * self.config.accumulate, (done + 1) * self.config.accumulate)
        chunks = [self.streams.chunk(number) for number in numbers]
        seed = (self.config.random_seed, done)
        loss, g, carried = self.shards.loss_and_grad(chunks, self.carried, seed)
        with quiet_overflow():
            norm = clip_norm(g.flat, self.config.clip)
        if not all(map(math.isfinite, (loss, perplexity(loss), norm))):
            raise self._diverged(f"the loss is {loss:g} and the norm of the gradient {norm:g}")
        with quiet_overflow():
            self.optimizer.step(self.p.flat, g.flat, lr, done + 1)
        self._check_finite("weight", self.p.flat)
        self.carried = carried
        seconds = time.perf_counter() - started
        self.progress = replace(
            self.progress,
            step=done + 1,
            seconds=self.progress.seconds + seconds,
        )
        characters = sum(len(chunk.x) for chunk in chunks) * self.streams.batch_size
        return Step(done + 1, loss, lr, norm, characters, seconds)

    def _diverged(self, cause: str) -> DivergedError:
        lr, clip = self.config.peak_lr * self.lr_factor, self.config.clip
        clipping = f"a lower --clip (it was {clip:g})" if clip else "a --clip of 1 (there was none)"
        advice = f"start a new run with a lower --lr (it was {lr:g}) or {clipping}"
        return DivergedError(self.progress.step + 1, cause, advice)

    def validate(self) -> Score:
        """Score the start of the held-out part in streams: the same characters every time."""
        ids = self.val_ids[:EVAL_CHARACTERS]
        streams = max(1, min(EVAL_STREAMS, len(ids) // EVAL_STREAM))
        return self.score(self.p, ids, streams)

    def score(
        self,
        p: Params,
        ids: IdSequence,
        streams: int = 1,
        progress: Callable[[int], object] = lambda characters: None,
    ) -> Score:
        """Score a text, all ranks together; see `evaluation.score`."""
        return score(
            self.model,
            p,
            ids,
            streams=streams,
            shards=self.shards.count,
            threads=self.threads,
            group=self.group,
            progress=progress,
        )

    def evaluate(self, since: list[Step]) -> Eval:
        """Validate, and remember the weights if they are the best so far.

        Args:
            since: the steps since the last evaluation.

        Raises:
            DivergedError: the perplexity is not finite.
            RankError: the ranks have come to different weights.
        """
        self._compare_weights()
        result = self.validate()
        if not all(map(math.isfinite, (result.nats_per_char, result.perplexity))):
            raise self._diverged(f"the validation loss is {result.nats_per_char:g}")
        best = self.progress.best_nats is None or result.nats_per_char <= self.progress.best_nats
        if best:
            self.best[:] = self.p.flat
            self.progress = replace(
                self.progress, best_nats=result.nats_per_char, best_step=self.progress.step
            )
        train = float(np.mean([s.nats_per_char for s in since])) if since else None
        return Eval(
            step=self.progress.step,
            train_nats_per_char=train,
            val_nats_per_char=result.nats_per_char,
            bits_per_char=result.bits_per_char,
            train_perplexity=None if train is None else perplexity(train),
            val_perplexity=result.perplexity,
            lr=since[-1].lr if since else None,
            grad_norm=float(np.mean([s.grad_norm for s in since])) if since else None,
            best=best,
            sample=self._sample() if self.group.rank == 0 else "",
        )

    def _compare_weights(self) -> None:
        """See that all ranks have the same weights: unlike processors round differently."""
        if self.group.size > 1:
            checksums = self.group.all_gather(crc32(self.p.flat.tobytes()))
            unlike = [rank for rank, checksum in enumerate(checksums) if checksum != checksums[0]]
            if unlike:
                raise RankError(
                    f"the weights of rank {', '.join(map(str, unlike))} are not those of rank 0; "
                    "start processes on machines of one kind, or set OPENBLAS_CORETYPE to one "
                    "that all of them have"
                )

    def _sample(self) -> str:
        """A short text, drawn after the first character of the held-out part.

        Of a bidirectional model, what it would put in each place of that part's beginning.
        """
        if self.model.config.bidirectional:
            return self._guesses()
        rng = np.random.default_rng((self.config.random_seed, self.progress.step))
        config = SampleConfig(length=SAMPLE_CHARACTERS)
        start, excluded_id = self.val_ids[:1], self.vocabulary.unk_id
        drawn = sample(self.model, self.p, start, config, rng, excluded_id=excluded_id)
        ids = [next(drawn)[0] for _ in range(config.length)]
        return self.vocabulary.decode(np.array(ids))

    def _guesses(self) -> str:
        """The most probable character at each place, given all around it."""
        stream = Streams(self.val_ids, 1, SAMPLE_CHARACTERS, self.model.lookahead)
        x, y, after, _ = stream.chunk(0)
        work, state = Workspace(self.p.flat.dtype), self.model.zero_state(1)
        logits, _ = self.model.logits(self.p, x, y, state, work, after)
        return self.vocabulary.decode(logits[:, 0].argmax(axis=1))

    def checkpoint(self, flat: Array | None = None) -> Checkpoint:
        """The trainer as it stands, for `checkpoint.save`, with its own weights or `flat`.

        Raises:
            DivergedError: a number is not finite, so that no good checkpoint is overwritten.
        """
        params = self.p if flat is None else Params(self.p.shapes, flat=flat)
        parts = zip(*self.group.all_gather(self.carried), strict=True)
        carried = tuple(np.concatenate(part) for part in parts)
        self._check_finite("weight", self.p.flat)
        self._check_finite("moment of the optimizer", self.optimizer.moments)
        self._check_finite("state", *carried)
        state = TrainingState(
            self.config,
            self.progress,
            self.info,
            self.optimizer.moments,
            carried,
            self.environment,
        )
        return Checkpoint(self.model.config, self.vocabulary, params, state)

    def _check_finite(self, what: str, *arrays: Array) -> None:
        if not all(np.isfinite(array).all() for array in arrays):
            raise self._diverged(f"a {what} is not finite")

    def _steps_in(self, seconds: float) -> int:
        """How many steps fit into so many seconds, evaluations included, by trying some.

        The weights and all else are then put back, so that what was tried leaves no trace.
        """
        started = time.perf_counter()
        copies = self.p.flat.nbytes + self.optimizer.moments.nbytes
        check_fits(copies, "timing some steps of the model", "pass --steps")
        kept = self.p.flat.copy(), self.optimizer.moments.copy(), self.carried, self.progress
        self.progress = replace(self.progress, step=0)
        tries: list[float] = []
        with one_blas_thread():
            while self._needs_another(tries, seconds):
                tries.append(self._step(0.0).seconds)  # which cannot diverge
            an_evaluation = _timed(self.validate)
        self.p.flat[:], self.optimizer.moments[:], self.carried, self.progress = kept
        # one evaluation at the start, and at the end the whole held-out part
        evaluations = EVALUATIONS + 1 + max(1, len(self.val_ids) / EVAL_CHARACTERS)
        left = seconds - evaluations * an_evaluation - (time.perf_counter() - started)
        return max(1, int(left / float(np.median(tries[1:]))))

    def _needs_another(self, tries: list[float], seconds: float) -> bool:
        """Whether to time one more step; rank 0 decides."""
        enough = min(0.03 * seconds, TRIAL_SECONDS)
        return self.group.all_gather(len(tries) < 3 or sum(tries) < enough)[0]


def _timed(action: Callable[[], object]) -> float:
    """The seconds that it takes."""
    started = time.perf_counter()
    action()
    return time.perf_counter() - started
