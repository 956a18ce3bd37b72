"""A real kernel, spoken to as a front end speaks: widget messages are sent while a cell runs."""

import queue
from collections.abc import Callable
from typing import Any

SECONDS = 90.0
PREPARED = """
%load_ext nnlab
import numpy as np, pandas as pd
rng = np.random.default_rng(0)
frame = pd.DataFrame(rng.normal(size=(600, 6)), columns=list("abcdef"))
frame["y"] = np.where(frame.a + frame.b * frame.c + rng.normal(size=600) > 0, "yes", "no")
data = %nn_preprocess frame --target y;
"""
ENDLESS = "run = %nn_train data --epochs 1000000 --patience none --lr 0.001 --schedule constant --warmup 0"
CLICK = {"method": "custom", "content": {"event": "click"}}


def update_of(message: dict[str, Any]) -> dict[str, Any]:
    """The values that a message of the kernel gives to a widget; {} if it is another message."""
    data = message["content"].get("data", {})
    return dict(data["state"]) if data.get("method") == "update" else {}


class Kernel:
    """Sends requests and keeps every message that the kernel publishes."""

    def __init__(self, manager: Any, client: Any) -> None:
        self._manager, self.client = manager, client
        self.published: list[dict[str, Any]] = []

    def send(self, code: str) -> str:
        """Ask for a cell, as a notebook does: an error aborts what is queued behind it."""
        return str(self.client.execute(code, allow_stdin=True, stop_on_error=True))

    def until(self, found: Callable[[dict[str, Any]], Any]) -> Any:
        """The first true value of found(message), of old messages too."""
        for message in self.published:
            if value := found(message):
                return value
        while True:
            try:
                message = self.client.get_iopub_msg(timeout=SECONDS)
            except queue.Empty:
                raise AssertionError("the kernel did not publish what is waited for") from None
            self.published.append(message)
            if value := found(message):
                return value

    def reply(self, request: str) -> Any:
        """The reply to a request; those to others that come first are dropped."""
        while True:
            message = self.client.get_shell_msg(timeout=SECONDS)
            if message["parent_header"]["msg_id"] == request:
                return message["content"]

    def run(self, code: str) -> str:
        """Run a cell and give what it printed; AssertionError if it fails."""
        request = self.send(code)
        reply = self.reply(request)
        assert reply["status"] == "ok", reply
        self.until(lambda m: m["content"].get("execution_state") == "idle" and m["parent_header"]["msg_id"] == request)
        mine = [m for m in self.published if m["parent_header"].get("msg_id") == request]
        return "".join(m["content"]["text"] for m in mine if m["msg_type"] == "stream")

    def interrupt(self) -> None:
        """What the square button does."""
        self._manager.interrupt_kernel()

    def model(self, **state: Any) -> str:
        """The id of a widget that has these values, once it is there."""

        def fits(message: dict[str, Any]) -> Any:
            if message["msg_type"] != "comm_open":
                return None
            there = message["content"]["data"].get("state", {})
            return message["content"]["comm_id"] if state.items() <= there.items() else None

        return str(self.until(fits))

    def tell(self, model: str, data: dict[str, Any]) -> None:
        """Send a widget message."""
        content = {"comm_id": model, "data": data}
        self.client.shell_channel.send(self.client.session.msg("comm_msg", content))

    def click(self, description: str) -> None:
        """Press a button of the panel."""
        model = self.model(_model_name="ButtonModel", description=description)
        self.tell(model, CLICK)
