"""What is said of one run, and of several."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from nnlab.core.baselines import Baseline
from nnlab.core.errors import SpecError
from nnlab.core.metrics import main_metric
from nnlab.core.network import numbers_of as columns_of_numbers
from nnlab.core.regularizers import REGULARIZERS
from nnlab.core.spec import TrainSpec, from_json
from nnlab.core.store.marks import marks_of
from nnlab.core.store.numbers import numbers_of
from nnlab.core.wording import counted
from nnlab.report import charts
from nnlab.report.blocks import Block, Code, Sentence
from nnlab.report.specs import chosen_and_said, differs_table, python_call, rounded
from nnlab.report.tables import Table, number, shorten

if TYPE_CHECKING:
    from nnlab.core.data.prepare import Prepared
    from nnlab.core.diagnose.registry import Verdict
    from nnlab.core.run import Run
    from nnlab.core.store.reading import RunInfo

MOST_CLASSES = 12  # of a confusion matrix; beyond, the pairs that are mixed up most
MOST_PAIRS = 12
SHARES = {"recall": "recall", "precision": "precision", "f1": "F1"}  # of each class
MOST_UNUSED = 30
MOST_WARNINGS = 10
LONGEST_WARNING = 1000
MOST_CHANGES = 20
ENDED = {
    "completed": "completed {epochs}",
    "stopped_early": "stopped early after {epochs}",
    "stopped": "stopped by hand after {epochs}",
    "interrupted": "interrupted after {epochs}",
    "diverged": "diverged after {epochs}",
    "pruned": "pruned after {epochs}",
    "failed": "failed after {epochs}",
}
MEASURED = ("completed", "stopped_early", "stopped")  # an epoch that ended otherwise may have met no validation row


def verdict(run: "Run") -> Sentence:
    """The main number, where it was measured, and how the run ended."""
    end = ENDED.get(run.finished.reason, run.finished.reason).format(epochs=counted(run.finished.epoch, "epoch"))
    name = main_metric(run.metrics, run.spec.monitor)
    if name is None:
        loss = f"training loss {number(run.history['train_loss'].iloc[-1])}" if len(run.history) else "no result"
        unmeasured = run.finished.reason in MEASURED and not any(str(name).startswith("valid_") for name in run.history)
        return Sentence(loss, f", no validation rows; {end}" if unmeasured and len(run.history) else f"; {end}")
    evaluation = run.evaluation
    rows = f"{counted(evaluation.rows, 'validation row')}" if evaluation is not None else "the validation rows"
    low, high = min(run.best_epochs, default=0), max(run.best_epochs, default=0)
    best = f"best epochs of members {low} to {high}" if low < high else f"best epoch {run.best_epoch}"
    return Sentence(f"{name} {number(run.metrics[name])}", f"on {rows}, {best}; {end}")


def run_blocks(run: "Run", line: str | None, data: "Prepared | None" = None) -> Iterator[Block]:
    """All that is said of a run, the most important first."""
    from nnlab.core.diagnose.doctor import first_look

    yield verdict(run)
    if run.finished.message:
        yield Sentence("note:", run.finished.message)
    found = first_look(run)
    again = {run.record.told.get(verdict.name) for verdict in found}  # told while it lived
    yield from warning_blocks([text for text in run.warnings if text not in again])
    yield from doctor_blocks(run, found)
    if run.metrics or len(run.history):
        yield _metric_table(run, data)
    yield from baseline_blocks(run.beside)
    yield from selection_blocks(run)
    if run.temperature is not None:
        words = f"predict_proba divides logits by {number(run.temperature, 3)}; the values above are from before that"
        yield Sentence("calibrated:", words)
    yield from confusion_blocks(run.evaluation)
    if run.evaluation is not None and run.path is not None:
        yield Sentence("look closer:", f"%nn_evaluate {run.id}")
    if run.resumptions:
        places = ", ".join(f"{place.epoch}" for place in run.resumptions)
        yield Sentence("resumed", f"after epoch {places}")
    if run.changes:
        rows = [(c.epoch, c.step, c.name, c.old, c.new) for c in run.changes[:MOST_CHANGES]]
        yield Table(["epoch", "step", "value", "from", "to"], rows, "Changed while it ran")
    yield from spec_blocks(run)
    yield Code("This run again", repeat(run, line))
    yield from _replay_blocks(run, line)
    facts = [f"{run.parameters:,} parameters", f"device {run.device}", _time(run.finished.seconds)]
    yield Sentence("run", ", ".join([run.name or run.id, *facts]) if run.id else ", ".join(facts))


def _replay_blocks(run: "Run", line: str | None) -> Iterator[Block]:
    """The line that does again what was done by hand, which the run's own line does not."""
    deeds = ["its changes"] * bool(run.changes) + ["its stop"] * (run.finished.reason == "stopped")
    if deeds and run.path is not None and "--replay" not in repeat(run, line):
        yield Sentence(f"again with {' and '.join(deeds)}:", f"%nn_train --replay {run.id}")


