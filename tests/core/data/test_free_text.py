"""Columns of free text in a preparation: kept where it is said, fitted on training rows alone, stored, applied."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from safetensors.numpy import load_file, save_file
from sklearn.decomposition import TruncatedSVD
from sklearn.feature_extraction.text import TfidfVectorizer

from nnlab.core.data.pipeline import Pipeline
from nnlab.core.data.prepare import Prepared, prepare
from nnlab.core.errors import DataError, SpecError
from nnlab.core.fit import fit
from nnlab.core.registry import Part
from nnlab.core.spec import PrepareSpec, from_json, to_json

WORDS = [
    "good",
    "bad",
    "fine",
    "awful",
    "plot",
    "actor",
    "scene",
    "music",
    "slow",
    "fast",
    "dull",
    "bright",
    "long",
    "short",
    "love",
    "hate",
]
ROWS = 200


def reviews(rows: int = ROWS, seed: int = 0) -> pd.DataFrame:
    """Texts, some of them missing; 'good' and 'love' tell the target."""
    draw = np.random.default_rng(seed)
    texts = [" ".join(draw.choice(WORDS, draw.integers(5, 12))) for _ in range(rows)]
    y = ["yes" if "good" in text or "love" in text else "no" for text in texts]
    frame = pd.DataFrame({"review": texts, "a": draw.normal(size=rows), "y": y})
    frame.loc[::13, "review"] = None
    return frame


def report(data: Prepared, name: str = "review") -> Any:
    return next(column for column in data.columns if column.name == name)


def text_features(data: Prepared, frame: pd.DataFrame) -> np.ndarray:
    wanted = [i for i, name in enumerate(data.feature_names) if name.startswith("review topic")]
    return data.transform(frame)[:, wanted]


def test_without_a_step_texts_are_set_aside_and_the_option_is_named() -> None:
    data = prepare(reviews(), "y")
    assert report(data).role == "text" and data.feature_names == ("a",)
    assert any("set aside as text: 'review'" in w and "--text.review tfidf keeps 'review'" in w for w in data.warnings)
    odd = prepare(reviews().rename(columns={"review": "my review"}), "y")
    assert any('--text."my review" tfidf keeps' in warning for warning in odd.warnings)


@pytest.mark.parametrize(
    "options",
    [
        {"text": "tfidf"},
        {"text": Part("tfidf")},
        {"text.review": "tfidf"},
        {"text.text": "tfidf"},
        {"overrides": {"text": {"review": Part("tfidf")}}},
    ],
    ids=["all", "part", "column", "role", "spec"],
)
def test_each_way_to_say_it(options: dict[str, Any]) -> None:
    spec = PrepareSpec("y", overrides=options.pop("overrides")) if "overrides" in options else None
    data = prepare(reviews(), "y", spec=spec, **options)
    expected = prepare(reviews(), "y", text="tfidf")
    assert np.array_equal(data.train.x, expected.train.x)
    assert not any("set aside" in warning for warning in data.warnings)
    assert report(data).role == "text" and report(data).features == 32
    assert report(data).done.startswith("tfidf of ") and report(data).missing == 16
    assert from_json(PrepareSpec, json.loads(json.dumps(to_json(data.spec)))) == data.spec


def test_against_scikit_learn() -> None:
    frame = reviews()
    data = prepare(frame, "y", **{"text.review": "tfidf", "text.review.components": 8})
    texts = frame["review"].fillna("")
    vectors = TfidfVectorizer(ngram_range=(1, 2), min_df=2).fit(texts.iloc[data.train.index])
    rows = vectors.transform(texts)
    svd = TruncatedSVD(8, algorithm="arpack", random_state=0).fit(rows[data.train.index])
    expected = svd.transform(rows)
    found = text_features(data, frame)
    signs = np.sign((found * expected).sum(0))
    np.testing.assert_allclose(found * signs, expected, atol=1e-6)
    feature = data.pipeline.features[0]
    assert feature.state()[0]["step"]["state"]["vocabulary"] == sorted(vectors.vocabulary_)


def test_words_of_other_rows_teach_nothing() -> None:
    frame = reviews()
    data = prepare(frame, "y", text="tfidf")
    poisoned = frame.copy()
    rest = np.concatenate([data.valid.index, data.test.index])
    poisoned.loc[rest, "review"] = [f"poison {i} poison good" for i in range(len(rest))]
    other = prepare(poisoned, "y", text="tfidf")
    assert np.array_equal(other.train.x, data.train.x)
    assert json.dumps(other.pipeline.state()[0]) == json.dumps(data.pipeline.state()[0])
    assert "poison" not in json.dumps(other.pipeline.state()[0])


def test_files_bring_back_the_same_bits(tmp_path: Path) -> None:
    data = prepare(reviews(), "y", text="tfidf", components=5)
    plain, arrays = data.pipeline.state()
    (tmp_path / "pipeline.json").write_text(json.dumps(plain, allow_nan=False))
    save_file(arrays, tmp_path / "pipeline.safetensors")
    again = Pipeline.from_state(
        json.loads((tmp_path / "pipeline.json").read_text()), load_file(tmp_path / "pipeline.safetensors")
    )
    other = reviews(300, seed=1)
    assert np.array_equal(again.transform(other), data.transform(other))
    assert again.feature_names == data.feature_names
    assert again.steps == data.steps


def test_training_rows_come_out_as_they_were_trained_on() -> None:
    frame = reviews()
    data = prepare(frame, "y", text="tfidf")
    for rows in (data.train, data.valid, data.test):
        assert np.array_equal(data.transform(frame.iloc[rows.index]), rows.x)
    assert np.array_equal(data.transform(frame.iloc[[7, 7, 3]]), data.transform(frame)[[7, 7, 3]])


@pytest.mark.parametrize(
    "cells", [["zzz qqq"], [""], [None], ["?"], [12.5], [True], ["😀 \x00"], [pd.Timestamp("2020")]]
)
def test_texts_without_a_known_word_are_zeros(cells: list[Any]) -> None:
    data = prepare(reviews(), "y", text="tfidf")
    frame = reviews(3).assign(review=pd.Series(cells * 3))
    assert not text_features(data, frame).any()
    assert "review" not in data.check(frame).columns
    assert data.transform(frame.iloc[:0]).shape == (0, len(data.feature_names))


def test_a_column_of_any_role_can_be_made_text() -> None:
    draw = np.random.default_rng(0)
    few = reviews().assign(review=draw.choice(["red car", "blue car", "red bike"], ROWS))
    assert report(prepare(few, "y")).role == "categorical"
    assert report(prepare(few, "y", text="tfidf")).role == "categorical"
    assert report(prepare(few, "y", **{"text.review": "tfidf"})).role == "text"
    ids = reviews().assign(review=[f"row-{i} kind-{i % 5}".replace(" ", "-") for i in range(ROWS)])
    assert report(prepare(ids, "y", text="tfidf")).role == "id"
    assert report(prepare(ids, "y", **{"text.review": "tfidf"})).features > 0
    codes = reviews().assign(review=draw.integers(10, 20, ROWS))
    assert report(prepare(codes, "y", **{"text.review": "tfidf"})).role == "text"
    named = reviews().rename(columns={"review": "text"})
    assert report(prepare(named, "y", **{"text.text": "tfidf"}), "text").role == "text"


def test_what_cannot_be_said() -> None:
    with pytest.raises(DataError, match=r"text\.reviw: no such column or role; did you mean 'review'"):
        prepare(reviews(), "y", **{"text.reviw": "tfidf"})
    with pytest.raises(SpecError, match="'review' is given as categorical and as text"):
        prepare(reviews(), "y", categorical="review", **{"text.review": "tfidf"})
    with pytest.raises(SpecError, match=r"text\.y: that is the target"):
        prepare(reviews(), "y", **{"text.y": "tfidf"})
    with pytest.raises(SpecError, match="components"):
        prepare(reviews(), "y", **{"text.review": "tfidf", "text.review.components": 0})


def test_texts_without_common_words() -> None:
    alone = reviews().assign(review=[f"w{i}a w{i}b" for i in range(ROWS)])
    data = prepare(alone, "y", text="tfidf")
    assert data.feature_names == ("a",)
    assert any("'review': its training rows share no words" in warning for warning in data.warnings)
    with pytest.raises(DataError, match="no column gives a feature: column 'review': its training rows share no words"):
        prepare(alone[["review", "y"]], "y", text="tfidf")
    empty = prepare(reviews().assign(review=None), "y", **{"text.review": "tfidf"})
    assert report(empty).role == "constant"


@pytest.mark.parametrize(
    "options",
    [
        {"impute": "knn"},
        {"cross": "polynomial"},
        {"select": "variance"},
        {"reduce": "pca"},
        {"balance": "smote"},
        {"flag": "isolation_forest"},
        {"folds": 3},
        {"encode": "codes"},
        {"drop_columns": 0.5},
    ],
    ids=lambda options: next(iter(options)),
)
def test_together_with_other_steps(options: dict[str, Any]) -> None:
    frame = reviews().assign(
        b=np.where(np.arange(ROWS) % 7, np.arange(ROWS) / 9, np.nan), c=np.resize(list("xyz"), ROWS)
    )
    frame = frame[["c", "review", "b", "a", "y"]]
    data = prepare(frame, "y", text="tfidf", **{"text.components": 4}, **options)
    assert np.isfinite(data.train.x).all()
    assert np.array_equal(data.transform(frame.iloc[data.test.index]), data.test.x)


def test_inverse_gives_nothing_back_for_words() -> None:
    data = prepare(reviews(), "y", text="tfidf", scale="standard")
    back = data.inverse(data.train.x)
    assert back["review"].isna().all()
    np.testing.assert_allclose(back["a"], reviews()["a"].iloc[data.train.index], rtol=1e-4, atol=1e-6)


def test_a_network_learns_from_the_words() -> None:
    data = prepare(reviews(600), "y", text="tfidf")
    run = fit(data, hidden=(16,), epochs=15, device="cpu", store=False)
    assert run.score(reviews(300, seed=5))["roc_auc"] > 0.75
    assert np.isfinite(run.predict_proba(reviews(5, seed=3))).all()
