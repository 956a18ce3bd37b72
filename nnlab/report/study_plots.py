"""What a study's trials look like: parallel coordinates, slices, courses of trials and fronts, as lines and dots.

A plot's coordinates go from 0 to 1, x to the right and y up, so that the live view and the final picture draw the same.
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from nnlab.core.params import show_value
from nnlab.core.tune.objectives import LATENCY
from nnlab.core.tune.ranges import Lists, Range, Searched
from nnlab.core.tune.study import fact
from nnlab.report.drawing import BEST, FAINT, TRAIN, VALID
from nnlab.report.tables import number

if TYPE_CHECKING:
    from nnlab.core.tune.study import Study

MOST_AXES, MOST_SLICES = 8, 6
MOST_LINES = 60  # of the best trials; more would be a smear
GOOD = 0.25  # share of the trials that are drawn as good ones
WIDE_RATIO = 10.0  # of an axis, from which on it goes by ratio
TOP_FENCE = 0.9  # worse scores than those of this share of the trials are drawn at the edge


@dataclass(frozen=True)
class Line:
    """Points (x, y) with a colour; thick: the one that should be seen first."""

    points: tuple[tuple[float, float], ...]
    color: str
    thick: bool = False


@dataclass(frozen=True)
class Dot:
    """A trial."""

    x: float
    y: float
    color: str
    large: bool = False


@dataclass(frozen=True)
class Tick:
    """A word at a place of an axis; at: of parallel coordinates the axis that it belongs to."""

    place: float
    text: str
    at: float = 0.0


@dataclass(frozen=True)
class Plot:
    """One plot. axes: x of vertical axes, each with its own ticks (parallel coordinates)."""

    title: str
    lines: tuple[Line, ...] = ()
    dots: tuple[Dot, ...] = ()
    x_ticks: tuple[Tick, ...] = ()
    y_ticks: tuple[Tick, ...] = ()
    axes: tuple[float, ...] = ()
    legend: tuple[tuple[str, str], ...] = field(default=())


@dataclass(frozen=True)
class Scored:
    """A complete trial: its number, score, values as they were tried, and place among all, 0 for the best."""

    number: int
    score: float
    values: Mapping[str, Any]
    rank: int


def scored(study: "Study") -> list[Scored]:
    """The complete trials of a study with a finite score, best first."""
    found: list[Scored] = []
    for number_ in study.ranking():
        score = study.score_of(number_)
        if score is not None and math.isfinite(score):
            found.append(Scored(number_, score, study.values_of(number_), len(found)))
    return found


def parallel(
    study: "Study", trials: Sequence[Scored], importance: Mapping[str, float], most: int = MOST_LINES
) -> Plot | None:
    """Each trial, or so many of the best, a line over the axes of what was searched, the score at the right; good ones
    in colour."""
    names = _names(study, trials, importance, MOST_AXES - 1)
    if len(trials) < 2 or not names:
        return None
    scores = _scale(trials, study.maximize)
    axes = tuple(np.linspace(0, 1, len(names) + 1).tolist())
    lines = []
    for trial in reversed(trials[:most]):
        places = [_place(study.space[name], trial.values.get(name)) for name in names]
        points = [(x, y) for x, y in zip(axes, places, strict=False) if y is not None]
        lines.append(Line((*points, (1.0, scores.place(trial.score))), _color(trial, trials), trial.rank == 0))
    ticks = [tick for x, name in zip(axes, names, strict=False) for tick in _ends(study.space[name], x)]
    ticks += [Tick(place, text, 1.0) for place, text in ((0.0, scores.low_text), (1.0, scores.high_text))]
    heads = tuple(Tick(x, name) for x, name in zip(axes, (*names, study.metric), strict=True))
    return Plot("", tuple(lines), (), heads, tuple(ticks), axes, _legend(trials))


def slices(study: "Study", trials: Sequence[Scored], importance: Mapping[str, float]) -> list[Plot]:
    """For each name that matters the score over its values."""
    if len(trials) < 2:
        return []
    scores, found = _scale(trials, study.maximize), []
    for name in _names(study, trials, importance, MOST_SLICES):
        searched = study.space[name]
        dots = [
            Dot(place, scores.place(trial.score), _color(trial, trials), trial.rank == 0)
            for trial in reversed(trials)
            if (place := _place(searched, trial.values.get(name))) is not None
        ]
        ticks = tuple(Tick(tick.place, tick.text) for tick in _ends(searched, 0.0))
        sides = (Tick(0.0, scores.low_text), Tick(1.0, scores.high_text))
        found.append(Plot(name, (), tuple(dots), ticks, sides))
    return found


def courses(study: "Study", trials: Sequence[Scored], most: int = MOST_LINES) -> Plot | None:
    """The monitored value over the epochs of each trial, or so many of the best and of those that were ended early."""
    table = study.courses
    if table.empty or not np.isfinite(table.to_numpy()).any():
        return None
    ranks = {trial.number: trial for trial in trials}
    shown = [*(n for n in table if n not in ranks)][-most:] + [t.number for t in reversed(trials[:most])]
    last = table.shape[0]
    values = table.to_numpy()
    low, high = _fence(values[np.isfinite(values)], study.maximize)
    epochs, lines = table.index.to_numpy(float), []
    for number_ in (n for n in shown if n in table):
        course = table[number_].to_numpy()
        points = [
            ((e - epochs[0]) / max(epochs[-1] - epochs[0], 1), _share(v, low, high))
            for e, v in zip(epochs, course, strict=True)
            if np.isfinite(v)
        ]
        color = _color(ranks[number_], trials) if number_ in ranks else FAINT
        lines.append(Line(tuple(points), color, number_ in ranks and ranks[number_].rank == 0))
    x_ticks = (Tick(0.0, f"epoch {epochs[0]:.0f}"), Tick(1.0, f"{epochs[-1]:.0f}"))[: 1 + (last > 1)]
    sides = (Tick(0.0, number(low)), Tick(1.0, number(high)))
    return Plot(study.metric, tuple(lines), (), x_ticks, sides, (), (*_legend(trials), ("ended early", FAINT)))


def fronts(study: "Study") -> list[Plot]:
    """The first objective over each of the others, those that no other dominates as a line; [] for one objective."""
    done = study.rows_of(study.ranking() if study.header.several else ())
    if len(done) < 2:
        return []
    best, found = set(study.front["number"]), []
    done = pd.concat([done[~done["number"].isin(best)], study.front])  # finalists where they were compared
    low, high = _fence(done["score"].to_numpy(float), study.maximize)
    for second in study.spec.objectives[1:]:
        values = done[fact(second, study.space)].to_numpy(float)
        left, right = float(values.min()), float(values.max())
        by_ratio = left > 0 and right > WIDE_RATIO * left
        ends = (math.log(left), math.log(right)) if by_ratio else (left, right)
        at = {
            int(n): (_share(math.log(x) if by_ratio else x, *ends), _share(y, low, high))
            for n, x, y in zip(done["number"], values, done["score"], strict=True)
        }
        dots = [Dot(*place, BEST if n in best else TRAIN, n in best) for n, place in at.items()]
        title = f"{study.metric} over {'latency (ms)' if second == LATENCY else second}"
        ticks = (Tick(0.0, number(left)), Tick(1.0, number(right)))
        line = Line(tuple(sorted(place for n, place in at.items() if n in best)), BEST)
        legend = (("no other is better in all", BEST), ("trial", TRAIN))
        lines = (line,) if len(study.spec.objectives) == 2 else ()
        found.append(
            Plot(title, lines, tuple(dots), ticks, (Tick(0.0, number(low)), Tick(1.0, number(high))), (), legend)
        )
    return found


@dataclass(frozen=True)
class _Scale:
    """Where a score lies on its axis: the better the higher, hopeless ones at the lower edge."""

    low: float
    high: float
    maximize: bool

    def place(self, score: float) -> float:
        share = _share(score, self.low, self.high)
        return share if self.maximize else 1.0 - share

    @property
    def low_text(self) -> str:
        return number(self.low if self.maximize else self.high)

    @property
    def high_text(self) -> str:
        return number(self.high if self.maximize else self.low)


def _scale(trials: Sequence[Scored], maximize: bool) -> _Scale:
    return _Scale(*_fence(np.array([trial.score for trial in trials]), maximize), maximize)


def _fence(values: np.ndarray, maximize: bool) -> tuple[float, float]:
    """The ends of the axis: from the best value to one that most are better than."""
    if maximize:
        return float(np.quantile(values, 1 - TOP_FENCE)), float(values.max())
    return float(values.min()), float(np.quantile(values, TOP_FENCE))


def _share(value: float, low: float, high: float) -> float:
    return float(np.clip((value - low) / (high - low), 0.0, 1.0)) if high > low else 0.5


def _names(study: "Study", trials: Sequence[Scored], importance: Mapping[str, float], most: int) -> list[str]:
    """The searched names that vary, the most important first, so many."""
    varied = [n for n in study.space if len({show_value(trial.values.get(n)) for trial in trials}) > 1]
    return sorted(varied, key=lambda name: -importance.get(name, 0.0))[:most]


def _color(trial: Scored, trials: Sequence[Scored]) -> str:
    if trial.rank == 0:
        return BEST
    return VALID if trial.rank < max(1, GOOD * len(trials)) else TRAIN


def _legend(trials: Sequence[Scored]) -> tuple[tuple[str, str], ...]:
    words = (("best", BEST), (f"best {GOOD:.0%}", VALID), ("other trials", TRAIN))
    return words if len(trials) > 4 else (words[0], words[2])


def _place(searched: Searched, value: Any) -> float | None:
    """Where on its axis a value lies; None for one that the trial does not have. Of lists the geometric mean counts."""
    if value is None and not (isinstance(searched, Range) and None in searched.choices):
        return None
    if isinstance(searched, Lists):
        items = [float(item) for item in str(value).replace(",", "-").split("-") if item.replace(".", "").isdigit()]
        if not items or min(items) <= 0:
            return None
        return _number_place(searched.item, float(np.exp(np.mean(np.log(items)))))
    if searched.choices:
        at = [i for i, choice in enumerate(searched.choices) if choice == value and type(choice) is type(value)]
        return at[0] / max(len(searched.choices) - 1, 1) if at else None
    return _number_place(searched, float(value)) if isinstance(value, (int, float)) else None


def _number_place(searched: Range, value: float) -> float:
    if searched.choices:
        numbers = [float(c) for c in searched.choices if isinstance(c, (int, float))]
        return _share(value, min(numbers), max(numbers)) if numbers else 0.5
    if searched.log:
        return _share(math.log(max(value, 1e-300)), math.log(searched.low), math.log(searched.high))
    return _share(value, searched.low, searched.high)


def _ends(searched: Searched, at: float) -> Iterator[Tick]:
    """The words at an axis: both ends of a range, each of the choices."""
    one = searched.item if isinstance(searched, Lists) else searched
    if one.choices:
        shown = list(one.choices) if len(one.choices) <= 6 else [one.choices[0], one.choices[-1]]
        for choice in shown:
            yield Tick(one.choices.index(choice) / max(len(one.choices) - 1, 1), show_value(choice), at)
        return
    for place, value in ((0.0, one.low), (1.0, one.high)):
        yield Tick(place, show_value(value), at)
