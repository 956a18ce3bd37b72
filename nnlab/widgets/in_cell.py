"""Work that a button orders, done in the main thread as if the cell that shows the button did it.

The presses of a panel come after its cell has ended, and on some front ends in a thread of their own. Training belongs
to the main thread (signals, the pump), and its outputs to the cell. So the work waits for the kernel's main loop, where
it blocks the cells that come after it as a cell does.
"""

import contextlib
import contextvars
import logging
import sys
from collections.abc import Callable, Iterator
from typing import Any

LOG = logging.getLogger(__name__)


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
