"""Trials of one shape as one stack: each has the loop's bookkeeping of its own, only their steps are shared."""

import contextlib
import json
import math
import time
from collections.abc import Callable, Generator, Iterator, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Protocol

from nnlab.core.controls import Controls
from nnlab.core.data.prepare import Prepared
from nnlab.core.device import pick_device, thread_limit, threads_for
from nnlab.core.errors import NNLabError
from nnlab.core.events import Due, EpochDone, Event, Progress, Started, Warned
from nnlab.core.fit import drive
from nnlab.core.learners.stack.together import MemberLearner, Together, can_stand_together
from nnlab.core.learners.start import first_network
from nnlab.core.models.custom import Maker
from nnlab.core.pace import steps_by_epoch
from nnlab.core.parameter_groups import ROLES
from nnlab.core.precision import matmul_precision
from nnlab.core.randomness import PrivateRandom
from nnlab.core.record import Record
from nnlab.core.registry import Part
from nnlab.core.run import Run, finish
from nnlab.core.spec import TrainSpec, TuneSpec, to_json
from nnlab.core.store.facts import Choices, Facts, new_facts, new_id
from nnlab.core.train import TICK, Job, train
from nnlab.core.tune.preparing import Preparations
from nnlab.core.tune.ranges import Space, Value
from nnlab.core.tune.space import number_of_shapes
from nnlab.core.tune.stack_size import stack_size
from nnlab.core.tune.strategies import PRUNERS, SAMPLERS

if TYPE_CHECKING:
    import optuna

Claim = tuple["optuna.Trial", dict[str, Value]]
# The values that members of a stack can differ in: of these parts, and factors on the step sizes of some weights.
OWN = {"optimizer": ("lr", "weight_decay"), "model": ("dropout",), "embed": ("sigma",)}
FACTORS = tuple(ROLES.values())
MOST_TOGETHER = 64  # that take over from one another
MOST = 8  # trials at once where that is left open
MOST_BLIND = 32  # where neither sampler nor pruner waits for those that have ended, and all are to be trained
SHAPES = 4  # of networks and steps, above which too few of a batch would share one
BATCHES = 8  # at least so many: sampler and pruner learn between them


