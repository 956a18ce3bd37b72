"""A study in JupyterLab: it is steered from its panel while it runs, and its charts are those of its trials."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.browser.harness import Notebook, set_theme, wait_for

pytestmark = pytest.mark.browser

Open = Callable[..., Notebook]
ENDLESS = (
    "study = %nn_tune data --model mlp --trials 5000 --epochs 3 --population 1 --sampler random "
    '--space "lr=1e-4..1e-1 log" dropout=0..0.5 "hidden=[8..64]x1..3" activation={relu,silu,tanh} --objectives OBJ'
)
SHOW = (
    "later = study.trials[study.steering.trial[0]:]\n"
    "print(len(later) > 0, (later.lr == 0.02).all(), study.steering['values'].tolist())"
)


def notes(notebook: Notebook) -> str:
    return " ".join(notebook.output(1).locator(".nnl-notes").all_inner_texts())


@pytest.mark.parametrize("kind", ["Dark"])
def test_a_value_is_pinned_from_the_panel_and_all_charts_are_drawn(notebook: Open, shots: Path, kind: str) -> None:
    objectives = "loss,parameters" if kind == "Dark" else "loss"
    opened = notebook(ENDLESS.replace("OBJ", objectives), SHOW)
    try:
        set_theme(opened.page, f"JupyterLab {kind}")
        opened.start(1)
        output = opened.output(1)
        wait_for(lambda: trials(opened) > 24, "some trials are done")
        views = ["Parallel", "Slices", "Importance", *(["Curves"] if objectives == "loss" else ["Front"])]
        for view in views:
            output.get_by_role("button", name=view).click()
            drawn = "svg polyline, svg circle" if view != "Importance" else "[data-share]"
            wait_for(lambda d=drawn: output.locator(d).count() > 3, f"{view} is drawn")
            opened.page.screenshot(path=shots / f"study-{view.lower()}-{kind}.png")
        field = output.locator(".widget-text input").first
        field.fill("0.02")
        field.press("Enter")
        opened.press(1, "Pin")
        wait_for(lambda: "pinned lr=0.02" in notes(opened), "the panel says that lr is pinned")
        there = trials(opened)
        wait_for(lambda: trials(opened) > there + 3, "the study goes on")
        opened.page.screenshot(path=shots / f"study-pinned-{kind}.png")
        opened.press(1, "Stop")
        opened.wait_end(1)
        opened.page.screenshot(path=shots / f"study-static-{kind}.png", full_page=True)
        opened.run(2)
        assert opened.text(2).split()[-3:] == ["True", "True", "['lr=0.02']"]
    finally:
        set_theme(opened.page, "JupyterLab Light")


def trials(notebook: Notebook) -> int:
    """The trials that the panel counts."""
    shown: Any = notebook.output(1).locator(".nnl-fact b").first
    return int(shown.inner_text().split("/")[0].replace(",", ""))
