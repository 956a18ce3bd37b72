"""The training loop, to be read top to bottom: it yields events, obeys `Controls` between steps, knows no watcher."""

import math
import time
import traceback
from collections.abc import Generator, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from nnlab.core.controls import Controls
from nnlab.core.data.prepare import Prepared
from nnlab.core.device import pick_device, thread_limit, threads_for
from nnlab.core.errors import NNLabError, RunError
from nnlab.core.events import Changed, EpochDone, Event, Finished, Progress, Reason, Started, Warned
from nnlab.core.learners.choice import choose
from nnlab.core.learners.protocol import Learner
from nnlab.core.metrics import check_monitor, metrics_for
from nnlab.core.models.custom import Maker
from nnlab.core.optimizers import OPTIMIZERS
from nnlab.core.precision import check_precision, matmul_precision
from nnlab.core.probe import Probe
from nnlab.core.randomness import PrivateRandom, row_order
from nnlab.core.samples import due
from nnlab.core.schedules import Clock, Losses, factor
from nnlab.core.spec import TrainSpec, part_values

SCHEDULED = {"dropout": "dropout_schedule", "weight_decay": "decay_schedule"}
TICK = 0.05  # seconds between two looks at the clock's Progress: 20 a second


@dataclass(frozen=True)
class Job:
    """A run that is ready to start: what to do, on what, by whom, with which random numbers. probe: who looks on."""

    spec: TrainSpec
    data: Prepared
    learner: Learner
    random: PrivateRandom
    probe: Probe | None = None


def set_up(spec: TrainSpec, data: Prepared, maker: Maker = None) -> Job:
    """Build network and optimizer from the run's seed; SpecError or RunError for what cannot be trained."""
    check_monitor(spec.monitor, metrics_for(data.task, spec.metrics))
    device = pick_device(spec.device)
    check_precision(spec, device)
    random = PrivateRandom(spec.seed, device)
    with random:
        learner = choose(spec, data, device, maker, steps=sum(steps_by_epoch(spec, len(data.train.y))))
    return Job(spec, data, learner, random)


def batch_for(rows: int) -> int:
    """Rows per step where the user leaves it open: 256, below 8,000 rows 128; smaller ones did worse on all tables."""
    return 256 if rows >= 8_000 else 128


def steps_by_epoch(spec: TrainSpec, rows: int) -> list[int]:
    """Steps of each epoch, of nearly equal size: no crumb of a last batch."""
    whole = OPTIMIZERS[spec.optimizer.name].facts.get("full_batch")
    batch = rows if whole else spec.batch_size or batch_for(rows)
    growth = (spec.batch_growth - 1.0) / max(1, spec.epochs - 1)
    return [math.ceil(rows / min(rows, batch * (1.0 + growth * epoch))) for epoch in range(spec.epochs)]


def train(job: Job, controls: Controls) -> Generator[Event, None, None]:
    """Run the job. However it ends, the model then holds the best epoch's weights and the last event is Finished."""
    loop, best = _Loop(job, controls), _Best(job)
    began = time.perf_counter()
    yield loop.started()
    reason: Reason = "completed"
    epoch = 0
    try:
        with thread_limit(loop.threads), matmul_precision(job.spec.tf32):
            for number in range(1, job.spec.epochs + 1):
                yield from loop.steps_of(number)
                if controls.stop_reason and epoch:
                    break  # the cut epoch is given up, a whole one is there
                done = loop.validated(number, best)
                epoch = number
                yield done
                if not math.isfinite(done.train["loss"]):
                    reason = "diverged"
                    break
                if controls.stop_reason:
                    break
                if best.waited(number) >= (job.spec.patience or math.inf):
                    reason = "stopped_early"
                    break
        reason = controls.stop_reason or reason
        best.restore()
        message = loop.divergence if reason == "diverged" else best.doubt
        yield Finished(reason, epoch, best.epoch, time.perf_counter() - began, message)
    except (Exception, KeyboardInterrupt) as error:
        best.restore()
        wrapped = _explained(error, epoch + 1)
        ended: Reason = "interrupted" if isinstance(error, KeyboardInterrupt) else "failed"
        yield Finished(ended, epoch, best.epoch, time.perf_counter() - began, str(wrapped))
        if wrapped is error:
            raise
        raise wrapped from error


