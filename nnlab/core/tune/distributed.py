"""Groups of trials as tasks of a Ray cluster. Imports Ray; import this module only where a study is run on one.

The driver alone claims, prunes and settles trials. A task gets specs and the data, which go into Ray's object store
once, and gives back how each trial ended with its run. Its epochs go to a desk, an actor beside the driver, which holds
the word to stop. A node that dies takes with it only what was running there, and that is tried again elsewhere.
"""

import contextlib
import copy
import logging
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import ray
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from nnlab.core import own
from nnlab.core.controls import Controls
from nnlab.core.data.prepare import Prepared
from nnlab.core.errors import RunError
from nnlab.core.events import Event, Warned
from nnlab.core.models.custom import Maker
from nnlab.core.run import Run
from nnlab.core.spec import TrainSpec
from nnlab.core.tune.header import Header
from nnlab.core.tune.pbt import Exchange
from nnlab.core.tune.population import Claim
from nnlab.core.tune.result import Result
from nnlab.core.tune.strategies import Judged, judged_by
from nnlab.core.tune.training import Group

if TYPE_CHECKING:
    import optuna

api: Any = ray  # whose own types do not know a class that is made an actor only here
POLL = 0.1  # seconds between two looks at the desk
PATIENCE = 20.0  # seconds that stopped tasks have to give back what they hold
LOST = "its node was lost"
Outcome = tuple[int, Result, list[Run]]


class Desk:
    """Where tasks tell of epochs and hear whether to stop; an actor."""

    def __init__(self) -> None:
        self._told: list[tuple[int, int, float]] = []
        self._warned: list[str] = []
        self._stops: dict[int, str] = {}
        self._stop_all = ""

    def tell(self, number: int, epoch: int, value: float) -> str:
        """An epoch's value; gives why the trial shall stop, '' if it shall not."""
        self._told.append((epoch, number, value))
        return self.word(number)

    def word(self, number: int) -> str:
        """Why the trial shall stop."""
        return self._stop_all or self._stops.get(number, "")

    def warn(self, message: str) -> None:
        """Something that the user should know."""
        self._warned.append(message)

    def take(self) -> tuple[list[tuple[int, int, float]], list[str]]:
        """What was told since the last call."""
        told, self._told = self._told, []
        warned, self._warned = self._warned, []
        return told, warned

    def stop(self, number: int | None, reason: str) -> None:
        """The trial shall stop; None: all."""
        if number is None:
            self._stop_all = reason
        else:
            self._stops[number] = reason


class FarTrial:
    """A trial as a task knows it: reports to the desk, and is pruned when the desk says so."""

    def __init__(self, number: int, desk: Any) -> None:
        self.number, self._desk, self._word = number, desk, ""

    def report(self, value: float, step: int) -> None:
        """Tell an epoch's value."""
        self._word = ray.get(self._desk.tell.remote(self.number, step, float(value)))

    def should_prune(self) -> bool:
        """Whether the driver said so."""
        return self._word == "pruned"

    @property
    def stopped(self) -> bool:
        """Whether the whole study was."""
        return self._word not in ("", "pruned")


class FarSearch:
    """The search as a task knows it."""

    shared, late = False, False

    def __init__(self, desk: Any, trials: Sequence[FarTrial]) -> None:
        self.controls, self._desk, self._trials = Controls(), desk, trials

    @property
    def over(self) -> bool:
        """Whether no further trial shall begin."""
        return bool(self.controls.stop_reason)

    def show(self, event: Event) -> None:
        """Nobody looks here; but each sign of life is a chance to hear that the study was stopped."""
        if any(trial.stopped for trial in self._trials):
            self.controls.stop("stopped")

    def warn(self, message: str) -> None:
        """Hand it to the desk."""
        self._desk.warn.remote(message)


@dataclass(frozen=True)
class Order:
    """What a task is to do. specs: by the trials' numbers; functions: losses and metrics of the user's own."""

    values: Mapping[int, Mapping[str, Any]]
    specs: Mapping[int, TrainSpec]
    metric: str
    name: str
    model: Maker
    judged: Judged
    exchange: Exchange | None
    functions: Sequence[tuple[str, str, Any, Mapping[str, Any]]]


def work(order: Order, desk: Any, *folds: Prepared) -> list[Outcome]:
    """The task: train the trials of a group."""
    for kind, name, function, facts in order.functions:
        register = own.loss if kind == "loss" else own.metric
        register(function, name=name, **facts)
    trials = {number: FarTrial(number, desk) for number in order.specs}
    search = FarSearch(desk, list(trials.values()))
    claims: Any = [(trials[number], dict(order.values[number])) for number in order.specs]
    mine = copy.deepcopy(folds)  # what lies in the object store must not be written to
    found: list[Outcome] = []
    for claim, case in Group(search, claims, order.specs, mine, order.judged, order.exchange).ended(
        order.metric, order.model, order.name
    ):
        end = case.end or Result("stopped", message="stopped", cut=True)
        if end.error is not None:
            end = replace(end, error=RunError(end.message))  # one that can travel
        for weight in [weight for run in case.runs for weight in run.model.parameters()]:
            weight.data = weight.data.clone()  # not the whole stack that it is a view of
        found.append((claim[0].number, end, case.runs))
    return found


