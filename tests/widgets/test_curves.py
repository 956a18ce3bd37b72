"""What is drawn: few points that keep every spike, and round numbers on the axes."""

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nnlab.widgets.curves import MOST, Chart, Curves, decimals, put_ticks, thin, ticks
from nnlab.widgets.series import Drawn, How, SeriesChart, log_ticks, smoothed


@given(st.integers(MOST + 1, 30_000), st.integers(1, 3), st.integers(0, 2**31))
def test_thinning_keeps_ends_and_spikes(n: int, curves: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    x, ys = np.arange(1.0, n + 1), rng.normal(size=(curves, n))
    for y in ys:
        y[rng.integers(n)] = 50.0
        y[rng.integers(n)] = -50.0
    few, shown = thin(x, ys)
    assert len(few) <= MOST and (few[0], few[-1]) == (1.0, n)
    assert np.array_equal(shown, ys[:, few.astype(int) - 1])
    assert np.array_equal(shown.max(axis=1), ys.max(axis=1))
    assert np.array_equal(shown.min(axis=1), ys.min(axis=1))


def test_few_points_are_all_kept() -> None:
    x, ys = thin(np.arange(MOST, dtype=float), np.zeros((2, MOST)))
    assert len(x) == MOST and ys.shape == (2, MOST)


def test_what_is_not_finite_becomes_a_gap_and_hides_no_spike() -> None:
    y = np.full((1, 5000), np.nan)
    y[0, 1234], y[0, 2000], y[0, 3000] = 7.0, np.inf, -np.inf
    x, shown = thin(np.arange(5000.0), y)
    assert not np.isinf(shown).any()
    assert shown[0, x == 1234].tolist() == [7.0]


def test_curves_grow_by_points() -> None:
    curves = Curves(2)
    curves.add(1, 0.5, 0.75)
    curves.add(2, 0.25, float("nan"))
    x, ys = curves.thinned()
    assert x.tolist() == [1, 2] and ys[0].tolist() == [0.5, 0.25] and np.isnan(ys[1, 1])


@given(st.floats(-1e6, 1e6), st.floats(1e-6, 1e6), st.integers(2, 8))
def test_ticks_are_round_few_and_inside(low: float, width: float, about: int) -> None:
    high = low + width
    places = ticks(low, high, about)
    assert 1 <= len(places) <= 2 * about + 1
    assert all(low - 1e-6 * width <= place <= high + 1e-6 * width for place in places)


@pytest.mark.parametrize(
    ("low", "high", "whole", "places", "form"),
    [
        (1, 60, True, [10, 20, 30, 40, 50, 60], ".0f"),
        (1, 4, True, [1, 2, 3, 4], ".0f"),
        (0.27, 1.13, False, [0.4, 0.6, 0.8, 1.0], ".1f"),
        (0.0002, 0.001, False, [0.0002, 0.0004, 0.0006, 0.0008, 0.001], ".4f"),
        (0.001, 0.001, False, [0.001], ".3f"),
        (0, 1e-8, False, [0, 2e-9, 4e-9, 6e-9, 8e-9, 1e-8], ".0e"),
    ],
)
def test_ticks_by_hand(low: float, high: float, whole: bool, places: list[float], form: str) -> None:
    found = ticks(low, high, 6 if whole else 4, whole)
    assert found == pytest.approx(places)
    assert decimals(found) == form


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_ticks_of_nothing(bad: float) -> None:
    assert ticks(bad, bad, 5) == []
    assert ticks(0.0, bad, 5) == [0.0]


def test_a_chart_takes_one_point_then_many() -> None:
    chart = Chart(["red", "blue"], ["green"])
    nothing = np.array([])
    chart.draw(np.array([1.0]), np.array([[0.5], [0.6]]), [(nothing, nothing)])
    lines = chart.widget.marks[0]
    assert np.shape(lines.y) == (2, 2) and lines.marker == "circle"  # one point alone would not be seen as a line
    chart.draw(np.array([1.0, 2.0, 3.0]), np.ones((2, 3)), [(np.array([2.0]), np.array([1.0]))])
    assert np.shape(lines.y) == (2, 3) and lines.marker is None
    assert chart.widget.marks[1].x.tolist() == [2.0]


def test_a_chart_of_values_that_all_diverged_is_drawn() -> None:
    chart = Chart(["red"])
    chart.draw(np.array([1.0, 2.0]), np.full((1, 2), np.nan))
    assert np.isnan(chart.widget.marks[0].y).all()


def test_a_mean_of_the_last_values_has_no_pull_of_the_first_and_keeps_gaps() -> None:
    values = np.array([1.0, np.nan, 3.0, 3.0])
    found = smoothed(values, 0.5)
    weights = np.array([0.25, 0.5])  # of 1 and 3, the newest double
    assert found[[0, 2]].tolist() == pytest.approx([1.0, weights @ [1, 3] / weights.sum()]) and np.isnan(found[1])
    assert np.array_equal(smoothed(values, 0.0), values, equal_nan=True)


@pytest.mark.parametrize(
    ("low", "high", "words"),
    [
        (0.002, 0.3, ["0.002", "0.005", "0.01", "0.02", "0.05", "0.1", "0.2"]),
        (1e-6, 10.0, ["1e-06", "0.0001", "0.01", "1"]),
    ],
)
def test_ticks_by_ratio_are_round_and_stand_at_their_logarithm(low: float, high: float, words: list[str]) -> None:
    found = log_ticks(np.log10(low), np.log10(high))
    assert set(found.values()) <= set(words) and 3 <= len(found) <= 6
    assert all(10**at == pytest.approx(float(word), rel=1e-4) for at, word in found.items())


def test_a_series_chart_draws_what_is_asked_for() -> None:
    chart = SeriesChart({"training": "grey", "validation": "blue"})
    x, curves = np.arange(1.0, 4.0), {"training": np.array([1.0, 0.1, 0.01]), "validation": np.array([1.0, 0.5, -1.0])}
    before = {"validation": (np.arange(1.0, 3.0), np.array([2.0, 1.0]))}
    spread = {"validation": np.full(3, 0.25)}
    drawn = Drawn(x, curves, before, (2.0, 0.5), ("training", "validation"), spread)
    chart.tell()
    chart.draw(drawn, How())
    shade, band, ghost, lines, dot, hover = chart.widget.marks
    assert np.array_equal(lines.y, np.stack(list(curves.values()))) and np.array_equal(shade.y, lines.y)
    assert np.array_equal(band.y, [[0.75, 0.25, -1.25], [1.25, 0.75, -0.75]])
    assert ghost.y.tolist() == [2.0, 1.0] and (dot.x.tolist(), dot.y.tolist()) == ([2.0], [0.5])
    assert "validation 0.5000, epoch 2" in hover.names.tolist() and len(hover.x) == 6
    chart.draw(drawn, How(log=True, smooth=0.6, hidden=frozenset({"training"})))
    assert np.isnan(lines.y[0]).all() and np.isnan(shade.y).all() and len(hover.x) == 2  # -1 has no logarithm
    raw = chart.widget.marks[3]
    assert raw.y[1][:2].tolist() == pytest.approx([0.0, np.log10(0.5)]) and np.isnan(raw.y[1][2])
    assert lines.y[1][1] == pytest.approx(smoothed(np.log10([1.0, 0.5]), 0.6)[1])
    assert set(chart.widget.axes[1].tick_labels.values()) == {"1.0", "1.5", "2.0"}


def test_zoom_stays_while_points_come_and_goes_back_to_all() -> None:
    chart = SeriesChart({"training": "grey"})
    for count in (5, 30):
        x = np.arange(1.0, count + 1)
        chart.draw(Drawn(x, {"training": x}), How())
    chart.zoom(True)
    x_scale, y_scale = chart.widget.axes[0].scale, chart.widget.axes[1].scale
    x_scale.min, x_scale.max, y_scale.min, y_scale.max = 10.0, 14.0, 10.0, 14.0
    assert chart.moves == 4
    chart.draw(Drawn(x, {"training": x}), How())
    assert x_scale.max == 14.0
    assert max(chart.widget.axes[0].tick_values) <= 14 and min(chart.widget.axes[1].tick_values) >= 10
    chart.zoom(False)
    assert (x_scale.min, x_scale.max, y_scale.min, y_scale.max) == (1.0, None, None, None)
    assert max(chart.widget.axes[0].tick_values) == 30


def test_words_stand_at_ticks_that_the_page_writes_as_they_are_looked_up() -> None:
    axis = SeriesChart({"loss": "black"}).widget.axes[1]
    words = ["zero", "between", "below", "whole"]
    put_ticks(axis, [-0.0, 0.123456789012345678, -0.39794000867203766, 3.0], "~g", words)
    written = [json.dumps(float(place)).removesuffix(".0") for place in axis.tick_values]  # as JavaScript does
    assert [axis.tick_labels[place] for place in written] == words