class _Loop:
    """Steps and their pace: batches, step size, changes and pauses."""

    def __init__(self, job: Job, controls: Controls) -> None:
        self._job, self._controls = job, controls
        self._rows = len(job.data.train.y)
        self._plan = steps_by_epoch(job.spec, self._rows)
        self._steps = self._plan[0]
        self.threads = threads_for(job.spec.threads, math.ceil(self._rows / self._steps), job.learner.parameters)
        self._peak = float(part_values(OPTIMIZERS, job.spec.optimizer)["lr"])
        self._lr = 0.0
        self._total = sum(self._plan)
        self._losses = Losses()
        self._base: dict[str, float] = {}  # dropout and weight decay that their schedules are shares of
        self._sign = -1.0 if check_monitor(job.spec.monitor, metrics_for(job.data.task, job.spec.metrics)) else 1.0
        self._seconds = 0.0
        self._last_tick = time.perf_counter()
        self.divergence = ""

    def started(self) -> Started:
        spec, learner, data = self._job.spec, self._job.learner, self._job.data
        metrics = metrics_for(data.task, spec.metrics)
        maximize = check_monitor(spec.monitor, metrics)
        sizes = (self._rows, self._steps, learner.parameters)
        doer = f"{learner.name}: {learner.why}" if learner.why else learner.name
        return Started(spec, data.task, *sizes, learner.device, doer, metrics, spec.monitor, maximize)

    def steps_of(self, epoch: int) -> Iterator[Event]:
        """One pass over the training rows; Progress at most 20 a second, Changed where a change begins to hold."""
        self._seconds = 0.0
        self._steps = self._plan[epoch - 1]
        self._follow(epoch)
        batches = self._order(epoch).to(self._job.learner.device).tensor_split(self._steps)
        done = 0
        at_least = 1 if epoch == 1 else 0  # stopped before it began, a run still gives a model that has learned a bit
        while done < self._steps and (done < at_least or not self._controls.stop_reason):
            yield from self._changes(epoch, done)
            began = time.perf_counter()
            done = self._burst(epoch, batches, done)
            self._seconds += time.perf_counter() - began
            if self._job.probe is not None:
                yield from self._job.probe.take()
            yield from map(Warned, self._job.learner.take_notes())
            if time.perf_counter() - self._last_tick >= TICK:
                self._last_tick = time.perf_counter()
                yield Progress(epoch, done, self._steps, self._pace(done))
            while self._controls.paused and not self._controls.stop_reason:
                time.sleep(TICK)
                yield Progress(epoch, done, self._steps, 0.0, paused=True)

    def _order(self, epoch: int) -> Tensor:
        spec = self._job.spec
        return row_order(spec.seed, epoch, self._rows) if spec.shuffle else torch.arange(self._rows)

    def _burst(self, epoch: int, batches: tuple[Tensor, ...], done: int) -> int:
        """Steps until the next tick, the end of the epoch or a word from the controls; at least one."""
        spec, controls, learner = self._job.spec, self._controls, self._job.learner
        deadline, probe = self._last_tick + TICK, self._job.probe
        before, total = sum(self._plan[: epoch - 1]), self._total
        with self._job.random:
            while done < self._steps:
                clock = Clock(before + done, total, epoch - 1, spec.epochs, self._losses)
                self._lr = self._peak * factor(spec.schedule, spec.warmup, clock)
                done += 1
                if probe is not None and due(before + done):
                    probe.step(learner, batches[done - 1], self._lr, epoch, before + done)
                else:
                    learner.step(batches[done - 1], self._lr)
                if controls.waiting or time.perf_counter() >= deadline:
                    break
        return done

    def _changes(self, epoch: int, done: int) -> Iterator[Changed]:
        for change in self._controls.take_changes():
            if change.name == "lr":
                old, self._peak = self._peak, change.value
            else:
                old = self._set(epoch, change.name, change.value)
            if old != change.value:
                yield Changed(epoch, done + 1, change.name, old, change.value)

    def _follow(self, epoch: int) -> None:
        """Dropout and weight decay as their schedules have them in this epoch."""
        for name in SCHEDULED:
            if getattr(self._job.spec, SCHEDULED[name]).name != "constant":
                if name not in self._base:
                    self._base[name] = self._job.learner.change(name, 0.0)
                self._set(epoch, name, self._base[name])

    def _set(self, epoch: int, name: str, value: float) -> float:
        """A new value of dropout or weight decay, the share of it that its schedule leaves; gives the old value."""
        course = getattr(self._job.spec, SCHEDULED[name])
        epochs = self._job.spec.epochs
        share = factor(course, 0.0, Clock(epoch - 1, epochs, epoch - 1, epochs, self._losses))
        old = self._base.get(name)
        self._base[name] = value
        before = self._job.learner.change(name, value * share)
        return before if old is None else old

    def _pace(self, done: int) -> float:
        return self._rows * done / self._steps / self._seconds if self._seconds else 0.0

    def validated(self, epoch: int, best: "_Best") -> EpochDone:
        """Measure the epoch, and keep its weights if it is the best so far."""
        began = time.perf_counter()
        learner = self._job.learner
        with self._job.random:
            loss = learner.take_loss()
            valid = learner.validate()
        if not math.isfinite(loss):
            self.divergence = (
                f"the training loss became {loss} in epoch {epoch} at lr {self._lr:.3g}; try --lr {self._peak / 10:.1g}"
            )
        weights = best.offer(epoch, loss, valid)
        self._losses.add(self._sign * valid[self._job.spec.monitor] if valid else loss)
        seconds = self._seconds + time.perf_counter() - began
        pace = self._pace(self._steps)
        is_best = weights is not None
        return EpochDone(epoch, {"loss": loss}, valid, self._lr, seconds, pace, is_best, weights)


