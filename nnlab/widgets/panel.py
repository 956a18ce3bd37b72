"""%nn_panel: controls made from the declarations, over the line that they stand for."""

import contextlib
import threading
from collections.abc import Callable, Mapping
from typing import Any

import ipywidgets
from ipywidgets import HBox, Layout, VBox

from nnlab.core.errors import NNLabError
from nnlab.magics.layout import Tab
from nnlab.magics.panel import PRESETS, TRAIN, Board
from nnlab.widgets import look
from nnlab.widgets.in_cell import InCell, Places
from nnlab.widgets.pages import Pages
from nnlab.widgets.slot import Slot

OPEN: list["Panel"] = []  # at most one: another panel closes the one before
WAITS = "starts as soon as the running cell has ended"
NOTE = "(it was open when this was saved; run the cell again to have it)"
NEW_CELL = "The line comes as a new cell below the cell that you run next, where the front end does that; or copy it."


def open_panel(lab: Any, board: Board, own: Mapping[str, Any]) -> None:
    """Show a panel in the running cell; the one that was open before becomes its static table. own: of the magic."""
    close_panels()
    OPEN.append(Panel(lab, board, own))


def close_panels() -> None:
    """Let the open panel become static."""
    while OPEN:
        OPEN[-1].close()


def _words(error: Exception) -> str:
    return str(error) if isinstance(error, NNLabError) else f"{type(error).__name__}: {error}"


