"""Cells and tables that few have: read right, or refused by name, and never changed in silence."""

import decimal
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from nnlab.core.data.columns import column_of
from nnlab.core.data.pipeline import Pipeline
from nnlab.core.data.prepare import Prepared, prepare
from nnlab.core.errors import DataError

ROWS = 120
DRAW = np.random.default_rng(0)
A = DRAW.normal(size=ROWS)
Y = DRAW.choice(["no", "yes"], ROWS)


def table(**columns: Any) -> pd.DataFrame:
    frame = pd.DataFrame({"a": A, "y": Y})
    for name, cells in columns.items():
        frame[name] = pd.Series(cells, dtype=object) if isinstance(cells, list) else cells
    return frame


def roles(data: Prepared) -> dict[str, str]:
    return {column.name: column.role for column in data.columns}


def same(one: Prepared, other: Prepared) -> bool:
    return np.array_equal(one.train.x, other.train.x) and np.array_equal(one.test.x, other.test.x)


@pytest.mark.parametrize("kind", ["numbers", "text"])
def test_numbers_with_more_digits_than_a_float_has_are_keys_or_levels(kind: str) -> None:
    far = 10**30
    written = str if kind == "text" else int
    keys = prepare(table(k=[written(far + i) for i in range(ROWS)]), "y")
    assert roles(keys)["k"] == "id", "as floats all of them were one number"
    few = prepare(table(k=[written(far + i % 3) for i in range(ROWS)]), "y")
    assert few.feature_names[1:] == tuple(f"k={far + i}" for i in range(3))
    plain = prepare(table(k=[written(i % 50 * 10**15) for i in range(ROWS)]), "y")
    assert roles(plain)["k"] == "numeric", "floats hold these"


def test_whole_numbers_of_python_stay_whole_up_to_64_bits() -> None:
    for top in (2**63 - 1, 2**64 - 1):
        column = column_of("k", pd.Series([top - i for i in range(5)], dtype=object))
        assert column.whole and [int(value) for value in column.data] == [top - i for i in range(5)]


def test_masked_cells_are_missing() -> None:
    values = np.ma.masked_less(np.c_[A, A**2], 0)
    data = prepare((values, Y))
    assert data.feature_names == ("x0", "x0 <missing>", "x1")
    assert same(data, prepare((values.filled(np.nan), Y)))
    assert np.array_equal(data.transform(values)[data.train.index], data.train.x)
    assert np.array_equal(data.to_sklearn().transform(values), data.transform(values))
    whole = np.ma.array(np.arange(ROWS) % 5, mask=np.arange(ROWS) % 7 == 0)
    assert prepare((whole[:, None], Y)).feature_names == ("x0", "x0 <missing>")
    with pytest.raises(DataError, match="target 'target' is missing in 18 of 120 rows"):
        prepare((A[:, None], np.ma.array(A, mask=np.arange(ROWS) % 7 == 0)))


def test_dates_with_and_without_a_time_zone_are_not_mixed() -> None:
    day = datetime(2020, 1, 1)
    mixed = [day.replace(tzinfo=None if i % 40 == 7 else UTC) + timedelta(days=i) for i in range(ROWS)]
    with pytest.raises(DataError, match=r"'d' has 117 dates with a time zone and 3 without \(row 7, 47, 87\)"):
        prepare(table(d=mixed), "y")
    zones = [timezone(timedelta(hours=i % 5)) for i in range(ROWS)]
    aware = [(day + timedelta(days=i)).replace(tzinfo=zone) for i, zone in enumerate(zones)]
    data = prepare(table(d=aware), "y")
    assert same(data, prepare(table(d=pd.to_datetime(pd.Series(aware), utc=True)), "y"))
    with pytest.raises(DataError, match="'d' has dates with no time zone, in training they had one"):
        data.transform(table(d=[day + timedelta(days=i) for i in range(ROWS)]))


class Mute:
    """An object that cannot be written."""

    def __repr__(self) -> str:
        raise RuntimeError("no words\nat all")


def test_objects_that_cannot_be_read_are_named_and_can_be_dropped() -> None:
    odd: dict[str, tuple[list[Any], str]] = {
        "mute": ([Mute() for _ in range(ROWS)], r"'c' holds objects that cannot be read \(no words\); .* or --drop c$"),
        "signalling": ([decimal.Decimal("sNaN"), decimal.Decimal(2)] * 60, "'c' holds objects that cannot be read"),
        "complex": ([1j, 2j] * 60, "'c' holds complex numbers; .* or --drop c$"),
    }
    plain = prepare(table(), "y")
    for cells, message in odd.values():
        with pytest.raises(DataError, match=message):
            prepare(table(c=cells), "y")
        data = prepare(table(c=cells), "y", drop="c")
        assert same(data, plain) and roles(data)["c"] == "dropped"


@pytest.mark.filterwarnings("error")
def test_halves_and_doubles_of_the_same_numbers() -> None:
    half = A.astype(np.float16)
    assert same(prepare(table(h=half), "y"), prepare(table(h=half.astype(np.float64)), "y"))


