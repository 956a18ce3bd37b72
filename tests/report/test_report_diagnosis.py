"""The heat maps of the layers: inks that can be read back from their scale, and numbers that fit beside it."""

import numpy as np
import pytest
from matplotlib.figure import Figure
from matplotlib.offsetbox import TextArea

from nnlab.core.diagnose.registry import Plot
from nnlab.report.diagnosis import INKS, _evidence_panel, _heat_map, _scale, _short


@pytest.mark.parametrize(
    ("value", "shown"),
    [(5.8e-9, "5.8e-9"), (132.4, "132"), (43210.0, "43,210"), (2.5e7, "2.5e7"), (0.41, "0.41"), (0.0, "0"), (1, "1")],
)
def test_ends_of_a_scale_are_short(value: float, shown: str) -> None:
    assert _short(value) == shown


def texts(values: np.ndarray) -> tuple[list[str], list[tuple[float, ...]]]:
    """The words beside the scale of a map, and its inks."""
    axes = Figure().subplots()
    ink_of = _heat_map(axes, values, ["first", "last"], list(range(values.shape[1])))
    _scale(axes, values, ink_of)
    (box,) = axes.artists
    words = [part.get_text() for part in box.get_child().get_children() if isinstance(part, TextArea)]
    patches = [p for part in box.get_child().get_children() for p in part.get_children() if hasattr(p, "get_facecolor")]
    return words, [p.get_facecolor() for p in patches]


def test_the_scale_goes_from_the_least_ink_to_the_largest() -> None:
    words, inks = texts(np.array([[1e-6, 1e-3], [1.0, 200.0]]))
    assert words == ["1e-6", "200"]
    assert len(inks) == len(INKS)
    light = [sum(ink[:3]) for ink in inks]
    assert light == sorted(light, reverse=True) and light[0] - light[-1] > 2


def test_values_that_hardly_differ_have_inks_that_hardly_differ() -> None:
    _, inks = texts(np.array([[1.0, 1.01], [1.02, 1.03]]))
    assert abs(sum(inks[0][:3]) - sum(inks[-1][:3])) < 0.3


def test_what_is_not_finite_or_nothing_is_said() -> None:
    assert texts(np.array([[np.nan, 1.0], [2.0, np.inf]]))[0] == ["not finite", "1", "2"]
    assert texts(np.full((2, 2), np.nan))[0] == ["not finite"]
    assert texts(np.zeros((2, 2)))[0] == ["0", "0"]


def test_the_line_to_compare_with_has_its_name() -> None:
    axes = Figure().subplots()
    _evidence_panel(
        axes, Plot("loss", [1, 2, 3], {"": [3.0, 2.0, 1.0]}, level=1.5, level_name="one prediction for all")
    )
    assert [text.get_text() for text in axes.texts] == ["one prediction for all"]
    assert axes.texts[0].xy == (1.0, 1.5)
