"""The place in the notebook that holds a widget while work goes on and static output afterwards."""

from collections.abc import Mapping, Sequence
from typing import Any, Protocol
from uuid import uuid4

from IPython.display import display, update_display
from ipywidgets import Widget

WIDGET_VIEW = "application/vnd.jupyter.widget-view+json"
WHILE_LIVE = "training was running when this was saved"


class StaticOutput(Protocol):
    """What stays: data by MIME type and its metadata; nnlab.report.bundle.Bundle is one."""

    @property
    def data(self) -> dict[str, Any]: ...

    @property
    def metadata(self) -> dict[str, Any]: ...


class Slot:
    """One output of the cell, replaced in place: no saved notebook ever holds a view of a widget that is gone."""

    def __init__(self) -> None:
        self._id, self._below = uuid4().hex, uuid4().hex
        self._root: Widget | None = None
        self._reserved = False

    def reserve(self, line: str) -> None:
        """Take the place now, for what another thread will put there when the cell has returned. line: shown below."""
        self._reserved = True
        _put({"text/plain": "starting"}, {}, self._id)
        _put({"text/plain": line}, {}, self._below)

    def show(self, root: Widget, saved: str = WHILE_LIVE) -> None:
        """Display the widget here. saved: what readers of a notebook have that was saved while it was shown."""
        self._root = root
        root._view_count = 0  # a widget manager that draws it counts up, and sends that; it would not count from None
        _put(self._view(saved), {}, self._id, update=self._reserved)

    @property
    def drawn(self) -> bool:
        """Whether a front end has drawn the widget, and could say so."""
        return self._root is not None and bool(self._root._view_count)

    def stand_in(self, line: str) -> None:
        """What a front end without widgets shows in its place."""
        _put(self._view(f"{WHILE_LIVE}: {line}"), {}, self._id, update=True)

    def _view(self, text: str) -> dict[str, Any]:
        assert self._root is not None
        view = {"version_major": 2, "version_minor": 0, "model_id": self._root.model_id}
        return {WIDGET_VIEW: view, "text/plain": text}

    def replace(self, outputs: Sequence[StaticOutput], otherwise: str) -> None:
        """Put the first output in the widget's place (`otherwise`, a line of text, if there is none), the rest below.

        Then the widgets are closed, whatever happens.
        """
        try:
            below = list(outputs)
            if self._root is not None or self._reserved:
                first = below.pop(0) if below else None
                data, metadata = (first.data, first.metadata) if first else ({"text/plain": otherwise}, {})
                _put(data, metadata, self._id, update=True)
            if self._reserved:
                second = below.pop(0) if below else None
                data, metadata = (second.data, second.metadata) if second else ({"text/plain": ""}, {})
                _put(data, metadata, self._below, update=True)
            for output in below:
                _put(output.data, output.metadata)
        finally:
            self.close_widgets()

    def close_widgets(self) -> None:
        """Close the widget with all that it is made of, so that the kernel keeps no model of it."""
        if self._root is not None:
            for widget in family(self._root):
                widget.close()
            self._root = None


def _put(data: Any, metadata: Any, place: str | None = None, update: bool = False) -> None:
    show = update_display if update else display
    show(data, metadata=metadata, raw=True, display_id=place)  # type: ignore[no-untyped-call]


def family(root: Widget) -> list[Widget]:
    """The widget and every widget that its synchronized traits hold, at any depth; each once, owners first."""
    found: dict[int, Widget] = {}
    waiting: list[Any] = [root]
    while waiting:
        value = waiting.pop()
        if isinstance(value, Widget):
            if id(value) not in found:
                found[id(value)] = value
                waiting += [getattr(value, key) for key in value.keys]
        elif isinstance(value, (list, tuple)):
            waiting += value
        elif isinstance(value, Mapping):
            waiting += value.values()
    return list(found.values())
