"""The curves of a living run, and what they can be asked for: metrics, by ratio, smoothed, zoomed, a run before."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import ipywidgets
import numpy as np
from ipywidgets import HBox, Layout, VBox

from nnlab.core.events import EpochDone, Started
from nnlab.core.plan import plan
from nnlab.report.tables import shorten
from nnlab.widgets import look
from nnlab.widgets.curves import Chart, Curves, thin
from nnlab.widgets.series import Drawn, How, SeriesChart

if TYPE_CHECKING:
    from nnlab.core.events import Earlier

MOST_METRICS = 6  # buttons; a run with more shows its first ones
INKS = (look.VALID, "#e8590c", "#2b9d6f", "#a855c7", "#b98900", "#4aa3df")
TOOLS_HEIGHT = "26px"  # kept free from the start, so that nothing jumps
BEFORE = 300  # points of the run before
SMOOTH = [("raw", 0.0), ("smooth", 0.6), ("smoother", 0.9)]


class History:
    """Keeps the numbers of epochs, and shows them once `make` is called. Buttons only write down what is wanted."""

    def __init__(self, started: Started, text: Callable[..., Any]) -> None:
        self._started, self._text = started, text
        self._plan = plan(started.spec, started.rows)
        main = started.monitor if started.monitor != "loss" else next(iter(started.metrics), None)
        self._metrics = sorted(started.metrics, key=lambda name: name != main)[:MOST_METRICS]
        self._values, self._lr = Curves(2 + 2 * len(self._metrics) + 1), Curves(1)
        self._how, self._chosen = How(), [name for name in self._metrics if name == main]
        self._best: EpochDone | None = None
        self._resumed: EpochDone | None = None
        self._earlier: Earlier | None = None
        self._before: Mapping[str, tuple[np.ndarray, np.ndarray]] = {}
        self._loss: SeriesChart | None = None
        self._scores: SeriesChart | None = None
        self._asks = 0  # how often something was wanted otherwise
        self._shown: tuple[int, ...] = ()
        self._changes: list[int] = []  # epochs
        self._zoomed = self.equipped = False
        self._alike: dict[str, Any] = {}  # what the buttons share, as each model costs a message

    @property
    def pressed(self) -> tuple[int, ...]:
        """How often somebody has pressed a button of the charts, and moved each of them."""
        return self._asks, *(chart.moves for chart in (self._loss, self._scores) if chart is not None)

    @property
    def changed(self) -> bool:
        """Whether something is wanted otherwise since the last drawing."""
        return self.pressed != self._shown

    @property
    def made(self) -> bool:
        """Whether there are charts."""
        return self._loss is not None

    def add(self, event: EpochDone) -> None:
        """Keep an epoch; costs microseconds."""
        nan = float("nan")
        if event.best:
            self._best = event
        valid = [event.valid.get(name, nan) for name in self._metrics]
        spread = [event.spread.get(name, nan) for name in ("loss", *self._metrics)]
        self._values.add(event.epoch, event.train.get("loss", nan), event.valid.get("loss", nan), *valid, *spread)
        self._lr.add(event.epoch, event.lr)

    def resumed(self, last: EpochDone | None) -> None:
        """The run was taken up again after this epoch."""
        self._resumed = last

    def changed_in(self, epoch: int) -> None:
        """Something was changed in this epoch, which has no values yet."""
        self._changes.append(epoch)

    def earlier(self, event: "Earlier") -> None:
        """There may be a run before this one, on the same data."""
        self._earlier = event

    def make(self) -> list[Any]:
        """The widgets: a row of buttons, and the charts."""
        self._loss = SeriesChart({"training": look.TRAIN, "validation": look.VALID})
        inks = dict(zip(self._metrics, INKS, strict=False))
        self._scores = SeriesChart(inks) if self._metrics and self._has_valid else None
        self._rates = Chart([look.FAINT, look.TRAIN])
        self._heading = self._text()
        charts: list[tuple[Any, Any, int]] = [(self._heading, self._loss, 3)]
        if self._scores is not None:
            self._names = self._text()
            charts.append((self._names, self._scores, 3))
        charts.append((look.title("learning rate", [("planned", look.FAINT, False)]), self._rates, 2))
        self._tools = HBox(layout=Layout(width="100%", min_height=TOOLS_HEIGHT, flex_flow="row wrap", margin="2px 0"))
        self._tools.add_class("nnl-tools")
        self.draw()  # before they are shown: bqplot has no good picture of an empty chart
        row = HBox([self._column(*chart) for chart in charts], layout=Layout(width="100%", flex_flow="row wrap"))
        return [self._tools, row]

    def equip(self) -> None:
        """Give the charts their buttons, words under the pointer, and the run before; later, as each costs messages."""
        self.equipped = True
        label, self._before = self._look_back()
        self._tools.children = self._buttons(label)
        for chart in (self._loss, self._scores):
            if chart is not None:
                chart.tell()
        self._asks += 1

    @property
    def _has_valid(self) -> bool:
        return bool(np.isfinite(self._values.values(2)).any()) if self._metrics else False

    def _look_back(self) -> tuple[str, dict[str, tuple[np.ndarray, np.ndarray]]]:
        """The run before: its label, and its curves by the names that they have here."""
        found = self._earlier.read() if self._earlier is not None else None
        if found is None:
            return "", {}
        label, history = found
        names = {"train_loss": "training", "valid_loss": "validation"} | {f"valid_{m}": m for m in self._metrics}
        x = history.index.to_numpy(float)
        thinned = {name: thin(x, history[[column]].to_numpy(float).T, BEFORE)
                   for column, name in names.items() if column in history and len(x)}  # fmt: skip
        return label, {name: (points, ys[0]) for name, (points, ys) in thinned.items()}

    def _buttons(self, label: str) -> list[Any]:
        """Buttons for what is shown and how."""
        self._alike = {"layout": Layout(width="auto")}
        hide = [
            self._toggle(name, f"show the {name} curve", True, self._hider(name)) for name in ("training", "validation")
        ]
        several = self._metrics if self._scores is not None and len(self._metrics) > 1 else []
        metrics = [self._toggle(name, f"show {name}", name in self._chosen, self._chooser(name)) for name in several]
        tools = [*hide, *metrics]
        if self._before:
            tools.append(
                self._toggle("before", f"show {label}, the run before on the same data", True, self._hider("before"))
            )
        tools.append(self._toggle("log", "show the loss by ratio", False, lambda on: self._show(log=on)))
        tools.append(self._toggle("zoom", "the wheel zooms, the pointer moves; again: all", False, self._zoom))
        smooth = ipywidgets.Dropdown(options=SMOOTH, tooltip="mean over the last epochs", layout=Layout(width="92px"))
        smooth.observe(lambda change: self._show(smooth=change["new"]), "value")
        return [*tools, smooth]

    def _toggle(self, name: str, tooltip: str, on: bool, act: Callable[[bool], None]) -> Any:
        button = ipywidgets.ToggleButton(value=on, description=shorten(name, 24), tooltip=tooltip, **self._alike)
        self._alike = {"layout": button.layout, "style": button.style}
        button.observe(lambda change: act(change["new"]), "value")
        return button

    def _show(self, **how: Any) -> None:
        self._how = replace(self._how, **how)
        self._asks += 1

    def _hider(self, name: str) -> Callable[[bool], None]:
        return lambda on: self._show(hidden=self._how.hidden - {name} if on else self._how.hidden | {name})

    def _chooser(self, name: str) -> Callable[[bool], None]:
        def choose(on: bool) -> None:
            self._chosen = [one for one in self._metrics if (on if one == name else one in self._chosen)]
            self._asks += 1

        return choose

    def _zoom(self, on: bool) -> None:
        self._zoomed = on
        self._asks += 1

    def draw(self) -> None:
        """Show all epochs so far as it is wanted."""
        assert self._loss is not None
        self._shown = self.pressed
        for chart in (self._loss, self._scores):
            if chart is not None:
                chart.zoom(self._zoomed)
        x, ys = self._values.thinned()
        before = {} if "before" in self._how.hidden else self._before
        curves, count = {"training": ys[0], "validation": ys[1]}, len(self._metrics)
        spread = {} if np.isnan(ys[2 + count]).all() else {"validation": ys[2 + count]}
        marks = [point for point in [self._point(self._resumed, "loss")] if point]
        shaded, changes = ("training", "validation"), self._at_changes(0 if np.isnan(ys[1]).all() else 1)
        legend = [("training", look.TRAIN, False), ("validation", look.VALID, False), ("best", look.BEST, True)]
        legend += [("resumed", look.FAINT, True)] * bool(marks) + [("changed", look.CHANGE, True)] * bool(changes)
        self._heading.value = look.title("loss", legend)
        drawn = Drawn(x, curves, before, self._point(self._best, "loss"), shaded, spread, marks, changes)
        self._loss.draw(drawn, self._how)
        if self._scores is not None:
            self._draw_scores(x, ys[2 : 2 + count], ys[3 + count :], before)
        self._rates.draw(*self._lr_course())

    def _at_changes(self, curve: int) -> list[tuple[float, float]]:
        """The value of a curve in each epoch with a change, as dots."""
        if not self._changes:
            return []
        epochs, values = self._values.values(None), self._values.values(curve)
        there = np.isin(epochs, self._changes) & np.isfinite(values)
        return list(zip(epochs[there].tolist(), values[there].tolist(), strict=True))

    def _draw_scores(self, x: np.ndarray, ys: np.ndarray, spreads: np.ndarray, before: Mapping[str, Any]) -> None:
        assert self._scores is not None
        inks = dict(zip(self._metrics, INKS, strict=False))
        self._names.value = look.title("validation", [(name, inks[name], False) for name in self._chosen])
        curves = dict(zip(self._metrics, ys, strict=True))
        main = self._chosen[0] if self._chosen else None
        known = {name: half for name, half in zip(self._metrics, spreads, strict=True) if name == main}
        spread = {name: half for name, half in known.items() if not np.isnan(half).all()}
        hidden = frozenset(self._metrics) - set(self._chosen)
        best = self._point(self._best, main) if main else None
        smooth = How(False, self._how.smooth, hidden)
        changes = self._at_changes(2 + self._metrics.index(main)) if main else []
        self._scores.draw(Drawn(x, curves, before, best, None, spread, (), changes), smooth)

    def _lr_course(self) -> tuple[np.ndarray, np.ndarray]:
        """The step size as planned over all epochs, and as it was until now, at the points that either needs."""
        done, (so_far,) = self._lr.thinned()
        x = np.union1d(self._plan.epochs, done)
        now = np.interp(x, done, so_far)
        now[x > done[-1]] = np.nan
        return x, np.stack([np.interp(x, self._plan.epochs, self._plan.end_lr), now])

    def _column(self, title: Any, chart: Any, grow: int) -> Any:
        """A chart under its heading, in a row that wraps where it is narrow."""
        heading = self._text(title) if isinstance(title, str) else title
        return VBox([heading, chart.widget], layout=Layout(flex=f"{grow} 1 {80 * grow}px", min_width="200px"))

    @staticmethod
    def _point(event: EpochDone | None, name: str) -> tuple[float, float] | None:
        """The validation value of an epoch as a dot."""
        return (float(event.epoch), event.valid[name]) if event is not None and name in event.valid else None
