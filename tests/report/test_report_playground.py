"""The picture of a playground: rows and surface in one scale of colours, and its words on the other features."""

import numpy as np
import pandas as pd
import pytest

import nnlab
from nnlab.core.playground import Ground, asked_ground
from nnlab.core.spec import TrainSpec
from nnlab.report.colours import HIGH, LOW, painted
from nnlab.report.playground import _legend, dot_inks


def ground_of(words: list[str]) -> Ground:
    frame = pd.DataFrame(np.random.default_rng(0).normal(size=(200, 4)), columns=["a", "b", "c", "y"])
    found = asked_ground(nnlab.prepare(frame, target="y"), words, TrainSpec())
    assert found is not None
    return found


def test_a_row_has_the_colour_of_the_surface_where_the_net_gives_its_target() -> None:
    ground = ground_of(["a", "b"])
    assert ground.ends is not None
    low, high = ground.ends
    assert ground.y.min() < low < -1 < 1 < high < ground.y.max()
    values = np.array([low, 0.0, 9.0])
    surface = [painted(np.full((28 * 28, 1), value), ground.shape, ground.ends)[3, 5] for value in values]
    inks = dot_inks(ground, values)
    assert inks == [f"#{red:02x}{green:02x}{blue:02x}" for red, green, blue in surface]
    assert (inks[0], inks[2], len(set(inks))) == (LOW, HIGH, 3)


@pytest.mark.parametrize(
    ("words", "told"), [(["a"], "others at their median"), (["pca"], "through the mean of the rows")]
)
def test_where_the_ground_lies_is_said(words: list[str], told: str) -> None:
    assert [word for word, _ in _legend(ground_of(words))] == [told]
