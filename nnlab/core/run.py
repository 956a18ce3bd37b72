"""A trained network with its pipeline, its record and its place in the store."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from nnlab.core.baselines import Baseline, fit_baselines, table_of
from nnlab.core.calibrate import fitted_temperature, keep_temperature, kept_temperature
from nnlab.core.data.pipeline import Pipeline
from nnlab.core.data.prepare import Prepared, Rows
from nnlab.core.data.unfamiliar import Unfamiliar
from nnlab.core.errors import DataError, RunError, SpecError, StoreError
from nnlab.core.evaluate import Evaluation, evaluate
from nnlab.core.events import Changed, EpochDone, Finished, Resumed, Started
from nnlab.core.losses import levels_of
from nnlab.core.network import loss_of, network_for, take_memory
from nnlab.core.own import is_missing
from nnlab.core.record import Record
from nnlab.core.scores import Scores, keep_test_scores, key_of, note_test_score, test_scores
from nnlab.core.spec import CUSTOM, TrainSpec
from nnlab.core.spread import spread_of_predictions
from nnlab.core.store.facts import Facts
from nnlab.core.store.files import replaced_folder
from nnlab.core.store.folder import RunFolder
from nnlab.core.store.marks import keep_marks
from nnlab.core.store.reading import Saved, read_run, understood

if TYPE_CHECKING:
    import pandas as pd
    from torch import Tensor, nn

NAMES_SHOWN = 4
WHOLE = ("completed", "stopped_early", "stopped")  # after another end nobody wants to wait for baselines


@dataclass(eq=False, repr=False)
class Run:
    """The result of training. model: the best weights, in eval mode, on `device`. state: how it ended; of a run read
    while it went on or after its process died, running or crashed. evaluation: of the validation rows. beside: the
    baselines that were fitted on the same rows. temperature: what logits are divided by, where the run is calibrated.
    """

    facts: Facts
    record: Record
    model: "nn.Module"
    pipeline: Pipeline
    device: str
    state: str
    evaluation: Evaluation | None = None
    path: Path | None = None
    temperature: float | None = None
    beside: tuple[Baseline, ...] = ()

    @property
    def id(self) -> str:
        """UTC time and 8 hex digits."""
        return self.facts.id

    @property
    def name(self) -> str | None:
        """The user's label."""
        return self.facts.name

    @property
    def line(self) -> str | None:
        """The line that the user typed."""
        return self.facts.line

    @property
    def code(self) -> str | None:
        """The user's code, as text; it is never executed."""
        return self.facts.code

    @property
    def fingerprint(self) -> str:
        """Of the frame's content and its preparation."""
        return self.facts.fingerprint

    @property
    def summary(self) -> Mapping[str, Any]:
        """The preparation in plain values: name, target, rows, columns, warnings."""
        return self.facts.summary

    @property
    def started(self) -> Started:
        """The run's first event: rows, steps, parameters, metrics, monitor."""
        if self.record.started is None:
            raise RunError("the run has not started")
        return self.record.started

    @property
    def finished(self) -> Finished:
        """The run's last event."""
        if self.record.finished is None:
            raise RunError("the run has not ended")
        return self.record.finished

    @property
    def spec(self) -> TrainSpec:
        """What defines the run, but for the data."""
        return self.started.spec

    @property
    def task(self) -> str:
        """binary, multiclass or regression."""
        return self.started.task

    @property
    def learner(self) -> str:
        """Who computed the steps: stack, by hand; or module, by autograd, and what of the run the stack cannot do."""
        return self.started.learner

    @property
    def parameters(self) -> int:
        """Numbers that the network has learned."""
        return self.started.parameters

    @property
    def history(self) -> "pd.DataFrame":
        """One row an epoch: train_loss, valid_loss, valid_<metric>, lr, seconds, and what was changed by hand."""
        return self.record.history

    def wait(self, seconds: float | None = None) -> "Run":
        """This run, which is over; one that trains in the background is waited for."""
        return self

    def stop(self) -> "Run":
        """This run, which is over; one that trains in the background is ended."""
        return self

    @property
    def changes(self) -> list[Changed]:
        """What was changed while the run lived."""
        return self.record.changes

    @property
    def resumptions(self) -> list[Resumed]:
        """Where it was taken up again after it had been cut."""
        return self.record.resumptions

    @property
    def warnings(self) -> list[str]:
        """What the user should know."""
        return self.record.warnings

    @property
    def best_epoch(self) -> int | None:
        """The epoch whose weights the model holds; of a run that lives the best so far."""
        return self.record.best_epoch

    @property
    def best_epochs(self) -> tuple[int, ...]:
        """The best epoch of each member, whose weights the model holds; empty but for runs with own_best."""
        return self.record.best_epochs(self.best_epoch)

    @property
    def metrics(self) -> dict[str, float]:
        """Validation values of the best epoch, its loss among them."""
        return self.record.metrics(self.best_epoch)

    @property
    def baselines(self) -> "pd.DataFrame":
        """A linear model and boosted trees, one a row: metrics of the validation rows, rows they saw, what was cut."""
        return table_of(self.beside)

    @property
    def by_class(self) -> "pd.DataFrame":
        """Precision, recall and F1 of each class on the validation rows, one a row; empty for a regression."""
        return (self.evaluation or Evaluation(0)).by_class()

    @property
    def unused_features(self) -> tuple[str, ...]:
        """Features on which no prediction depends: their weights are exactly 0, as group_lasso makes them."""
        from nnlab.core.selection import unused_features

        return unused_features(self.model, self.pipeline.feature_names)

    def __repr__(self) -> str:
        label = f" {self.name!r}" if self.name else ""
        best = f", best epoch {self.best_epoch} of {self.finished.epoch}" if self.best_epoch else ""
        values = "".join(f", {name} {value:.4g}" for name, value in self.metrics.items())
        return f"Run {self.id}{label}: {self.spec.model} on {self.pipeline.target.name}, {self.state}{best}{values}"

    def predict(self, frame: Any) -> np.ndarray:
        """Labels, or for a regression values in the target's units, one a row of a raw frame (columns go by name)."""
        output = self.outputs(self.pipeline.transform(frame))
        values = output[:, 0] if self.task == "regression" else output.argmax(1)
        return np.asarray(self.pipeline.target.decode(values.numpy()))

    def predict_proba(self, frame: Any) -> np.ndarray:
        """Probabilities (n, classes) in the order of `pipeline.target.classes`; RunError for a regression."""
        if self.task == "regression":
            raise RunError("predict_proba is for classes; this run predicts numbers: use predict")
        output = self.outputs(self.pipeline.transform(frame))
        return np.asarray(output.double().softmax(1).numpy())

    def predict_spread(self, frame: Any) -> np.ndarray:
        """Standard deviation over an ensemble's members: of predictions (n,), or of probabilities (n, classes)."""
        x, target = self.pipeline.transform(frame), self.pipeline.target
        return spread_of_predictions(self.model, x, target, self.device, loss_of(self.spec, target))

    def predict_distribution(self, frame: Any) -> "pd.DataFrame":
        """What a run with --loss quantile (a column for each level) or gaussian_nll (mean and std) says of each row,
        in the target's units. Quantiles that cross are put in order. RunError for runs with another loss."""
        import pandas as pd

        part = loss_of(self.spec, self.pipeline.target)
        if part.name not in ("quantile", "gaussian_nll"):
            raise RunError(f"this run learned {part.name}, single values; train with --loss quantile or gaussian_nll")
        output, decode = self._raw_output(self.pipeline.transform(frame)).double().numpy(), self.pipeline.target.decode
        if part.name == "gaussian_nll":
            mean, spread = output[:, 0], np.exp(output[:, 1].clip(-15.0, 15.0) / 2)
            ends = (decode(mean + spread), decode(mean - spread))  # half their distance where scaling bends
            return pd.DataFrame({"mean": decode(mean), "std": np.abs(ends[0] - ends[1]) / 2})
        levels = levels_of(part)
        order = np.argsort(levels)
        values = np.sort(decode(output[:, order]), axis=1)
        return pd.DataFrame(values, columns=[f"q{levels[i]:g}" for i in order])

    def check(self, frame: Any) -> Unfamiliar:
        """What a frame holds that the training rows did not: levels, numbers out of range, gaps, by column."""
        return self.pipeline.examine(frame)

    def score(self, data: Any) -> "Scores":
        """The run's metrics (not its loss); of a regression in original units. data: a frame with its target, Rows,
        or the Prepared that the run was trained on, of which the test rows count; DataError for another one.

        Scores of the test part say each time how often they were looked at, and are noted in the run's folder."""
        from nnlab.core.metrics import measure
        from nnlab.core.predict import measurable

        x, y = self._rows_of(data)
        if not len(y):
            raise DataError("there are no rows to score")
        output, truth = measurable(self.outputs(x), y, self.pipeline.target)
        gone = [name for name in self.started.metrics if is_missing("metrics", name)]
        names = tuple(name for name in self.started.metrics if name not in gone)
        found = measure(names, output, truth, levels_of(loss_of(self.spec, self.pipeline.target)))
        left_out = f"left out: {', '.join(gone)}, functions of your own that are not defined here" if gone else ""
        rows = data.test if isinstance(data, Prepared) else data
        if not (isinstance(rows, Rows) and rows.part == "test" and rows.source == self.fingerprint):
            return Scores(found, left_out)
        key = key_of(rows.index, rows.y, self.pipeline.target.name)
        notes = (note_test_score(self.path, self.id, key, found), left_out)
        return Scores(found, "; ".join(filter(None, notes)))

    def calibrate(self, data: Prepared) -> float:
        """Fit the temperature of `predict_proba` on the validation rows of what the run was trained on, and keep it.

        Labels stay as they are. RunError for a regression, DataError for other data or no validation rows.
        """
        self.temperature = fitted_temperature(self, data)
        keep_temperature(self.path, self.temperature)
        return self.temperature

    @property
    def test_scores(self) -> list[dict[str, Any]]:
        """Each score of the test part that is written down in the run's folder: time, part, rows, metrics."""
        return test_scores(self.path)

    def save(self, folder: str | Path) -> Path:
        """Write everything into a folder, in the form of the store; `Run.load` reads it. A run there is replaced."""
        target = Path(folder).absolute()
        with replaced_folder(target, "run.json", "run") as aside:
            self._write(aside)
            keep_test_scores(self.path, aside)
            keep_marks(self.path, aside)
            keep_temperature(aside, self.temperature)
        return target

    @classmethod
    def load(cls, folder: str | Path, model: Any = None) -> "Run":
        """The run of a folder. model: for a network of the user's own, an nn.Module (it is copied), a class or a maker;
        nothing that is stored is executed. StoreError names what is missing, damaged or does not fit."""
        path = Path(folder).absolute()
        saved = read_run(path)
        json, arrays = saved.facts.pipeline
        from nnlab.core.device import device_or_cpu

        with understood(path):
            pipeline = Pipeline.from_state(json, arrays)
            evaluation = Evaluation.from_json(saved.evaluation) if saved.evaluation else None
            beside = tuple(Baseline.from_json(plain) for plain in (saved.baselines or {}).get("baselines", ()))
        network = _rebuilt(saved, pipeline, model)
        device = device_or_cpu(saved.started.device)
        network = network.to(device).eval()
        state, warm = saved.info.state, kept_temperature(path)
        return cls(saved.facts, saved.record, network, pipeline, device, state, evaluation, path, warm, beside)

    def outputs(self, x: np.ndarray) -> "Tensor":
        """Logits (n, classes) or scaled predictions (n, 1) on the CPU for features as the pipeline gives them; of a run
        that learned quantiles all of them, the first being the prediction."""
        from nnlab.core.predict import points

        output = points(self._raw_output(x), loss_of(self.spec, self.pipeline.target), self.task)
        return output if self.temperature is None else output / self.temperature

    def _raw_output(self, x: np.ndarray) -> "Tensor":
        """All outputs (n, n_out) on the CPU. Threads follow the work alone: they decide how sums are grouped."""
        from nnlab.core.device import thread_limit, threads_for
        from nnlab.core.predict import CHUNK, forward

        with thread_limit(threads_for(None, min(len(x), CHUNK), self.parameters)):
            return forward(self.model, x, self.device).cpu()

    def _rows_of(self, data: Any) -> tuple[np.ndarray, np.ndarray]:
        rows = data.test if isinstance(data, Prepared) else data
        if not isinstance(rows, Rows):
            return self.pipeline.labelled(rows)
        if rows.source not in ("", self.fingerprint):
            raise DataError("this data is not what the run was trained on; score the frame itself: run.score(frame)")
        features = len(self.pipeline.feature_names)
        if rows.x.shape[1] != features:
            raise DataError(f"the rows have {rows.x.shape[1]} features; the run was trained on {features}")
        return rows.x, rows.y

    def _write(self, folder: Path) -> None:
        """Tell the run's events to a writer once more."""
        if self.best_epoch is None:
            raise StoreError(f"run {self.id} ended before its first epoch was done: there are no weights to save")
        writer = RunFolder(folder, self.facts)
        writer.claim()
        for event in self.record.events():
            if isinstance(event, Started):
                event = replace(event, resumed_from=None)
            elif isinstance(event, EpochDone):
                event = replace(event, weights=self.model.state_dict() if event.epoch == self.best_epoch else None)
            writer(event)
        writer.complete(self.evaluation, self.beside)
        if not writer.kept:
            raise StoreError(f"run {self.id} is not saved: {writer.warnings[0]}")


