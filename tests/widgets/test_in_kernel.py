"""The live view in a real kernel: what a front end sends while the cell runs, and what the cell leaves."""

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

from nnlab.widgets import live
from tests.widgets.live_kernel import CLICK, ENDLESS, Kernel, update_of

VIEW = "application/vnd.jupyter.widget-view+json"


def test_stop_ends_the_run_with_a_usable_model(kernel: Kernel) -> None:
    request = kernel.send(ENDLESS)
    kernel.click("Stop")
    assert kernel.reply(request)["status"] == "ok"
    assert kernel.run("print(run.finished.reason, len(run.predict(frame.head(3))))").split() == ["stopped", "3"]


def test_a_page_that_is_loaded_again_is_told_of_the_widgets_while_the_cell_runs(kernel: Kernel) -> None:
    request = kernel.send(ENDLESS)
    stop = kernel.model(description="Stop")
    asked = kernel.client.comm_info("jupyter.widget")
    assert stop in kernel.reply(asked)["comms"]
    kernel.tell(stop, CLICK)
    assert kernel.reply(request)["status"] == "ok"
    assert kernel.run("print(run.finished.reason)") == "stopped\n"


def test_pause_holds_until_resume(kernel: Kernel) -> None:
    request = kernel.send(ENDLESS)
    kernel.click("Pause")
    heads: list[str] = []

    def seen(text: str, epochs: int, times: int = 1) -> Callable[[dict[str, Any]], bool]:
        """Collects the epochs that the panel's head shows beside text, until there are so many of them."""

        def enough(message: dict[str, Any]) -> bool:
            head = str(update_of(message).get("value", ""))
            if f">{text}<" in head:
                heads.append(re.findall(r"<b>([\d,]+)", head)[0])
            return len(set(heads)) >= epochs and len(heads) >= times

        return enough

    kernel.until(seen("paused", 1, times=3))
    assert len(set(heads)) == 1
    pause, stop = kernel.model(description="Pause"), kernel.model(description="Stop")
    kernel.tell(pause, CLICK)
    heads.clear()
    kernel.published.clear()
    kernel.until(seen("training on cpu", 2))
    kernel.tell(stop, CLICK)
    assert kernel.reply(request)["status"] == "ok"


def test_the_slider_changes_the_step_size(kernel: Kernel) -> None:
    request = kernel.send(ENDLESS)
    slider = kernel.model(_model_name="FloatLogSliderModel", description="lr")
    kernel.tell(slider, {"method": "update", "state": {"value": 0.004}, "buffer_paths": []})
    kernel.until(lambda m: "→ 0.004" in str(update_of(m).get("value", "")))
    stop = kernel.model(description="Stop")
    kernel.published.clear()
    shown: set[str] = set()

    def epoch_is_over(message: dict[str, Any]) -> bool:
        """Whether the panel's head has gone on, so that an epoch has ended with the new value."""
        shown.update(re.findall(r"<b>([\d,]+)<small>", str(update_of(message).get("value", ""))))
        return len(shown) > 1

    kernel.until(epoch_is_over)
    kernel.tell(stop, CLICK)
    kernel.reply(request)
    told = "print([(c.name, c.old, c.new) for c in run.changes], round(run.history.lr.max(), 4))"
    assert kernel.run(told).strip() == "[('lr', 0.001, 0.004)] 0.004"


def test_interrupt_returns_the_best_model(kernel: Kernel) -> None:
    request = kernel.send(ENDLESS)
    kernel.model(description="Stop")
    kernel.until(lambda m: "best loss, epoch" in str(update_of(m).get("value", "")))
    kernel.interrupt()
    assert kernel.reply(request)["status"] == "ok"
    said = kernel.run("print(run.finished.reason, run.best_epoch is not None, len(run.predict(frame)))")
    assert said.split() == ["interrupted", "True", "600"]


def test_queued_cells_run_in_order_afterwards(kernel: Kernel) -> None:
    kernel.run("order = []")
    requests = [kernel.send(ENDLESS + "\norder.append('trained')")]
    kernel.model(description="Stop")
    requests += [kernel.send(f"order.append({number})") for number in range(5)]
    kernel.click("Stop")
    assert [kernel.reply(request)["status"] for request in requests] == ["ok"] * 6
    assert kernel.run("print(order)").strip() == "['trained', 0, 1, 2, 3, 4]"


