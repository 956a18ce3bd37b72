"""A block of rows written into the matrix: all plain numbers together, all one-hot levels together, others in turn."""

from collections.abc import Mapping, Sequence

import numpy as np

from nnlab.core.data.category import Category
from nnlab.core.data.features import Date, Feature
from nnlab.core.data.numbers import LARGEST, Number
from nnlab.core.data.steps import OUTLIERS, SCALERS
from nnlab.core.data.steps.scalers import shift_and_divide

CELLS = 1 << 18  # numbers of a block, so that they stay in the cache
STRIP = 1 << 17  # numbers of the matrix that are written before the next ones are touched
FEWEST = 512  # rows that pay for the calls
Given = Mapping[str, np.ndarray]


class BlockWriter:
    """Writes what `Feature.write` of each feature writes, with far fewer calls and passes over memory.

    matrix: what is written into. most: rows of a block; rows: how many are best.
    """

    def __init__(self, features: Sequence[Feature], matrix: np.ndarray, most: int) -> None:
        self._others: list[tuple[int, Feature, slice]] = []
        self._levels: list[tuple[int, _Places]] = []
        runs: list[list[tuple[int, Number]]] = []
        starts: list[int] = []
        self.width, end = 0, -1
        for i, feature in enumerate(features):
            low, self.width = self.width, self.width + len(feature.labels)
            if type(feature) is Number and feature.expand.name == "none":
                if end != low:  # numbers side by side make a run
                    runs.append([])
                    starts.append(low)
                runs[-1].append((i, feature))
                end = self.width
            elif isinstance(feature, Category) and feature.encoding.table is None:
                self._levels += [(i, _Places(feature, low))] if self.width > low else []
            else:
                self._others.append((i, feature, slice(low, self.width)))
        self._runs = [_Run(run, low, matrix.dtype) for run, low in zip(runs, starts, strict=True)]
        longest = max((len(run) for run in runs), default=1)
        self.rows = min(most, max(CELLS // longest, FEWEST))
        width = matrix.shape[1]
        self._strip = max(STRIP // max(width, 1), FEWEST)
        self._firsts = np.arange(min(most, len(matrix))) % self._strip * width

    def write(self, values: Sequence[np.ndarray], out: np.ndarray, filled: Given, given: Given) -> None:
        """values: of each feature for the rows of out: (rows, width) of zeros, side by side in memory. filled: numbers
        that others fill, given: dates that others fill; the flags of gaps are those of the values as they came."""
        runs = [(run.columns, run.worked_out(values, len(out), filled)) for run in self._runs]
        firsts = self._firsts[: len(out)]
        levels = [places.found(values[i], firsts) for i, places in self._levels]
        for low in range(0, len(out), self._strip):
            rows = slice(low, low + self._strip)
            strip = out[rows]
            flat = strip.reshape(-1)
            for columns, lines in runs:
                strip[:, columns] = lines[:, rows].T
            for at, written in levels:
                flat[at[rows]] = written if isinstance(written, int) else written[rows]
        for i, feature, place in self._others:
            own = out[:, place]
            feature.write(values[i], own)
            if isinstance(feature, Number) and feature.name in filled:
                feature.write_filled(filled[feature.name], own)
            elif isinstance(feature, Date) and feature.name in given:
                feature.write_filled(given[feature.name], own)


class _Places:
    """Where in a row each code of a category writes, and what."""

    def __init__(self, category: Category, low: int) -> None:
        encoding = category.encoding
        nowhere = encoding.slots < 0  # a 0 into the first feature, which is 0 anyway, is faster than to choose rows
        self._slots = np.where(nowhere, 0, encoding.slots).astype(np.int64) + low
        self._values = np.where(nowhere, np.float32(0), encoding.values)
        self._ones = int(np.argmin(np.append(self._values == 1, False)))  # codes below write a 1

    def found(self, codes: np.ndarray, firsts: np.ndarray) -> tuple[np.ndarray, np.ndarray | int]:
        """Where each row writes, and what, 1 where all write that. firsts: the place of each row."""
        at = self._slots.take(codes)
        at += firsts
        return at, 1 if codes.max(initial=0) < self._ones else self._values.take(codes)


class _Run:
    """Numbers side by side. They are worked out as lines of memory and turned at once: far fewer of it is touched."""

    def __init__(self, numbers: list[tuple[int, Number]], low: int, dtype: np.dtype) -> None:
        self._numbers = numbers
        widths = [len(number.labels) for _, number in numbers]
        self._at = np.cumsum([0, *widths[:-1]])
        self.columns = slice(low, low + sum(widths))
        self._flagged = [i for i, (_, number) in enumerate(numbers) if number.indicator]
        self._clipped = [i for i, (_, number) in enumerate(numbers) if number.clip.name != "none"]
        self._fill = np.array([[number.fill] for _, number in numbers])
        linear = all(SCALERS[number.scaler].facts["apply"] is shift_and_divide for _, number in numbers)
        states = [number.scaling for _, number in numbers] if linear else []
        self._lines = [np.array([[state[word]] for state in states]) for word in ("shift", "scale")] if linear else []
        self._room: tuple[np.ndarray, ...] = np.empty((len(numbers), 0)), np.empty((sum(widths), 0), dtype)

    def worked_out(self, values: Sequence[np.ndarray], rows: int, filled: Given) -> np.ndarray:
        """(columns, rows) of the matrix; the next call writes over it."""
        if self._room[0].shape[1] < rows:  # once: memory that is used again is not to be cleared by the system
            self._room = tuple(np.empty((len(room), rows), room.dtype) for room in self._room)
        lines, own = (room[:, :rows] for room in self._room)
        for line, (i, _) in zip(lines, self._numbers, strict=True):
            line[:] = values[i]
        for i in self._clipped:
            clip = self._numbers[i][1].clip
            lines[i] = OUTLIERS[clip.name].facts["apply"](lines[i], clip.state)
        gaps = np.isnan(lines)
        np.copyto(lines, self._fill, where=gaps)
        for i, (_, number) in enumerate(self._numbers):
            if number.name in filled:
                lines[i] = filled[number.name]
        self._scale(lines)
        own[self._at if self._flagged else slice(None)] = lines
        for i in self._flagged:
            own[self._at[i] + 1] = gaps[i]
        return own

    def _scale(self, lines: np.ndarray) -> None:
        with np.errstate(over="ignore"):
            if self._lines:
                lines -= self._lines[0]
                lines /= self._lines[1]
            else:
                for line, (_, number) in zip(lines, self._numbers, strict=True):
                    line[:] = SCALERS[number.scaler].facts["apply"](line, number.scaling)
        if lines.size and not (lines.min() >= -LARGEST and lines.max() <= LARGEST):
            np.clip(lines, -LARGEST, LARGEST, out=lines)
