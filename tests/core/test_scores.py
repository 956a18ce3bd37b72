"""The test part is put away: each look at it is said and written down."""

import json
from pathlib import Path

import numpy as np

import nnlab
from nnlab.core.data.prepare import Prepared
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