# One message is held, another waits for the main thread, and the thread that handed them over is kept busy.
HELD_UP = """
import time
from nnlab.widgets.pump import Pump
pump, order = Pump(), []
print("begun", flush=True)
while not pump._waiting():
    pass
pump._take(pump._socket.recv_multipart(copy=False))
while not pump._waiting():
    pass
pump._channel.io_loop.add_callback(time.sleep, 2.5)
pump.close()"""


def test_queued_cells_keep_their_order_however_long_the_thread_that_hands_them_over_is_held_up(kernel: Kernel) -> None:
    requests = [kernel.send(HELD_UP)]
    kernel.until(lambda m: m["msg_type"] == "stream")
    requests += [kernel.send(f"order.append({number})") for number in range(3)]
    assert [kernel.reply(request)["status"] for request in requests] == ["ok"] * 4
    assert kernel.run("print(order)").strip() == "[0, 1, 2]"


# More widget messages wait than are handled at once, and then the cell ends.
LEFT_OVER = """
from nnlab.widgets import pump
pump.AT_MOST, last = 1, pump.Pump()
print("begun", flush=True)
for end in last, last.close:
    while not last._waiting():
        pass
    end()
pump.AT_MOST = 50"""


def test_widget_messages_that_are_left_over_do_not_silence_the_kernel(kernel: Kernel) -> None:
    requests = [kernel.send(LEFT_OVER)]
    kernel.until(lambda m: m["msg_type"] == "stream")
    requests += [kernel.client.comm_info() for _ in range(2)]
    for request in requests[1:]:
        assert "comms" in kernel.reply(request)
    assert kernel.run("print('heard')").strip() == "heard"


def test_an_error_aborts_the_queued_cells(kernel: Kernel) -> None:
    kernel.run("reached = []")
    requests = [kernel.send(ENDLESS + "\nraise ValueError('after the training')")]
    kernel.model(description="Stop")
    requests += [kernel.send("reached.append(1)") for _ in range(3)]
    kernel.click("Stop")
    assert [kernel.reply(request)["status"] for request in requests] == ["error", "aborted", "aborted", "aborted"]
    assert kernel.run("print(reached)").strip() == "[]"


def test_an_error_of_the_network_aborts_them_too(kernel: Kernel) -> None:
    kernel.run("reached = []")
    failing = """%%nn_train data --epochs 1000000 --patience none
class Failing(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.inner = torch.nn.Linear(6, 2)
    def forward(self, x):
        if os.path.exists("fail"):
            raise ValueError("as told")
        return self.inner(x)
Failing"""
    folder = Path(kernel.run("import os, torch\nprint(os.getcwd())").strip())
    requests = [kernel.send(failing)]
    slider = kernel.model(_model_name="FloatLogSliderModel", description="lr")
    requests += [kernel.send("reached.append(1)") for _ in range(3)]
    kernel.tell(slider, {"method": "update", "state": {"value": 0.004}, "buffer_paths": []})
    kernel.until(lambda m: "→ 0.004" in str(update_of(m).get("value", "")))  # so the cells before it have come, too
    (folder / "fail").touch()
    assert [kernel.reply(request)["status"] for request in requests] == ["error", "aborted", "aborted", "aborted"]
    assert kernel.run("print(reached)").strip() == "[]"


COUNT = """
import comm
from ipywidgets.widgets import widget
print(len(widget._instances), len(comm.get_comm_manager().comms))"""


CARDS = """
from nnlab.core.controls import Controls
from nnlab.core.events import EpochDone, Started
from nnlab.core.spec import TrainSpec
from nnlab.widgets.live import LiveView
live.OPEN_AFTER = live.DRAW_EVERY = 0.0
for _ in range(20):
    view = LiveView(Controls())
    view(Started(TrainSpec(epochs=9), "binary", 1000, 10, 999, "cpu", "module", ("accuracy",), "loss", False))
    view(EpochDone(1, {"loss": 1.0}, {"loss": 1.0, "accuracy": 0.8}, 1e-3, 0.01, 1e5, True))
    view.close()
live.OPEN_AFTER = live.DRAW_EVERY = 0.5"""


