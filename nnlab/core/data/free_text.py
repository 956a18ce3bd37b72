"""A column of free text, fitted: each cell becomes the features that a text step makes of it."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from nnlab.core.data.columns import Column, as_text
from nnlab.core.data.numbers import Arrays, Step
from nnlab.core.data.steps import TEXTS
from nnlab.core.registry import Part
from nnlab.core.spec import make
from nnlab.core.wording import counted


@dataclass(frozen=True, eq=False)
class FreeText:
    """Texts and the step that was fitted on those of the training rows; a missing cell is an empty text.

    complete: the training rows had no gaps; None for a pipeline of an older version.
    """

    name: str
    step: Step
    complete: bool | None = None

    @property
    def labels(self) -> tuple[str, ...]:
        return tuple(TEXTS[self.step.name].facts["labels"](self.name, self.step.state))

    def values(self, column: Column) -> tuple[np.ndarray, int]:
        """The texts as objects (rows,); words that training never saw say nothing and are not counted."""
        return texts_of(column), 0

    def write(self, values: np.ndarray, out: np.ndarray) -> None:
        """The features of texts into out (rows, features); equal texts are looked at once."""
        place: dict[str, int] = {}
        rows = [place.setdefault(text, len(place)) for text in values]
        out[:] = TEXTS[self.step.name].facts["apply"](list(place), self.step.state)[rows]

    def state(self) -> tuple[dict[str, Any], Arrays]:
        own, arrays = self.step.split()
        return {"kind": "text", "name": self.name, "step": own, "complete": self.complete}, arrays

    @classmethod
    def from_state(cls, state: Mapping[str, Any], arrays: Arrays) -> "FreeText":
        """The text that `state` wrote."""
        return cls(state["name"], Step.joined(state["step"], arrays), state.get("complete"))

    @property
    def done(self) -> str:
        """What was done, in words."""
        terms = len(self.step.state.get("vocabulary", ()))
        return f"{self.step.name} of {counted(terms, 'term')}, {counted(len(self.labels), 'component')}"

    @property
    def detail(self) -> str:
        """What becomes of gaps."""
        return "missing is an empty text"

    @property
    def note(self) -> str:
        """What there is to warn of: texts without a common word give nothing."""
        if self.labels:
            return ""
        return f"column {self.name!r}: its training rows share no words, so the text gives no feature"

    def inverse(self, features: np.ndarray) -> np.ndarray:
        """None in every row: words cannot be had again from components."""
        return np.full(len(features), None, object)


def texts_of(column: Column) -> np.ndarray:
    """The cells of any column as text, "" for missing ones."""
    codes, levels = as_text(column)
    return np.append(levels, "")[codes]  # code -1 reads the last entry


def word_counts(column: Column) -> np.ndarray:
    """How many words each cell has, float64 (rows,), NaN for missing ones."""
    counts = [float(len(level.split())) for level in column.levels]
    return np.append(counts, np.nan)[column.data]


def fit_text(column: Column, train: np.ndarray, part: Part, rng: np.random.Generator) -> FreeText:
    """The fitted text. train: positions of the training rows, whose words alone make the vocabulary."""
    texts = texts_of(column)[train].tolist()
    complete = not column.missing()[train].any()
    return FreeText(column.name, Step(part.name, make(TEXTS, part, texts, rng)), complete)