def finish(
    record: Record, model: "nn.Module", data: Prepared, folder: RunFolder | None, facts: Facts, spent: float | None
) -> Run:
    """The run of a training that has ended: its validation rows are evaluated and its folder, if any, is completed.
    Not those of a trial that was pruned, whose run nobody keeps.

    spent: seconds that it took, of which baselines may take a share; None: there shall be none.
    """
    from nnlab.core.predict import forward_of_members

    started, finished = record.started, record.finished
    if started is None or finished is None:
        raise RunError("the training has not ended")
    model.eval()
    take_memory(model)
    evaluation, loss = None, loss_of(started.spec, data.target)
    outputs = record.take_outputs(finished.best_epoch or 0)
    if finished.best_epoch is not None and len(data.valid.y) and finished.reason != "pruned":
        if outputs is None:  # too many to be kept, or of an epoch before the run was resumed
            outputs = forward_of_members(model, data.valid.x, started.device)
        evaluation = evaluate(model, outputs, data.valid, data.target, loss, started.metrics)
    share = spent if evaluation is not None and finished.reason in WHOLE else None
    beside = () if share is None else fit_baselines(data, loss, started.metrics, share)
    path = None
    if folder is not None:
        folder.complete(evaluation, beside)
        record.warnings.extend(folder.warnings)
        path = folder.path if folder.kept else None
    return Run(facts, record, model, data.pipeline, started.device, finished.reason, evaluation, path, beside=beside)