def spec_blocks(run: "Run") -> Iterator[Block]:
    """What was chosen for the data, and what differs from that or from the defaults."""
    start, said = _start_of(run), None
    if start is not None:
        kept, said = chosen_and_said(run.spec, start)
        words = ", ".join(f"{name} {rounded(value)}" for name, value in kept) or f"model {start.model.name}"
        columns = counted(len(columns_of_numbers(run.pipeline)), "column")
        rows = counted(run.started.rows, "training row")
        yield Sentence("chosen for the data:", f"{words}; for {rows} and {columns} of numbers")
    if (table := differs_table(run.spec, rows=said)) is not None:
        yield table


def _start_of(run: "Run") -> TrainSpec | None:
    """The spec that was chosen for the data; None where the user chose, or another version wrote what it reads."""
    start = run.facts.choices.start
    try:
        return from_json(TrainSpec, start) if start is not None else None
    except (SpecError, LookupError, TypeError, AttributeError):
        return None


def repeat(run: "Run", line: str | None) -> str:
    """What the user typed, with the body of a cell magic; for a run from Python the call that gives its spec."""
    typed = line or run.line
    if typed is None:
        return python_call("fit", run.spec)
    code = (run.code or "").strip("\n").rstrip()
    return f"{typed}\n{code}" if typed.lstrip().startswith("%%") and code not in typed else typed


def warning_blocks(warnings: Sequence[str]) -> Iterator[Block]:
    """The first few warnings, and how many more there are."""
    for text in warnings[:MOST_WARNINGS]:
        yield Sentence("warning:", shorten(text, LONGEST_WARNING))
    if len(warnings) > MOST_WARNINGS:
        yield Sentence("warning:", f"{len(warnings) - MOST_WARNINGS} more")


def doctor_blocks(run: "Run", found: "Sequence[Verdict]") -> Iterator[Block]:
    """What the doctor sees at a glance, and the line that says more; nothing of a run that looks healthy."""
    if found:
        more = f"%nn_diagnose {run.id}" if run.path is not None else "nnlab.diagnose(run, data)"
        yield Sentence("doctor:", f"{'; '.join(verdict.what for verdict in found)}; why, and what mends it:  {more}")


def _metric_table(run: "Run", data: "Prepared | None") -> Table:
    """Values of the best weights, or of the last epoch where no epoch is the best."""
    history = run.history
    epoch = run.best_epoch if run.best_epoch in history.index else (history.index[-1] if len(history) else None)
    row = {str(name): float(history[name].loc[epoch]) for name in history} if epoch is not None else {}
    valid = run.metrics or {n.removeprefix("valid_"): v for n, v in row.items() if n.startswith("valid_")}
    first = main_metric(valid, run.spec.monitor)
    names = sorted(valid, key=lambda name: (name != first, name == "loss"))
    title = f"Metrics (epoch {epoch})" if epoch is not None else "Metrics"
    if not valid:
        return Table(["metric", "training"], [("loss", row.get("train_loss"))], title)
    plain = run if run.temperature is None else replace(run, temperature=None)  # as the validation values are
    measured = plain.score(data.train) if data is not None and run.best_epoch is not None else {}
    train = measured | {"loss": row.get("train_loss")}
    beside = [baseline for baseline in run.beside if baseline.metrics]
    spread = run.evaluation.spread if run.evaluation is not None else {}
    columns = ["metric", "training", "validation", *(["± of members"] if spread else [])]
    columns += [baseline.name for baseline in beside]
    more = [*([spread] if spread else []), *(baseline.metrics for baseline in beside)]
    rows = [(name, train.get(name), valid[name], *(values.get(name) for values in more)) for name in names]
    return Table(columns, rows, title)


