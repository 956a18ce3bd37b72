"""The live view in JupyterLab and Notebook 7: it moves, it steers, and the cells around it behave as always."""

import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from nnlab.widgets import live
from tests.browser import memory
from tests.browser.harness import Notebook, set_theme, tabbed, wait_for
from tests.widgets.live_kernel import ENDLESS
from tests.yardstick import as_there

pytestmark = pytest.mark.browser

Open = Callable[..., Notebook]


def curve(notebook: Notebook, cell: int) -> str:
    """The course of the loss curve on the screen; '' while there is none."""
    lines = notebook.output(cell).locator(".bqplot path.line")
    return str(lines.first.get_attribute("d") or "") if lines.count() else ""


def epoch(notebook: Notebook, cell: int) -> int:
    """The epoch that the panel shows."""
    return int(notebook.output(cell).locator(".nnl-fact b").first.inner_text().split("/")[0].replace(",", ""))


def state(notebook: Notebook, cell: int) -> str:
    """The word at the panel's right end."""
    return str(notebook.output(cell).locator(".nnl-state").inner_text())


def test_the_curve_moves_and_stop_leaves_a_usable_model(anywhere: Open) -> None:
    opened = anywhere(ENDLESS, "print(run.finished.reason, len(run.predict(frame.head(3))))")
    opened.start(1)
    first = wait_for(lambda: curve(opened, 1), "a curve is drawn")
    wait_for(lambda: curve(opened, 1) != first, "the curve moves while the cell runs")
    opened.press(1, "Stop")
    opened.wait_end(1)
    opened.run(2)
    assert opened.text(2).split()[-2:] == ["stopped", "3"]


def test_the_page_says_that_it_has_drawn_the_panel(notebook: Open) -> None:
    opened = notebook("from nnlab.widgets import live; live.SILENT_AFTER = 4.0", ENDLESS)
    opened.run(1)
    opened.start(2)
    wait_for(lambda: curve(opened, 2), "a curve is drawn")
    opened.page.wait_for_timeout(5000)
    wait_for(lambda: live.NO_ANSWER not in opened.text(2), "a page that was slow to draw has said so too")
    opened.press(2, "Stop")
    opened.wait_end(2)


def test_pause_holds_and_resume_goes_on(notebook: Open) -> None:
    opened = notebook(ENDLESS)
    opened.start(1)
    wait_for(lambda: curve(opened, 1), "a curve is drawn")
    opened.press(1, "Pause")
    wait_for(lambda: state(opened, 1) == "paused", "the panel says that the run is held")
    held = epoch(opened, 1)
    opened.page.wait_for_timeout(1500)
    assert epoch(opened, 1) == held
    opened.press(1, "Resume")
    wait_for(lambda: epoch(opened, 1) > held, "the run goes on")
    opened.press(1, "Stop")
    opened.wait_end(1)


# Keeps the step size of each call of `steps`, the steps between two looks at the controls, as it begins, and when that
# was, in both clocks; and of each change that comes from the page its value, when it was sent, the CPU time when it
# came, and how many calls had begun when it was written.
# The page's message may come in another thread, while a call is being made ready: that one has the old value still.
WATCHED = """
import time
from nnlab.core.controls import Controls
from nnlab.core.learners.stack.learner import StackLearner
rates, clocks, came = [], [], []
steps, change = StackLearner.steps, Controls.set
def sent():
    return get_ipython().kernel.get_parent("shell")["header"]["date"].timestamp()
def watched_steps(self, batches, lrs):
    rates.append(lrs[0])
    clocks.append((time.time(), time.process_time()))
    return steps(self, batches, lrs)
def watched_set(self, name, value):
    spent = time.process_time()
    change(self, name, value)
    came.append((value, sent(), spent, len(rates)))
StackLearner.steps, Controls.set = watched_steps, watched_set
"""
# How long a change is under way is told in CPU time of the kernel, which trains meanwhile: others on the machine hold
# up both it and what is under way.
EFFECT = """
import statistics
late = [rates[before:].index(value) for value, _, _, before in came]
waits = [spent - np.interp(sent, *zip(*clocks)) for _, sent, spent, _ in came]
print(len(came) >= 6, max(late) <= 1, run.changes[0].name, run.changes[0].new > 1e-3, run.history.lr.iloc[-1] > 1e-3)
print(statistics.median(waits), sorted(late), waits, came)
"""


