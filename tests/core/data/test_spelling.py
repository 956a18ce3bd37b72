"""Levels that differ only in their spelling are one where the user says so, in training and at prediction."""

import json

import numpy as np
import pandas as pd
import pytest

from nnlab.core.data.pipeline import Pipeline
from nnlab.core.data.prepare import prepare
from nnlab.core.errors import DataError, SpecError

TOWNS = ["Köln", "Koln", "köln ", "Bonn", "bonn", "BONN", "St. Louis", "St Louis", None]
ONE = {"Köln": "Koln", "Koln": "Koln", "köln ": "Koln", "Bonn": "bonn", "bonn": "bonn", "BONN": "bonn"}


def frame(seed: int = 0) -> pd.DataFrame:
    """Koln, bonn and St. Louis are how most rows write them."""
    draw = np.random.default_rng(seed)
    town = draw.choice(np.array(TOWNS, object), 400, p=[0.08, 0.2, 0.05, 0.05, 0.2, 0.05, 0.2, 0.07, 0.1])
    return pd.DataFrame({"a": draw.normal(size=400), "town": town, "y": draw.choice(["yes", "no"], 400)})


def by_hand(table: pd.DataFrame) -> pd.DataFrame:
    return table.assign(town=table["town"].replace(ONE | {"St Louis": "St. Louis"}))


@pytest.mark.filterwarnings("ignore::nnlab.core.errors.DataWarning")
@pytest.mark.parametrize("encode", ["one_hot", "codes", "target", "hash"])
def test_merged_levels_give_what_a_table_mended_by_hand_gives(encode: str) -> None:
    data = prepare(frame(), "y", merge_levels="town", encode=encode)
    mended = prepare(by_hand(frame()), "y", encode=encode)
    np.testing.assert_array_equal(data.train.x, mended.train.x)
    np.testing.assert_array_equal(data.test.x, mended.test.x)
    assert data.feature_names == mended.feature_names
    new = pd.DataFrame({"a": 0.0, "town": ["KÖLN", "b-o-n-n", "Bonn.", "st louis", "Ulm", None]})
    clean = pd.DataFrame({"a": 0.0, "town": ["Koln", "bonn", "bonn", "St. Louis", "Ulm", None]})
    np.testing.assert_array_equal(data.transform(new), mended.transform(clean))
    if encode != "hash":  # which knows all levels
        assert str(data.check(new)) == str(data.check(clean))
        assert data.check(new).columns["town"].unseen == 1
    plain, arrays = data.pipeline.state()
    again = Pipeline.from_state(json.loads(json.dumps(plain)), arrays)
    np.testing.assert_array_equal(again.transform(new), data.transform(new))


def test_the_option_of_the_finding_resolves_it() -> None:
    (finding,) = (found for found in prepare(frame(), "y").audit if found.kind == "category_twins")
    assert finding.option == "--merge_levels town" and "'bonn'" in finding.evidence
    assert not prepare(frame(), "y", merge_levels="town", strict=True).audit


def test_only_training_rows_say_how_a_level_is_written() -> None:
    table = frame()
    data = prepare(table, "y", merge_levels="town")
    other = table.copy()
    hidden = np.concatenate([data.valid.index, data.test.index])
    other.loc[hidden, "town"] = "BONN"
    again = prepare(other, "y", merge_levels="town")
    np.testing.assert_array_equal(data.train.x, again.train.x)
    assert json.dumps(data.pipeline.state()[0]) == json.dumps(again.pipeline.state()[0])


def test_files_in_pieces_and_orders_merge_alike(tmp_path) -> None:
    path = tmp_path / "t.csv"
    frame().to_csv(path, index=False)
    options = {"merge_levels": "town", "impute.town": "ffill"}
    whole, pieces = prepare(path, "y", **options), prepare(path, "y", stream=True, **options)
    np.testing.assert_array_equal(whole.train.x, pieces.train.x)
    np.testing.assert_array_equal(whole.transform(frame()), pieces.transform(frame()))


def test_classes_that_differ_in_spelling_are_said_and_merged() -> None:
    table = frame()
    spelled = table.assign(y=[word if i % 7 else f"{word.upper()} " for i, word in enumerate(table["y"])])
    data = prepare(spelled, "y")
    assert data.target.classes == ("NO", "YES", "no", "yes")
    (finding,) = (found for found in data.audit if found.columns == ("y",))
    assert (finding.kind, finding.option) == ("category_twins", "--merge_levels y")
    assert finding.evidence == "'NO' = 'no'; 'YES' = 'yes'"
    mended = prepare(spelled, "y", merge_levels="y,town", strict=True)
    assert mended.target.classes == ("no", "yes") and mended.task == "binary"
    by_name = prepare(table, "y", merge_levels="town")
    np.testing.assert_array_equal(mended.train.y, by_name.train.y)
    np.testing.assert_array_equal(mended.train.x, by_name.train.x)
    plain, arrays = mended.pipeline.state()
    again = Pipeline.from_state(json.loads(json.dumps(plain)), arrays)
    for pipeline in (mended.pipeline, again):
        assert pipeline.target.encode(["YES", "No", " no."]).tolist() == [1, 0, 0]
        with pytest.raises(DataError, match="did not see: 'maybe'"):
            pipeline.target.encode(["maybe"])


def test_what_cannot_be_merged() -> None:
    with pytest.raises(SpecError, match="--merge_levels a: the column is numeric and has no levels"):
        prepare(frame(), "y", merge_levels="a")
    with pytest.raises(DataError, match=r"merge_levels=twon: no such column.*town"):
        prepare(frame(), "y", merge_levels="twon")
    numbers = frame().assign(y=np.arange(400) % 3)
    with pytest.raises(SpecError, match="--merge_levels y: the target has no classes that are text"):
        prepare(numbers, "y", merge_levels="y")
