"""`evaluate`: which rows are meant, and where they stand in the table that the user has."""

from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from nnlab.core.data.prepare import Prepared, Rows
from nnlab.core.data.read import Table, read
from nnlab.core.data.streaming import streams
from nnlab.core.errors import DataError, NNLabError, RunError, SpecError
from nnlab.core.evaluated.evaluated import Evaluated, predictions
from nnlab.core.run import Run

if TYPE_CHECKING:
    import pandas as pd

Part = Literal["valid", "test", "train"]
PARTS = {"valid": "validation rows", "test": "test rows", "train": "training rows"}
CHECKED = 200  # rows by which a table is known again
NO_TABLE = "name the table that data was prepared from"


def evaluate(run: Run, data: Any, *, on: Part = "valid", frame: Any = None) -> Evaluated:
    """A run on rows: what was trained on, or any table with its target.

    data: the Prepared that the run was trained on, of which the rows of `on` are looked at, or a table, file or pair
    (X, y), of which all are. frame: the table that data was prepared from, for what is said of single columns; a file
    is read again. Looking at the test part is noted, as by run.score. DataError for other data than the run's.
    """
    if not isinstance(run, Run):
        raise RunError(f"run is a {type(run).__name__}; give a run: run = nnlab.fit(data), nnlab.load('last')")
    if on not in PARTS:
        raise SpecError(f"on={on!r}: expected {', '.join(PARTS)}")
    if not isinstance(data, Prepared):
        return _of_table(run, read(data))
    if data.fingerprint != run.fingerprint:
        raise DataError("this data is not what the run was trained on; evaluate on a table: nnlab.evaluate(run, df)")
    rows = _real({"valid": data.valid, "test": data.test, "train": data.train}[on])
    if not len(rows):
        raise DataError(f"there are no {PARTS[on]} in this data")
    note = run.score(rows).note if on == "test" else ""
    table, lacking = _table_of(run, data, rows, frame)
    return Evaluated(run, PARTS[on], rows.index, rows.x, rows.y, predictions(run, rows.x), table, lacking, note)


def _of_table(run: Run, table: Table) -> Evaluated:
    if not table.rows:
        raise DataError("there are no rows to evaluate")
    x, y = run.pipeline.labelled(table)
    part = f"rows of {table.name}"
    return Evaluated(run, part, np.arange(table.rows), x, y, predictions(run, x), _frame(table))


def _real(rows: Rows) -> Rows:
    """Without rows that were made up."""
    kept = rows.index >= 0
    if kept.all():
        return rows
    weight = None if rows.weight is None else rows.weight[kept]
    return Rows(rows.x[kept], rows.y[kept], rows.index[kept], weight, rows.part, rows.source)


def _table_of(run: Run, data: Prepared, rows: Rows, frame: Any) -> "tuple[pd.DataFrame | None, str]":
    """The rows as the user has them, or why they are not at hand; DataError for a named table that is another one."""
    named = frame is not None
    frame = frame if named else (data.source or None)
    if frame is None:
        return None, NO_TABLE
    try:
        if streams(frame, None):
            return None, "its file is larger than the memory that is free"
        table = _frame(read(frame))
        if rows.index.max() >= len(table):
            raise DataError(f"it has {len(table):,} rows, and row {rows.index.max():,} is asked for")
        own = table.iloc[rows.index]
        _check_same(run, rows, own)
    except NNLabError as error:
        if named:
            raise DataError(f"the table is not what data was prepared from: {error}") from error
        return None, f"{data.source} is not what it was: {error}"
    return own.reset_index(drop=True), ""


def _check_same(run: Run, rows: Rows, table: "pd.DataFrame") -> None:
    """DataError where the table's rows are not those that were prepared: their targets, and what is made of them."""
    some = np.unique(np.linspace(0, len(rows) - 1, min(len(rows), CHECKED)).astype(int))
    pipeline, part = run.pipeline, table.iloc[some]
    y = pipeline.transform_target(part)
    same = np.isclose(y, rows.y[some], equal_nan=True)
    if rows.part != "train" and pipeline.order is None:  # training rows may have encodings without themselves
        x = pipeline.transform(part)
        same &= np.isclose(x, rows.x[some], rtol=1e-4, atol=1e-4, equal_nan=True).all(axis=1)
    if not same.all():
        raise DataError(f"row {rows.index[some[np.argmin(same)]]:,} differs")


def _frame(table: Table) -> "pd.DataFrame":
    """The columns as one DataFrame, whose rows are counted from 0."""
    import pandas as pd

    columns = {name: pd.Series(values).reset_index(drop=True) for name, values in table.columns.items()}
    return pd.DataFrame(columns)
