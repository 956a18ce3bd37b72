"""The test part is put away: each look at it is said and written down."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import nnlab
from nnlab.core.data.prepare import Prepared
from nnlab.core.errors import DataError
from nnlab.core.run import Run


def test_each_score_of_the_test_part_is_noted(classes: Prepared, tmp_path: Path) -> None:
    run = nnlab.fit(classes, epochs=1, hidden="4", store=tmp_path / "store")
    first = run.score(classes.test)
    assert first.note == "test part, scored once by this run"
    assert first == dict(first)
    assert repr(first) == f"{dict(first)!r}  # {first.note}"
    assert "scored 2 times" in run.score(classes).note
    assert run.path is not None
    again = Run.load(run.path)
    assert "scored 3 times by this run: choosing by it makes it optimistic" in again.score(classes.test).note
    lines = [json.loads(line) for line in (run.path / "scores.jsonl").read_text().splitlines()]
    assert [line["part"] for line in lines] == ["test"] * 3
    assert lines[0]["metrics"] == dict(first)


def test_other_rows_have_no_note(classes: Prepared) -> None:
    run = nnlab.fit(classes, epochs=1, hidden="4", store=False)
    assert run.score(classes.valid).note == ""
    frame = (np.zeros((6, 5)), np.array([0, 1, 2, 0, 1, 2]))
    assert run.score(frame).note == ""
    assert [run.score(classes.test).note[:30] for _ in range(2)] == [
        "test part, scored once by this",
        "test part, scored 2 times by t",
    ]


def table() -> pd.DataFrame:
    draw = np.random.default_rng(0)
    found = pd.DataFrame({"a": draw.normal(size=200), "b": draw.normal(size=200)})
    return found.assign(y=np.where(found["a"] > 0, "yes", "no"))


def test_other_runs_that_scored_the_same_rows_are_counted(tmp_path: Path) -> None:
    specs: list[dict[str, str]] = [{"scale": "standard"}, {"scale": "minmax"}, {"drop": "b"}]
    runs = []
    for options in specs:
        data = nnlab.prepare(table(), "y", **options)
        runs.append((nnlab.fit(data, epochs=1, hidden="4", store=tmp_path), data))
    first, *others = [run.score(data.test).note for run, data in runs]
    assert first == "test part, scored once by this run"
    assert others[1] == (
        "test part, scored once by this run and 2 times by 2 other runs: choosing by it makes it optimistic"
    )
    other = nnlab.prepare(table(), "y", seed=1)
    apart = nnlab.fit(other, epochs=1, hidden="4", store=tmp_path)
    assert apart.score(other.test).note == "test part, scored once by this run", "its test rows are others"


def test_a_copy_of_a_run_keeps_what_was_scored(tmp_path: Path) -> None:
    data = nnlab.prepare(table(), "y")
    run = nnlab.fit(data, epochs=1, hidden="4", store=tmp_path / "store")
    assert run.test_scores == []
    found = run.score(data.test)
    back = Run.load(run.save(tmp_path / "copy"))
    assert back.test_scores == run.test_scores
    assert [told["metrics"] for told in back.test_scores] == [dict(found)]
    assert "scored 2 times" in back.score(data).note


def test_a_damaged_line_is_let_be(tmp_path: Path) -> None:
    data = nnlab.prepare(table(), "y")
    run = nnlab.fit(data, epochs=1, hidden="4", store=tmp_path / "store")
    run.score(data.test)
    assert run.path is not None
    with (run.path / "scores.jsonl").open("ab") as file:
        file.write(b"\xff{\n[]\n{torn")
    assert "scored 2 times" in Run.load(run.path).score(data.test).note
    assert len(run.test_scores) == 2


def test_rows_of_another_fold_are_refused(tmp_path: Path) -> None:
    data = nnlab.prepare(table(), "y", folds=3)
    run = nnlab.fit(data, epochs=1, hidden="4", store=False)
    assert run.score(data.folds[0].valid) == run.score(data.valid)
    for rows in (data.folds[1].valid, data.folds[1].test, data.folds[1]):
        with pytest.raises(DataError, match=r"run\.score\(frame\)"):
            run.score(rows)
