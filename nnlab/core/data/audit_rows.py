"""What the audit counts: the values of all columns at once, a block at a time, and the rows of the parts."""

from collections.abc import Iterator
from dataclasses import dataclass, fields

import numpy as np

from nnlab.core.data.columns import Column
from nnlab.core.data.split import Split

SCORED_ROWS = 10_000
BLOCK_CELLS = 30_000  # small enough to stay in the processor's caches, and what is made of them in a few MB
BINS = 20
MOST_CLASSES = 50  # with more, columns are not scored
FEWEST_EXPECTED = 5.0  # rarer levels are one level in a chi-squared statistic
FEWEST_HELD = 20
TRAIN, VALID, TEST = 0, 1, 2


@dataclass(frozen=True, eq=False)
class Sample:
    """rows: positions (int64), training rows first, then validation and test; sizes: rows of each part."""

    rows: np.ndarray
    sizes: np.ndarray

    @property
    def part(self) -> np.ndarray:
        """0, 1 or 2 for each row."""
        return np.repeat(np.arange(3), self.sizes)


@dataclass(frozen=True, eq=False)
class Answer:
    """The target of the sampled rows. y: codes, or ranks from 0 to 1 for a regression, for which classes is 0."""

    y: np.ndarray
    classes: int


@dataclass(frozen=True, eq=False)
class Measures:
    """Of each column (first axis), over the sampled rows.

    rows, missing: (n, 3) rows that have a value, and that have none, by part. top: share of the commonest value in
    training. different: values. whole: whether all are whole numbers. equal: chance that two rows agree. drift, p: the
    Kolmogorov-Smirnov distance and its p of a number, the total variation and the chi-squared p of a category, training
    against test. unseen, expected_unseen: share of test cells whose value no training row has, and the share that the
    values met once in training let expect (Good, 1953). copy: the classes one to one, or the Spearman correlation.
    score: of a rule on this column alone, on validation rows (see `_scores`); fit: on these and training rows.
    present, absent: (n, classes) training rows with and without a value.
    """

    rows: np.ndarray
    missing: np.ndarray
    top: np.ndarray
    different: np.ndarray
    whole: np.ndarray
    equal: np.ndarray
    drift: np.ndarray
    p: np.ndarray
    unseen: np.ndarray
    expected_unseen: np.ndarray
    copy: np.ndarray
    score: np.ndarray
    fit: np.ndarray
    present: np.ndarray
    absent: np.ndarray


@dataclass(frozen=True, eq=False)
class _Runs:
    """The values of a block, sorted: a run is one value of one column, or its missing cells, which come last.

    order: (columns, rows) as sorted. of: run of each sorted cell, flat. starts: flat place of each run's first cell.
    column, gap: of each run. counts: (runs, 3) rows by part. first: the first run of each column.
    """

    order: np.ndarray
    of: np.ndarray
    starts: np.ndarray
    column: np.ndarray
    gap: np.ndarray
    counts: np.ndarray
    first: np.ndarray

    def total(self, values: np.ndarray) -> np.ndarray:
        """Sums over the runs of each column."""
        return np.add.reduceat(values, self.first, axis=0)

    def until(self, values: np.ndarray) -> np.ndarray:
        """Running sums over the runs of each column."""
        sums = np.cumsum(values, axis=0)
        return sums - (sums[self.first] - values[self.first])[self.column]


