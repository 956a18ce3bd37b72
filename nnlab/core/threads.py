"""CPU threads of a run by trial: a few steps of copies on one thread and on all, the faster one trains."""

import math
import os
import statistics
import time
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from nnlab.core.data.prepare import Prepared, Rows
from nnlab.core.device import thread_limit
from nnlab.core.learners.choice import choose
from nnlab.core.models.custom import Maker
from nnlab.core.randomness import PrivateRandom
from nnlab.core.spec import TrainSpec

SMALL = 1 << 22  # multiply-adds of a step below which one thread is always the better choice
WORTH = 1 << 36  # multiply-adds of the whole run from which a trial costs little of it
STEPS = 1000  # and its steps
BUSY = 1.25  # other processes that want a core, for each core of the machine, from which threads wait for one another
LOOKS, PAUSE = 5, 0.003  # at how many want one just now, and seconds between them
CLEARLY = 0.9  # of the time on one thread: what all must stay below in every round, as they suffer most from others
ROUNDS, BUSY_ROUNDS = 3, 7  # the more others come and go, the more looks it takes
HOPELESS = 4.0  # times as long: no further steps are lost on it


@dataclass(frozen=True)
class Work:
    """Of a run. batch: rows of a step; steps: of the whole run."""

    batch: int
    steps: int
    parameters: int

    @property
    def worth_a_trial(self) -> bool:
        """Whether the number of threads matters enough."""
        step = self.batch * self.parameters
        return step >= SMALL and self.steps >= STEPS and step * self.steps >= WORTH


def tried_threads(
    spec: TrainSpec, data: Prepared, device: str, maker: Maker, work: Work, usual: int
) -> tuple[int, list[str]]:
    """The threads to train on, and what to say of it. usual: those of a run that is not worth a trial.

    The trial makes its steps on copies of the first batch and the first weights; the run's own are not touched. Where
    both numbers of threads gave the same weights to the bit, nothing is to be said.
    """
    everything = torch.get_num_threads()
    if spec.threads is not None or device != "cpu" or everything == 1:
        return usual, []
    if usual == 1 and not work.worth_a_trial:
        return 1, []
    crowded = busy(everything)
    if crowded and not work.worth_a_trial:
        told = f"threads: 1, as other work keeps the cores busy; --threads {everything} takes all, --threads 1 this one"
        return 1, [told] if usual != 1 else []
    if not work.worth_a_trial:
        return usual, []
    few = first_rows(data, work.batch)
    trials = {threads: _Trial(spec, few, device, maker, threads) for threads in (1, everything)}
    times = _times(trials, BUSY_ROUNDS if crowded else ROUNDS)
    one, many = (statistics.median(times[threads]) for threads in (1, everything))
    faster = max(times[everything]) < CLEARLY * min(times[1])
    chosen, other = (everything, 1) if faster else (1, everything)
    if all(map(torch.equal, trials[1].weights(), trials[everything].weights())):
        return chosen, []
    share = many / one if faster else one / many
    return chosen, [
        f"threads: {chosen}, on which a step takes {share:.0%} of its time on {other}; their number decides how sums "
        f"are grouped here, so that runs on another one differ in their last digits: --threads {chosen} settles it"
    ]


def busy(cores: int) -> bool:
    """Whether other work wants the cores now: the mean of the last minute would tell of work that is over.

    cores: that torch would take. Where they are a few of a machine's, it is told of the processes of the whole.
    """
    looks, cores = [], max(cores, os.cpu_count() or 1)
    for _ in range(LOOKS):
        running = _running()
        if running is None:
            return hasattr(os, "getloadavg") and os.getloadavg()[0] > BUSY * cores
        looks.append(running - 1)
        time.sleep(PAUSE)
    return statistics.median(looks) > BUSY * cores


def _running(place: str = "/proc/stat") -> int | None:
    """Threads of all processes that want a core, this one among them; None where the system does not tell."""
    try:
        with open(place, encoding="ascii") as file:
            return next(int(line.split()[1]) for line in file if line.startswith("procs_running "))
    except (OSError, ValueError, IndexError, StopIteration):
        return None


def first_rows(data: Prepared, rows: int) -> Prepared:
    """Data of these training rows alone."""

    def cut(part: Rows, end: int) -> Rows:
        weight = None if part.weight is None else part.weight[:end]
        return replace(part, x=part.x[:end], y=part.y[:end], index=part.index[:end], weight=weight)

    return replace(data, train=cut(data.train, rows), valid=cut(data.valid, 0), folds=())


class _Trial:
    """A copy of a run that makes steps on so many threads."""

    def __init__(self, spec: TrainSpec, data: Prepared, device: str, maker: Maker, threads: int) -> None:
        self._threads = threads
        self._random = PrivateRandom(spec.seed, device)
        with self._random:
            self._learner = choose(spec, data, device, maker)
        self._rows = torch.arange(len(data.train))

    def seconds(self) -> float:
        """Of the second of two steps: in the first one threads are waking up."""
        with thread_limit(self._threads), self._random:
            self._learner.step(self._rows, 1e-3)
            began = time.perf_counter()
            self._learner.step(self._rows, 1e-3)
            return time.perf_counter() - began

    def weights(self) -> list[Tensor]:
        """As they are now."""
        return [weight.detach() for weight in self._learner.model.parameters()]


def _times(trials: dict[int, _Trial], rounds: int) -> dict[int, list[float]]:
    """Seconds of steps, one after the other so that all see the same machine."""
    found: dict[int, list[float]] = {threads: [] for threads in trials}
    for round_ in range(1 + rounds):  # the first one warms up
        now = {threads: trial.seconds() for threads, trial in trials.items()}
        for threads, seconds in now.items():
            found[threads] = [seconds] if round_ <= 1 else [*found[threads], seconds]
        if round_ and max(now.values()) > HOPELESS * min(now.values()):
            break
    return found


def work_of(batches: list[int], rows: int, parameters: int) -> Work:
    """Of a run with so many steps in each epoch."""
    return Work(math.ceil(rows / batches[0]), sum(batches), parameters)
