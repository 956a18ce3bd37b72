"""Options for one column or role: unknown names are refused, those without effect are told."""

import numpy as np
import pandas as pd
import pytest

from nnlab.core.data.prepare import prepare
from nnlab.core.errors import DataError, SpecError


def frame(rows: int = 200) -> pd.DataFrame:
    draw = np.random.default_rng(0)
    found = pd.DataFrame({"age": draw.normal(40, 9, rows), "kind": draw.choice(["a", "b", "c"], rows)})
    found["said"] = [" ".join(draw.choice(list("abcdefgh"), 6)) for _ in range(rows)]
    found["day"] = pd.Timestamp("2024-01-01") + pd.to_timedelta(draw.integers(0, 300, rows), unit="D")
    found.loc[::9, ["age", "kind"]] = None
    return found.assign(site=np.arange(rows) % 20, price=draw.normal(size=rows))


@pytest.mark.parametrize(
    ("name", "value", "near"),
    [
        ("impute.agee", "knn", "did you mean 'age'"),
        ("scale.daz", "robust", "did you mean 'day'"),
        ("encode.categoricl", "ordinal", "did you mean 'categorical'"),
        ("text.zzzzzz", "tfidf", ""),
    ],
)
def test_unknown_names_are_refused(name: str, value: str, near: str) -> None:
    with pytest.raises(DataError, match=f"{name}: no such column or role.*{near}"):
        prepare(frame(), "price", **{name: value})


def test_the_target_takes_no_steps_of_features() -> None:
    with pytest.raises(SpecError, match=r"scale\.price: that is the target.*--scale-target robust"):
        prepare(frame(), "price", **{"scale.price": "robust"})


@pytest.mark.parametrize(
    ("name", "value", "why"),
    [
        ("scale.kind", "robust", "it is categorical, which takes impute, encode"),
        ("encode.age", "ordinal", "it is numeric, which takes outliers, impute, scale, expand"),
        ("impute.kind", "median", "it is categorical, whose gaps go by most_frequent or constant"),
        ("scale.said", "robust", "it is text (most rows have their own text)"),
        ("scale.site", "robust", "no feature is 'site'"),
        ("encode.binary", "ordinal", "no feature is 'binary'"),
        ("scale.categorical", "robust", "'kind' is categorical, which takes"),
    ],
)
def test_what_plays_no_part_is_told(name: str, value: str, why: str) -> None:
    options = {"group": "site", name: value}
    told = [text for text in prepare(frame(), "price", **options).warnings if "plays no part" in text]
    assert len(told) == 1
    assert told[0].startswith(f"{name}={value} plays no part: {why}")


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("scale.age", "robust"),
        ("scale.day", "robust"),
        ("impute.kind", "most_frequent"),
        ("impute.kind", "ffill"),
        ("impute.age", "knn"),
        ("encode.kind", "ordinal"),
        ("text.said", "tfidf"),
        ("text.said", "drop"),
        ("expand.numeric", "splines"),
        ("encode.categorical", "target"),
    ],
)
def test_what_plays_a_part_is_not_told(name: str, value: str) -> None:
    assert not [text for text in prepare(frame(), "price", **{name: value}).warnings if "plays no part" in text]
