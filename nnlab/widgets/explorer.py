"""An evaluation to be explored: press a cell of the confusion matrix for its rows, move the threshold, press a dot."""

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import ipywidgets
import numpy as np
from ipywidgets import GridBox, HBox, Layout, VBox

from nnlab.report.blocks import Sentence
from nnlab.report.tables import shorten, show
from nnlab.widgets import look
from nnlab.widgets.curves import thin
from nnlab.widgets.plots import Plane
from nnlab.widgets.slot import Slot, StaticOutput

if TYPE_CHECKING:
    import pandas as pd

    from nnlab.core.evaluated.evaluated import Evaluated

MOST_CLASSES = 12  # whose matrix is made of buttons
MOST_ROWS, MOST_COLUMNS = 20, 12
LONGEST_CELL = 40
MOST_DOTS = 1000
NOTE = Sentence("An evaluation was being explored here;", "run the cell again to explore it. What it began with:")
OPEN: list["Explorer"] = []  # at most one: another closes the one before


def explore(found: "Evaluated", label: Any, outputs: Sequence[StaticOutput], sliders: bool = True) -> None:
    """Show the explorer in the running cell. outputs: what stays, of which the first takes its place when it closes.

    sliders: whether the threshold is a slider, not a field.
    """
    while OPEN:
        OPEN[-1].close()
    OPEN.append(Explorer(found, label, outputs, sliders))


class Explorer:
    """The widget, in a slot of the running cell. label: the class whose threshold is moved at first."""

    def __init__(self, found: "Evaluated", label: Any, outputs: Sequence[StaticOutput], sliders: bool) -> None:
        self._found, self._outputs, self._sliders = found, list(outputs), sliders
        self._text = look.Texts()
        self._rows = self._text()
        close = ipywidgets.Button(description="Close", icon="times", tooltip="leave the static picture here")
        close.on_click(lambda button: self.close())
        part = self._text(look.title(f"{found.part} of run {found.run.name or found.run.id}"))
        head = HBox([part, close], layout=Layout(justify_content="space-between"))
        views = self._class_views(label) if found.labels else [self._dots()]
        row = HBox(views, layout=Layout(width="100%", flex_flow="row wrap", align_items="flex-start"))
        self.root = VBox([self._text(look.CSS), head, row, self._rows])
        self.root.add_class("nnl")
        self._show(found.top_losses(MOST_ROWS), f"most wrong of {len(found):,} rows")
        self._slot = Slot()
        self._slot.show(self.root, [NOTE], self._outputs[0] if self._outputs else None)

    def close(self) -> None:
        """Put the picture in the widget's place; nothing is left in the kernel."""
        if self in OPEN:
            OPEN.remove(self)
            self._slot.replace(self._outputs[:1], "the explorer was closed")

    def _class_views(self, label: Any) -> list[Any]:
        views = [self._matrix()] if len(self._found.labels) <= MOST_CLASSES else []
        return [*views, ThresholdView(self._found, label, self._text, self._sliders).root]

    def _matrix(self) -> Any:
        """A button for each cell; the count is its text."""
        labels, counts = self._found.labels, self._found.confusion.to_numpy()
        size = len(labels)
        cells = [self._text(), *(self._text(look.title(shorten(name, 14))) for name in labels)]
        for row, true in enumerate(labels):
            cells.append(self._text(look.title(shorten(true, 14))))
            cells += [self._cell(true, guess, int(counts[row, at])) for at, guess in enumerate(labels)]
        columns = f"minmax(60px,max-content) repeat({size},minmax(44px,84px))"
        grid = GridBox(cells, layout=Layout(grid_template_columns=columns, grid_gap="2px", align_items="center"))
        title = self._text(look.title("true by predicted: press a count"))
        return VBox([title, grid], layout=Layout(flex="0 1 auto", min_width="200px"))

    def _cell(self, true: Any, guess: Any, count: int) -> Any:
        button = ipywidgets.Button(
            description=f"{count:,}",
            tooltip=f"{count:,} rows of {true} predicted as {guess}",
            layout=Layout(width="auto", margin="0"),
            disabled=not count,
        )
        button.add_class("nnl-right" if true == guess else "nnl-wrong")
        button.on_click(lambda pressed: self._show(self._found.confused(true, guess), f"{true} predicted as {guess}"))
        return button

    def _dots(self) -> Any:
        """Predicted against true; of many rows a sample and the most wrong ones."""
        found = self._found
        chosen = np.arange(len(found))
        if len(found) > MOST_DOTS:
            some = np.random.default_rng(0).choice(len(found), MOST_DOTS, replace=False)
            chosen = np.union1d(some, np.argsort(-found.losses)[:MOST_ROWS])
        true, predicted = found.true[chosen], found.output[chosen]

        def pressed(at: int) -> None:
            self._show(found.rows(chosen[at : at + 1]), "the row that was pressed")

        plane = Plane("true", "predicted", [look.FAINT], [look.VALID], pressed=pressed)
        ends = np.array([min(true.min(), predicted.min()), max(true.max(), predicted.max())])
        plane.line(0, ends, ends)
        plane.dot(0, true, predicted)
        title = self._text(look.title("predicted against true: press a dot for its row"))
        return VBox([title, plane.widget], layout=Layout(flex="1 1 420px", min_width="300px", max_width="680px"))

    def _show(self, rows: "pd.DataFrame", what: str) -> None:
        shown = rows.iloc[:MOST_ROWS, :MOST_COLUMNS]
        left = f", the first {MOST_ROWS} of {len(rows):,}" if len(rows) > MOST_ROWS else ""
        cells = [
            [str(row), *(_cell(value) for value in values)]
            for row, values in zip(shown.index, shown.astype(object).to_numpy(), strict=True)
        ]
        names = ["row", *(shorten(name, LONGEST_CELL) for name in shown.columns)]
        self._rows.value = look.title(f"{what}{left}") + look.table(names, cells)


