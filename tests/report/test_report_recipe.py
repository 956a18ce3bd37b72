"""A run whose network the data chose says so, and lists as typed only what was typed."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

import nnlab
from nnlab.core.data.prepare import Prepared
from nnlab.core.options import resolve
from nnlab.core.run import Run
from nnlab.core.spec import TrainSpec, to_json
from nnlab.core.store.facts import Choices
from nnlab.core.store.runs import Store
from nnlab.report.blocks import Sentence
from nnlab.report.runs import spec_blocks
from nnlab.report.specs import chosen_and_said
from nnlab.report.tables import Table

SMALL = "model realmlp, model.members 16, model.hidden 64,64"
WHY = "; for 77 training rows and 3 columns of numbers"


@pytest.fixture(scope="module")
def data() -> Prepared:
    rng = np.random.default_rng(0)
    frame = pd.DataFrame(rng.normal(size=(120, 3)), columns=list("abc"))
    return nnlab.prepare(frame.assign(y=frame["a"] + rng.normal(size=120)), target="y")


def shown(run: Run) -> tuple[str, list[tuple[str, ...]]]:
    """The sentence on what was chosen, and the rows of the table."""
    blocks = list(spec_blocks(run))
    sentences = [block.rest for block in blocks if isinstance(block, Sentence)]
    rows = [tuple(row) for block in blocks if isinstance(block, Table) for row in block.rows]
    return "; ".join(sentences), rows


@pytest.mark.parametrize(
    ("options", "sentence", "rows"),
    [
        ({"epochs": 32}, f"{SMALL}, model.dropout 0.25, epochs 32", []),
        ({"epochs": 1}, f"{SMALL}, model.dropout 0.25", [("epochs", "1", "32")]),
        ({"epochs": 1, "dropout": 0.1}, SMALL, [("model.dropout", "0.1", "0.25"), ("epochs", "1", "32")]),
        ({"epochs": 60}, f"{SMALL}, model.dropout 0.25", [("epochs", "60", "32")]),  # 60 is the mlp's own default
        ({"epochs": 1, "hidden": 8}, "", [("model.hidden", "8", "256,256,256"), ("epochs", "1", "60")]),
    ],
)
def test_only_what_was_typed_differs(
    data: Prepared, options: dict[str, Any], sentence: str, rows: list[tuple[str, ...]]
) -> None:
    run = nnlab.fit(data, store=False, baseline=False, patience=1, **options)
    usual = "none" if sentence else "20"  # RealMLP's schedule wants all of its epochs
    told = sentence and sentence + WHY
    assert shown(run) == (told, sorted([*rows, ("patience", "1", usual)], key=_declared))


def _declared(row: tuple[str, ...]) -> int:
    return ["model.hidden", "model.dropout", "epochs", "patience"].index(row[0])


def test_the_plain_network_of_many_rows_is_chosen_too(data: Prepared) -> None:
    run = nnlab.fit(data, store=False, baseline=False, epochs=1, model="mlp")
    chosen = replace(run.facts.choices, start=to_json(TrainSpec()))
    assert shown(replace(run, facts=replace(run.facts, choices=chosen)))[0] == f"model mlp{WHY}"


def test_the_store_keeps_it_and_other_versions_do_no_harm(data: Prepared, tmp_path: Path) -> None:
    run = nnlab.fit(data, store=tmp_path, baseline=False, epochs=2, name="mine")
    before = shown(run)
    assert before[0].startswith(SMALL)
    assert run.path is not None
    assert shown(Store(tmp_path).load("mine")) == before
    kept = json.loads((run.path / "run.json").read_text())["choices"]
    for start in (None, 3, {"model": {"name": "of another version", "values": {}}}, {"strange": 1}):
        choices = Choices.from_json(kept | {"start": start})
        assert shown(replace(run, facts=replace(run.facts, choices=choices)))[0] == ""


def test_what_is_said_and_what_is_chosen_make_up_the_spec() -> None:
    start = resolve(TrainSpec, {"model": "packed", "dropout": 0.3, "epochs": 40})
    spec = resolve(TrainSpec, {"dropout": 0.0, "epochs": 7, "l1": 0.1}, start)
    kept, said = chosen_and_said(spec, start)
    again = resolve(TrainSpec, dict(kept) | {name: value for name, value, _ in said})
    assert again == spec
    assert chosen_and_said(start, start)[1] == []
