import io
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image

from nnlab.core.events import Changed, Resumed
from nnlab.report import charts
from nnlab.report.drawing import MOST_POINTS, SHARPNESS, decimate, label
from tests.report.standins import HOSTILE, history

NAMES = [name for name in HOSTILE if len(name) < 100]


def opened(png: bytes) -> Image.Image:
    return Image.open(io.BytesIO(png))


@pytest.mark.parametrize("epochs", [1, 2, 43, 1000, 100_000])
def test_curves_stay_small(epochs: int) -> None:
    png = charts.curves(history(epochs), "accuracy", max(1, epochs // 2), [Changed(1, 1, "lr", 0.1, 0.01)])
    assert opened(png).size == (charts.WIDE * SHARPNESS, 370 * SHARPNESS)
    assert len(png) < 45_000


def test_a_run_that_diverged_or_holds_nothing_is_drawn() -> None:
    broken = history(5)
    broken.loc[3:, ["train_loss", "valid_loss", "valid_accuracy"]] = [np.inf, np.nan, np.nan]
    assert opened(charts.curves(broken, "accuracy", 2)).format == "PNG"
    assert opened(charts.curves(broken * np.nan, "accuracy", None)).format == "PNG"
    assert opened(charts.curves(history(3)[["train_loss", "lr"]], None, 3)).format == "PNG"


def test_the_card_is_white_so_that_dark_text_is_legible_anywhere() -> None:
    picture = opened(charts.curves(history(10), "accuracy", 5))
    assert picture.mode == "P" and "transparency" not in picture.info
    assert picture.convert("RGB").getpixel((1, 1)) == (255, 255, 255)


def test_a_resumed_run_has_a_mark() -> None:
    plain, marked = (opened(charts.curves(history(10), "accuracy", 5, (), places)) for places in ((), [Resumed(3, 2)]))
    assert plain.size == marked.size
    assert plain.convert("L").tobytes() != marked.convert("L").tobytes()


def test_decimation_keeps_ends_and_spikes() -> None:
    y = np.sin(np.linspace(0, 60, 50_000))
    y[12_345], y[40_000] = 9.0, -9.0
    x = np.arange(len(y), dtype=float)
    fewer_x, fewer_y = decimate(x, y)
    assert len(fewer_x) <= MOST_POINTS and len(fewer_x) == len(fewer_y)
    assert fewer_x[0] == 0 and fewer_x[-1] == len(y) - 1
    assert fewer_y.max() == 9.0 and fewer_y.min() == -9.0
    assert (np.diff(fewer_x) > 0).all()


def test_short_curves_and_gaps_stay_as_they_are() -> None:
    x, y = np.arange(5.0), np.array([1.0, np.nan, 3.0, np.inf, 5.0])
    np.testing.assert_array_equal(decimate(x, y)[1], y)
    long = np.full(5000, np.nan)
    assert len(decimate(np.arange(5000.0), long)[0]) == 0


@pytest.mark.parametrize("name", NAMES)
def test_hostile_names_are_drawn(name: str) -> None:
    assert opened(charts.target_counts(name, {name: 3, "other": 5})).format == "PNG"
    assert opened(charts.target_histogram(name, [1, 2, 3], [0.0, 1.0, 2.0, 3.0])).format == "PNG"
    assert opened(charts.overlay({name: history(5), "b": history(3)}, "accuracy")).format == "PNG"


def test_a_dollar_is_a_dollar() -> None:
    """matplotlib takes text between two dollars for mathematics, and an unknown command for an error."""
    from matplotlib.cbook import is_math_text
    from matplotlib.figure import Figure

    for text in (r"$\frac$", "$5 to $10", r"\$a$", "$"):
        assert "$" in text
        drawn = Figure().text(0, 0, label(text))
        shown, math = drawn._preprocess_math(drawn.get_text())
        assert (shown, bool(math)) == (text, False)
        assert is_math_text(text) is (text != "$" and text != r"\$a$")


def test_many_classes_become_the_largest_and_the_rest() -> None:
    few = opened(charts.target_counts("y", {f"c{i}": 10 for i in range(12)}))
    many = opened(charts.target_counts("y", {f"c{i}": 10 + i for i in range(1000)}))
    assert few.size == many.size


def test_the_users_matplotlib_settings_are_neither_used_nor_changed() -> None:
    import matplotlib

    plain = charts.curves(history(10), "accuracy", 5)
    with matplotlib.rc_context({"axes.facecolor": "black", "lines.linewidth": 9.0, "font.size": 30.0}):
        before = dict(matplotlib.rcParams)
        assert charts.curves(history(10), "accuracy", 5) == plain
        assert dict(matplotlib.rcParams) == before


def test_pyplot_is_never_imported() -> None:
    code = (
        "import sys, numpy as np, pandas as pd; from nnlab.report import charts; "
        "h = pd.DataFrame({'train_loss': [1.0], 'valid_loss': [1.0], 'lr': [0.1]}, index=[1]); "
        "charts.curves(h, None, 1); print('matplotlib.pyplot' in sys.modules, 'torch' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout.split() == [
        "False",
        "False",
    ]


def test_a_study_is_drawn_with_and_without_results() -> None:
    scores = np.array([0.9, np.nan, 0.95, 0.1])
    complete = np.array([True, False, True, True])
    course = charts.Course("accuracy", True, np.arange(4), scores, complete)
    assert list(course.counted) == [0, 2, 3]
    assert opened(charts.study_history(course, {"lr": 0.7, "dropout": 0.3})).size[0] == charts.WIDE * SHARPNESS
    empty = charts.Course("accuracy", True, np.arange(2), np.array([np.nan, 0.5]), np.array([False, False]))
    assert opened(charts.study_history(empty)).format == "PNG"


def test_trials_off_the_scale_are_marked_at_the_edge() -> None:
    from matplotlib.figure import Figure

    scores = np.array([9.0, 0.30, 0.31, 0.28, 0.29, 0.33, 7.0, 0.27, 0.26, 0.30, 0.25, 0.26])
    axes = Figure().subplots()
    charts._trials_panel(axes, charts.Course("loss", False, np.arange(12), scores, np.ones(12, bool)))
    marked = {line.get_marker(): list(line.get_xdata()) for line in axes.lines if line.get_marker() in ("^", "v")}
    assert marked == {"^": [0, 6]}
    assert axes.get_ylim()[1] < 1