class ThresholdView:
    """A slider, or a field, for the probability from which rows are taken as one class, with what that gives."""

    def __init__(self, found: "Evaluated", label: Any, text: Callable[..., Any], sliders: bool) -> None:
        self._found = found
        self._planes = [
            Plane("false positive rate", "true positive rate", [look.VALID], [look.BEST], unit=True),
            Plane("recall", "precision", [look.VALID], [look.BEST], unit=True),
        ]
        self._table = text()
        options = [(str(name), place) for place, name in enumerate(found.labels)]
        self._class = ipywidgets.Dropdown(options=options, value=found.place_of(label), description="class")
        ends = {"value": 0.5, "min": 0.0, "max": 1.0, "step": 0.01, "description": "threshold"}
        if sliders:
            wide = Layout(width="auto", flex="1 1 260px")
            self._threshold: Any = ipywidgets.FloatSlider(readout_format=".2f", layout=wide, **ends)
        else:
            self._threshold = ipywidgets.BoundedFloatText(**ends)
        self._class.observe(lambda change: self._draw_class(), "value")
        self._threshold.observe(lambda change: self._draw_threshold(), "value")
        plots = [
            VBox([text(look.title(name)), plane.widget], layout=Layout(flex="1 1 220px", min_width="200px"))
            for name, plane in zip(("ROC", "precision and recall"), self._planes, strict=True)
        ]
        controls = HBox([self._class, self._threshold], layout=Layout(width="100%", flex_flow="row wrap"))
        row = HBox(plots, layout=Layout(width="100%", flex_flow="row wrap"))
        self.root = VBox([controls, row, self._table], layout=Layout(flex="3 1 460px", min_width="280px"))
        self._draw_class()

    def _draw_class(self) -> None:
        self._one = self._found.of(self._found.labels[self._class.value])
        roc, recall = self._one.roc, self._one.precision_recall
        for plane, curve, x, y in (
            (self._planes[0], roc, "false_positive_rate", "true_positive_rate"),
            (self._planes[1], recall, "recall", "precision"),
        ):
            if len(curve):
                points, values = thin(curve[x].to_numpy(float), curve[[y]].to_numpy(float).T)
                plane.line(0, points, values[0])
        self._draw_threshold()

    def _draw_threshold(self) -> None:
        line = self._one.thresholds([self._threshold.value]).iloc[0]
        others = line["fp"] + line["tn"]
        self._planes[0].dot(0, [line["fp"] / others if others else np.nan], [line["recall"]])
        self._planes[1].dot(0, [line["recall"]], [line["precision"]])
        counts = [f"{int(line[name]):,}" for name in ("tp", "fp", "fn", "tn")]
        rates = ["–" if np.isnan(line[name]) else f"{line[name]:.1%}" for name in RATES]
        self._table.value = look.table([*COUNTS, *RATES.values()], [[*counts, *rates]])


COUNTS = ("hits", "false alarms", "missed", "rightly left")
RATES = {"precision": "precision", "recall": "recall", "specificity": "specificity", "f1": "F1", "accuracy": "accuracy"}


def _cell(value: Any) -> str:
    return "–" if value is None or value != value else shorten(show(value), LONGEST_CELL).removesuffix(" 00:00:00")
