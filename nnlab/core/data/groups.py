"""Which columns of the matrix are one category together."""

from nnlab.core.data.category import Category
from nnlab.core.data.numbers import Number
from nnlab.core.data.pipeline import Pipeline
from nnlab.core.data.steps import EXPANDERS


def category_groups(pipeline: Pipeline) -> tuple[tuple[int, ...], ...] | None:
    """The columns of each category, one-hot, hashed, in order or as a code, and of the bins of a number.

    Target encoded columns are numbers. Columns of two values, such as flags, are not named here. None where features
    were selected or reduced.
    """
    if any(kind != "flag" for kind, _ in pipeline.finish):
        return None
    found, low = [], 0
    for feature in pipeline.features:
        high = low + len(feature.labels)
        if isinstance(feature, Category) and feature.encoding.table is None and high > low:
            found.append(tuple(range(low, high)))
        elif isinstance(feature, Number) and EXPANDERS[feature.expand.name].facts.get("one_hot"):
            found.append(tuple(range(low, low + len(feature.own_labels))))
        low = high
    return tuple(found)