class Panel:
    """The widgets over a board. Callbacks may come on any thread, one at a time; runs are done in the main thread."""

    def __init__(self, lab: Any, board: Board, own: Mapping[str, Any]) -> None:
        self._lab, self._board = lab, board
        self._cell, self._slot, self._places = InCell(lab.ip), Slot(), Places()
        self._lock = threading.RLock()
        self._quiet = False
        self._drawn = ""  # the line that was shown last
        self._ordered = ""  # the magic whose line is waiting or running
        self._text = look.Texts()
        self._pages = Pages(board, self._text, self._act, own["sliders"])
        self._build()
        self._tabs.selected_index = [*self._pages.boxes].index(own["tab"].capitalize())
        self._tabs.observe(lambda _: self._act(lambda: None), "selected_index")
        self._line.observe(lambda change: self._act(lambda: self._paste(change["new"])), "value")
        self._draw()
        self._slot.show(self.root, self._board.blocks(NOTE))

    def _build(self) -> None:
        boxes = self._pages.boxes
        self._tabs = ipywidgets.Tab([*boxes.values()], titles=[*boxes])
        self._line = ipywidgets.Textarea(
            description="line",
            tooltip="what the panel stands for; paste another line here to set the panel",
            rows=2,
            continuous_update=False,
            layout=Layout(width="auto"),
        )
        self._line.add_class("nnl-line")
        self._told = self._text()
        presets = [self._button(word, "", f"settings: {word}", self._preset(word)) for word in PRESETS[TRAIN]]
        row = Layout(flex_flow="row wrap", align_items="center")
        self._presets = HBox([self._text(look.title("settings")), *presets], layout=row)
        self._run = self._button("Train", "play", "do what the line says", self._order)
        self._pause = self._button("Pause", "pause", "hold the run between two steps", self._hold)
        self._stop = self._button("Stop", "stop", "end the run after this step and keep the best epoch", self._end)
        self._stop.add_class("nnl-stop")
        reset = self._button("Reset", "undo", "say nothing: nnlab and the data choose", self._reset)
        new = self._button("New cell", "plus", "put the line into a new cell", self._new_cell)
        copy = self._text(look.copier("nnl-line", "copy the line"))
        close = self._button("Close", "times", "leave the line and the settings as a table", self.close)
        buttons = [self._run, self._pause, self._stop, reset, copy, new, close]
        parts = [self._presets, self._tabs, self._line, HBox(buttons, layout=row), self._told]
        self.root = VBox([self._text(look.CSS), *parts])
        self.root.add_class("nnl")
        self.root.add_class("nnl-panel")

    def _button(self, word: str, icon: str, hint: str, act: Callable[[], Any]) -> Any:
        made = ipywidgets.Button(description=word, icon=icon, tooltip=hint, layout=Layout(width="96px"))
        made.on_click(lambda _: self._act(act))
        return made

    @property
    def _tab(self) -> Tab:
        return self._pages.tab([*self._pages.boxes][self._tabs.selected_index or 0])

    def _act(self, act: Callable[[], Any]) -> None:
        """Do what a press asks for and show what then holds; an error is told, and changes nothing."""
        with self._lock:
            if self._quiet or self not in OPEN:
                return
            try:
                told, wrong = act() or "", False
            except Exception as error:
                told, wrong = _words(error), True
            self._draw(told, wrong)

    def _draw(self, told: str = "", wrong: bool = False, pressed: bool = True) -> None:
        """Let all widgets say what the board says. told: a line for the user; wrong: whether it is an error.

        pressed: whether the user asked for it; else a text that is being mended stays in the line's field.
        """
        if self not in OPEN and OPEN:
            return
        self._quiet = True
        try:
            tab = self._tab
            try:
                state = self._board.state(tab.verb)
                self._pages.show(tab, state)
                if not wrong and (pressed or state.line != self._drawn):  # else what was typed stays to be mended
                    if self in OPEN and state.line != self._drawn:
                        self._slot.note(self._board.blocks(NOTE))
                    self._line.value = self._drawn = state.line
            except Exception as error:  # such as a variable that is gone since
                told, wrong = _words(error), True
            for button in self._presets.children[1:]:
                button.disabled = tab.verb not in PRESETS
            self._run.description, self._run.disabled = tab.deed, bool(self._ordered)
            self._pause.disabled = self._stop.disabled = not self._ordered
            working = self._lab.working
            held = working is not None and working.paused
            self._pause.description, self._pause.icon = ("Resume", "play") if held else ("Pause", "pause")
            self._told.value = look.told(told, wrong)
        finally:
            self._quiet = False

    def _paste(self, text: str) -> None:
        self._go_to(self._board.paste(text))

    def _go_to(self, verb: str) -> None:
        """Open the page of a magic, unless it is open."""
        if self._tab.verb != verb:
            self._quiet = True  # what is chosen there is no press
            self._tabs.selected_index = [*self._pages.boxes].index(self._pages.choose(verb))
            self._quiet = False

    def _preset(self, word: str) -> Callable[[], None]:
        return lambda: self._board.preset(self._tab.verb, word)

    def _reset(self) -> None:
        self._board.reset(self._tab.verb)

    def _new_cell(self) -> str:
        self._lab.ip.set_next_input(self._board.state(self._tab.verb).line)
        return NEW_CELL

    def _hold(self) -> None:
        if self._lab.working is not None:
            self._lab.working.pause(not self._lab.working.paused)

    def _end(self) -> None:
        """Stop the run, or take back the order of one that has not begun."""
        if self._lab.working is not None:
            self._lab.working.stop()
        self._ordered = self._ordered if self._lab.working is not None else ""

    def _order(self) -> str:
        """Order the run; it begins when the main thread is free."""
        self._ordered = verb = self._tab.verb
        self._board.state(verb)
        self._cell.later(self._work)
        return WAITS

    def _work(self) -> None:
        """Run the line that was ordered, unless the order was taken back; in the main thread."""
        verb = self._ordered
        if not verb:
            return
        self._tell("")
        told, wrong = "", False
        try:
            options = self._board.forms[verb].options
            later = options.get("background") or options.get("explore")  # changes what it shows after this
            with contextlib.nullcontext() if later else self._places.of(self._lab.ip):
                value = self._board.run(verb)
            variable = self._board.forms[verb].variable
            told = f"{variable} = {value!r}" if variable and value is not None else ""
        except NNLabError as error:
            told, wrong = str(error), True
        finally:
            self._ordered = ""
            self._tell(told, wrong)

    def _tell(self, told: str, wrong: bool = False) -> None:
        with self._lock:
            if self in OPEN:
                self._draw(told, wrong, pressed=False)

    def close(self) -> None:
        """Leave the lines and what they say in place of the widgets."""
        if self not in OPEN:
            return
        OPEN.remove(self)
        with self._lock:
            self._slot.replace([self._board.bundle()], "the panel was closed")
            self._pages.close()
