"""TensorBoard: a folder of event files, one folder a run."""

from pathlib import Path
from typing import Any

from nnlab.core.events import Changed, EpochDone, Event, Finished, Started, Warned
from nnlab.core.sinks.values import numbers_of, settings_of, title_of
from nnlab.core.store.facts import Facts


class TensorBoard:
    """Writes into place/<name or id of the run>, place being `runs` if none is given. Scalars stand at their epoch."""

    needs = "tensorboard"

    def __init__(self, place: str, facts: Facts) -> None:
        from torch.utils.tensorboard import SummaryWriter

        title = title_of(facts)
        safe = title if title.replace("-", "").replace("_", "").isalnum() else facts.id
        self._writer: Any = SummaryWriter(str(Path(place or "runs") / safe))
        self._settings: dict[str, Any] = {}
        self._best: dict[str, float] = {}
        self._epoch = 0

    def __call__(self, event: Event) -> None:
        if isinstance(event, Started):
            self._settings = settings_of(event.spec)
            told = "\n".join(f"    {name}: {value}" for name, value in self._settings.items())
            self._writer.add_text("settings", told, 0)
        elif isinstance(event, EpochDone):
            self._epoch = event.epoch
            for name, value in numbers_of(event).items():
                self._writer.add_scalar(name, value, event.epoch)
            if event.best:
                self._best = dict(event.valid)
        elif isinstance(event, Changed):
            self._writer.add_text("changed", f"{event.name}: {event.old:g} to {event.new:g}", event.epoch)
        elif isinstance(event, Warned):
            self._writer.add_text("warnings", event.message, self._epoch)
        elif isinstance(event, Finished):
            best = {f"best/{name}": value for name, value in self._best.items()}
            self._writer.add_hparams(self._settings, best, run_name=".")

    def close(self) -> None:
        """Write what waits."""
        self._writer.close()
