"""Free text as numbers, against scikit-learn."""

import json
from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.decomposition import TruncatedSVD
from sklearn.feature_extraction.text import TfidfVectorizer

from nnlab.core.data.steps import TEXTS, State
from nnlab.core.data.steps.registries import Array
from nnlab.core.data.steps.texts import terms_of, weighted

WORDS = [
    "cat",
    "dog",
    "sat",
    "ran",
    "größe",
    "ça",
    "va",
    "日本",
    "語学",
    "naïve",
    "the",
    "a",
    "of",
    "x_1",
    "3d",
    "don't",
]


def corpus(rows: int = 200, seed: int = 1) -> list[str]:
    draw = np.random.default_rng(seed)
    found = [" ".join(draw.choice(WORDS, draw.integers(0, 12))) for _ in range(rows)]
    return [text.upper() if i % 5 == 0 else text for i, text in enumerate(found)]


def fitted(texts: Sequence[str], **values: object) -> State:
    return TEXTS["tfidf"].make(texts, np.random.default_rng(0), **values)


def applied(texts: Sequence[str], state: State) -> Array:
    return TEXTS["tfidf"].facts["apply"](texts, state)


@pytest.mark.parametrize("min_rows", [1, 2, 10])
def test_weights_equal_scikit_learn(min_rows: int) -> None:
    texts, other = corpus(), corpus(50, seed=2)
    state = fitted(texts, min_rows=min_rows)
    reference = TfidfVectorizer(ngram_range=(1, 2), min_df=min_rows).fit(texts)
    assert state["vocabulary"] == list(reference.get_feature_names_out())
    np.testing.assert_allclose(state["idf"], reference.idf_, rtol=1e-12)
    found = weighted(other, state["vocabulary"], state["idf"])
    np.testing.assert_allclose(found.toarray(), reference.transform(other).toarray(), atol=1e-12)


@pytest.mark.parametrize("components", [1, 5, 12])
def test_topics_equal_scikit_learn(components: int) -> None:
    texts, other = corpus(), corpus(50, seed=2)
    vectors = TfidfVectorizer(ngram_range=(1, 2), min_df=2).fit(texts)
    reference = TruncatedSVD(components, algorithm="arpack", random_state=0).fit(vectors.transform(texts))
    state = fitted(texts, components=components)
    expected, found = reference.transform(vectors.transform(other)), applied(other, state)
    assert found.dtype == np.float32
    signs = np.sign((state["components"] * reference.components_).sum(1))
    np.testing.assert_allclose(found * signs, expected, atol=1e-5)


def test_only_the_most_frequent_terms_are_kept() -> None:
    texts = ["one two", "one two three", "one"] * 4
    assert fitted(texts, terms=10)["vocabulary"] == ["one", "one two", "three", "two", "two three"]
    many = [f"common w{i} w{i} w{i % 7}x" for i in range(40)]
    state = fitted(many, terms=10, min_rows=1)
    assert len(state["vocabulary"]) == 10 and "common" in state["vocabulary"]


@pytest.mark.parametrize(
    "texts", [[], [""] * 5, ["hello world"], ["hello", ""] * 5, ["a b c"] * 9, ["!?"] * 4, ["one", "two", "three"]]
)
def test_too_little_text_gives_no_features(texts: list[str]) -> None:
    state = fitted(texts)
    assert applied(texts, state).shape == (len(texts), 0)
    assert applied(["something new", ""], state).shape == (2, 0)
    assert TEXTS["tfidf"].facts["labels"]("note", state) == ()


def test_unknown_words_and_no_rows() -> None:
    state = fitted(corpus(), components=3)
    assert np.array_equal(applied(["qwerty", ""], state), np.zeros((2, 3), np.float32))
    assert applied([], state).shape == (0, 3)
    assert TEXTS["tfidf"].facts["labels"]("note", state) == ("note topic 1", "note topic 2", "note topic 3")


def test_what_is_stored_is_enough() -> None:
    state = fitted(corpus(), components=3)
    assert all(isinstance(term, str) for term in state["vocabulary"])
    stored = {name: value if name == "vocabulary" else np.asarray(value).tolist() for name, value in state.items()}
    again = json.loads(json.dumps(stored))
    assert np.array_equal(applied(corpus(20, seed=3), again), applied(corpus(20, seed=3), state))


def test_the_same_draw_gives_the_same_topics() -> None:
    assert np.array_equal(fitted(corpus())["components"], fitted(corpus())["components"])


@given(st.text(max_size=60))
def test_terms_are_those_of_scikit_learn(text: str) -> None:
    assert terms_of(text) == TfidfVectorizer(ngram_range=(1, 2)).build_analyzer()(text)


def test_dropped_text_gives_no_features() -> None:
    facts = TEXTS["drop"].facts
    state = TEXTS["drop"].make(["a text"], np.random.default_rng(0))
    assert facts["apply"](["a", "b"], state).shape == (2, 0) and facts["labels"]("note", state) == ()
