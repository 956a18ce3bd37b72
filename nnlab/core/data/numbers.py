"""A column of numbers, fitted: extremes clipped, gaps filled, scaled or expanded."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from nnlab.core.data.columns import Column, as_number
from nnlab.core.data.rounding import carried, whole
from nnlab.core.data.steps import EXPANDERS, IMPUTERS, OUTLIERS, SCALERS, State
from nnlab.core.data.written import Reading
from nnlab.core.spec import PrepareSpec, make

Arrays = dict[str, np.ndarray]
LARGEST = float(np.finfo(np.float32).max)
FLOAT32_ROUNDS = float(np.finfo(np.float32).eps)  # a column may come as float32 that training had as float64
FALLBACK = "median"  # fills what an imputer of the whole table or along an order leaves open
WHOLE = ("table", "order")  # scopes of imputers that look beyond the column or the row
FEWEST = 10  # training rows with a gap, and without: a flag that is set in fewer says what chance made of them


@dataclass(frozen=True, eq=False)
class Step:
    """A fitted step of a registry: the name of its entry and its state."""

    name: str
    state: State

    def split(self) -> tuple[dict[str, Any], Arrays]:
        """JSON values, and arrays by name."""
        arrays = {key: value for key, value in self.state.items() if isinstance(value, np.ndarray)}
        plain = {key: value for key, value in self.state.items() if key not in arrays}
        return {"name": self.name, "state": plain}, arrays

    @classmethod
    def joined(cls, plain: Mapping[str, Any], arrays: Arrays) -> "Step":
        """The step that `split` parted."""
        return cls(plain["name"], dict(plain["state"]) | arrays)


NOTHING = Step("none", {})


@dataclass(frozen=True, eq=False)
class Number:
    """A number: gaps filled, then scaled; with a 0/1 feature for the gaps where enough training rows had some.

    imputer: what fills the gaps, one of the whole table or the fill of this column. clip: the fitted rule for extremes.
    reading: how text is read, where it is not written as numbers usually are. low, high: ends of the training rows;
    complete: they had no gaps; None for a pipeline of an older version. whole: the column was of an integer type.
    """

    name: str
    fill: float
    indicator: bool
    scaler: str
    scaling: State
    imputer: str = FALLBACK
    clip: Step = NOTHING
    expand: Step = NOTHING
    reading: Reading | None = None
    low: float | None = None
    high: float | None = None
    complete: bool | None = None
    whole: bool = False

    @property
    def own_labels(self) -> tuple[str, ...]:
        """The features of the value itself."""
        if self.expand.name == "none":
            return (self.name,)
        return tuple(EXPANDERS[self.expand.name].facts["labels"](self.name, self.expand.state))

    @property
    def labels(self) -> tuple[str, ...]:
        return (*self.own_labels, f"{self.name} <missing>") if self.indicator else self.own_labels

    @property
    def done(self) -> str:
        """What was done, in words."""
        flag = ", missing flagged" if self.indicator else ""
        clip = "" if self.clip.name == "none" else f"{self.clip.name}, "
        what = f"{self.scaler} scaled" if self.expand.name == "none" else self.expand.name
        return f"{clip}{what}{flag}"

    @property
    def detail(self) -> str:
        """What fills the gaps."""
        scope = IMPUTERS[self.imputer].facts.get("scope")
        rest = f", else becomes {self.fill:g}" if scope == "order" else ""
        return f"missing by {self.imputer}{rest}" if scope in WHOLE else f"missing becomes {self.fill:g}"

    def values(self, column: Column) -> tuple[np.ndarray, int]:
        """The numbers, and the cells that count as missing though something is in them."""
        if self.reading is None:
            return as_number(column, "mend them: in training the column held numbers").data, 0
        advice = f"mend them: in training {self.reading.words}"
        return self.reading.column(column, advice).data, self.reading.lost(column)[0] if self.reading.lenient else 0

    def outside(self, values: np.ndarray) -> tuple[int, int]:
        """How many values lie beyond those of the training rows, by more than float32 rounds; and how many of them
        farther than the training rows reach from end to end."""
        if self.low is None or self.high is None:
            return 0, 0
        near = FLOAT32_ROUNDS * max(abs(self.low), abs(self.high)) if values.dtype.kind == "f" else 0.0
        beyond = values[(values < self.low - near) | (values > self.high + near)]
        reach = max(self.high - self.low, near)
        return len(beyond), int(np.count_nonzero((beyond < self.low - reach) | (beyond > self.high + reach)))

    def filled(self, values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """float64 numbers without gaps, clipped (the values themselves if they are so), and the flags of the gaps."""
        numbers = values.astype(np.float64, copy=False)
        if self.clip.name != "none":
            numbers = OUTLIERS[self.clip.name].facts["apply"](numbers, self.clip.state)
        gaps = np.isnan(numbers)
        return (np.where(gaps, self.fill, numbers) if gaps.any() else numbers), gaps

    def write(self, values: np.ndarray, out: np.ndarray) -> None:
        numbers, gaps = self.filled(values)
        if self.indicator:
            out[:, -1] = gaps
        self.write_filled(numbers, out)

    def write_filled(self, numbers: np.ndarray, out: np.ndarray) -> None:
        """Scale or expand numbers without gaps into the first features of out."""
        if self.expand.name != "none":
            found = EXPANDERS[self.expand.name].facts["apply"](numbers, self.expand.state)
            out[:, : found.shape[1]] = found
            return
        with np.errstate(over="ignore"):
            scaled = SCALERS[self.scaler].facts["apply"](numbers, self.scaling)
        if len(scaled) and not (scaled.min() >= -LARGEST and scaled.max() <= LARGEST):
            scaled = np.clip(scaled, -LARGEST, LARGEST)
        out[:, 0] = scaled

    def inverse(self, features: np.ndarray) -> np.ndarray:
        """The numbers that gave these features, with the digits that a feature carries; integers of an integer column.

        Gaps come back as what filled them, expanded ones as NaN.
        """
        if not self.goes_back:
            return np.full(len(features), np.nan)
        numbers = carried(self.unscaled, features[:, 0])
        return whole(numbers) if self.whole else numbers

    @property
    def goes_back(self) -> bool:
        """Whether numbers come out of the features again."""
        return self.expand.name == "none" and "inverse" in SCALERS[self.scaler].facts

    def unscaled(self, scaled: np.ndarray) -> np.ndarray:
        """Scaled numbers (float64) as they were before, to the last digit."""
        return np.asarray(SCALERS[self.scaler].facts["inverse"](scaled, self.scaling))

    def state(self) -> tuple[dict[str, Any], Arrays]:
        plain = {key: value for key, value in self.scaling.items() if not isinstance(value, np.ndarray)}
        arrays = {key: value for key, value in self.scaling.items() if isinstance(value, np.ndarray)}
        own: dict[str, Any] = {"fill": self.fill, "indicator": self.indicator, "scaler": self.scaler, "scaling": plain}
        own |= {"imputer": self.imputer, "whole": self.whole}
        if self.reading is not None:
            own["reading"] = self.reading.state()
        if self.low is not None:
            own |= {"low": self.low, "high": self.high, "complete": self.complete}
        for word, step in (("clip", self.clip), ("expand", self.expand)):
            own[word], found = step.split()
            arrays |= {f"{word}:{key}": value for key, value in found.items()}
        return {"kind": "number", "name": self.name} | own, arrays

    @classmethod
    def from_state(cls, state: Mapping[str, Any], arrays: Arrays) -> "Number":
        """The number that `state` wrote."""
        steps = {}
        for word in ("clip", "expand"):
            found = {key.partition(":")[2]: value for key, value in arrays.items() if key.startswith(f"{word}:")}
            steps[word] = Step.joined(state[word], found) if word in state else NOTHING
        scaling = dict(state["scaling"]) | {key: value for key, value in arrays.items() if ":" not in key}
        imputer = state.get("imputer", FALLBACK)
        scaler = SCALERS[state["scaler"]].name
        reading = Reading.from_state(state["reading"]) if "reading" in state else None
        fitted = (state["name"], state["fill"], state["indicator"], scaler, scaling, imputer)
        seen = (state.get("low"), state.get("high"), state.get("complete"))
        return cls(*fitted, steps["clip"], steps["expand"], reading, *seen, state.get("whole", False))


def fit_number(
    name: str,
    rows: np.ndarray,
    spec: PrepareSpec,
    rng: np.random.Generator,
    role: str = "numeric",
    column: str | None = None,
) -> Number:
    """The fitted number of float64 training rows. column: whose options hold, where it is a part of a column."""
    part = {step: spec.part_of(step, column or name, role) for step in ("outliers", "impute", "scale", "expand")}
    raw_gaps = np.isnan(rows)
    gappy = bool(raw_gaps.any())
    present = rows.compress(~raw_gaps) if gappy else rows  # faster than rows[~raw_gaps]
    ends = _ends(present)
    clip = Step(part["outliers"].name, make(OUTLIERS, part["outliers"], present) if len(rows) else {})
    if clip.name != "none" and len(present):
        rows = OUTLIERS[clip.name].facts["apply"](rows, clip.state)
        present = rows[~raw_gaps]
    own = part["impute"] if IMPUTERS[part["impute"].name].facts.get("scope") not in WHOLE else None
    fill = 0.0
    if len(present):
        fill = float(make(IMPUTERS, own, present) if own else IMPUTERS[FALLBACK].make(present))
    numbers = np.where(raw_gaps, fill, rows) if gappy else rows
    scaling = make(SCALERS, part["scale"], numbers, rng)
    expand = NOTHING
    if part["expand"].name != "none":
        expand = Step(part["expand"].name, make(EXPANDERS, part["expand"], numbers, rng))
    flag = spec.indicators and FEWEST <= len(present) <= len(rows) - FEWEST
    return Number(
        name,
        fill,
        flag,
        part["scale"].name,
        scaling,
        part["impute"].name,
        clip,
        expand,
        None,
        *ends,
        not gappy,
    )


def _ends(present: np.ndarray) -> tuple[float | None, float | None]:
    return (float(present.min()), float(present.max())) if len(present) else (None, None)
