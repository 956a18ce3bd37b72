"""What a run told, collected: a sink of events, and the history as a DataFrame."""

from collections.abc import Iterator
from typing import TYPE_CHECKING

from nnlab.core.events import Changed, EpochDone, Event, Finished, Probed, Resumed, Started, Warned
from nnlab.core.samples import thinned

if TYPE_CHECKING:
    import pandas as pd
    from torch import Tensor


class Record:
    """Keeps the events of one run, without the weights and without Progress; of the best epoch the outputs, too."""

    def __init__(self) -> None:
        self.started: Started | None = None
        self.epochs: list[EpochDone] = []
        self.changes: list[Changed] = []
        self.resumptions: list[Resumed] = []
        self.probes: list[Probed] = []
        self.warnings: list[str] = []
        self.told: dict[str, str] = {}  # by the diagnosis, those of the warnings that are one
        self.finished: Finished | None = None
        self._outputs: tuple[int, Tensor | None] = (0, None)  # the best epoch, and its outputs if they were kept
        self._history: pd.DataFrame | None = None

    def __call__(self, event: Event) -> None:
        if isinstance(event, EpochDone):
            self.epochs.append(event.light())
            if event.best:
                self._outputs = (event.epoch, event.outputs)
            self._history = None
        elif isinstance(event, Changed):
            self.changes.append(event)
            self._history = None
        elif isinstance(event, Resumed):
            self.resumptions.append(event)
        elif isinstance(event, Probed):
            self.probes = thinned([*self.probes, event])
        elif isinstance(event, Warned):
            self.warnings.append(event.message)
            if event.about:
                self.told[event.about] = event.message
        elif isinstance(event, Started):
            self.started = event
        elif isinstance(event, Finished):
            self.finished = event

    def take_outputs(self, epoch: int) -> "Tensor | None":
        """What the network of this epoch gives for the validation rows, as in `EpochDone`, if it was kept; once."""
        (known, outputs), self._outputs = self._outputs, (0, None)
        return outputs if known == epoch else None

    def events(self) -> Iterator[Event]:
        """What was told, in order, as far as it is kept; warnings first."""
        if self.started is not None:
            yield self.started
        about = {message: name for name, message in self.told.items()}
        yield from (Warned(message, about.get(message, "")) for message in self.warnings)
        for done in self.epochs:
            yield from self._within(done.epoch)
            yield done
        yield from self._within(len(self.epochs) + 1)
        if self.finished is not None:
            yield self.finished

    def _within(self, epoch: int) -> Iterator[Event]:
        """What was told while an epoch went on."""
        yield from (place for place in self.resumptions if place.epoch == epoch - 1)
        yield from (change for change in self.changes if change.epoch == epoch)
        yield from (look for look in self.probes if look.epoch == epoch)

    @property
    def history(self) -> "pd.DataFrame":
        """One row an epoch: train_loss, valid_loss, valid_<metric>, lr, seconds; the index is the epoch, from 1.

        spread_<name>, too, where members keep their own best epoch: the standard deviation over members; and what was
        changed by hand, as it was when the epoch ended.
        """
        if self._history is None:
            self._history = _table(self.epochs).assign(**self._steered())
        return self._history

    def _steered(self) -> dict[str, list[float]]:
        """The values, other than lr, that were changed while the run lived: one an epoch."""
        found: dict[str, list[float]] = {}
        for name in dict.fromkeys(change.name for change in self.changes if change.name != "lr"):
            own = [change for change in self.changes if change.name == name]
            found[name] = [
                next((one.new for one in reversed(own) if one.epoch <= done.epoch), own[0].old) for done in self.epochs
            ]
        return found

    @property
    def best_epoch(self) -> int | None:
        """The epoch whose weights the run kept; while it lives, the best so far."""
        if self.finished is not None:
            return self.finished.best_epoch
        return next((done.epoch for done in reversed(self.epochs) if done.best), None)

    def best_epochs(self, epoch: int | None) -> tuple[int, ...]:
        """The best epoch of each member as it was after an epoch; empty where members do not keep their own."""
        return next((done.members for done in reversed(self.epochs) if done.epoch == epoch), ())

    def metrics(self, epoch: int | None) -> dict[str, float]:
        """The validation values of an epoch, its loss among them; empty for None and where nothing was validated."""
        return next((dict(done.valid) for done in reversed(self.epochs) if done.epoch == epoch), {})


def _table(epochs: list[EpochDone]) -> "pd.DataFrame":
    import pandas as pd

    rows = [
        {f"train_{name}": value for name, value in done.train.items()}
        | {f"valid_{name}": value for name, value in done.valid.items()}
        | {f"spread_{name}": value for name, value in done.spread.items()}
        | {"lr": done.lr, "seconds": done.seconds}
        for done in epochs
    ]
    return pd.DataFrame(rows, index=pd.Index([done.epoch for done in epochs], name="epoch", dtype="int64"))
