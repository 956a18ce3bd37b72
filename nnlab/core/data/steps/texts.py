"""How free text becomes numbers."""

import re
from collections import Counter
from collections.abc import Sequence
from itertools import pairwise
from typing import Annotated, Any

import numpy as np

from nnlab.core.data.steps.registries import TEXTS, Array, State
from nnlab.core.params import Within

WORD = re.compile(r"(?u)\b\w\w+\b")


@TEXTS.add(apply=lambda texts, state: np.zeros((len(texts), 0), np.float32), labels=lambda name, state: ())
def drop(texts: Sequence[str], rng: np.random.Generator) -> State:
    """Free text is set aside."""
    return {}


def terms_of(text: str) -> list[str]:
    """Words of two characters and more, and pairs of neighbours, in lower case."""
    words = WORD.findall(text.lower())
    return words + [f"{a} {b}" for a, b in pairwise(words)]


def weighted(texts: Sequence[str], vocabulary: Sequence[str], idf: Array) -> "Any":
    """TF-IDF rows of length 1 as a scipy CSR matrix (texts, vocabulary)."""
    from scipy.sparse import csr_array

    place = {term: i for i, term in enumerate(vocabulary)}
    counts: list[float] = []
    columns: list[int] = []
    ends = [0]
    for text in texts:
        found = Counter(place[term] for term in terms_of(text) if term in place)
        columns += found.keys()
        counts += found.values()
        ends.append(len(columns))
    values = np.asarray(counts, np.float64) * idf[columns] if columns else np.zeros(0)
    lengths = np.sqrt(np.add.reduceat(np.append(values**2, 0.0), ends[:-1])) if len(texts) else np.zeros(0)
    sizes = np.diff(ends)
    lengths = np.where(sizes > 0, lengths, 1.0)
    values = values / np.repeat(lengths, sizes)
    return csr_array((values, columns, ends), shape=(len(texts), len(vocabulary)))


def _apply(texts: Sequence[str], state: State) -> Array:
    if not len(state["components"]):
        return np.zeros((len(texts), 0), np.float32)
    rows = weighted(texts, state["vocabulary"], np.asarray(state["idf"]))
    return np.asarray(rows @ np.asarray(state["components"]).T, np.float32)


@TEXTS.add(
    apply=_apply, labels=lambda name, state: tuple(f"{name} topic {i + 1}" for i in range(len(state["components"])))
)
def tfidf(
    texts: Sequence[str],
    rng: np.random.Generator,
    components: Annotated[int, Within(1, 1000, log=True, search=(8, 128)), "features that the text becomes"] = 32,
    terms: Annotated[int, Within(10, 1_000_000, log=True), "most terms, the most frequent ones"] = 20_000,
    min_rows: Annotated[int, Within(1, 1_000_000, log=True), "terms in fewer rows are left out"] = 2,
) -> State:
    """TF-IDF of words and pairs of words, then truncated SVD (TfidfVectorizer and TruncatedSVD of scikit-learn)."""
    from scipy.sparse.linalg import svds

    rows_with = Counter(term for text in texts for term in set(terms_of(text)))
    total = Counter(term for text in texts for term in terms_of(text))
    often = [term for term, rows in rows_with.items() if rows >= min_rows]
    vocabulary = sorted(sorted(often, key=lambda term: (-total[term], term))[:terms])
    idf = np.log((1 + len(texts)) / (1 + np.array([rows_with[term] for term in vocabulary], np.float64))) + 1
    count = min(components, len(vocabulary) - 1, len(texts) - 1)
    if count < 1:
        return {"vocabulary": [], "idf": np.zeros(0), "components": np.zeros((0, 0))}
    matrix = weighted(texts, vocabulary, idf)
    start = rng.standard_normal(min(matrix.shape))
    _, size, axes = svds(matrix, k=count, v0=start)
    axes = axes[np.argsort(-size)]
    signs = np.sign(axes[np.arange(count), np.abs(axes).argmax(1)])
    return {"vocabulary": vocabulary, "idf": idf, "components": np.ascontiguousarray(axes * signs[:, None])}
