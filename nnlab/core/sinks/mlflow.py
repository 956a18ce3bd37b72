"""MLflow: a run in the experiment nnlab, by its client, so that nothing of the user's own tracking is touched."""

from typing import Any

from nnlab.core.events import Changed, EpochDone, Event, Finished, Started
from nnlab.core.sinks.values import numbers_of, settings_of, title_of
from nnlab.core.store.facts import Facts

EXPERIMENT = "nnlab"
WHOLE = ("completed", "stopped_early", "stopped")
LONGEST = 500  # characters of a parameter


class MLflow:
    """place: the tracking URI; without one MLflow's own, MLFLOW_TRACKING_URI or its default."""

    needs = "mlflow"

    def __init__(self, place: str, facts: Facts) -> None:
        from mlflow import MlflowClient

        self._client: Any = MlflowClient(tracking_uri=place or None)
        found = self._client.get_experiment_by_name(EXPERIMENT)
        experiment = found.experiment_id if found is not None else self._client.create_experiment(EXPERIMENT)
        tags = {"nnlab.id": facts.id, "nnlab.data": str(facts.summary["name"]), "nnlab.line": facts.line or ""}
        self._run = self._client.create_run(experiment, run_name=title_of(facts), tags=tags).info.run_id
        self._state = "FAILED"

    def __call__(self, event: Event) -> None:
        if isinstance(event, Started):
            for name, value in settings_of(event.spec).items():
                self._client.log_param(self._run, name, str(value)[:LONGEST])
        elif isinstance(event, EpochDone):
            for name, value in numbers_of(event).items():
                self._client.log_metric(self._run, name, value, step=event.epoch)
        elif isinstance(event, Changed):
            self._client.log_metric(self._run, f"changed/{event.name}", event.new, step=event.epoch)
        elif isinstance(event, Finished):
            self._client.set_tag(self._run, "nnlab.end", event.reason)
            self._client.set_tag(self._run, "nnlab.best_epoch", str(event.best_epoch))
            self._state = "FINISHED" if event.reason in WHOLE else "KILLED"

    def close(self) -> None:
        """Say how the run ended."""
        self._client.set_terminated(self._run, self._state)
