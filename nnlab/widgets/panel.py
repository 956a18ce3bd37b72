"""%nn_panel: controls made from the declarations, over the line that they stand for."""

import threading
from collections.abc import Callable, Iterable
from typing import Any

import ipywidgets
from ipywidgets import GridBox, HBox, Layout, VBox

from nnlab.core.errors import NNLabError
from nnlab.core.options import Option
from nnlab.core.params import Param
from nnlab.magics.form import Settled
from nnlab.magics.layout import TABS, Group, Placed, Tab, grouped
from nnlab.magics.panel import PRESETS, Board
from nnlab.widgets import look
from nnlab.widgets.controls import control, put, said
from nnlab.widgets.in_cell import InCell
from nnlab.widgets.slot import Slot, family

OPEN: list["Panel"] = []  # at most one: another panel closes the one before


def open_panel(lab: Any, board: Board, tab: str) -> None:
    """Show a panel in the running cell; the one that was open before becomes its static table."""
    close_panels()
    OPEN.append(Panel(lab, board, tab))


def close_panels() -> None:
    """Let every open panel become static."""
    while OPEN:
        OPEN[-1].close()


class Panel:
    """The widgets over a board. Callbacks may come on any thread, one at a time; runs are done in the main thread."""

    def __init__(self, lab: Any, board: Board, tab: str) -> None:
        self._lab, self._board = lab, board
        self._cell, self._slot = InCell(lab.ip), Slot()
        self._lock = threading.RLock()
        self._quiet = self._running = False
        self._more: set[Group] = set()
        self._controls: dict[tuple[str, str], tuple[Param, Any]] = {}
        self._shapes: dict[str, Any] = {}
        self._text = look.Texts()
        self._build()
        self._tabs.selected_index = [known.title for known in TABS].index(tab.capitalize())
        self._draw()
        self._slot.show(self.root)

    def _build(self) -> None:
        self._pages = [VBox() for _ in TABS]
        self._tabs = ipywidgets.Tab(self._pages, titles=[tab.title for tab in TABS])
        self._line = ipywidgets.Textarea(
            description="line",
            tooltip="the line that the panel stands for; paste another one to set the panel",
            rows=2,
            continuous_update=False,
            layout=Layout(width="auto"),
        )
        self._line.add_class("nnl-line")
        self._told = self._text()
        presets = [self._button(word, "", f"settings: {word}", self._preset(word)) for word in PRESETS["nn_train"]]
        self._run = self._button("Train", "play", "do what the line says", self._start)
        self._pause = self._button("Pause", "pause", "hold the run between two steps", self._hold)
        self._stop = self._button("Stop", "stop", "end the run after this step and keep the best epoch", self._end)
        self._stop.add_class("nnl-stop")
        reset = self._button("Reset", "undo", "say nothing: nnlab and the data choose", self._reset)
        close = self._button("Close", "times", "leave the line and the settings as a table", self.close)
        row = Layout(flex_flow="row wrap", width="100%")
        buttons = HBox([self._run, self._pause, self._stop, reset, close], layout=row)
        self.root = VBox([self._text(look.CSS), HBox(presets, layout=row), self._tabs, self._line, buttons, self._told])
        self.root.add_class("nnl")
        self._tabs.observe(lambda _: self._act(lambda: None), "selected_index")
        self._line.observe(lambda change: self._act(lambda: self._paste(change["new"])), "value")

    def _button(self, word: str, icon: str, hint: str, act: Callable[[], None]) -> Any:
        made = ipywidgets.Button(description=word, icon=icon, tooltip=hint, layout=Layout(width="96px"))
        made.on_click(lambda _: self._act(act))
        return made

    @property
    def _tab(self) -> Tab:
        return TABS[self._tabs.selected_index or 0]

    def _act(self, act: Callable[[], None]) -> None:
        """Do what a press asks for and show what then holds; an error is told, and changes nothing."""
        with self._lock:
            if self._quiet:
                return
            told = ""
            try:
                act()
            except NNLabError as error:
                told = str(error)
            if self in OPEN:
                self._draw(told)

    def _draw(self, told: str = "") -> None:
        """Let all widgets say what the board says."""
        self._quiet = True
        try:
            tab = self._tab
            state = self._board.state(tab.verb)
            self._fill(self._pages[self._tabs.selected_index or 0], tab, state)
            self._line.value = state.line
            self._run.description = tab.deed
            self._run.disabled = self._running
            working = self._lab.working
            self._pause.disabled = self._stop.disabled = working is None
            self._pause.description = "Resume" if working is not None and working.paused else "Pause"
            self._told.value = look.notes([told] if told else [])
        finally:
            self._quiet = False

    def _fill(self, page: Any, tab: Tab, state: Settled) -> None:
        """Show the controls that there are; what holds them is made anew only where others are there."""
        groups = list(grouped(tab, state))
        shape = [
            (g.title, g in self._more, [n for n, _ in first], [n for n, _ in others]) for g, first, others in groups
        ]
        controls = [
            self._controls_of(tab, state, first + (others if g in self._more else [])) for g, first, others in groups
        ]
        if self._shapes.get(tab.title) == shape and page.children:
            return
        old = [widget for child in page.children for widget in (child, *getattr(child, "children", ()))]
        page.children = [
            child
            for (g, _, others), made in zip(groups, controls, strict=True)
            for child in self._group(g, made, others)
        ]
        self._shapes[tab.title] = shape
        kept = [made for _, made in self._controls.values()]
        for widget in old:
            if widget not in kept:
                widget.close()

    def _group(self, group: Group, controls: list[Any], others: Placed) -> Iterable[Any]:
        columns = "repeat(auto-fill, minmax(min(300px, 100%), 1fr))"
        yield self._text(look.title(group.title))
        yield GridBox(controls, layout=Layout(grid_template_columns=columns, width="100%"))
        if others:
            word = "fewer" if group in self._more else f"{len(others)} more"
            more = self._button(
                f"{word}: {group.title.lower()}",
                "",
                "show or hide the other settings of this group",
                lambda: self._more.symmetric_difference_update({group}),
            )
            more.layout.width, more.layout.align_self = "auto", "flex-start"
            more.add_class("nnl-more")
            yield more

    def _controls_of(self, tab: Tab, state: Settled, options: Placed) -> list[Any]:
        return [self._control(tab, name, option, state) for name, option in options]

    def _control(self, tab: Tab, name: str, option: Option, state: Settled) -> Any:
        """The control of an option, made anew only where its declaration is another one."""
        value, columns = state.value(option), self._board.columns() if tab.verb == "nn_preprocess" else []
        known, made = self._controls.get((tab.verb, name), (None, None))
        if known != option.param:
            made = control(option.param, value, columns)
            made.style.description_width = "120px"
            made.layout.width = "auto"
            made.observe(lambda _: self._act(lambda: self._said(tab.verb, name)), "value")
            self._controls[tab.verb, name] = (option.param, made)
        else:
            put(option.param, made, value, columns)
        return made

    def _said(self, verb: str, name: str) -> None:
        param, widget = self._controls[verb, name]
        self._board.set(verb, name, said(param, widget))

    def _paste(self, text: str) -> None:
        verb = self._board.paste(text)
        if verb != self._tab.verb:
            self._tabs.selected_index = next(at for at, tab in enumerate(TABS) if tab.verb == verb)

    def _preset(self, word: str) -> Callable[[], None]:
        return lambda: self._board.preset(self._tab.verb, word)

    def _reset(self) -> None:
        self._board.reset(self._tab.verb)

    def _hold(self) -> None:
        if self._lab.working is not None:
            self._lab.working.pause(not self._lab.working.paused)

    def _end(self) -> None:
        if self._lab.working is not None:
            self._lab.working.stop()

    def _start(self) -> None:
        """Order the run; it begins when the kernel is free."""
        verb = self._tab.verb
        self._board.state(verb)
        self._running = True
        self._cell.later(lambda: self._work(verb))

    def _work(self, verb: str) -> None:
        told = ""
        try:
            self._board.run(verb)
        except NNLabError as error:
            told = str(error)
        finally:
            self._running = False
            if self in OPEN:
                with self._lock:
                    self._draw(told)

    def close(self) -> None:
        """Leave the lines and what they say in place of the widgets."""
        if self not in OPEN:
            return
        OPEN.remove(self)
        with self._lock:
            self._quiet = True
            for widget in [made for _, made in self._controls.values()]:
                for part in family(widget):
                    part.close()
            self._slot.replace([self._board.bundle()], "panel")
