"""The report of prepared data in a real page: it fits without scrolling, and no text is taken for mathematics."""

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.browser.harness import Notebook, set_theme, wait_for

pytestmark = pytest.mark.browser

FRAME = r"""
wide = pd.DataFrame({
    "a_very_long_name_of_a_column_of_sales": rng.gamma(2, 1e5, 400),
    "when": pd.date_range("2023-01-01 08:30", periods=400, freq="7h"),
    "place$": rng.choice(["$5", r"\(the\)", "$10"], 400),
    "shop": rng.choice(["north", "south", "east"], 400), "city": rng.choice(["x" * 90, "a b c d" * 9], 400),
    "count": rng.random(400) + 1,
    "price": [f"${i % 9 + 1},{i:03d}" for i in range(400)], "y": rng.choice(["yes", "no"], 400)})
wide.loc[::9, "a_very_long_name_of_a_column_of_sales"] = np.nan
wide["copy$"] = (wide.y == "yes") * 2.0
table = %nn_preprocess wide --target y --group shop --weight count
"""
MARKDOWN = "from IPython.display import Markdown; Markdown(table.report().markdown)"


@pytest.mark.parametrize("theme", ["JupyterLab Light", "JupyterLab Dark"])
def test_the_report_fits_and_shows_its_text(notebook: Callable[..., Notebook], shots: Path, theme: str) -> None:
    opened = notebook(FRAME, MARKDOWN)
    page = opened.page
    try:
        set_theme(page, theme)
        opened.run(1, 2)
        for number in (1, 2):
            shown = opened.output(number).locator(".jp-RenderedHTMLCommon").last
            wait_for(lambda shown=shown: "relation" in shown.inner_text(), "the table of columns is there")
            for words in ("$5", r"\(the\)", "copy$", "'$"):
                assert words in shown.inner_text()
            assert shown.locator("mjx-container, code").count() == 0
        report = opened.output(1).locator(".jp-RenderedHTMLCommon").last
        for width in (1280, 1600):
            page.set_viewport_size({"width": width, "height": 900})
            assert report.evaluate("e => e.scrollWidth - e.clientWidth") == 0, width
            report.screenshot(path=shots / f"report-{width}-{theme.split()[-1].lower()}.png")
    finally:
        page.set_viewport_size({"width": 1280, "height": 900})
        set_theme(page, "JupyterLab Light")
