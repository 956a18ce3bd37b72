"""The training loop, to be read top to bottom: it yields events, obeys `Controls` between steps, knows no watcher."""

import contextlib
import math
import time
import traceback
from collections.abc import Callable, Generator, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from nnlab.core.bags import Bags
from nnlab.core.best import Best, best_of
from nnlab.core.controls import Change, Controls
from nnlab.core.data.prepare import Prepared
from nnlab.core.device import out_of_memory, pick_device, thread_limit, threads_for
from nnlab.core.errors import NNLabError, RunError
from nnlab.core.events import (
    Changed,
    Due,
    EpochDone,
    Event,
    Finished,
    Lookable,
    Progress,
    Reason,
    Resumable,
    Resumed,
    Started,
    Warned,
)
from nnlab.core.idle_words import idle_words
from nnlab.core.learners.choice import choose
from nnlab.core.learners.protocol import Learner
from nnlab.core.longer import what_differs
from nnlab.core.metrics import METRICS, check_monitor, metrics_for
from nnlab.core.models.custom import Maker
from nnlab.core.optimizers import OPTIMIZERS
from nnlab.core.pace import AT_ONCE, Pace, at_once, steps_by_epoch
from nnlab.core.precision import check_precision, matmul_precision
from nnlab.core.probe import Probe
from nnlab.core.randomness import PrivateRandom
from nnlab.core.samples import next_due
from nnlab.core.schedules import Clock, Losses, factor
from nnlab.core.spec import TrainSpec, part_values
from nnlab.core.steering import steerable
from nnlab.core.threads import tried_threads, work_of

SCHEDULED = {"dropout": "dropout_schedule", "weight_decay": "decay_schedule"}
TICK = 0.05  # seconds between two looks at the clock's Progress: 20 a second


@dataclass(frozen=True)
class Job:
    """A run that is ready to start: what to do, on what, by whom, with which random numbers. probe: who looks on.

    maker: the user's own network, to make copies of. stacked: the learner puts steps down, which are made at `Due`.
    threads: of a run that this one repeats.
    """

    spec: TrainSpec
    data: Prepared
    learner: Learner
    random: PrivateRandom
    probe: Probe | None = None
    maker: Maker = None
    stacked: bool = False
    threads: int | None = None


def set_up(spec: TrainSpec, data: Prepared, maker: Maker = None) -> Job:
    """Build network and optimizer from the run's seed; SpecError or RunError for what cannot be trained."""
    check_monitor(spec.monitor, metrics_for(data.task, spec.metrics))
    device = pick_device(spec.device)
    check_precision(spec, device)
    random = PrivateRandom(spec.seed, device)
    with random:
        learner = choose(spec, data, device, maker, steps=sum(steps_by_epoch(spec, len(data.train.y))))
    Bags(spec, len(data.train.y)).check(learner)
    return Job(spec, data, learner, random, maker=maker)


def train(job: Job, controls: Controls, state: Mapping[str, Any] | None = None) -> Generator[Event, None, None]:
    """Run the job. However it ends, the model then holds the best epoch's weights and the last event is Finished.

    state: what `Resumable` gave, to go on from there to the same bits.
    """
    best = best_of(job.spec, job.data, job.learner)
    loop = _Loop(job, controls, best)
    notes = [*idle_words(job.spec, job.data, job.learner.model), *loop.try_threads()] if state is None else []
    if state is not None:
        loop.load_state(state)
    yield loop.started(resumed=state is not None)
    if state is not None:
        yield Resumed(loop.epoch, loop.done)
    yield from map(Warned, notes)
    try:
        with thread_limit(loop.threads), matmul_precision(job.spec.tf32):
            reason = yield from _epochs(loop, controls)
        best.restore()
        message = loop.divergence if reason == "diverged" else best.doubt
        yield Finished(reason, loop.epoch, best.epoch, loop.elapsed, message, loop.cut)
    except (Exception, KeyboardInterrupt) as error:
        best.restore()
        wrapped = _explained(error, loop.epoch + 1)
        ended: Reason = "interrupted" if isinstance(error, KeyboardInterrupt) else "failed"
        yield Finished(ended, loop.epoch, best.epoch, loop.elapsed, str(wrapped))
        if wrapped is error:
            raise
        raise wrapped from error


