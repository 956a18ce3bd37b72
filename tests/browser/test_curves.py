"""The live curves in JupyterLab: words on hover, by ratio, smoothed, hidden, zoomed, and beside the run before."""

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.browser.harness import Notebook, set_theme, wait_for
from tests.widgets.live_kernel import ENDLESS

pytestmark = pytest.mark.browser

Open = Callable[..., Notebook]
BEFORE = "%nn_train data --epochs 30 --lr 0.02 --name first --patience none --no-baseline --view none;"
MEMBERS = ENDLESS.replace("0.001", "0.03") + " --model packed --members 4 --own-best --hidden 32"


def ticks(notebook: Notebook) -> dict[str, int]:
    """The words at the y axis of the loss, and the pixels down at which they stand."""
    axis = notebook.output(2).locator(".bqplot").first.locator(".axis").nth(1)
    place = "Math.round(tick.transform.baseVal[0].matrix.f)"
    return dict(
        axis.locator(".tick").evaluate_all(f"all => Object.fromEntries(all.map(tick => [tick.textContent, {place}]))")
    )


def test_curves_are_asked_and_answer(notebook: Open, shots: Path) -> None:
    opened = notebook(BEFORE, MEMBERS, "print(run.finished.reason, 'spread_loss' in run.history)")
    opened.run(1)
    opened.start(2)
    panel = opened.output(2)
    wait_for(lambda: panel.get_by_role("button", name="before").count() == 1, "the charts are there")
    count = panel.locator(".nnl-fact b").first
    wait_for(lambda: int(count.inner_text().split("/")[0].replace(",", "")) > 30, "some epochs are done")
    for theme in ("JupyterLab Dark", "JupyterLab Light"):
        set_theme(opened.page, theme)
        opened.page.wait_for_timeout(1500)
        opened.page.screenshot(path=shots / f"curves-{theme.split()[-1].lower()}.png")
    opened.press(2, "Pause")
    wait_for(lambda: panel.locator(".nnl-state").inner_text() == "paused", "only what is asked for moves from now on")
    chart = panel.locator(".bqplot").first
    plain = ticks(opened)
    panel.get_by_role("button", name="log", exact=True).click()
    wait_for(lambda: ticks(opened) != plain, "the axis goes by ratio")
    assert all(0 < float(word) < 3 for word in ticks(opened)), "losses stand at it, not their logarithms"
    panel.locator("select").select_option("smoother")
    panel.get_by_role("button", name="roc_auc").click()
    wait_for(lambda: "roc_auc" in panel.locator(".nnl-title").nth(1).inner_text(), "one more metric is named, at last")
    dot = chart.locator(".object_grp, .dot_grp").last

    def asked() -> list[str]:
        dot.hover(force=True)  # again, as the page may still be moving it to its place
        return list(opened.page.locator(".nnl-tip").all_inner_texts())

    wait_for(asked, "words are shown")
    opened.page.screenshot(path=shots / "curves-asked.png")
    panel.get_by_role("button", name="zoom").click()
    before = ticks(opened)
    box = chart.bounding_box()
    assert box is not None
    opened.page.mouse.move(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)

    def zoomed() -> bool:
        opened.page.mouse.wheel(0, -400)
        opened.page.wait_for_timeout(700)  # until the next drawing
        return ticks(opened) != before

    wait_for(zoomed, "the wheel zooms")
    panel.get_by_role("button", name="zoom").click()
    wait_for(lambda: ticks(opened) == before, "all is seen again")
    opened.press(2, "Resume")
    opened.press(2, "Stop")
    opened.wait_end(2)
    opened.run(3)
    assert opened.text(3).split() == ["stopped", "True"]
    opened.page.screenshot(path=shots / "curves-static.png")