def selection_blocks(run: "Run") -> Iterator[Block]:
    """The features that a penalty has left out; nothing of a run that could leave out none."""
    if not any(REGULARIZERS[part.name].facts.get("scope") == "input" for part in run.spec.regularizers):
        return
    unused, every = run.unused_features, len(run.pipeline.feature_names)
    shown = ", ".join(unused[:MOST_UNUSED]) + (", ..." if len(unused) > MOST_UNUSED else "")
    words = (
        f"{len(unused):,} of {every:,}: {shown}" if unused else f"none of {every:,}; a larger strength leaves out more"
    )
    yield Sentence("features left out:", words)


def baseline_blocks(beside: Sequence[Baseline]) -> Iterator[Block]:
    """How the figures of the baselines came about."""
    notes = [f"{baseline.name} {baseline.note}" for baseline in beside if baseline.note]
    if any(baseline.metrics for baseline in beside):
        yield Sentence("baselines:", "; ".join(["values of the validation rows", *notes]))
    elif notes:
        yield Sentence("no baselines:", notes[0].partition("left out: ")[2])


def confusion_blocks(evaluation: Any, part: str = "validation rows") -> Iterator[Block]:
    """The confusion matrix of the rows, and each class's shares; with many classes only what is worst."""
    if evaluation is None or not len(evaluation.confusion):
        return
    counts, classes = np.asarray(evaluation.confusion), list(evaluation.classes)
    each = evaluation.by_class()
    shares = [[None if np.isnan(share) else f"{share:.1%}" for share in line] for line in each[list(SHARES)].to_numpy()]
    if len(classes) <= MOST_CLASSES:
        rows = [[name, *map(int, line), *of] for name, line, of in zip(classes, counts, shares, strict=True)]
        columns = ["true class", *(f"predicted {name}" for name in classes), *SHARES.values()]
        yield Table(columns, rows, f"Confusion matrix of the {part}", "l" + "r" * (len(columns) - 1))
        return
    worst = np.argsort(each["f1"].to_numpy(), kind="stable")[:MOST_CLASSES]
    rows = [[classes[at], int(each["rows"].iloc[at]), *shares[at]] for at in worst]
    title = f"Lowest F1 of {len(classes)} classes, {part}; by_class has all"
    yield Table(["class", "rows", *SHARES.values()], rows, title, "lrrrr")
    mixed = counts - np.diag(counts.diagonal())
    order = [at for at in np.argsort(-mixed, axis=None, kind="stable")[:MOST_PAIRS] if mixed.flat[at]]
    pairs = [(int(at) // len(classes), int(at) % len(classes)) for at in order]
    rows = [[classes[true], classes[guess], int(mixed[true, guess])] for true, guess in pairs]
    title = f"Mixed up most of {len(classes)} classes, {part}"
    yield Table(["true class", "predicted", "rows"], rows, title, "llr")


def runs_blocks(
    runs: "Sequence[RunInfo | Run]", total: int = 0, by: str | None = None, most: int | None = None
) -> Iterator[Block]:
    """How many runs there are, and the list, in the order given. total: how many there would be without the limit.
    by: what they are sorted by; without it they are the newest, each branch below the run that it left. most: rows of
    the list, the other runs are counted."""
    runs, guides = (runs, [""] * len(runs)) if by else tree(runs)
    if not runs:
        yield Sentence(f"none of {counted(total, 'run')} fits" if total else "no runs yet")
        return
    left = len(runs) - len(runs[:most])
    more = f"of {total:,}, {f'the first by {by}' if by else 'the newest'}" if total > len(runs) else ""
    more += f"; --limit {total} lists all" if more and not left else ""
    yield Sentence(counted(len(runs), "run"), more)
    if left:
        words = (
            "are left out here, so that the notebook stays small: the value of the cell has them,  --where, --tagged"
        )
        yield Sentence(
            f"{left:,} of them", f"{words}  and  --sort  bring others to the top,  --explore  looks through all"
        )
    runs, guides = runs[:most], guides[:most]
    yield runs_table(runs, guides)
    for run in runs:
        if getattr(run, "message", ""):
            yield Sentence(f"{run.id}:", getattr(run, "message", ""))


def runs_table(runs: "Sequence[RunInfo | Run]", guides: Sequence[str] = (), ids: bool = True) -> Table:
    """One row a run, what matters most in the first columns: a narrow page shows no more. guides: what is drawn before
    each, if anything. ids: whole, also behind names; else their ends where there is no name."""
    guides = guides or [""] * len(runs)
    columns = ["run", "validation", "value", "best epoch", "epochs", "state", "started", "target"]
    rows = [[f"{guide}{_label(run, ids)}", *_run_row(run)] for guide, run in zip(guides, runs, strict=True)]
    align = "wlrrrlll"
    if len(metrics := {row[1] for row in rows} - {None}) == 1:  # the head of the column says it once
        columns[1:3], align = metrics, "wrrrlll"
        rows = [[label, *rest] for label, _, *rest in rows]
    if known := numbers_of(run.path for run in runs):
        columns, align = ["no.", *columns], f"r{align}"
        rows = [[known.get(run.path) if run.path else None, *row] for run, row in zip(runs, rows, strict=True)]
    marks = [marks_of(run.path) for run in runs]
    for title, words in (("tags", [", ".join(one.tags) for one in marks]), ("note", [one.note for one in marks])):
        if any(words):
            columns, align = [*columns, title], f"{align}l"
            rows = [[*row, word or None] for row, word in zip(rows, words, strict=True)]
    return Table(columns, rows, align=align)


def tree(runs: "Sequence[Any]") -> "tuple[list[Any], list[str]]":
    """The runs with each branch below the run that it left, and what is drawn before each; others stay in order. A
    branch whose parent is not listed stands as others do."""
    there = {run.id for run in runs}
    below: dict[Any, list[Any]] = {}
    for run in runs:
        origin = _origin(run)
        above = origin.id if origin is not None and origin.kind == "branch" else None
        below.setdefault(above if above in there and above != run.id else None, []).append(run)
    found: list[tuple[Any, str]] = []

    def put(run: Any, guide: str, rest: str) -> None:
        found.append((run, guide))
        twigs = below.pop(run.id, [])
        for twig in twigs:
            last = twig is twigs[-1]
            put(twig, f"{rest}{'└─' if last else '├─'} ", f"{rest}{'· ' if last else '│ '}")

    for run in below.pop(None, []):
        put(run, "", "")
    return [run for run, _ in found], [guide for _, guide in found]


def _origin(run: Any) -> Any:
    return getattr(getattr(run, "facts", run), "origin", None)


def _label(run: Any, ids: bool) -> str:
    label = run.name or (run.id if ids else run.id[-8:])
    label += f" ({run.id})" if run.name and ids else ""
    if (origin := _origin(run)) is not None:
        label += f", replay of {origin.id[-8:]}" if origin.kind == "replay" else f", from epoch {origin.epoch}"
    return str(label)


def _run_row(run: Any) -> list[Any]:
    monitor = getattr(run.spec, "monitor", "loss") if run.spec else "loss"
    metric = main_metric(run.metrics, monitor)
    value = float(run.metrics[metric]) if metric else None
    loaded = hasattr(run, "facts")
    began, target = (run.facts.began, run.pipeline.target.name) if loaded else (run.started, run.target)
    epochs = run.finished.epoch if loaded else run.epochs
    when = f"{began.astimezone():%Y-%m-%d %H:%M}"
    return [metric, value, run.best_epoch, epochs, run.state.replace("_", " "), when, target]


def overlay(runs: "Sequence[Run]") -> bytes:
    """The curves of the metric that most of the runs have."""
    metrics = [main_metric(run.metrics, run.spec.monitor) or "loss" for run in runs]
    metric = max(dict.fromkeys(metrics), key=metrics.count)
    names = [run.name or run.id or f"run {at + 1}" for at, run in enumerate(runs)]
    unique = [
        name if names.count(name) == 1 else f"{name} · {run.id[-8:]}" for name, run in zip(names, runs, strict=True)
    ]
    return charts.overlay({name: run.history for name, run in zip(unique, runs, strict=True)}, metric)


def _time(seconds: float) -> str:
    return f"{seconds:.1f} s" if seconds < 120 else f"{seconds / 60:,.1f} min"