def test_the_slider_changes_the_step_size_of_the_running_net(anywhere: Open) -> None:
    opened = anywhere(WATCHED, ENDLESS, EFFECT)
    opened.run(1)
    opened.start(2)
    panel = opened.output(2)
    handle = panel.locator(".widget-slider .noUi-handle").first
    track = panel.locator(".widget-slider .noUi-target").first
    notes = panel.locator(".nnl-notes")

    def told() -> str:
        """The newest change of which the panel tells; its other notes come when they like."""
        return next((line for line in notes.inner_text().splitlines()[::-1] if "→" in line), "")

    track.click()  # in its middle, right of the handle; the mouse alone would miss a panel that has just moved
    newest = wait_for(told, "the change is told")
    handle.focus()
    for _ in range(5):
        opened.page.keyboard.press("ArrowRight")
        newest = wait_for(lambda before=newest: (now := told()) != before and now, "the next change is told")
    changed = epoch(opened, 2)
    wait_for(lambda: epoch(opened, 2) > changed + 1, "an epoch has the new value")
    opened.press(2, "Stop")
    opened.wait_end(2)
    opened.run(3)
    *seen, wait = opened.text(3).split()[:6]
    assert seen == ["True", "True", "lr", "True", "True"], opened.text(3)
    assert as_there(float(wait)) <= 0.3, opened.text(3)


def test_the_interrupt_key_returns_the_best_model(anywhere: Open) -> None:
    opened = anywhere(ENDLESS, "print(run.finished.reason, run.best_epoch > 0, len(run.predict(frame)))")
    opened.start(1)
    wait_for(lambda: curve(opened, 1), "a curve is drawn")
    opened.interrupt()
    opened.wait_end(1)
    opened.run(2)
    assert opened.text(2).split()[-3:] == ["interrupted", "True", "600"]


def test_run_all_keeps_the_order(anywhere: Open) -> None:
    train = "run = %nn_train data --epochs 60 --patience none"
    cells = ["order = []", train + "\norder.append('trained')", "order.append(1)", "order.append(2)", "print(order)"]
    opened = anywhere(*cells)
    opened.start_all()
    opened.wait_end(5)
    assert opened.text(5).strip().endswith("['trained', 1, 2]")


def test_an_error_aborts_the_queued_cells(anywhere: Open) -> None:
    failing = ENDLESS + "\nraise ValueError('after the training')"
    opened = anywhere("reached = []", failing, "reached.append(1)", "reached.append(2)", "print(reached)")
    opened.start_all()
    wait_for(lambda: curve(opened, 2), "a curve is drawn")
    opened.press(2, "Stop")
    opened.wait_end(2)
    assert "after the training" in opened.text(2)
    opened.wait_idle()
    opened.run(5)
    assert opened.text(5).strip().endswith("[]")


def test_a_page_that_is_loaded_again_still_steers(anywhere: Open) -> None:
    opened = anywhere(ENDLESS, "print(run.finished.reason, len(run.predict(frame.head(3))))")
    opened.start(1)
    wait_for(lambda: curve(opened, 1), "a curve is drawn")
    opened.saved()
    opened.reload()
    first = wait_for(lambda: curve(opened, 1), "the panel is there again")
    wait_for(lambda: curve(opened, 1) != first, "and it moves")
    opened.press(1, "Stop")
    opened.wait_idle()
    opened.run(2)
    assert opened.text(2).split()[-2:] == ["stopped", "3"]


def test_tab_completes_an_option(notebook: Open) -> None:
    opened = notebook("run = %nn_train data --opt")
    opened.cell(1).locator(".cm-content").click()
    opened.page.keyboard.press("End")
    opened.page.keyboard.press("Tab")
    wait_for(lambda: completed(opened), "the completer offers --optimizer")


def completed(notebook: Notebook) -> bool:
    """Whether --optimizer stands in the cell, or in the list that is offered."""
    offered = notebook.page.locator(".jp-Completer .jp-Completer-item").all_inner_texts()
    return "--optimizer" in notebook.cell(1).inner_text() or any("--optimizer" in text for text in offered)