def test_half_of_a_surrogate_pair_is_a_level_like_any_other() -> None:
    data = prepare(table(s=["\ud800", "x\udfff", "ok"] * 40), "y")
    assert data.inverse(data.train.x)["s"].tolist() == [["\ud800", "x\udfff", "ok"][i % 3] for i in data.train.index]
    odd = pd.DataFrame({"y": Y}).set_axis(pd.Index(["y"], dtype=object), axis=1)
    odd["na\ud800me"] = A
    named = prepare(odd, "y")
    assert list(named.inverse(named.train.x).columns) == ["na\ud800me"]


def test_features_of_one_name_are_told_apart() -> None:
    frame = table(c=["x", "y", "z"] * 40)
    frame["c=x"] = A + 1
    frame["a"] = np.where(np.arange(ROWS) % 5 == 0, np.nan, frame["a"])
    frame["a <missing>"] = A - 1
    data = prepare(frame, "y")
    names = ("a", "a <missing>", "c=x", "c=y", "c=z", "c=x (2)", "a <missing> (2)")
    assert data.feature_names == names
    wide = data.to_sklearn().set_output(transform="pandas").transform(frame)
    assert tuple(wide.columns) == names
    chosen = prepare(frame, "y", select="variance", **{"select.threshold": 0.0})
    after = {column.name: column.after for column in chosen.columns}
    place = chosen.feature_names.index("a <missing> (2)")
    assert after["a <missing>"].low == pytest.approx(float(chosen.train.x[:, place].min()))


def test_a_target_may_be_named_as_the_frame_names_it() -> None:
    frame = pd.DataFrame(np.c_[A, A**2, Y == "yes"])
    assert same(prepare(frame, 2), prepare(frame.set_axis(["0", "1", "2"], axis=1), "2"))
    tiers = frame.set_axis(pd.MultiIndex.from_tuples([("n", "a"), ("n", "b"), ("t", "y")]), axis=1)
    assert prepare(tiers, ("t", "y")).target.name == "('t', 'y')"
    assert prepare(frame[[0, 1]], Y).target.name == "target", "y itself, as scikit-learn's users write it"


def test_rows_in_lists() -> None:
    frame = table(c=["x", None, "z"] * 40)
    dicts = frame.to_dict("records")
    data = prepare(frame, "y")
    assert same(prepare(dicts, "y"), data)
    assert np.array_equal(data.transform(dicts), data.transform(frame))
    assert np.array_equal(data.to_sklearn().transform(dicts), data.transform(frame))
    numbers = prepare((np.c_[A, A**2], Y))
    assert same(prepare((np.c_[A, A**2].tolist(), Y.tolist())), numbers)
    assert np.array_equal(
        numbers.transform([[0.5, 0.25], [1.5, 2.25]]), numbers.transform(np.array([[0.5, 0.25], [1.5, 2.25]]))
    )
    mixed = prepare(([[1.5 * i, "u" if i % 2 else None] for i in range(ROWS)], Y))
    assert mixed.feature_names == ("x0", "x1=u", "x1=<missing>"), "None is missing, and no level"
    for rows in ([1, 2, 3], [[1, 2], [3]], [{"a": 1}, 2], [], ["ab", "cd"]):
        with pytest.raises(DataError, match=r"the list is no table|is empty"):
            prepare(rows, "y")


def test_records_are_columns_for_the_transformer_too() -> None:
    records = np.rec.fromarrays([A, A**2, Y], names="a,b,y")
    data = prepare(records, "y")
    assert np.array_equal(data.to_sklearn().transform(records), data.transform(records))


def test_a_minus_of_another_kind_is_read_and_needs_no_words() -> None:
    data = prepare(table(c=[f"\u2212{i}.5" for i in range(ROWS)]), "y")
    assert roles(data)["c"] == "numeric" and not [text for text in data.warnings if "'c'" in text]
    assert same(data, prepare(table(c=[f"-{i}.5" for i in range(ROWS)]), "y"))


def test_mistakes_among_dates_are_named() -> None:
    days = [f"{1 + i % 28:02d}.03.{1990 + i}" for i in range(ROWS)]
    wrong = ["soon" if i % 25 == 3 else day for i, day in enumerate(days)]
    message = (
        r"'d' has 5 cells of 120 that are no dates like the others: 'soon'; mend them, or --categorical d or --drop d"
    )
    with pytest.raises(DataError, match=message):
        prepare(table(d=wrong), "y")
    half = [day if i % 2 else f"plan {i}" for i, day in enumerate(days)]
    assert roles(prepare(table(d=half), "y"))["d"] == "id"
    assert roles(prepare(table(d=["2020-01-01", "never"] * 60), "y"))["d"] == "binary"


@pytest.mark.parametrize("start", ["\n\n", "", "\r\n \r\n"])
@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_blank_lines_and_ends_of_lines_of_any_system(tmp_path: Path, start: str, end: str) -> None:
    path = tmp_path / "t.csv"
    path.write_bytes((start + table().to_csv(index=False).replace("\n", end)).encode())
    for stream in (None, True):
        assert same(prepare(path, "y", stream=stream), prepare(table(), "y"))


def test_huge_measurements_are_no_identifiers() -> None:
    data = prepare(table(mass=np.exp(A) * 1e30), "y", strict=True)
    assert roles(data)["mass"] == "numeric"
    again = Pipeline.from_state(*data.pipeline.state())
    assert np.array_equal(again.transform(table(mass=np.exp(A) * 1e30)), data.transform(table(mass=np.exp(A) * 1e30)))
