"""The place in the notebook that holds a widget while work goes on and static output afterwards."""

import base64
from collections.abc import Mapping, Sequence
from typing import Any, Protocol
from uuid import uuid4

import ipywidgets
from IPython.display import display, update_display
from ipywidgets import Layout, Widget

from nnlab.report.blocks import Block, render
from nnlab.report.html import esc
from nnlab.widgets import look

WIDGET_VIEW = "application/vnd.jupyter.widget-view+json"
NOTHING: dict[str, Any] = {"text/plain": ""}

# JupyterLab and Notebook 7 show of a widget and its note the one that can be seen: the note, and what is marked to go
# with it, while no widget is drawn (its kernel is gone), and the widget as long as it is. Elsewhere both are shown.
STYLE = """<style>
.jp-OutputArea-child:has(+ .jp-OutputArea-child .nnl-note):not(:has(.nnl)),
.jp-OutputArea-child:has(.nnl) + .jp-OutputArea-child:has(.nnl-note),
.jp-OutputArea-child:has(.nnl) + .jp-OutputArea-child:has(.nnl-note-of-two) + .jp-OutputArea-child{display:none}
</style>"""


class StaticOutput(Protocol):
    """What stays: data by MIME type and its metadata; nnlab.report.bundle.Bundle is one."""

    @property
    def data(self) -> dict[str, Any]: ...

    @property
    def metadata(self) -> dict[str, Any]: ...


class Slot:
    """Outputs of the cell, replaced in place: the widget, a note, and where it is wanted one output more.

    The note is what readers have of a notebook that was saved while the widget was shown: a view of a widget that is
    gone shows nothing.
    """

    def __init__(self) -> None:
        self._places: list[str] = []
        self._root: Widget | None = None
        self._drawings = 0  # how often a page has drawn the widget

    def reserve(self, *lines: str) -> None:
        """Take the places now, for what is put there later: also by another thread, when the cell has returned. lines:
        shown below."""
        for text in ("starting", "", *lines):
            self._put(len(self._places), {"text/plain": text})

    def show(self, root: Widget, note: Sequence[Block], more: StaticOutput | None = None) -> None:
        """Display the widget here. note: see above. more: a picture that belongs to the note."""
        self._root, self._drawings = root, 0
        root._view_count = 0  # a widget manager that draws it counts up, and sends that; it would not count from None
        root.observe(self._counted, "_view_count")
        view = {"version_major": 2, "version_minor": 0, "model_id": root.model_id}
        self._put(0, {WIDGET_VIEW: view, **NOTHING})
        self.note(note, of_two=more is not None)
        if more is not None:
            self._put(2, more.data, more.metadata)

    def note(self, blocks: Sequence[Block], of_two: bool = False) -> None:
        """Say anew what readers have who see no widget. of_two: one output more belongs to it."""
        data = render(blocks)
        kind = "nnl-note nnl-note-of-two" if of_two else "nnl-note"
        data["text/html"] = f'<div class="{kind}">\n{data["text/html"]}\n</div>\n{STYLE}'
        self._put(1, data)

    @property
    def drawn(self) -> bool:
        """Whether a front end has drawn the widget, and could say so."""
        return self._drawings > 0

    def _counted(self, change: Any) -> None:
        self._drawings += (change["new"] or 0) > (change["old"] or 0)

    def replace(self, outputs: Sequence[StaticOutput], otherwise: str) -> None:
        """Put the first output in the widget's place (`otherwise`, a line of text, if there is none), the rest below.

        Then the widgets are closed, whatever happens. A page that was loaded anew since it was shown hears of no
        output any more, only of widgets: for it what stays is also the content of the widget.
        """
        try:
            below = list(outputs)
            for place in range(len(self._places)):
                output = below.pop(0) if below else None
                nothing = {"text/plain": otherwise} if place == 0 else NOTHING
                self._put(place, *(output.data, output.metadata) if output else (nothing, {}))
            for output in below:
                _show(output.data, output.metadata)
        finally:
            self._end(outputs)

    def _end(self, outputs: Sequence[StaticOutput]) -> None:
        root = self._root
        if self._drawings > 1 and isinstance(root, ipywidgets.Box) and outputs:
            models = family(root)
            root.children = [made for output in outputs if (made := _as_widget(output)) is not None]
            kept = family(root)
            for widget in models:
                if widget not in kept:
                    widget.close()
            self._root = None
        self.close_widgets()

    def close_widgets(self) -> None:
        """Close the widget with all that it is made of, so that the kernel keeps no model of it."""
        if self._root is not None:
            for widget in family(self._root):
                widget.close()
            self._root = None

    def _put(self, place: int, data: Mapping[str, Any], metadata: Mapping[str, Any] | None = None) -> None:
        known = place < len(self._places)
        if not known:
            self._places.append(uuid4().hex)
        _show(data, metadata or {}, self._places[place], update=known)


def _show(data: Any, metadata: Any, place: str | None = None, update: bool = False) -> None:
    put = update_display if update else display
    put(data, metadata=metadata, raw=True, display_id=place)  # type: ignore[no-untyped-call]


def _as_widget(output: StaticOutput) -> Any:
    """A widget that shows the same."""
    if "image/png" in output.data:
        png = base64.b64decode(output.data["image/png"])
        width = output.metadata.get("image/png", {}).get("width")
        size = {"width": f"{width}px"} if width else {}
        return ipywidgets.Image(value=png, format="png", layout=Layout(max_width="100%", **size))
    plain = output.data["text/plain"]
    html = output.data.get("text/html") or (f"<pre>{esc(plain)}</pre>" if plain else "")
    made = look.Texts()(html)
    made.add_class("jp-RenderedHTMLCommon")
    return made if html else None


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
