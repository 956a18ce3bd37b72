"""What shows a run while it lives, chosen by what the front end can do."""

import contextlib
import signal
import threading
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Literal, Protocol

from nnlab.core.events import Event
from nnlab.magics.front_end import front_end
from nnlab.magics.plain import SilentView, TextView
from nnlab.report.bundle import Bundle

Kind = Literal["train", "tune"]
LiveView = Callable[..., "View"]  # of controls and kind; fields: no sliders; more for a run in the background
FIELDS = "fields"
LIVE = ("live", FIELDS)


class View(Protocol):
    """A sink of events. close is called however the work ends; it takes the live part away and shows the bundles."""

    def __call__(self, event: Event) -> None: ...
    def close(self, bundles: Sequence[Bundle]) -> None: ...


def show(bundle: Bundle) -> None:
    """Publish a static output."""
    from IPython.display import display

    display(bundle.data, metadata=bundle.metadata, raw=True)  # type: ignore[no-untyped-call]


def make_view(word: str, muted: bool, ip: Any, live: Callable[[bool], View] | None) -> View:
    """The view that was asked for; live falls back to what is possible, in one line. live: makes the live view, with
    fields in place of sliders or not."""
    front = front_end(ip)
    if muted:
        return SilentView(None)
    if word == "auto":
        word = front.view
        if front.advice:
            print(f"nnlab: a line of text for the live view: {front.why}:  {front.advice}")
    elif word in LIVE and not front.widgets:
        word = front.view
        print(f"nnlab: no live view: {front.why}")
    if word in LIVE:
        return live(word == FIELDS) if live else SilentView(show)
    return TextView(show) if word == "text" else SilentView(show)


@contextlib.contextmanager
def second_press(interrupted: bool) -> Iterator[None]:
    """Around the showing of a result: if an interrupt ended the run, a second one ends the cell, once all is shown."""
    if not interrupted or threading.current_thread() is not threading.main_thread():
        yield
        return
    pressed: list[int] = []
    before = signal.signal(signal.SIGINT, lambda number, frame: pressed.append(number))
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
    if pressed:
        raise KeyboardInterrupt
