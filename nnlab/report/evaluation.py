"""What is said of a run on some rows: curves and counts, the rows that are most wrong, and what the columns do."""

from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from nnlab.core.errors import DataError, SpecError, did_you_mean
from nnlab.core.evaluate import counted_classes
from nnlab.core.metrics import METRICS
from nnlab.core.wording import counted
from nnlab.report.blocks import Block, Sentence
from nnlab.report.bundle import Bundle, page, picture
from nnlab.report.evaluation_charts import columns_picture, outcome_picture
from nnlab.report.runs import confusion_blocks
from nnlab.report.tables import Table, number, shorten

if TYPE_CHECKING:
    import pandas as pd

    from nnlab.core.evaluated.evaluated import Evaluated

VIEWS = ("curves", "confusion", "thresholds", "residuals", "losses", "slices", "importance", "dependence")
ROWS = 10  # that are most wrong
MOST_COLUMNS = 8  # of the user's table beside them
LONGEST_CELL = 60
MOST_IMPORTANT = 20
DEPENDENCES = 3  # columns that are drawn where none is named


class Asked:
    """What shall be shown of an evaluation. views: some of VIEWS. label: the class that curves of one class are of.

    slices, dependence: columns; without them the weakest slices, and the most important columns.
    """

    def __init__(
        self,
        views: Sequence[str] = VIEWS,
        label: Any = None,
        slices: Sequence[str] = (),
        dependence: Sequence[str] = (),
        repeats: int = 5,
    ) -> None:
        self.views, self.label, self.repeats = tuple(views), label, repeats
        self.slices, self.dependence = tuple(slices), tuple(dependence)

    def check(self, found: "Evaluated") -> None:
        """SpecError or DataError for a class or a column that there is not."""
        if self.label is not None:
            found.place_of(self.label)
        for column in self.slices:
            found.column(column)
        for word in self.dependence:
            found.column(_pair(word, found)[0])

    def wants(self, view: str) -> bool:
        """Whether a view is asked for."""
        return view in self.views


def evaluation_bundles(found: "Evaluated", asked: Asked | None = None) -> list[Bundle]:
    """The picture of the outcome, what is said of it, and the picture of the columns."""
    asked = asked or Asked()
    label = found.labels[found.place_of(asked.label)] if found.labels else None
    important = _importance(found, asked)
    made = []
    if asked.wants("curves") or asked.wants("residuals"):
        made.append(picture(outcome_picture(found, label), f"outcome: {_headline(found).text()}"))
    made.append(page(evaluation_blocks(found, asked, label, important)))
    drawn = list(_dependences(found, asked, important))
    bars = important if important is not None and asked.wants("importance") else None
    if bars is not None or drawn:
        names = ", ".join([*(["importance"] if bars is not None else []), *(" and ".join(names) for names, _ in drawn)])
        made.append(picture(columns_picture(found, bars, drawn, label), f"what the columns do: {names}"))
    return made


def evaluation_blocks(
    found: "Evaluated", asked: Asked, label: Any, important: "pd.DataFrame | None"
) -> Iterator[Block]:
    """All that is said, the most important first."""
    yield _headline(found)
    if found.note:
        yield Sentence("note:", found.note)
    if len(found.metrics) > 1:
        yield Table(list(found.metrics), [list(found.metrics.values())])
    if found.labels and asked.wants("confusion"):
        guess = found.output.argmax(1)
        counts = counted_classes(np.asarray(found.y, int), guess, tuple(map(str, found.labels)))
        yield from confusion_blocks(counts, found.part)
    if found.labels and asked.wants("thresholds"):
        yield _thresholds(found, label)
    if not found.labels and asked.wants("residuals"):
        yield _residuals(found)
    if asked.wants("slices"):
        yield from _slices(found, asked)
    if asked.wants("losses"):
        yield _losses(found, important)
    if important is not None and asked.wants("importance"):
        yield from _importances(found, important, asked.repeats)
    if found.table is None and any(map(asked.wants, ("slices", "dependence"))):
        yield Sentence("not shown:", f"slices and partial dependence; {found.lacking}")


def _headline(found: "Evaluated") -> Sentence:
    name = found.main
    value = f"{name} {number(found.metrics[name])}" if name in found.metrics else counted(len(found), "row")
    return Sentence(value, f"on {len(found):,} {found.part} of run {found.run.name or found.run.id}")


def _thresholds(found: "Evaluated", label: Any) -> Table:
    one = found.of(label)
    best = one.best_threshold
    at = sorted({*(0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9), *([best] if np.isfinite(best) else [])})
    rows = []
    lines: Iterable[Any] = one.thresholds(at).itertuples(index=False)
    for line in lines:
        shares = [None if np.isnan(v) else f"{v:.1%}" for v in (line.precision, line.recall, line.specificity, line.f1)]
        name = f"{line.threshold:.3f}{' (best F1)' if line.threshold == best else ''}"
        rows.append((name, line.tp, line.fp, line.fn, line.tn, *shares))
    columns = ["from", "hits", "false alarms", "missed", "rightly left", "precision", "recall", "specificity", "F1"]
    return Table(columns, rows, f"Taken as {label} from this probability on", "lrrrrrrrr")