def _rebuilt(saved: Saved, pipeline: Pipeline, model: Any) -> "nn.Module":
    """The network with the saved weights."""
    import torch

    from nnlab.core.precision import in_precision

    part = saved.started.spec.model
    where = f"run {saved.info.id}"
    if part.name == CUSTOM and model is None:
        how = "give it too: load(..., model=YourNetwork), in a magic --model YourNetwork"
        raise StoreError(f"{where} was trained with a network of your own; {how}")
    with torch.random.fork_rng(devices=[]):  # the first weights are thrown away; the user's draws go on as before
        try:
            network = in_precision(network_for(saved.started.spec, pipeline, model), saved.started.spec)
        except (SpecError, TypeError) as error:
            raise StoreError(f"the network of {where} cannot be built: {error}") from error
    check_fit(network.state_dict(), saved.weights, where)
    network.load_state_dict(saved.weights)
    return network


def check_fit(wanted: "Mapping[str, Tensor]", saved: "Mapping[str, Tensor]", where: str) -> None:
    """StoreError that names the weights which the network and the file do not share."""
    faults = [f"{name} is missing" for name in wanted if name not in saved]
    faults += [f"{name} is not in the network" for name in saved if name not in wanted]
    for name in wanted:
        if name in saved and wanted[name].shape != saved[name].shape:
            faults.append(f"{name} has shape {tuple(saved[name].shape)}, the network needs {tuple(wanted[name].shape)}")
    if faults:
        more = f" and {len(faults) - NAMES_SHOWN} more" if len(faults) > NAMES_SHOWN else ""
        raise StoreError(f"the weights of {where} do not fit the network: {'; '.join(faults[:NAMES_SHOWN])}{more}")