class Far:
    """The tasks of one search. address: ray, or ray://host:port for a cluster elsewhere."""

    def __init__(self, address: str, header: Header, model: Maker) -> None:
        place = _place(address)
        self._owns = not ray.is_initialized()
        if self._owns:
            _connect(address, place)
        self._header, self._model = header, model
        here = NodeAffinitySchedulingStrategy(ray.get_runtime_context().get_node_id(), soft=True)
        self._desk = api.remote(num_cpus=0, scheduling_strategy=here, max_restarts=-1)(Desk).remote()
        self._task = api.remote(num_cpus=1, num_gpus=int(header.base.device == "cuda"), max_retries=0)(work)
        self._data: dict[str, Any] = {}
        self._running: dict[Any, list[Claim]] = {}

    @property
    def slots(self) -> int:
        """Tasks that the cluster can run at once, as it is now."""
        return max(1, int(api.cluster_resources().get("CPU", 1)))

    @property
    def free(self) -> bool:
        """Whether another task would begin at once."""
        return len(self._running) < self.slots

    @property
    def busy(self) -> bool:
        """Whether tasks are running."""
        return bool(self._running)

    def submit(
        self,
        group: list[Claim],
        specs: Mapping[int, TrainSpec],
        folds: Sequence[Prepared],
        exchange: Exchange | None = None,
    ) -> None:
        """Begin a task."""
        for fold in folds:
            if fold.fingerprint not in self._data:
                self._data[fold.fingerprint] = ray.put(replace(fold, folds=()))
        values = {claim[0].number: claim[1] for claim in group}
        functions = [one for spec in list(specs.values())[:1] for one in _functions(spec)]
        header = self._header
        about = (header.metric, header.name, self._model, judged_by(header), exchange)
        order = Order(values, specs, *about, functions)
        task = self._task.remote(order, self._desk, *(self._data[fold.fingerprint] for fold in folds))
        self._running[task] = group

    def ended(self, wait: float = POLL) -> list[tuple[Claim, Result, list[Run]]]:
        """The trials of tasks that have ended, also by the loss of their node."""
        done, _ = ray.wait(list(self._running), num_returns=len(self._running), timeout=wait)
        found: list[tuple[Claim, Result, list[Run]]] = []
        for task in done:
            group = self._running.pop(task)
            found += [(claim, *outcome) for claim, outcome in zip(group, _outcomes(task, group), strict=True)]
        return found

    def listen(self, trials: "Mapping[int, optuna.Trial]") -> list[Event]:
        """Report to the study what was told, prune what it finds hopeless; gives the warnings."""
        with contextlib.suppress(ray.exceptions.RayError):
            told, warned = ray.get(self._desk.take.remote(), timeout=PATIENCE)
            for epoch, number, value in sorted(told):
                if number in trials:
                    trials[number].report(value, epoch)
                    if trials[number].should_prune():
                        self._desk.stop.remote(number, "pruned")
            return [Warned(message) for message in warned]
        return []

    def stop(self) -> list[tuple[Claim, Result, list[Run]]]:
        """End all tasks; gives what they came to. Those that do not answer are ended by force."""
        self._desk.stop.remote(None, "stopped")
        until, found = time.monotonic() + PATIENCE, list[tuple[Claim, Result, list[Run]]]()
        while self._running and time.monotonic() < until:
            found += self.ended(1.0)
        for task in self._running:
            ray.cancel(task, force=True)
        self._running.clear()
        return found

    def close(self) -> None:
        """Leave the cluster, if this search entered it."""
        with contextlib.suppress(ray.exceptions.RayError):
            ray.kill(self._desk)
        if self._owns:
            ray.shutdown()


def _place(address: str) -> str | None:
    """What Ray calls the cluster of an address: None for the one that is here."""
    return None if address == "ray" else address


def _connect(address: str, place: str | None) -> None:
    try:
        ray.init(address=place, log_to_driver=False, logging_level=logging.ERROR)
    except (ConnectionError, RuntimeError, ValueError, ImportError) as error:
        why = str(error).strip().partition("\n")[0]
        raise RunError(f"--on {address}: the cluster cannot be reached ({why:.160})") from error


def _outcomes(task: Any, group: Sequence[Claim]) -> list[tuple[Result, list[Run]]]:
    """What a task gave, in the order of its group; of a node that is gone, nothing that counts."""
    try:
        given = {number: (result, runs) for number, result, runs in ray.get(task)}
    except ray.exceptions.OutOfMemoryError:
        failed = "memory ran out on its node"
        return [(Result("failed", message=failed, error=RunError(failed)), [])] * len(group)
    except ray.exceptions.RayTaskError as error:
        text = str(error.cause or error).strip().partition("\n")[0]
        return [(Result("failed", message=text, error=RunError(text)), [])] * len(group)
    except ray.exceptions.RayError:
        return [(Result("stopped", message=LOST, cut=True), [])] * len(group)
    cut = (Result("stopped", message="stopped", cut=True), list[Run]())
    return [given.get(claim[0].number, cut) for claim in group]


def _functions(spec: TrainSpec) -> list[tuple[str, str, Any, Mapping[str, Any]]]:
    """Losses and metrics of the user's own that a spec names, so that a task can register them."""
    named = [("metrics", name) for name in spec.metrics] + ([("loss", spec.loss.name)] if spec.loss else [])
    found: list[tuple[str, str, Any, Mapping[str, Any]]] = []
    for kind, name in named:
        facts = own.KINDS[kind][name].facts if name in own.KINDS[kind] else {}
        if "function" in facts:
            told = {"maximize": facts["maximize"]} if kind == "metrics" else {"outputs": facts["count"]}
            found.append((kind, name, facts["function"], told))
    return found
