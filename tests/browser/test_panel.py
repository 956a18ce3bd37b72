"""The panel in JupyterLab: every control is used, runs are started and stopped, and a table stays."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.browser.harness import Notebook, set_theme, tabbed, wait_for
from tests.browser.test_live import contrast

pytestmark = pytest.mark.browser

Open = Callable[..., Notebook]
PAGES = ["Data", "Model", "Train", "Tune", "Runs"]
TYPED = {  # what a text field takes, where it is no word
    "metrics": "accuracy",
    "class weight": "balanced",
    "hidden": "32,16",
    "space": '"lr=1e-4..1e-1 log"',
    "objectives": "loss,parameters",
    "where": "accuracy>0.5",
    "sort": "accuracy",
    "frame": "frame",
    "on": "ray",
}
SUBJECTS = {"data", "table", "target", "do", "runs"}  # which Reset leaves as they are
HOSTILE = [
    "<img src=x onerror=window.hacked=1>",
    "<script>window.hacked=1</script>",
    "a\" onload='hacked=1",
    "$x^2$ {y}",
]
TABLE = f"""
import pandas as pd
odd = pd.DataFrame({{name: range(60) for name in {HOSTILE!r}}})
odd["label <b>"] = [0, 1] * 30"""

# What a page does 5 s after a press waits until it is released.
HELD = """() => {
  const whole = window.setTimeout, held = [];
  window.setTimeout = (act, wait, ...given) => wait === 5000 ? -held.push(act) : whole(act, wait, ...given);
  window.release = () => { window.setTimeout = whole; held.forEach(act => act()); };
}"""


class Board:
    """The open panel of a cell."""

    def __init__(self, notebook: Notebook, cell: int = 1) -> None:
        self.notebook, self.page, self.root = notebook, notebook.page, notebook.output(cell)
        self.root.locator(".nnl-panel").wait_for()

    @property
    def line(self) -> str:
        return str(self.root.locator(".nnl-line textarea").input_value())

    @property
    def told(self) -> str:
        return str(self.root.locator(".nnl-told").inner_text())

    def press(self, name: str) -> None:
        self.root.get_by_role("button", name=name, exact=False).first.click()

    def open(self, title: str) -> None:
        """Open a page with all that is behind its `more`."""
        self.root.get_by_role("tab", name=title, exact=True).click()
        wait_for(lambda: self.body.locator(".widget-label").count() > 1, f"the page {title} is there")
        more = self.body.get_by_role("button").filter(has_text=" more: ").filter(has_not_text="kept fixed")
        while more.count():  # what a search keeps fixed are the controls of Model and Train
            before = self.body.get_by_role("button").filter(has_text="fewer: ").count()
            more.first.click()
            fewer = self.body.get_by_role("button").filter(has_text="fewer: ")
            wait_for(lambda b=before, f=fewer: f.count() > b, "the other settings come")

    @property
    def body(self) -> Any:
        """The page that is open."""
        return self.root.locator(".widget-tab-contents > :not(.lm-mod-hidden)").first

    def labels(self) -> list[str]:
        """The names of the controls of the open page."""
        name = "b => (b.querySelector('.widget-label-basic') || b.querySelector('.widget-label')).textContent.trim()"
        return list(self._controls.evaluate_all(f"boxes => boxes.map({name})"))

    @property
    def _controls(self) -> Any:
        return self.body.locator(".widget-inline-hbox:not(.widget-html)")

    def control(self, at: int) -> Any:
        return self._controls.nth(at)


def opened(notebook: Open, line: str = "%nn_panel data") -> Board:
    made = notebook(line)
    made.run(1)
    return Board(made)


def use(board: Board, at: int, label: str) -> None:
    """Change a control as a person does."""
    box = board.control(at)
    if (select := box.locator("select")).count():
        options = select.locator("option").all_inner_texts()
        chosen = select.evaluate("s => s.selectedIndex")
        select.select_option(index=(chosen + 1) % len(options))
    elif (tick := box.locator("input[type=checkbox]")).count():
        tick.click()
    elif (handle := box.locator(".noUi-handle")).count():
        handle.focus()
        board.page.keyboard.press(
            "ArrowLeft" if float(handle.get_attribute("aria-valuenow") or 0) > 0.5 else "ArrowRight"
        )
    else:
        field = box.locator("input")
        offered = box.locator("datalist option")
        number = offered.nth(2).get_attribute("value") if offered.count() > 2 else None
        kind = field.get_attribute("type")
        field.fill(TYPED.get(label) or number or ("7" if kind == "number" else "word"))
        field.press("Tab")


@pytest.mark.parametrize("title", PAGES)
def test_every_control_says_something(notebook: Open, title: str) -> None:
    board = opened(notebook)
    board.open(title)
    labels = [label for label in board.labels() if label not in SUBJECTS]
    assert len(labels) > 3
    assert all(labels), "a control without a name"
    unheard = []
    for label in labels:
        there = board.labels()
        if label not in there:  # a choice took it away
            continue
        before = (board.line, board.told)
        chooses = board.control(there.index(label)).locator("select").count() > 0
        use(board, there.index(label), label)
        try:
            wait_for(lambda b=before: (board.line, board.told) != b, label)
        except AssertionError:
            unheard.append(label)
        if chooses or board.told:  # what it chose may take others away, and a word that was refused stays to be mended
            board.press("Reset")
            wait_for(lambda: " --" not in board.line.replace(" --target y", "") and not board.told, "all is reset")
    assert not unheard, unheard


def test_runs_are_held_ended_and_shown_in_one_place(notebook: Open) -> None:
    made = notebook("%nn_panel data", "print(run.finished.reason, run.line)")
    made.run(1)
    board = Board(made)
    field = board.root.locator(".nnl-line textarea")
    field.fill("%nn_train data --model mlp --epochs 1000000 --patience none")
    field.press("Tab")
    wait_for(lambda: board.line.startswith("run = "), "the line sets the panel")
    wait_for(lambda: board.root.locator(".widget-readout").filter(has_text="1,000,000").count(), "a control follows")
    board.press("Train")
    live = board.root.locator(".nnl-state")
    wait_for(lambda: live.count() and "training" in live.inner_text(), "the live view of the run is there")
    board.press("Pause")
    wait_for(lambda: live.inner_text() == "paused", "the run is held")
    board.press("Resume")
    wait_for(lambda: "training" in live.inner_text(), "it goes on")
    board.press("Stop")
    wait_for(lambda: board.root.locator("img").count() == 1, "the picture takes the place of the live view")
    made.run(2)
    assert "stopped %nn_train data --model mlp --epochs 1000000 --patience none" in made.text(2)
    places = board.root.locator(".jp-OutputArea-child").count()
    field.fill("%nn_train data --model mlp --epochs 2 --view none")
    field.press("Tab")
    wait_for(lambda: "--epochs 2" in board.line, "the line sets the panel")
    before = board.told
    board.press("Train")
    wait_for(lambda: board.told != before and "best epoch" in board.told, "what came of it is told")
    wait_for(lambda: board.root.locator(".jp-OutputArea-child").count() == places, "the places are the same")
    assert board.root.locator("img").count() == 1
    field.fill("%nn_train data --optimiser sgd")
    field.press("Tab")
    wait_for(lambda: "optimizer" in board.root.get_by_role("alert").inner_text(), "the error is the magic's")
    assert board.line == "%nn_train data --optimiser sgd", "what was typed stays to be mended"


def test_hostile_names_are_shown_as_they_are(notebook: Open) -> None:
    made = notebook(TABLE, "%nn_panel odd --tab data")
    made.run(1, 2)
    board = Board(made, 2)
    target = board.root.get_by_label("target", exact=True)
    offered = [text.replace("\xa0", " ") for text in target.locator("option").all_inner_texts()]
    assert offered == ["none", *HOSTILE, "label <b>"]
    target.select_option(index=1)
    wait_for(lambda: f"--target '{HOSTILE[0]}'" in board.line, "the line has it")
    board.root.get_by_label("drop", exact=True).select_option(index=[1, 2, 3])
    wait_for(lambda: "--drop" in board.line, "the line has them")
    assert not board.told
    board.press("Close")
    wait_for(lambda: all(name in board.root.inner_text() for name in HOSTILE), "the table stays")
    assert board.page.evaluate("() => window.hacked") is None


def test_a_closed_panel_is_a_table_in_the_saved_notebook(notebook: Open) -> None:
    made = notebook("%nn_panel data --preset strong", "1 + 1")
    made.run(1)
    board = Board(made)
    made.page.evaluate(HELD)
    board.press("Copy")
    wait_for(lambda: board.told == "copied", "it says that the line is copied")
    made.page.context.grant_permissions(["clipboard-read"])
    assert made.page.evaluate("() => navigator.clipboard.readText()") == board.line
    made.page.evaluate("() => { document.execCommand = () => false; }")
    board.press("Copy")
    wait_for(lambda: "press Ctrl+C" in board.told, "a browser that refuses is helped out")
    assert made.page.evaluate("() => window.getSelection().toString()") == board.line
    made.page.evaluate("() => { delete document.execCommand; window.release(); }")
    assert not board.told, "what was told before the two presses is there again"
    board.press("New cell")
    wait_for(lambda: "new cell" in board.told, "it says where the cell comes")
    made.run(2)
    sources = made.page.locator(".jp-Notebook .jp-Cell .cm-content")
    wait_for(lambda: sources.count() == 4, "the line comes as a new cell")
    assert sources.nth(3).inner_text().startswith("run = %nn_train data --model realmlp")
    board.press("Close")
    wait_for(board.root.locator("table").count, "the table stays")
    outputs = [made.saved().cells[1].outputs]  # the note goes by a message after the one that brings the table

    def empty() -> bool:
        outputs[0] = made.saved().cells[1].outputs
        return bool(outputs[0][1].data == {"text/plain": ""})

    wait_for(empty, "nothing is left of the note")
    output, _ = outputs[0]
    assert set(output.data) == {"text/html", "text/markdown", "text/plain"}
    assert "run = %nn_train data --model realmlp" in output.data["text/plain"]


@pytest.mark.parametrize(
    ("theme", "width"), [("JupyterLab Light", 1600), ("JupyterLab Dark", 1280), ("JupyterLab Light", 400)]
)
def test_the_panel_fits_and_is_legible(notebook: Open, shots: Path, theme: str, width: int) -> None:
    made = notebook("%nn_panel data")
    page = made.page
    try:
        set_theme(page, theme)
        page.set_viewport_size({"width": width, "height": 1000})
        page.evaluate("() => window.jupyterapp.shell.collapseLeft()")
        made.run(1)
        board = Board(made)
        names = tabbed(page, board.root.get_by_role("button", name="small"))
        assert {"optimizer", "lr", "weight decay", "epochs", "line", "Copy", "Close"} <= set(names), names
        page.wait_for_timeout(500)
        page.screenshot(path=shots / f"panel-{theme.split()[-1].lower()}-{width}.png")
        box = board.root.locator(".nnl-panel")
        assert box.evaluate(
            "e => [...e.querySelectorAll('input, select, button')].every(c => c.getBoundingClientRect().right"
            " <= e.getBoundingClientRect().right + 1)"
        )
        for part in (".nnl-title", ".widget-label", ".nnl-more", "select"):
            assert contrast(board.root.locator(part).first) > 3, part
    finally:
        set_theme(page, "JupyterLab Light")
        page.set_viewport_size({"width": 1280, "height": 900})
        page.evaluate("() => window.jupyterapp.shell.expandLeft()")
