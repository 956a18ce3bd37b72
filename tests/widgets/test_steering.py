"""A study that is steered from its panel, in a real kernel: what a front end sends while the cell runs."""

import re
from typing import Any

from tests.widgets.live_kernel import CLICK, Kernel, update_of
from tests.widgets.test_in_kernel import VIEW

LINE = (
    "study = %nn_tune data --model mlp --trials 5000 --epochs 1 --population 1 --sampler random "
    '--space "lr=1e-4..1e-1 log" dropout=0..0.5 activation={relu,silu,tanh}'
)


TRIALS = r"<b>(\d+)<small> / 5000"  # in the panel's head


def update(**values: Any) -> dict[str, Any]:
    return {"method": "update", "state": values, "buffer_paths": []}


def test_pin_narrow_and_queue_hold_from_the_next_trials_on_and_nothing_of_the_panel_is_left(kernel: Kernel) -> None:
    request = kernel.send(LINE)
    name = kernel.model(_model_name="DropdownModel")
    value = kernel.model(_model_name="TextModel", tooltip="a value to pin, or a range to narrow to")
    trial = kernel.model(_model_name="TextModel", tooltip="a trial to try next")

    def told(text: str) -> None:
        kernel.until(lambda m: text in str(update_of(m).get("value", "")))

    told("best loss, trial")
    kernel.tell(value, update(value="0.02"))
    kernel.click("Pin")
    told("pinned lr=0.02, from trial")
    kernel.tell(name, update(index=1))
    kernel.tell(value, update(value="0.9"))
    kernel.click("Pin")
    told("dropout=0.9 is outside of what the study searches: 0..0.5")
    kernel.tell(value, update(value="0.1..0.2"))
    kernel.click("Narrow")
    told("narrowed dropout=0.1..0.2, from trial")
    kernel.tell(trial, update(value="lr=0.05 dropout=0.4"))
    kernel.click("Queue")
    told("queued lr=0.05, dropout=0.4, from trial")
    kernel.tell(kernel.model(_model_name="ToggleButtonsModel"), update(index=2))
    told("<polyline")
    there = len(kernel.published)
    first = int(re.findall(TRIALS, str(kernel.published))[-1])
    kernel.until(lambda m: any(int(n) > first + 5 for n in re.findall(TRIALS, str(update_of(m).get("value", "")))))
    assert len(kernel.published) > there
    kernel.tell(kernel.model(description="Stop"), CLICK)
    assert kernel.reply(request)["status"] == "ok"
    code = (
        "at = dict(zip(study.steering.what, study.steering.trial))\n"
        "done = study.trials[study.trials.number >= at['queue']]\n"
        "print(study.steering['values'].tolist(), done.lr[1:].unique(), done.dropout[1:].between(0.1, 0.2).all())\n"
        "print(float(done.lr.iloc[0]), float(done.dropout.iloc[0]))"
    )
    printed = kernel.run(code).splitlines()
    assert printed[0] == "['lr=0.02', 'dropout=0.1..0.2', 'lr=0.05, dropout=0.4'] [0.02] True"
    assert printed[1] == "0.05 0.4"

    mine = [m for m in kernel.published if m["parent_header"].get("msg_id") == request]
    shown = [m["content"]["data"] for m in mine if m["msg_type"] in ("display_data", "update_display_data")]
    left = [data for data in shown if VIEW not in data]
    assert len(left) >= 3 and sum(len(str(data)) for data in left) < 200_000
    assert any("Steered by hand" in data.get("text/html", "") for data in left)
    assert kernel.run("from ipywidgets.widgets import widget; print(len(widget._instances))").strip() == "0"