def _epochs(loop: "_Loop", controls: Controls) -> Generator[Event, None, Reason]:
    """The epochs that are left; gives why there are no more."""
    while not (over := loop.over()):
        yield from loop.steps()
        if loop.stacked:
            yield Due(loop.epoch + 1)
        cut = controls.stop_reason
        if cut:
            loop.cut = (loop.epoch + 1, loop.done)
            yield loop.resumable()
            if loop.epoch:
                return cut  # the cut epoch is given up, a whole one is there
        done = loop.validated()
        yield done
        if not math.isfinite(done.train["loss"]):
            return controls.stop_reason or "diverged"
        if not cut:
            yield loop.resumable()
        controls.reach(loop.epoch + 1, 0)
        if controls.stop_reason:
            return controls.stop_reason
    return controls.stop_reason or over


class _Loop:
    """Steps and their pace: batches, step size, changes and pauses. epoch: epochs done; done: steps of the next."""

    def __init__(self, job: Job, controls: Controls, best: Best) -> None:
        self._job, self._controls, self._best = job, controls, best
        self._rows = len(job.data.train.y)
        self._pace = Pace(job.spec, self._rows)
        self._live = steerable(job.spec, job.data.task, self._pace.batch)
        self._steps = self._pace.plan[0]
        self.threads = threads_for(job.spec.threads, math.ceil(self._rows / self._steps), job.learner.parameters)
        self._peak = float(part_values(OPTIMIZERS, job.spec.optimizer)["lr"])
        self._lr = 0.0
        self._each = AT_ONCE  # seconds of a step
        self._losses = Losses()
        self._base: dict[str, float] = {}  # dropout and weight decay that their schedules are shares of
        self._sign = -1.0 if check_monitor(job.spec.monitor, metrics_for(job.data.task, job.spec.metrics)) else 1.0
        self._seconds = 0.0
        self._last_tick = self._began = time.perf_counter()
        self.epoch = self.done = 0
        self.divergence = ""
        self.cut: tuple[int, int] | None = None
        self.stacked = job.stacked
        measured = metrics_for(job.data.task, job.spec.metrics)
        self._drawn = job.learner.draws or any("code" in METRICS[name].facts for name in measured)

    def started(self, resumed: bool) -> Started:
        spec, learner, data = self._job.spec, self._job.learner, self._job.data
        metrics = metrics_for(data.task, spec.metrics)
        maximize = check_monitor(spec.monitor, metrics)
        sizes = (self._rows, self._pace.plan[0], learner.parameters)
        doer = f"{learner.name}: {learner.why}" if learner.why else learner.name
        told = Started(spec, data.task, *sizes, learner.device, doer, metrics, spec.monitor, maximize)
        told = replace(told, threads=self.threads)
        return replace(told, resumed_from=self.epoch) if resumed else told

    def try_threads(self) -> list[str]:
        """Choose the number of threads by trial, where the run leaves it open; what to say of it."""
        if self._job.threads is not None:
            self.threads = self._job.threads
            return []
        job, work = self._job, work_of(self._pace.plan, self._rows, self._job.learner.parameters)
        self.threads, notes = tried_threads(job.spec, job.data, job.learner.device, job.maker, work, self.threads)
        return notes

    @property
    def elapsed(self) -> float:
        """Seconds of the run, of its parts before a resumption too."""
        return time.perf_counter() - self._began

    def over(self) -> Reason | None:
        """Why no further epoch is due."""
        if self._best.waited(self.epoch) >= self._live["patience"]:
            return "stopped_early"
        return "completed" if self.epoch >= self._job.spec.epochs else None

    def resumable(self) -> Resumable:
        """The place where the run is now."""
        lasting = self.epoch >= self._job.spec.epochs and self._could_be_longer()
        return Resumable(self.epoch, self.done, self._state, bool(self._controls.stop_reason) or lasting, lasting)

    def _could_be_longer(self) -> bool:
        """Whether a longer run would have trained these epochs alike."""
        spec, longer = self._job.spec, replace(self._job.spec, epochs=self._job.spec.epochs + 1)
        usual, more = steps_by_epoch(spec, self._rows), steps_by_epoch(longer, self._rows)
        return not what_differs(spec, usual, longer, more, self.epoch)

    def _state(self) -> dict[str, Any]:
        own = {"epoch": self.epoch, "done": self.done, "peak": self._peak, "lr": self._lr, "base": dict(self._base)}
        own |= {"losses": self._losses.values, "seconds": self._seconds, "elapsed": self.elapsed}
        own |= {"threads": self.threads, "pace": self._pace.state(self.epoch)}
        own["patience"] = _finite(self._live["patience"])
        learner, random = self._job.learner.state(), self._job.random.state()
        return {"loop": own, "learner": learner, "random": random, "best": self._best.state()}

    def load_state(self, state: Mapping[str, Any]) -> None:
        """Go on from what `resumable` told."""
        own = state["loop"]
        self.epoch, self.done, self._peak, self._lr = own["epoch"], own["done"], own["peak"], own["lr"]
        self._base, self._losses, self._seconds = dict(own["base"]), Losses(own["losses"]), own["seconds"]
        self._began -= own["elapsed"]
        self.threads = own["threads"]
        self._job.learner.load_state(state["learner"])
        self._job.random.load_state(state["random"])
        self._best.load_state(state["best"])
        if "pace" in own:
            self._pace.load(own["pace"], self.epoch)
            self._live["patience"] = own["patience"] or math.inf

    def steps(self) -> Iterator[Event]:
        """The rest of a pass over the training rows; Progress at most 20 a second, Changed where a change begins."""
        epoch = self.epoch + 1
        self._seconds = self._seconds if self.done else 0.0
        if not self.done:
            self._pace.next_epoch()
            self._follow(epoch)
        self._steps, cut = self._pace.plan[epoch - 1], -1
        batches: tuple[Tensor, ...] = ()
        at_least = 1 if epoch == 1 else 0  # stopped before it began, a run still gives a model that has learned a bit
        while self.done < self._steps and (self.done < at_least or not self._controls.stop_reason):
            yield from self._changes(epoch, self.done)
            self._controls.reach(epoch, self.done)
            if self._controls.stop_reason and self.done >= at_least:
                break
            if cut != self._pace.changes:
                cut, batches = self._pace.changes, self._pace.batches(epoch, self._job.learner.device)
                self._steps = self._pace.plan[epoch - 1]
            began = time.perf_counter()
            self.done = self._burst(epoch, batches, self.done)
            self._seconds += time.perf_counter() - began
            if self._job.probe is not None:
                yield from self._job.probe.take()
            yield from map(Warned, self._job.learner.take_notes())
            if time.perf_counter() - self._last_tick >= TICK:
                self._last_tick = time.perf_counter()
                yield Progress(epoch, self.done, self._steps, self._speed(self.done))
                yield self.resumable()
                if self._controls.looking:
                    yield Lookable(self._look)
            while self._controls.paused and not self._controls.stop_reason:
                time.sleep(TICK)
                yield Progress(epoch, self.done, self._steps, 0.0, paused=True)
                if self._controls.looking:
                    yield Lookable(self._look)
        self._controls.reach(epoch, self.done)

    def _look(self, ask: Callable[[nn.Module, str], Any]) -> Any:
        """What a function of the network as it is now gives. It may draw: the run's numbers are put away."""
        learner = self._job.learner
        devices = [learner.device] if learner.device.startswith("cuda") else []
        with torch.random.fork_rng(devices=devices), torch.no_grad():
            return ask(learner.model, learner.device)

    def _burst(self, epoch: int, batches: tuple[Tensor, ...], done: int) -> int:
        """Steps until the next tick, the end of the epoch or a word from the controls; at least one."""
        spec, controls, learner = self._job.spec, self._controls, self._job.learner
        deadline, probe = self._last_tick + TICK, self._job.probe
        before, pace, (place, total) = self._pace.made(epoch), self._pace, self._pace.clock(epoch)
        until = controls.steps_to_plan(epoch, self._steps)
        self._lr, steady = self._peak, spec.schedule.name == "constant" and not spec.warmup

        def rate(at: int) -> float:
            clock = Clock(place(at), total, epoch - 1, spec.epochs, self._losses)
            return self._peak * factor(spec.schedule, spec.warmup, clock)

        with self._job.random if learner.draws else contextlib.nullcontext():
            while done < until:
                began, start = time.perf_counter(), done
                plain = until if probe is None else min(until, next_due(before + done + 1) - before - 1)
                done += min(max(1, plain - done), at_once(self._each, deadline - began))
                lrs = [self._peak] * (done - start) if steady else [rate(at) for at in range(start, done)]
                self._lr = lrs[-1]
                chosen = batches[pace.place(start) : pace.place(done)]
                if start == plain and probe is not None:
                    probe.step(learner, chosen[0], self._lr, epoch, before + done)
                else:
                    learner.steps(chosen, lrs)
                now = time.perf_counter()
                self._each = (now - began) / len(lrs)
                if controls.waiting or now >= deadline:
                    break
        return done

    def _changes(self, epoch: int, done: int) -> Iterator[Event]:
        for change in self._controls.take_changes(epoch, done + 1):
            if change.name not in self._live:
                yield Warned(f"{change.name} was not changed: this run has none that could be")
                continue
            old = self._change(epoch, done, change)
            if old != change.value:
                yield Changed(epoch, done + 1, change.name, old, change.value)

    def _change(self, epoch: int, done: int, change: Change) -> float:
        """Let a new value hold from the next step on; gives the old one."""
        name, value = change.name, change.value
        if name == "lr":
            old, self._peak = self._peak, value
        elif name == "patience":
            old, self._live[name] = self._live[name], value
        elif name == "batch_size":
            old = self._pace.change(epoch, done, int(value))
        elif name in SCHEDULED:
            old = self._set(epoch, name, value)
        else:
            old = self._job.learner.change(name, value)
        return old

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

    def _speed(self, done: int) -> float:
        return self._pace.bags.size * done / self._steps / self._seconds if self._seconds else 0.0

    def validated(self) -> EpochDone:
        """Measure the epoch, and keep its weights if it is the best so far."""
        epoch, began = self.epoch + 1, time.perf_counter()
        learner = self._job.learner
        with self._job.random if self._drawn else contextlib.nullcontext():
            loss = learner.take_loss()
            valid, weights = self._best.measure(epoch, loss, self._live["patience"])
        if not math.isfinite(loss):
            self.divergence = (
                f"the training loss became {loss} in epoch {epoch} at lr {self._lr:.3g}; try --lr {self._peak / 10:.1g}"
            )
        self._losses.add(self._sign * valid[self._job.spec.monitor] if valid else loss)
        seconds = self._seconds + time.perf_counter() - began
        pace = self._speed(self._steps)
        is_best, members = weights is not None, (self._best.epochs, self._best.spread)
        self.epoch, self.done = epoch, 0
        outputs = self._best.outputs if is_best else None
        return EpochDone(epoch, {"loss": loss}, valid, self._lr, seconds, pace, is_best, weights, *members, outputs)


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None


def _explained(error: BaseException, epoch: int) -> BaseException:
    """A foreign error as RunError that names the place in the user's code; our own and KeyboardInterrupt stay."""
    if isinstance(error, (NNLabError, KeyboardInterrupt)):
        return error
    if out_of_memory(error):
        why = str(error).strip().partition("\n")[0] or type(error).__name__
        advice = "--accumulate 2 (or 4, 8, ...) takes the rows of a step in parts, --batch-size 64 takes fewer"
        return RunError(f"memory ran out in epoch {epoch} ({why:.160}); {advice}")
    if "more than 1 value per channel" in str(error):  # torch's words, and the stack's
        return RunError(
            f"batch norm got one row in epoch {epoch}, and needs two: --batch-size 2 or more, or --norm layer"
        )
    frames = traceback.extract_tb(error.__traceback__)
    inside = str(Path(__file__).parent.parent)
    mine = [f for f in frames if not f.filename.startswith(inside) and "site-packages" not in f.filename]
    place = f" ({mine[-1].name}, line {mine[-1].lineno}: {mine[-1].line})" if mine else ""
    return RunError(f"training failed in epoch {epoch}: {type(error).__name__}: {error}{place}")