def _residuals(found: "Evaluated") -> Table:
    values = found.residuals["residual"].to_numpy()
    levels = (0, 5, 25, 50, 75, 95, 100)
    cells = [float(np.percentile(values, level)) for level in levels]
    names = ["least", "5%", "25%", "median", "75%", "95%", "largest"]
    return Table(["mean", *names], [(float(values.mean()), *cells)], "Residuals (true less predicted)")


def _slices(found: "Evaluated", asked: Asked) -> Iterator[Block]:
    if found.table is None:
        return
    for column in asked.slices:
        each = found.by_slice(column)
        rows = [(name, *_plain(values)) for name, values in zip(each.index, each.to_numpy(object), strict=True)]
        yield Table([column, *each.columns], rows, f"Slices by {column}")
    if asked.slices:
        return
    each = found.weakest()
    if len(each) and (overall := found.metrics.get(found.main)) is not None:
        better = METRICS[found.main].facts["maximize"]
        worse = each[each[found.main] < overall] if better else each[each[found.main] > overall]
        rows = [tuple(_plain(values)) for values in worse.to_numpy(object)]
        if rows:
            yield Table(list(each.columns), rows, f"Weakest slices (all rows: {found.main} {number(overall)})", "llrr")


def _losses(found: "Evaluated", important: "pd.DataFrame | None") -> Table:
    """The user's own columns beside, the most important first."""
    each = found.top_losses(ROWS)
    told = [name for name in ("true", "predicted", "p(true)", "p(predicted)", "loss", "error") if name in each]
    own = list(each.columns[len(told) :])
    order = list(important.index) if important is not None else []
    own = sorted(own, key=lambda name: order.index(name) if name in order else len(order))
    shown = own[:MOST_COLUMNS]
    rows = [
        (int(row), *(_cell(value) for value in values))
        for row, values in zip(each.index, _objects(each, [*told, *shown]), strict=True)
    ]
    left = f"; {counted(len(own) - len(shown), 'more column')}" if len(own) > len(shown) else ""
    return Table(
        ["row", *told, *shown],
        rows,
        f"Most wrong of {len(found):,} {found.part}{', as in the table' * bool(own)}{left}",
    )


def _importances(found: "Evaluated", important: "pd.DataFrame", repeats: int) -> Iterator[Block]:
    lines: Iterable[Any] = important[:MOST_IMPORTANT].itertuples()
    rows = [(line.Index, float(line.importance), f"{number(line.low, 3)} to {number(line.high, 3)}") for line in lines]
    worse = "fall" if METRICS[found.main].facts["maximize"] else "rise"
    title = f"Importance: {worse} of {found.main} when the column is shuffled, mean of {counted(repeats, 'time')}"
    yield Table(["column", "importance", "95% interval"], rows, title, "lrl")
    if len(important) > MOST_IMPORTANT:
        yield Sentence("less important:", f"{len(important) - MOST_IMPORTANT} more columns; found.importance() has all")


def _importance(found: "Evaluated", asked: Asked) -> "pd.DataFrame | None":
    """None where it is not needed, or columns cannot be shuffled."""
    needed = asked.wants("importance") or (asked.wants("dependence") and not asked.dependence)
    try:
        return found.importance(asked.repeats) if needed and len(found) > 1 else None
    except DataError:
        if found.table is None:
            return None
        raise


def _dependences(
    found: "Evaluated", asked: Asked, important: "pd.DataFrame | None"
) -> Iterator[tuple[tuple[str, ...], "pd.DataFrame"]]:
    """Columns and their partial dependence: those that are named (a:b is a pair), else the most important ones."""
    if not asked.wants("dependence") or found.table is None:
        return
    label = None if not found.labels or (asked.label is None and len(found.labels) > 2) else asked.label
    named: Iterable[tuple[str, ...]] = [_pair(word, found) for word in asked.dependence]
    if not named and important is not None:
        named = [(name,) for name in important.index[:DEPENDENCES]]
    for names in named:
        one = found.labels[found.place_of(asked.label)] if found.labels and len(names) == 2 else label
        yield names, found.dependence(*names, label=one)


def _pair(word: str, found: "Evaluated") -> tuple[str, ...]:
    """The column of that name, or the two of first:second."""
    columns = [word] if found.table is None else list(found.table)
    if word in columns:
        return (word,)
    for at, char in enumerate(word):
        if char == ":" and word[:at] in columns and word[at + 1 :] in columns:
            return word[:at], word[at + 1 :]
    near = did_you_mean(word, columns)
    raise SpecError(f"dependence={word}: neither a column of the table nor two of them, as in  age:height{near}")


def _objects(each: "pd.DataFrame", columns: Sequence[str]) -> list[tuple[Any, ...]]:
    return list(zip(*(each[name].tolist() for name in columns), strict=True))


def _plain(values: Iterable[Any]) -> list[Any]:
    return [value if isinstance(value, str) else None if value != value else value for value in values]


def _cell(value: Any) -> Any:
    """A value of the user's table; what is long is cut, and a missing one is a dash."""
    if value is None or value != value:
        return None
    return value if isinstance(value, bool | int | float) else shorten(value, LONGEST_CELL).removesuffix(" 00:00:00")