def test_twenty_cards_leave_no_widget(kernel: Kernel) -> None:
    before = kernel.run("from nnlab.widgets import live" + COUNT)
    kernel.run(CARDS)
    assert sum(VIEW in m["content"].get("data", {}) for m in kernel.published if m["msg_type"] == "display_data") == 20
    assert sum(m["msg_type"] == "comm_open" for m in kernel.published) > 20 * 20  # with their charts
    assert kernel.run(COUNT) == before


def test_the_slot_becomes_static_and_no_widget_is_left(kernel: Kernel) -> None:
    before = kernel.run(COUNT)
    request = kernel.send(ENDLESS)
    kernel.click("Stop")
    kernel.reply(request)
    assert kernel.run(COUNT) == before
    places, (live, note, *_), final = shown_by(kernel, request)
    words = {"text/html", "text/markdown", "text/plain"}
    assert VIEW in live["content"]["data"] and set(note["content"]["data"]) == words
    assert "Training: epoch" in note["content"]["data"]["text/plain"]
    assert [set(m["content"]["data"]) for m in final] == [{"image/png", "text/plain"}, words]
    assert [m["content"]["transient"] for m in places] == [m["content"]["transient"] for m in (live, note)]
    assert [m["content"]["transient"] for m in final] == [m["content"]["transient"] for m in (live, note)]
    assert "<style" not in final[1]["content"]["data"]["text/html"]


def test_a_short_run_has_its_picture_and_never_a_widget(kernel: Kernel) -> None:
    kernel.run("from nnlab.widgets import live; live.OPEN_AFTER = 1000.0")  # however slow the machine is
    request = kernel.send("run = %nn_train data --epochs 2 --hidden 8 --no-baseline")
    assert kernel.reply(request)["status"] == "ok"
    kernel.run("live.OPEN_AFTER = 0.5")
    places, updates, final = shown_by(kernel, request)
    assert len(places) == 2 and updates == final and "image/png" in final[0]["content"]["data"]
    assert not any(m["msg_type"].startswith("comm_") for m in kernel.published)


def shown_by(kernel: Kernel, request: str) -> tuple[list[Any], list[Any], list[Any]]:
    """Of a cell the messages that take places, those that fill them anew, and of these the last two."""
    mine = [m for m in kernel.published if m["parent_header"].get("msg_id") == request]
    updates = [m for m in mine if m["msg_type"] == "update_display_data"]
    return [m for m in mine if m["msg_type"] == "display_data"], updates, updates[-2:]


def test_output_after_a_press_still_belongs_to_the_cell(kernel: Kernel) -> None:
    request = kernel.send(ENDLESS + "\nprint('from the cell')")
    kernel.click("Stop")
    kernel.reply(request)
    printed = kernel.until(
        lambda m: m if m["msg_type"] == "stream" and "from the cell" in m["content"]["text"] else None
    )
    assert printed["parent_header"]["msg_id"] == request


def test_where_no_widget_is_drawn_a_line_stands_in(kernel: Kernel) -> None:
    kernel.run("from nnlab.widgets import live; live.SILENT_AFTER = live.STAND_IN_EVERY = 0.3")
    request = kernel.send(ENDLESS)

    def line(message: dict[str, Any]) -> str:
        text = str(message["content"].get("data", {}).get("text/plain", ""))
        return text if message["msg_type"] == "update_display_data" and "stands in" in text else ""

    first = kernel.until(line)
    assert re.search(r"epoch [\d,]+ of 1,000,000; nothing here has drawn the live view", first)
    assert kernel.until(lambda m: line(m) not in ("", first) and line(m))  # it goes on
    kernel.until(lambda m: live.NO_ANSWER in str(update_of(m).get("value", "")))
    root = kernel.until(lambda m: m["content"].get("data", {}).get(VIEW, {}).get("model_id"))
    kernel.tell(root, {"method": "update", "state": {"_view_count": 1}, "buffer_paths": []})  # as a page that draws it

    def table(message: dict[str, Any]) -> str:
        return str(update_of(message).get("value", "")) if "nnl-notes" in str(update_of(message)) else ""

    stop = kernel.model(description="Stop")
    kernel.published.clear()
    kernel.until(lambda m: table(m) and live.NO_ANSWER not in table(m))
    kernel.published.clear()
    kernel.tell(stop, CLICK)
    assert kernel.reply(request)["status"] == "ok"
    kernel.run("live.SILENT_AFTER, live.STAND_IN_EVERY = 8.0, 10.0")  # after all that the cell published
    assert not any(line(message) for message in kernel.published)