def population_of(spec: TuneSpec, space: Space) -> int:
    """Trials to ask for at once."""
    if spec.population is not None:
        return spec.population
    if SAMPLERS[spec.sampler.name].facts.get("exchange"):
        return min(spec.trials, MOST_TOGETHER)
    own = {*FACTORS, *(name for names in OWN.values() for name in names)}
    if number_of_shapes(space, own) > SHAPES:
        return 1
    blind = SAMPLERS[spec.sampler.name].facts.get("blind") and PRUNERS[spec.pruner.name].facts.get("racing")
    if blind and spec.minutes is None and spec.until is None:
        return min(MOST_BLIND, spec.trials)
    return max(1, min(MOST, spec.trials // BATCHES))


def grouped(
    claims: Sequence[Claim], spec_of: "Callable[[optuna.Trial], TrainSpec]", data: Preparations, maker: Maker
) -> list[list[Claim]]:
    """The claims by what they can be trained with; in groups of one what cannot be stacked."""
    groups: dict[str, list[Claim]] = {}
    for at, claim in enumerate(claims):
        shape = None if maker is not None or len(claims) == 1 else _shape(claim, spec_of, data)
        groups.setdefault(shape or f"alone {at}", []).append(claim)
    return list(groups.values())


def _shape(claim: Claim, spec_of: "Callable[[optuna.Trial], TrainSpec]", data: Preparations) -> str | None:
    """What runs of one stack have in common; None for what cannot be stacked, or not be trained at all."""
    try:
        return shape_of(spec_of(claim[0]), data.of(claim[1]))
    except NNLabError:
        return None


def shape_of(spec: TrainSpec, data: Prepared) -> str | None:
    """What runs have in common that can be made side by side, but for their seed; None for what cannot be."""
    if not can_stand_together(spec, data, pick_device(spec.device)):
        return None
    own: dict[str, Any] = {field: _without(getattr(spec, field), names) for field, names in OWN.items()}
    alike = replace(spec, **own | dict.fromkeys(FACTORS, 1.0), seed=0)
    return json.dumps([data.fingerprint, to_json(alike)])


def _without(part: Part, names: Sequence[str]) -> Part:
    return Part(part.name, {name: value for name, value in sorted(part.values.items()) if name not in names})


class Watching(Protocol):
    """Who watches a trial: prunes it, ends it with the study and tells the view if it is the one to be shown."""

    controls: Controls
    shown: bool
    epochs: int
    score: float | None
    value: float

    def __call__(self, event: Event) -> None:
        """Take an event."""

    def follow_study(self) -> None:
        """End or pause the trial if the study is."""


Between = Callable[[Together, Sequence["Member"]], None]


class Member:
    """A trial in a stack. When it has ended it has a run, or the error that ended it. data: its own, if not those of
    all."""

    def __init__(self, claim: Claim, spec: TrainSpec, watch: Watching, data: Prepared | None = None) -> None:
        self.claim, self.spec, self.watch, self.data = claim, spec, watch, data
        self.over = self._due = False
        self.run: Run | None = None
        self.error: Exception | None = None
        self.share = 0.0  # seconds of the epoch's steps that are this member's
        self._record = Record()
        self._began = time.perf_counter()

    @property
    def number(self) -> int:
        """Of its trial."""
        return self.claim[0].number

    @property
    def title(self) -> str:
        """What its run is called beside the study's name."""
        return str(getattr(self.claim[0], "title", f"trial {self.number}"))

    @property
    def seconds(self) -> float:
        """Since it began."""
        return time.perf_counter() - self._began

    def begin(self, job: Job, learner: MemberLearner) -> Generator[Event, None, None]:
        """Be ready to `advance`; gives what must be closed."""
        self._rows, self.learner = len(job.data.train.y), learner
        self._events = train(job, self.watch.controls)
        return self._events

    def measure(self) -> None:
        """To the end of the epoch whose steps were made; before the first to where its steps are to be made."""
        self._due = False
        self._drive(measured=True)

    def advance(self) -> None:
        """To the place where the next epoch's steps are to be made, or to the end."""
        if not self._due and not self.over:
            self._drive(measured=False)

    def _drive(self, measured: bool) -> None:
        try:
            drive(self._until(measured), self._record, self.watch)
        except Exception as error:
            self.over, self.error = True, error

    def _until(self, measured: bool) -> Iterator[Event]:
        for event in self._events:
            if isinstance(event, Due):
                self._due = True
                return
            if isinstance(event, Progress) and not event.paused:
                continue  # of steps that are put down; `_made` tells of those that are made
            if isinstance(event, Started):
                event = replace(event, spec=self.spec)
            elif isinstance(event, EpochDone):
                seconds = event.seconds + self.share
                event = replace(event, seconds=seconds, rows_per_second=self._rows / max(self.share, 1e-9))
            yield event
            if measured and isinstance(event, EpochDone):
                return
        self.over = True

    def tell_steps(self, done: int, steps: int, seconds: float) -> None:
        """Tell how far the steps of the epoch are; comes back when the study is not paused."""
        epoch = len(self._record.epochs) + 1
        self.watch(Progress(epoch, done, steps, self._rows * done / steps / seconds))
        while self.watch.controls.paused:
            time.sleep(TICK)
            self.watch(Progress(epoch, done, steps, 0.0, paused=True))

    def finish(self, data: Prepared, facts: Facts) -> None:
        """Make the run of the ended trial."""
        if self.error is None:
            try:
                self.run = finish(self._record, self.learner.model, data, None, facts, None)
            except Exception as error:
                self.error = error


def trained(
    members: Sequence[Member], data: Prepared, name: str, between: Between | None = None
) -> Generator[Member, None, None]:
    """Train specs of one shape; gives each member when it has ended. name: of the study. between: what happens to those
    alive when all have measured an epoch, before any goes on.

    Where the stack breaks, as for want of memory, not all members come: the others can still be trained alone.
    """
    try:
        own = [member.data or data for member in members]
        stacks, jobs = _set_up([member.spec for member in members], own, parted=between is None)
        choices = Choices(probe=False, baseline=False)
        several = {id(one): one for one in own}
        facts = {
            key: new_facts(one, choices=choices) for key, one in several.items()
        }  # all but id and name are the same
    except Exception as error:
        _tell_broken(members, error)
        return
    with contextlib.ExitStack() as after:
        # All members set both, and set them back when they end: it must be to the same.
        after.enter_context(thread_limit(jobs[0].spec.threads or 1))
        after.enter_context(matmul_precision(jobs[0].spec.tf32))
        learners = [learner for stack in stacks for learner in stack.learners]
        for member, job, learner in zip(members, jobs, learners, strict=True):
            after.enter_context(contextlib.closing(member.begin(job, learner)))
        alive = list(members)
        while alive:
            for member in alive:
                member.watch.shown = member is alive[0]
                member.measure()
            if between is not None and (living := [member for member in alive if not member.over]):
                between(stacks[0], living)
            for member in alive:
                member.advance()
            ended = [member for member in alive if member.over]
            alive = [member for member in alive if not member.over]
            for stack in stacks:
                stack.keep([member.learner for member in alive if member.learner in stack.learners])
            stacks = [stack for stack in stacks if stack.learners]
            for member in ended:
                used = member.data or data
                told = facts[id(used)]
                member.finish(used, replace(told, id=new_id(told.began), name=f"{name} {member.title}"))
                yield member
            if alive and not _made(stacks, alive):
                return


def _tell_broken(members: Sequence[Member], error: Exception) -> None:
    why = f"{type(error).__name__}: {error}".partition("\n")[0]
    told = f"{len(members)} trials could not be trained side by side ({why:.160}); one after the other now"
    members[0].watch(Warned(told))


def _set_up(specs: Sequence[TrainSpec], own: Sequence[Prepared], parted: bool) -> tuple[list[Together], list[Job]]:
    """The stacks and the job of each of their members, which begins as it would alone. own: the data of each; parted:
    whether stacks may be smaller than all."""
    device = pick_device(specs[0].device)
    randoms, networks = [PrivateRandom(spec.seed, device) for spec in specs], []
    for spec, random, data in zip(specs, randoms, own, strict=True):
        with random:
            networks.append(first_network(spec, data).to(device).train())
    rows = len(own[0].train.y)
    plan = steps_by_epoch(specs[0], rows)
    batch = math.ceil(rows / plan[0])
    threads = threads_for(specs[0].threads, batch, sum(weight.numel() for weight in networks[0].parameters()))
    with thread_limit(threads), matmul_precision(specs[0].tf32):
        size = stack_size(specs, networks, own, device, plan) if parted else len(specs)
    parts = [slice(at, at + size) for at in range(0, len(specs), size)]
    stacks = [Together(specs[few], networks[few], own[0], device, sum(plan), own[few]) for few in parts]
    learners = [learner for stack in stacks for learner in stack.learners]
    return stacks, [
        Job(replace(spec, threads=threads), data, learner, random, stacked=True)
        for spec, learner, random, data in zip(specs, learners, randoms, own, strict=True)
    ]


def _made(stacks: Sequence[Together], alive: Sequence[Member]) -> bool:
    """Make the steps of an epoch, or some of each stack's if the study ends; False if a stack broke."""
    began = last_tick = time.perf_counter()
    try:
        for before, stack in enumerate(stacks):
            for done, steps in stack.steps():
                if time.perf_counter() - last_tick >= TICK:
                    last_tick = time.perf_counter()
                    alive[0].tell_steps(before * steps + done, len(stacks) * steps, last_tick - began)
                    for member in alive:
                        member.watch.follow_study()
                if alive[0].watch.controls.stop_reason:
                    break
            stack.measure()
    except Exception as error:
        _tell_broken(alive, error)
        return False
    for member in alive:
        member.share = (time.perf_counter() - began) / len(alive)
    return True
