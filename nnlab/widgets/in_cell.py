"""Work that a button orders, done in the main thread as if the cell that shows the button did it.

The presses of a panel come after its cell has ended, and on some front ends in a thread of their own. Training belongs
to the main thread (signals, the pump), and its outputs to the cell. So the work waits for the kernel's main loop, where
it blocks the cells that come after it as a cell does.
"""

import contextlib
import contextvars
import sys
from collections.abc import Callable, Iterator
from typing import Any
from uuid import uuid4

from IPython.display import update_display


class InCell:
    """The cell that runs now, to which work can be added later. Made in the main thread while the cell runs."""

    def __init__(self, ip: Any) -> None:
        self._ip, self._kernel = ip, ip.kernel
        self._parent = self._kernel.get_parent("shell")
        ident = getattr(self._kernel, "_shell_parent_ident", None)  # ipykernel 7; in 6 it is kept by channel
        self._ident = ident.get() if ident is not None else self._kernel._parent_ident["shell"]

    @property
    def cell_id(self) -> str:
        """The front end's name for the cell; '' where it gives none."""
        return str(self._parent.get("metadata", {}).get("cellId", ""))

    def later(self, work: Callable[[], None]) -> None:
        """Do the work when the main thread is free; from any thread."""
        context = contextvars.copy_context()
        self._kernel.io_loop.add_callback(lambda: context.run(self._do, work))

    def _do(self, work: Callable[[], None]) -> None:
        with self._busy():
            try:
                work()
            except BaseException:  # as a cell shows it; the kernel must not end of it
                self._ip.showtraceback()

    @contextlib.contextmanager
    def _busy(self) -> Iterator[None]:
        kernel = self._kernel
        kernel.set_parent(self._ident, self._parent, channel="shell")
        kernel._publish_status("busy", "shell")
        try:
            yield
        finally:
            sys.stdout.flush()
            sys.stderr.flush()
            kernel._publish_status("idle", "shell")


class Places:
    """Where the outputs of what is run go: each time to the same places of the cell, so that the newest stand there.

    A notebook would grow with every press otherwise. Around a run, in the main thread: `with places.of(ip): ...`
    """

    def __init__(self) -> None:
        self._ids: list[str] = []
        self._own: dict[str, str] = {}  # the name that an output has for who shows it: the place that it is at
        self._used = 0

    @contextlib.contextmanager
    def of(self, ip: Any) -> Iterator[None]:
        """Outputs go to the first places; what an earlier run left in others goes away."""
        self._own, self._used = {}, 0
        ip.display_pub.register_hook(self._placed)
        try:
            yield
        finally:
            ip.display_pub.unregister_hook(self._placed)
            for place in self._ids[self._used :]:
                update_display({"text/plain": ""}, raw=True, display_id=place)  # type: ignore[no-untyped-call]

    def _placed(self, message: dict[str, Any]) -> dict[str, Any]:
        """The message, with its place in it."""
        kind, transient = message["header"]["msg_type"], message["content"].get("transient") or {}
        name = transient.get("display_id")
        if kind == "display_data":
            place = self._next()
            kind = "update_display_data" if place in self._ids else kind
            self._ids += [place] if place not in self._ids else []
            self._own |= {name: place} if name else {}
            self._to(message, kind, place)
        elif kind == "update_display_data" and name in self._own:
            self._to(message, kind, self._own[name])
        return message

    def _next(self) -> str:
        self._used += 1
        return self._ids[self._used - 1] if self._used <= len(self._ids) else uuid4().hex

    @staticmethod
    def _to(message: dict[str, Any], kind: str, place: str) -> None:
        message["header"]["msg_type"] = message["msg_type"] = kind
        message["content"]["transient"] = {"display_id": place}