class _Best:
    """The best epoch so far. Epoch, value and weights change in one assignment, so an interrupt never parts them."""

    def __init__(self, job: Job) -> None:
        self._learner = job.learner
        self._monitor = job.spec.monitor
        self._sign = -1.0 if check_monitor(self._monitor, metrics_for(job.data.task, job.spec.metrics)) else 1.0
        self._kept: tuple[int | None, float, Mapping[str, Tensor]] = (None, math.inf, job.learner.snapshot())
        self._improved, self._reached, self._delta = 0, math.inf, job.spec.min_delta

    @property
    def epoch(self) -> int | None:
        return self._kept[0]

    def offer(self, epoch: int, loss: float, valid: Mapping[str, float]) -> Mapping[str, Tensor] | None:
        """The epoch's weights if it is the best so far, of equals the last; without validation always the last."""
        value = self._sign * valid[self._monitor] if valid else -float(epoch)
        if not (math.isfinite(value) and math.isfinite(loss)) or value > self._kept[1]:
            return None
        if value < self._reached - self._delta or not math.isfinite(self._reached):
            self._improved, self._reached = epoch, value
        weights = self._learner.snapshot()
        self._kept = (epoch, value, weights)
        return weights

    @property
    def doubt(self) -> str:
        """What to say where no epoch is the best, and the model is as it began."""
        if self.epoch is not None:
            return ""
        return f"{self._monitor} was a finite number in no epoch, so the model is untrained; choose another --monitor"

    def waited(self, epoch: int) -> int:
        """Epochs since the last true improvement."""
        return epoch - self._improved

    def restore(self) -> None:
        self._learner.restore(self._kept[2])


def _explained(error: BaseException, epoch: int) -> BaseException:
    """A foreign error as RunError that names the place in the user's code; our own and KeyboardInterrupt stay."""
    if isinstance(error, (NNLabError, KeyboardInterrupt)):
        return error
    frames = traceback.extract_tb(error.__traceback__)
    inside = str(Path(__file__).parent.parent)
    mine = [f for f in frames if not f.filename.startswith(inside) and "site-packages" not in f.filename]
    place = f" ({mine[-1].name}, line {mine[-1].lineno}: {mine[-1].line})" if mine else ""
    return RunError(f"training failed in epoch {epoch}: {type(error).__name__}: {error}{place}")