def sample_rows(split: Split, most: int, rng: np.random.Generator) -> Sample:
    """At most so many rows, drawn from each part in proportion, in ascending order."""
    parts = [split.train, split.valid, split.test]
    total = sum(len(part) for part in parts)
    if total > most:
        sizes = [-(-len(part) * most // total) for part in parts]
        parts = [part[np.sort(rng.choice(len(part), n, replace=False))] for part, n in zip(parts, sizes, strict=True)]
    return Sample(np.concatenate(parts), np.array([len(part) for part in parts]))


def ranks(values: np.ndarray) -> np.ndarray:
    """Ranks from 0 to 1, equal values share the mean of theirs."""
    _, codes, counts = np.unique(values, return_inverse=True, return_counts=True)
    return ((np.cumsum(counts) - (counts + 1) / 2) / max(len(values) - 1, 1))[codes]


def measure(columns: list[Column], levels: np.ndarray, sample: Sample, answer: Answer) -> Measures:
    """All columns measured; levels: whether a column is a category."""
    found = [
        _measured(block, levels[low : low + len(block)], sample, answer) for low, block in blocks(columns, sample.rows)
    ]
    names = [field.name for field in fields(Measures)]
    return Measures(**{name: np.concatenate([getattr(part, name) for part in found]) for name in names})


def blocks(columns: list[Column], rows: np.ndarray) -> Iterator[tuple[int, np.ndarray]]:
    """(first column, float64 (columns, rows)) with codes as numbers and NaN where a cell is missing."""
    step = max(1, BLOCK_CELLS // max(len(rows), 1))
    for low in range(0, len(columns), step):
        part = columns[low : low + step]
        block = np.empty((len(part), len(rows)))
        for line, column in zip(block, part, strict=True):
            line[:] = column.data[rows].view(np.int64) if column.kind == "date" else column.data[rows]
            if column.kind != "number":
                line[line < 0 if column.kind != "date" else line == np.iinfo(np.int64).min] = np.nan
        block += 0.0  # -0 is 0
        yield low, block


def _runs(block: np.ndarray, part: np.ndarray) -> _Runs:
    order = np.argsort(block, axis=1)
    values = np.take_along_axis(block, order, axis=1)
    gaps = np.isnan(values)
    new = np.ones(block.shape, bool)
    new[:, 1:] = (values[:, 1:] != values[:, :-1]) & ~gaps[:, :-1]
    of = np.cumsum(new.ravel()) - 1
    starts = np.flatnonzero(new)
    column = starts // block.shape[1]
    counts = np.bincount(of * 3 + part[order].ravel(), minlength=3 * len(starts)).reshape(-1, 3)
    first = np.flatnonzero(starts % block.shape[1] == 0)
    return _Runs(order, of, starts, column, gaps.ravel()[starts], counts, first)


def _measured(block: np.ndarray, levels: np.ndarray, sample: Sample, answer: Answer) -> Measures:
    runs = _runs(block, sample.part)
    there = runs.counts * ~runs.gap[:, None]
    rows = runs.total(there)
    sums, n = runs.counts.sum(1), len(sample.rows)
    unseen = runs.total(there[:, TEST] * (there[:, TRAIN] == 0)) / np.maximum(rows[:, TEST], 1)
    once = runs.total((there[:, TRAIN] == 1).astype(float)) / np.maximum(rows[:, TRAIN], 1)
    drift, p = _drift(runs, rows, levels)
    y = answer.y[runs.order].ravel()
    present, absent = _presence(runs, y, sample, answer.classes)
    score, fit = _scores(runs, y, _cells(runs, there, rows, levels), sample, answer.classes)
    with np.errstate(invalid="ignore"):
        whole = ((block == np.floor(block)) | np.isnan(block)).all(axis=1)
    return Measures(
        rows=rows,
        missing=runs.total(runs.counts * runs.gap[:, None]),
        top=np.maximum.reduceat(runs.counts[:, TRAIN], runs.first) / max(sample.sizes[TRAIN], 1),
        different=runs.total((~runs.gap).astype(np.int64)),
        whole=whole,
        equal=runs.total(sums * (sums - 1.0)) / max(n * (n - 1.0), 1.0),
        drift=drift,
        p=p,
        unseen=unseen,
        expected_unseen=once,
        copy=_one_to_one(runs, y, answer.classes) if answer.classes else _spearman(runs, y, there),
        score=score,
        fit=fit,
        present=present,
        absent=absent,
    )


def _drift(runs: _Runs, rows: np.ndarray, levels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    there = runs.counts * ~runs.gap[:, None]
    shares = runs.until(there) / np.maximum(rows, 1)[runs.column]
    distance = np.maximum.reduceat(np.abs(shares[:, TRAIN] - shares[:, TEST]), runs.first)
    train, test = rows[:, TRAIN].astype(float), rows[:, TEST].astype(float)
    distance[(train == 0) | (test == 0)] = 0.0
    p = 2 * np.exp(-2 * distance**2 * train * test / np.maximum(train + test, 1))
    if levels.any():
        from scipy.special import chdtrc  # 10 MB, which a table of numbers need not hold

        distance[levels], statistic, freedom = _chi_squared(runs, levels)
        p[levels] = chdtrc(np.maximum(freedom, 1), statistic)
    return distance, np.minimum(p, 1.0)


def _chi_squared(runs: _Runs, levels: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Total variation, chi-squared and its degrees of freedom, training against test; rare levels are one.

    Of the columns that are categories alone: numbers have many more runs.
    """
    here = levels[runs.column]
    two = runs.counts[here][:, [TRAIN, TEST]].astype(float)
    column = runs.column[here]
    first = np.flatnonzero(np.diff(column, prepend=-1))
    size = two[column == column[0]].sum(0)
    share = size / max(size.sum(), 1.0)
    if not share.all():
        nothing = np.zeros(len(first))
        return nothing, nothing, nothing

    def total(values: np.ndarray) -> np.ndarray:
        return np.add.reduceat(values, first, axis=0)

    rare = (two.sum(1) * share.min() < FEWEST_EXPECTED)[:, None]
    rest = total(two * rare)

    def parts(counts: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        expected = counts.sum(1, keepdims=True) * share
        off = (counts - expected) ** 2 / np.maximum(expected, 1e-9)
        return off.sum(1) * (expected.min(1) >= FEWEST_EXPECTED), expected.min(1) >= FEWEST_EXPECTED

    common, used = parts(two * ~rare)
    others, more = parts(rest)
    between = np.abs(two / size @ [1, -1]) * ~rare[:, 0]
    variation = (total(between) + np.abs(rest / size @ [1, -1]) * more) / 2
    return variation, total(common) + others, total(used.astype(float)) + more - 1


def _presence(runs: _Runs, y: np.ndarray, sample: Sample, classes: int) -> tuple[np.ndarray, np.ndarray]:
    columns = len(runs.first)
    if not classes:
        return np.zeros((columns, 0), np.int64), np.zeros((columns, 0), np.int64)
    train = (sample.part == TRAIN)[runs.order].ravel() & runs.gap[runs.of]
    keys = runs.column[runs.of[train]] * classes + y[train]
    absent = np.bincount(keys, minlength=columns * classes).reshape(columns, classes)
    whole = np.bincount(y[: len(sample.rows)][sample.part[runs.order[0]] == TRAIN], minlength=classes)
    return whole - absent, absent


def _one_to_one(runs: _Runs, y: np.ndarray, classes: int) -> np.ndarray:
    """1 where each value belongs to one class and each class to one value, else 0."""
    pure = np.minimum.reduceat(y, runs.starts) == np.maximum.reduceat(y, runs.starts)
    seen = len(np.unique(y[: runs.order.shape[1]]))
    impure = runs.total((~pure | runs.gap).astype(np.int64))
    return ((impure == 0) & (runs.total(np.ones(len(pure), np.int64)) == seen) & (seen > 1)).astype(float)


def _spearman(runs: _Runs, y: np.ndarray, there: np.ndarray) -> np.ndarray:
    """Of the rows that have a value; their targets keep the ranks that they have among all rows."""
    n = there.sum(1).astype(float)
    place = runs.until(n) - n / 2
    sums = np.add.reduceat(y, runs.starts) * ~runs.gap
    squares = np.add.reduceat(y * y, runs.starts) * ~runs.gap
    count = np.maximum(runs.total(n), 1)
    x, t = runs.total(place * n) / count, runs.total(sums) / count
    both = runs.total(place * sums) / count - x * t
    spread = (runs.total(place**2 * n) / count - x**2) * (runs.total(squares) / count - t**2)
    return np.where(spread > 1e-12, both / np.sqrt(np.maximum(spread, 1e-12)), 0.0)


def _cells(runs: _Runs, there: np.ndarray, rows: np.ndarray, levels: np.ndarray) -> np.ndarray:
    """The cell of each run: a level of a category, one of 20 bins with equal training rows of a number, or missing."""
    below = runs.until(there[:, TRAIN]) - there[:, TRAIN]
    bins = np.minimum(BINS * below // np.maximum(rows[runs.column, TRAIN], 1), BINS - 1)
    key = np.where(levels[runs.column], np.arange(len(below)), np.where(runs.gap, BINS, bins))
    new = np.ones(len(key), bool)
    new[1:] = (key[1:] != key[:-1]) | (runs.column[1:] != runs.column[:-1])
    return np.cumsum(new) - 1


def _scores(
    runs: _Runs, y: np.ndarray, cells: np.ndarray, sample: Sample, classes: int
) -> tuple[np.ndarray, np.ndarray]:
    """Of a rule that knows only the cell of a row, fitted on training rows: on validation rows, then on both together.

    AUC for two classes, mean recall for more, R2 of the target's ranks for numbers; 0 where that says nothing.
    """
    starts = np.searchsorted(cells, np.arange(cells[-1] + 1))
    column = runs.column[starts]
    first = np.searchsorted(column, np.arange(len(runs.first)))
    part, cell = sample.part[runs.order].ravel(), cells[runs.of]
    held = y[: len(sample.rows)][part[: len(sample.rows)] == VALID]
    nothing = np.zeros(len(runs.first))
    if len(held) < FEWEST_HELD or classes > MOST_CLASSES:
        return nothing, nothing
    if not classes:
        train, valid = [(cell[part == p], y[part == p]) for p in (TRAIN, VALID)]
        both = (np.concatenate([train[0], valid[0]]), np.concatenate([train[1], valid[1]]))
        return _r_squared(train, valid, first, len(starts)), _r_squared(train, both, first, len(starts))
    size = np.bincount(held, minlength=classes)
    if (size[size > 0] < 5).any() or np.count_nonzero(size) < 2:
        return nothing, nothing
    fitted, left = [
        np.bincount(cell[part == p] * classes + y[part == p], minlength=len(starts) * classes).reshape(-1, classes)
        for p in (TRAIN, VALID)
    ]
    score = _auc if classes == 2 else _recall
    return score(fitted, left, column, first), score(fitted, fitted + left, column, first)


def _auc(train: np.ndarray, held: np.ndarray, column: np.ndarray, first: np.ndarray) -> np.ndarray:
    prior = train.sum(0)[1] / max(train.sum(), 1)
    rate = (train[:, 1] + prior) / (train.sum(1) + 1)
    order = np.lexsort((rate, column))
    rate = rate[order]
    new = np.append(True, (rate[1:] != rate[:-1]) | (column[1:] != column[:-1]))  # cells of one rate are a tie
    starts = np.flatnonzero(new)
    lose, win = np.add.reduceat(held[order], starts).T.astype(float)
    column = column[starts]
    first = np.searchsorted(column, np.arange(len(first)))
    below = np.cumsum(lose) - lose
    below -= below[first][column]
    pairs = np.add.reduceat(lose, first) * np.add.reduceat(win, first)
    return np.add.reduceat(win * (below + lose / 2), first) / np.maximum(pairs, 1)


def _recall(train: np.ndarray, held: np.ndarray, column: np.ndarray, first: np.ndarray) -> np.ndarray:
    guess = np.argmax(train / np.maximum(train.sum(0), 1), axis=1)
    hits = held[np.arange(len(guess)), guess] * (train.sum(1) > 0)
    columns, classes = len(first), held.shape[1]
    size = held[: first[1]].sum(0) if columns > 1 else held.sum(0)
    table = np.bincount(column * classes + guess, hits, columns * classes).reshape(columns, classes)
    return (table[:, size > 0] / size[size > 0]).mean(axis=1)


def _r_squared(
    train: tuple[np.ndarray, np.ndarray], held: tuple[np.ndarray, np.ndarray], first: np.ndarray, cells: int
) -> np.ndarray:
    (cell, y), (cell_held, y_held) = train, held
    count = np.bincount(cell, minlength=cells)
    mean = np.where(count, np.bincount(cell, y, cells) / np.maximum(count, 1), y.mean())
    error = np.bincount(cell_held, (y_held - mean[cell_held]) ** 2, cells)
    total = ((y_held - y_held.mean()) ** 2).sum() / len(first)  # a row is there once for each column
    return 1 - np.add.reduceat(error, first) / max(float(total), 1e-12)


def shared_groups(groups: np.ndarray, split: Split) -> tuple[int, int]:
    """(groups, those with rows in more than one part); rows without a group do not count."""
    import pandas as pd

    codes, names = pd.factorize(groups)
    seen = np.zeros((3, len(names) + 1), bool)
    for line, rows in zip(seen, (split.train, split.valid, split.test), strict=True):
        line[codes[rows]] = True  # a code of -1 writes the last entry
    return len(names), int((seen[:, :-1].sum(0) > 1).sum())


def later_rows(times: np.ndarray, split: Split) -> int:
    """Training rows later than the first test row; times: numbers or datetime64, NaN and NaT do not count."""
    train, test = times[split.train], times[split.test]
    train, test = train[train == train], test[test == test]
    return int((train > test.min()).sum()) if len(test) else 0
