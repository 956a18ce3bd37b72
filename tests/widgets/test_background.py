"""Runs in the background of a real kernel: the cell returns, its panel lives on, and the result takes its place."""

from typing import Any

import pytest

from tests.browser.harness import wait_for
from tests.widgets.live_kernel import ENDLESS, Kernel, update_of

VIEW = "application/vnd.jupyter.widget-view+json"
SHORT = "%nn_train data --epochs 3 --seed 4 --name {name}"


@pytest.fixture(scope="module", autouse=True)
def _one_run_at_a_time(shared_kernel: Kernel) -> None:
    shared_kernel.run("import torch, nnlab\nfrom nnlab.core.background.run import alive")


def shown(message: dict[str, Any]) -> str:
    """The text of an output."""
    return str(message["content"].get("data", {}).get("text/plain", ""))


def panel(message: dict[str, Any]) -> Any:
    """The place of a panel that is shown."""
    there = VIEW in message["content"].get("data", {})
    return message["content"]["transient"]["display_id"] if there else None


def refused(kernel: Kernel, code: str) -> Any:
    """The reply to a cell that fails; what is sent behind it is not aborted."""
    return kernel.reply(str(kernel.client.execute(code, stop_on_error=False)))


def put_there(place: str) -> Any:
    """Finds what comes into a place without a widget."""

    def found(message: dict[str, Any]) -> Any:
        content = message["content"]
        return (
            message["msg_type"] == "update_display_data"
            and content["transient"].get("display_id") == place
            and VIEW not in content["data"]
            and content["data"]
        )

    return found


def test_the_cell_returns_and_the_same_bits_come(kernel: Kernel) -> None:
    printed = kernel.run(
        f"run = {SHORT.format(name='far')} --background\nprint(type(run).__name__, run.name, run.alive)"
    )
    assert printed == "BackgroundRun far True\n"
    place = kernel.until(panel)
    result = kernel.until(put_there(place))
    assert "image/png" in result
    kernel.run(f"near = {SHORT.format(name='near')};")
    same = "torch.equal(run.model.state_dict()[k], v) for k, v in near.model.state_dict().items()"
    assert kernel.run(f"print(all({same}), run.state, run.metrics == near.metrics)") == "True completed True\n"
    assert kernel.run("print(len(run.predict(frame)), nnlab.load('far').state)") == "600 completed\n"


def test_buttons_work_while_other_cells_run_and_stop_keeps_the_best(kernel: Kernel) -> None:
    kernel.run(f"{ENDLESS} --background")
    place = kernel.until(panel)
    kernel.run("while len(run.record.epochs) < 2: run._over.wait(0.2)")
    slider = kernel.model(description="lr")
    kernel.tell(slider, {"method": "update", "state": {"value": 0.002}, "buffer_paths": []})
    kernel.run("while not run.changes: run._over.wait(0.2)")
    kernel.click("Pause")
    kernel.run("while run.state != 'paused': run._over.wait(0.2)")
    assert kernel.run("print([(c.name, c.new) for c in run.changes], alive() is run)") == "[('lr', 0.002)] True\n"
    kernel.click("Stop")
    assert "image/png" in kernel.until(put_there(place))
    assert kernel.run("print(run.wait().state, run.best_epoch >= 1, alive())") == "stopped True None\n"
    count = "import ipywidgets; print(len(ipywidgets.widget._instances))"
    wait_for(lambda: int(kernel.run(count)) < 5, "the panel's widgets are closed")


def test_a_second_is_refused_the_cell_again_moves_it_and_a_magic_stops_it(kernel: Kernel) -> None:
    kernel.run(f"{ENDLESS} --background")
    first = kernel.until(panel)
    error = refused(kernel, "%nn_train data --epochs 2 --background")
    assert error["status"] == "error" and "one at a time" in error["evalue"]
    assert kernel.run("a = run\nb = %nn_attach --view text\nprint(a is b)") == "True\n"
    kernel.until(lambda m: "in the background, epoch" in shown(m))
    assert "shown in another cell" in kernel.until(put_there(first))["text/plain"]
    kernel.published.clear()
    kernel.run(f"{ENDLESS} --background")
    kernel.until(lambda m: "still trains" in shown(m))
    again = kernel.until(panel)
    assert kernel.run("print(run is a)") == "True\n"
    kernel.run("%nn_stop")
    kernel.until(lambda m: "--resume" in shown(m))
    assert "image/png" in kernel.until(put_there(again))
    assert "no run trains" in refused(kernel, "%nn_stop")["evalue"]


def test_the_cell_again_shows_what_has_ended_meanwhile(kernel: Kernel) -> None:
    line = SHORT.format(name="away")
    kernel.run(f"run = {line} --background\nfirst = run.wait()")
    kernel.run(f"run = {line} --background")
    kernel.until(lambda m: "is shown again" in shown(m))
    assert kernel.run("print(run is first)") == "True\n"
    kernel.run(f"run = {line} --background\nrun.wait()")
    assert kernel.run("print(run is first, run.name)") == "False away\n"


def test_an_error_of_the_users_network_is_told_in_its_cell(kernel: Kernel) -> None:
    kernel.run(
        "from torch import nn\nclass Broken(nn.Linear):\n    def forward(self, x):\n"
        "        if self.training and len(x) > 99: raise ValueError('oh dear')\n        return super().forward(x)\n"
        "broken = %nn_train data --model Broken --background"
    )
    kernel.until(lambda m: "ValueError: oh dear" in shown(m) and "raise ValueError('oh dear')" in shown(m))
    reply = refused(kernel, "broken.wait()")
    assert reply["ename"] == "RunError" and "oh dear" in reply["evalue"]


def test_a_run_of_plain_python_is_attached_to(kernel: Kernel) -> None:
    kernel.run("own = nnlab.fit(data, epochs=10**6, patience=None, background=True, name='own')\n%nn_attach own")
    place = kernel.until(panel)
    assert kernel.run("print(own.alive)\n%nn_stop own") == "True\n"
    assert "image/png" in kernel.until(put_there(place))


def test_a_run_goes_on_in_the_background(kernel: Kernel) -> None:
    kernel.run(f"{ENDLESS} --background")
    kernel.run("while len(run.record.epochs) < 2: run._over.wait(0.2)\nrun.stop()")
    kernel.run("more = %nn_train data --resume last --background")
    printed = kernel.run(
        "while len(more.record.epochs) <= run.finished.epoch: more._over.wait(0.2)\n"
        "print(more.id == run.id, more.stop().resumptions[0].epoch <= run.finished.epoch)"
    )
    assert printed == "True True\n"


def test_the_playground_and_the_run_before_are_shown_also_when_it_goes_on(kernel: Kernel) -> None:
    kernel.run(f"first = {SHORT.format(name='first')};")
    for line in (f"{ENDLESS} --playground b,c", "run = %nn_train data --resume last --playground b,c"):
        kernel.published.clear()
        kernel.run(f"{line} --background")
        pictures: set[bytes] = set()

        def drawn(message: dict[str, Any], pictures: set[bytes] = pictures) -> bool:
            pictures |= {bytes(part) for part in message["buffers"] if bytes(part[:4]) == b"\x89PNG"}
            return len(pictures) > 1

        kernel.until(drawn)
        kernel.click("Layers")
        kernel.until(lambda m: "activations" in str(update_of(m).get("value", "")))
        kernel.model(tooltip="show first, the run before on the same data")
        kernel.click("Stop")
        kernel.until(lambda m: "y over b and c" in shown(m))
