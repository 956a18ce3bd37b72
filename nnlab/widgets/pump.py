"""Widget messages reach a kernel whose main thread is busy with a cell.

While a cell runs, the messages of buttons and sliders wait in the kernel's queue. `Pump` looks into that queue between
two steps of the training loop, handles what belongs to widgets and holds back the rest (queued cells, completion
requests), which it returns in order when the cell is about to end. This uses private parts of ipykernel (seen working:
6.31, 7.1, 7.3, 7.4), so everything is guarded: where it cannot work, `ok` is false, and the interrupt key still works.
"""

import inspect
import logging
import sys
import threading
from typing import Any

import zmq

WIDGET_MESSAGES = ("comm_open", "comm_msg", "comm_close", "comm_info_request")  # the last: a page that is loaded again
AT_MOST = 50  # messages of one call: a slider dragged wildly must not stop the training
LOG = logging.getLogger(__name__)


class Pump:
    """Handles the widget messages that wait; main thread only. Call it between steps, close it before the cell ends."""

    def __init__(self) -> None:
        self.ok = False
        self._held: list[list[Any]] = []
        self._channel: Any = None
        self._looked = False
        try:
            self._connect()
        except Exception as error:  # no kernel, another kernel, or an ipykernel that was rebuilt inside
            LOG.debug("no pump: %r", error)

    def _connect(self) -> None:
        from IPython import get_ipython

        self._kernel: Any = get_ipython().kernel
        self._channel = getattr(self._kernel, "shell_channel_thread", None)
        if self._channel is not None:  # ipykernel 7: a thread of its own reads the socket and hands over to this one
            manager = self._channel.manager
            pair = manager.get_shell_channel_to_subshell_pair(None)
            self._socket: Any = pair.to_socket
            self._to_main: Any = pair.from_socket
            self._stream = manager.get_subshell_to_shell_channel_socket(None)  # takes replies
        else:
            self._stream = self._kernel.shell_stream
            self._socket = self._stream.socket
        self._handlers = {name: self._kernel.shell_handlers[name] for name in WIDGET_MESSAGES}
        self._cell_ident = self._ident()
        self._cell_parent = self._kernel.get_parent("shell")
        self.ok = threading.current_thread() is threading.main_thread()

    def _ident(self) -> Any:
        """Who asked for the running cell: the address that its replies go to."""
        if hasattr(self._kernel, "_shell_parent_ident"):
            return self._kernel._shell_parent_ident.get()
        return self._kernel._parent_ident["shell"]

    def __call__(self) -> None:
        """Handle what waits. Costs microseconds when nothing does."""
        if not self.ok or threading.current_thread() is not threading.main_thread():
            return
        try:
            for _ in range(AT_MOST):
                if not self._waiting():
                    return
                self._take(self._socket.recv_multipart(copy=False))
        except Exception:  # what is held is given back all the same when the pump is closed
            self.ok = False
            LOG.debug("widget messages cannot be read while the cell runs", exc_info=True)

    def _waiting(self) -> bool:
        """Whether a message is there; cheaper than poll(0)."""
        self._looked = True
        return bool(self._socket.getsockopt(zmq.EVENTS) & zmq.POLLIN)

    def _take(self, frames: list[Any]) -> None:
        """Handle a widget message; hold anything else, also ipykernel's one-frame mark that ends an abort."""
        message = None
        session = self._kernel.session
        try:
            if len(frames) > 1:
                idents, parts = session.feed_identities(frames, copy=False)
                if session.unpack(parts[1].bytes)["msg_type"] in WIDGET_MESSAGES:
                    message = session.deserialize(parts, content=True, copy=False)
        except Exception:
            LOG.debug("a message that nnlab cannot read is left to the kernel", exc_info=True)
        if message is None:
            self._held.append(frames)
        else:
            self._handle(idents, message)

    def _handle(self, idents: Any, message: dict[str, Any]) -> None:
        """What the kernel itself would do, then the cell is the parent of all output again."""
        kernel = self._kernel
        try:
            kernel.set_parent(idents, message, channel="shell")
            kernel._publish_status("busy", "shell")
            result = self._handlers[message["header"]["msg_type"]](self._stream, idents, message)
            if inspect.isawaitable(result):
                _run_to_end(result)
            sys.stdout.flush()
            sys.stderr.flush()
            if self._channel is None:  # ipykernel 6 sends a reply when its loop is free, which waits for the cell
                self._stream.flush(zmq.POLLOUT)
            kernel._publish_status("idle", "shell")  # the slider's throttle in the browser waits for it
        except Exception:
            LOG.warning("a widget message failed", exc_info=True)
        finally:
            kernel.set_parent(self._cell_ident, self._cell_parent, channel="shell")
            kernel._publish_status("busy", "shell")  # the cell still runs, and the browser shall show so

    def close(self) -> None:
        """Give back, in order, what was held; before an error leaves the cell, or queued cells would run after it.

        What still waits is taken too: a socket that was looked at tells its kernel nothing until it has been emptied.
        """
        self.ok = False
        try:
            if self._looked:  # else it is perhaps another thread that closes, and the queue not its own
                self._drain()
        finally:
            if self._held and self._channel is not None:
                self._give_back_in_thread()
            for frames in self._held:  # ipykernel 6: the callback only puts the message on the kernel's own queue
                self._stream._recv_callback(frames)
            self._held = []

    def _drain(self) -> None:
        while self._waiting():
            self._take(self._socket.recv_multipart(copy=False))

    def _give_back_in_thread(self) -> None:
        """Through ipykernel's own door, in its own thread; while that thread waits here no new message can overtake."""
        waiting, drained = threading.Event(), threading.Event()
        held, self._held = self._held, []

        def give_back() -> None:
            waiting.set()
            drained.wait()
            for frames in held:
                self._to_main.send_multipart(frames, copy=False)

        try:
            self._channel.io_loop.add_callback(give_back)
            while not waiting.wait(1) and self._channel.is_alive():
                pass
            self._drain()
        finally:
            held += self._held
            self._held = []
            drained.set()


def _run_to_end(result: Any) -> None:
    """Run a handler that ipykernel declares async though it never waits."""
    try:
        result.send(None)
    except StopIteration:
        return
    result.close()