def test_a_study_shows_its_trials_and_stops(notebook: Open) -> None:
    opened = notebook("study = %nn_tune data --trials 5000 --epochs 6", "print(len(study.trials) > 0)")
    opened.start(1)
    dots = opened.output(1).locator(".bqplot .object_grp, .bqplot .dot_grp")
    wait_for(lambda: dots.count() > 1, "the trials are drawn")
    names = tabbed(opened.page, opened.output(1).get_by_role("button", name="Stop"))
    assert {"what to steer", "a value to pin, or a range to narrow to", "Pin", "a trial to try next", "Queue"} <= set(
        names
    )
    opened.press(1, "Stop")
    opened.wait_end(1)
    opened.run(2)
    assert opened.text(2).strip().endswith("True")
    wait_for(opened.output(1).locator("img").count, "the history, and more where there are enough trials")
    wait_for(lambda: opened.output(1).locator(".bqplot").count() == 0, "the panel is gone")


@pytest.mark.skipif(not os.environ.get("NNLAB_LONG"), reason="takes minutes; NNLAB_LONG=1 runs it")
def test_drawing_leaves_nothing_in_the_page(notebook: Open) -> None:
    opened = notebook(*memory.CELLS[1:])
    first, *_, last = memory.samples(opened, 150, 4)  # memory.py itself draws as often as half an hour does
    assert last.drawings >= 150
    assert last.listeners <= first.listeners
    assert last.nodes - first.nodes < 150
    assert last.heap - first.heap < 3


@pytest.mark.parametrize("theme", ["JupyterLab Light", "JupyterLab Dark"])
def test_the_panel_is_legible_in_both_themes(notebook: Open, shots: Path, theme: str) -> None:
    opened = notebook(ENDLESS)
    try:
        set_theme(opened.page, theme)
        opened.start(1)
        wait_for(lambda: epoch(opened, 1) > 60 if curve(opened, 1) else False, "the run goes on for a while")
        opened.page.screenshot(path=shots / f"train-{theme.split()[-1].lower()}.png")
        pressed = opened.output(1).locator("[aria-pressed=true]")
        wait_for(pressed.count, "the curves can be chosen")
        names = tabbed(opened.page, opened.output(1).get_by_role("button", name="Stop"))
        assert {"Pause", "lr", "weight decay", "dropout", "batch size", "patience", "accuracy", "log"} <= set(names)
        assert "mean over the last epochs" in names and "accuracy" in pressed.all_inner_texts()
        for part in (".nnl-fact b", ".nnl-fact span", ".nnl-table td", ".nnl-title span", ".bqplot .axis text"):
            assert contrast(opened.output(1).locator(part).first) > 3, part
        opened.press(1, "Stop")
        opened.wait_end(1)
        opened.page.screenshot(path=shots / f"static-{theme.split()[-1].lower()}.png")
    finally:
        set_theme(opened.page, "JupyterLab Light")


def contrast(element: Any) -> float:
    """WCAG's contrast ratio of an element's text to the page."""
    colours = """e => { const s = getComputedStyle(e), svg = e instanceof SVGElement;
        return [svg ? s.fill : s.color, getComputedStyle(document.body).getPropertyValue('--jp-layout-color0')]; }"""
    # an element that is drawn anew between the look for it and the look at it has no colour
    found = wait_for(lambda: all(seen := element.evaluate(colours)) and seen, "the element stays")
    lights = sorted(luminance(colour) for colour in found)
    return (lights[1] + 0.05) / (lights[0] + 0.05)


def luminance(colour: str) -> float:
    """The relative luminance of rgb(...), #rgb, #rrggbb or a name; of rgba(...) the ink counts."""
    colour = {"white": "#fff", "black": "#000"}.get(colour.strip(), colour.strip())
    if colour.startswith("#"):
        digits = colour[1:] if len(colour) == 7 else "".join(2 * digit for digit in colour[1:])
        channels = [int(digits[i : i + 2], 16) / 255 for i in (0, 2, 4)]
    else:
        channels = [float(number) / 255 for number in re.findall(r"[\d.]+", colour)[:3]]
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]
