"""Weights & Biases: a run in a project; WANDB_MODE=offline keeps it on this machine."""

from typing import Any

from nnlab.core.events import Changed, EpochDone, Event, Finished, Started
from nnlab.core.sinks.values import numbers_of, settings_of, title_of
from nnlab.core.store.facts import Facts

WHOLE = ("completed", "stopped_early", "stopped")


class WandB:
    """place: the project, nnlab if none is given. The run has nnlab's id there too."""

    needs = "wandb"

    def __init__(self, place: str, facts: Facts) -> None:
        import wandb

        config = {"data": str(facts.summary["name"]), "line": facts.line or ""}
        self._run: Any = wandb.init(
            project=place or "nnlab", name=title_of(facts), id=facts.id, config=config, reinit="create_new"
        )
        self._code = 1

    def __call__(self, event: Event) -> None:
        if isinstance(event, Started):
            self._run.config.update(settings_of(event.spec))
        elif isinstance(event, EpochDone):
            self._run.log(numbers_of(event), step=event.epoch)
        elif isinstance(event, Changed):
            self._run.log({f"changed/{event.name}": event.new}, step=event.epoch)
        elif isinstance(event, Finished):
            self._run.summary.update({"end": event.reason, "best_epoch": event.best_epoch})
            self._code = 0 if event.reason in WHOLE else 1

    def close(self) -> None:
        """Say how the run ended."""
        self._run.finish(exit_code=self._code)
