"""What a run and a study tell: frozen events. Watchers get these and nothing else."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Literal

from nnlab.core.spec import TrainSpec, TuneSpec

if TYPE_CHECKING:
    import pandas as pd
    from torch import Tensor, nn

    from nnlab.core.tune.study import Study

Reason = Literal["completed", "stopped_early", "stopped", "interrupted", "diverged", "pruned", "failed"]


@dataclass(frozen=True)
class Started:
    """The run begins. rows: training rows; steps: steps of an epoch; monitor: the value that chooses the best epoch.

    resumed_from: epochs that were done when a run was taken up again; None for one that begins. threads: of the CPU; 0
    where it is not known.
    """

    spec: TrainSpec
    task: str
    rows: int
    steps: int
    parameters: int
    device: str
    learner: str
    metrics: tuple[str, ...]
    monitor: str
    maximize: bool
    resumed_from: int | None = None
    threads: int = 0


@dataclass(frozen=True)
class Progress:
    """At most 20 a second, also while paused; step of steps is the place in the epoch, counted from 1."""

    epoch: int
    step: int
    steps: int
    rows_per_second: float
    paused: bool = False


@dataclass(frozen=True)
class Due:
    """The steps of an epoch are asked for; a run of a stack waits here until all have theirs."""

    epoch: int


@dataclass(frozen=True)
class EpochDone:
    """An epoch with its validation. train holds loss; valid holds loss and each metric. lr: step size of the last step.

    best: this epoch is the best so far; then weights is a snapshot of the model that nobody changes later, and outputs
    what its members give for the validation rows, (K, n, n_out), None if that were much to keep. members: the best
    epoch of each so far, 0 for none, where members keep their own; valid is then of these together. spread: standard
    deviation over members, as they are now, of the loss and what is monitored; {} where not known.
    """

    epoch: int
    train: Mapping[str, float]
    valid: Mapping[str, float]
    lr: float
    seconds: float
    rows_per_second: float
    best: bool
    weights: "Mapping[str, Tensor] | None" = field(default=None, repr=False, compare=False)
    members: tuple[int, ...] = ()
    spread: Mapping[str, float] = field(default_factory=dict)
    outputs: "Tensor | None" = field(default=None, repr=False, compare=False)

    def light(self) -> "EpochDone":
        """The same without tensors."""
        return replace(self, weights=None, outputs=None)


@dataclass(frozen=True)
class Changed:
    """A value was changed while the run lived; it holds from this step of this epoch on."""

    epoch: int
    step: int
    name: str
    old: float
    new: float


@dataclass(frozen=True)
class Resumable:
    """A run could be taken up again from here: so many epochs are done, and so many steps of the next.

    state: makes all that is needed for it, in plain values and tensors; to be called while the event is handled.
    must: it should be kept now, for the run ends here. lasting: a run that has ended could be made longer from here.
    """

    epoch: int
    step: int
    state: Callable[[], Mapping[str, Any]] = field(repr=False, compare=False)
    must: bool = False
    lasting: bool = False


@dataclass(frozen=True)
class Lookable:
    """The network can be looked at, where `Controls.looking` asks for it; at most 20 a second. look: gives what a
    function of the network and its device gives, which leaves no trace on the training; to be called while the event is
    handled."""

    look: "Callable[[Callable[[nn.Module, str], Any]], Any]" = field(repr=False, compare=False)


@dataclass(frozen=True)
class Looked:
    """What was seen of the network. values: over the ground, as its `values` gives them; layers: of each layer, where
    they were asked for. None: not looked at."""

    values: Any = field(default=None, repr=False, compare=False)
    layers: Any = field(default=None, repr=False, compare=False)


@dataclass(frozen=True)
class Grounded:
    """The run is to be looked at over this ground: a `Ground` of nnlab.core.playground. Told before it starts."""

    ground: Any = field(repr=False, compare=False)


@dataclass(frozen=True)
class Earlier:
    """A run of the same data may have gone before. read: gives its label and history, or None; it reads the disk, so it
    is called when that is drawn."""

    read: "Callable[[], tuple[str, pd.DataFrame] | None]" = field(repr=False, compare=False)


@dataclass(frozen=True)
class Resumed:
    """The run was taken up again after so many epochs and steps of the next."""

    epoch: int
    step: int


@dataclass(frozen=True)
class Probed:
    """A look into the network at one step, counted from 1 over the run.

    values: for gradient, weight, update (norms), activation (root mean square), dead and saturated (shares of units and
    of values), a number for each of layers; nan where there is none. drift: of the mean target of the step's rows from
    that of all, in standard deviations of a random draw. load: share of the step's time that fetching its rows takes.
    """

    epoch: int
    step: int
    layers: tuple[str, ...]
    values: Mapping[str, tuple[float, ...]]
    drift: float = float("nan")
    load: float = float("nan")


@dataclass(frozen=True)
class Warned:
    """Something that the user should know. about: the diagnosis that was made while the run lives, '' for others."""

    message: str
    about: str = ""


@dataclass(frozen=True)
class Finished:
    """The run has ended, the model holds its best weights. epoch: the last complete one; best_epoch: None if none.

    cut: the epoch within which the run was stopped, and how many steps of it were made; None for another end.
    """

    reason: Reason
    epoch: int
    best_epoch: int | None
    seconds: float
    message: str = ""
    cut: tuple[int, int] | None = None


@dataclass(frozen=True)
class StudyStarted:
    """A study begins or goes on. done: trials that it already holds; space: the searched names and their ranges.

    study: reads what there is while it runs.
    """

    name: str
    spec: TuneSpec
    done: int
    space: Mapping[str, str]
    metric: str
    maximize: bool
    study: "Study | None" = field(default=None, repr=False, compare=False)


@dataclass(frozen=True)
class TrialDone:
    """One trial has ended. score: its best validation value, None if it has none. stopped: cut by hand or by time.

    best: the best so far, which one that was cut can be until it has been tried again.
    """

    number: int
    values: Mapping[str, Any]
    state: Literal["complete", "pruned", "failed", "stopped"]
    score: float | None
    epochs: int
    seconds: float
    best: bool
    message: str = ""


@dataclass(frozen=True)
class Steered:
    """A study was given another course by hand: from this trial on. what: pin, narrow, free or queue; text: of what."""

    trial: int
    what: str
    text: str


@dataclass(frozen=True)
class StudyFinished:
    """The study has ended; everything it holds is on disk. settled: more trials would not have paid."""

    reason: Literal["completed", "stopped", "interrupted", "time", "settled"]
    trials: int
    seconds: float


Event = (
    Started
    | Progress
    | Due
    | EpochDone
    | Resumable
    | Resumed
    | Earlier
    | Lookable
    | Looked
    | Grounded
    | Changed
    | Probed
    | Warned
    | Finished
    | StudyStarted
    | TrialDone
    | Steered
    | StudyFinished
)
Sink = Callable[[Event], None]
