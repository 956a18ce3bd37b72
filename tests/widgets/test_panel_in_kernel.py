"""The panel in a real kernel: its buttons start the very magic, and nothing is left of it when it is closed."""

from typing import Any

import pytest

from tests.widgets.live_kernel import Kernel, update_of

VIEW = "application/vnd.jupyter.widget-view+json"
COUNT = """
import comm
from ipywidgets.widgets import widget
print(len(widget._instances), len(comm.get_comm_manager().comms))"""
ENDLESS = "%nn_train data --epochs 1000000 --patience none --lr 0.001 --schedule constant --warmup 0"


def opened(kernel: Kernel, line: str = "%nn_panel data") -> str:
    request = kernel.send(line)
    assert kernel.reply(request)["status"] == "ok"
    return request


def change(kernel: Kernel, value: Any, **state: Any) -> None:
    """Give a widget of the panel a value, as a front end does."""
    kernel.tell(kernel.model(**state), {"method": "update", "state": {"value": value}, "buffer_paths": []})


def outputs(kernel: Kernel, request: str) -> list[dict[str, Any]]:
    kinds = ("display_data", "update_display_data", "error")
    return [m for m in kernel.published if m["msg_type"] in kinds and m["parent_header"].get("msg_id") == request]


def test_a_run_of_the_panel_is_the_run_of_its_line(kernel: Kernel) -> None:
    request = opened(kernel)
    change(kernel, "%nn_train data --epochs 3 --model mlp", description="line")
    kernel.until(lambda m: update_of(m).get("value") == "run = %nn_train data --epochs 3 --model mlp")
    kernel.click("Train")
    kernel.until(lambda m: "image/png" in m["content"].get("data", {}))
    same = kernel.run(
        "again = %nn_train data --epochs 3 --model mlp\nhistory = [r.history.drop(columns=['seconds'])"
        " for r in (run, again)]\nprint(again.spec == run.spec, again.line == run.line, history[0].equals(history[1]))"
    )
    assert same.split()[-3:] == ["True"] * 3
    shown = [set(m["content"]["data"]) for m in outputs(kernel, request)]
    assert {"image/png", "text/plain"} in shown and {"text/html", "text/markdown", "text/plain"} in shown


def test_stop_ends_a_run_of_the_panel_which_has_fields_where_the_panel_has(kernel: Kernel) -> None:
    kernel.run("1")
    kernel.published.clear()
    opened(kernel, "%nn_panel data --sliders off")
    change(kernel, ENDLESS, description="line")
    kernel.until(lambda m: str(update_of(m).get("value")).startswith("run = %nn_train data --view fields --epochs "))
    kernel.click("Train")
    kernel.until(lambda m: "training on cpu" in str(m["content"].get("data", {}).get("state", {}).get("value", "")))
    kernel.click("Stop")
    assert kernel.run("print(run.finished.reason)").split()[-1] == "stopped"
    made = [m["content"]["data"]["state"] for m in kernel.published if m["msg_type"] == "comm_open"]
    shown = {(one.get("description"), one["_model_name"]) for one in made if "description" in one}
    assert {("weight decay", "ComboboxModel"), ("batch size", "DropdownModel")} <= shown
    assert not [name for _, name in shown if "Slider" in name]


@pytest.mark.parametrize("line", ["%nn_evaluate seen --explore", "%nn_runs seen --explore", "%nn_evaluate seen"])
def test_what_the_panel_opens_for_runs_can_be_closed(kernel: Kernel, line: str) -> None:
    kernel.run("run = %nn_train data --epochs 2 --model mlp --no-baseline --view none --name seen;")
    kernel.published.clear()
    request = opened(kernel)
    change(kernel, line, description="line")
    kernel.until(lambda m: update_of(m).get("description") in ("Evaluate", "List"))
    kernel.click("Train")  # as the button was called at first
    if "explore" not in line:
        kernel.until(lambda m: "Confusion matrix" in m["content"].get("data", {}).get("text/plain", ""))
        return
    kernel.until(lambda m: len([one for one in outputs(kernel, request) if VIEW in one["content"]["data"]]) == 2)
    view = [one["content"] for one in outputs(kernel, request) if VIEW in one["content"]["data"]][-1]
    kernel.run("from nnlab.widgets import explorer, run_table\n(explorer.OPEN + run_table.OPEN)[-1].close()")
    left = [m["content"] for m in kernel.published if m["msg_type"] == "update_display_data"]
    assert [one for one in left if one["transient"] == view["transient"] and VIEW not in one["data"]]


def test_twenty_panels_leave_nothing_in_the_kernel(kernel: Kernel) -> None:
    kernel.run("%nn_panel data\nfrom nnlab.widgets.panel import close_panels\nclose_panels()")
    before = kernel.run(COUNT)
    for _ in range(20):
        kernel.run("%nn_panel data")
    kernel.run("close_panels()")
    assert kernel.run(COUNT) == before


def test_an_error_of_the_magic_is_told_in_its_words_and_cells_go_on(kernel: Kernel) -> None:
    request = opened(kernel)
    change(kernel, "%nn_train nothing --epochs 2", description="line")
    kernel.until(lambda m: update_of(m).get("value") == "run = %nn_train nothing --epochs 2")
    kernel.click("Train")
    kernel.until(lambda m: "no variable &#x27;nothing&#x27;" in str(update_of(m).get("value")))
    assert kernel.run("print('next')").split() == ["next"]
    assert not [m for m in outputs(kernel, request) if m["msg_type"] == "error"]


def test_the_end_of_the_extension_leaves_a_table(kernel: Kernel) -> None:
    kernel.run("from nnlab.widgets.panel import close_panels\nclose_panels()")
    before = kernel.run(COUNT)
    kernel.published.clear()
    opened(kernel, "%nn_panel data --preset strong --tab model")
    live = kernel.until(lambda m: m["content"] if VIEW in m["content"].get("data", {}) else None)
    kernel.run("%unload_ext nnlab")
    last = kernel.until(lambda m: m["content"] if m["msg_type"] == "update_display_data" else None)
    assert last["transient"] == live["transient"] and set(last["data"]) == {"text/html", "text/markdown", "text/plain"}
    assert "--model realmlp --members 8 --epochs 100 --patience 30" in last["data"]["text/plain"]
    assert kernel.run("%load_ext nnlab\n" + COUNT) == before
