"""The pages of the panel: a control for each option, in groups, over the forms of a board."""

from collections.abc import Callable
from typing import Any

import ipywidgets
from ipywidgets import GridBox, HBox, Layout, VBox

from nnlab.core.params import Param
from nnlab.magics.form import Settled
from nnlab.magics.layout import RUNS, TABS, Group, Tab, grouped
from nnlab.magics.panel import Board
from nnlab.widgets import look
from nnlab.widgets.controls import become, can_show, control, put, said
from nnlab.widgets.slot import family

COLUMNS = "repeat(auto-fill, minmax(min(290px, 100%), 1fr))"
LABEL = "130px"  # of the column of names
Act = Callable[[Callable[[], None]], None]  # does what a press asks for, under the panel's lock, and shows what holds


class Pages:
    """One box for each tab. act: what every press goes through; sliders: whether numbers are sliders."""

    def __init__(self, board: Board, text: look.Texts, act: Act, sliders: bool) -> None:
        self._board, self._text, self._act, self._sliders = board, text, act, sliders
        self.boxes = {tab.title: VBox() for tab in (*TABS, RUNS[0])}
        self._heads = {tab.title: self._head(tab) for tab in TABS}
        self._heads[RUNS[0].title] = self._runs_head()
        self._controls: dict[tuple[str, str], tuple[Param, Any]] = {}
        self._gone: list[Any] = []  # controls that others replaced; closed once no box holds them
        self._sections: dict[tuple[str, Group], Section] = {}

    def tab(self, title: str) -> Tab:
        """The page of a title, which for the runs is the one of the deed that is chosen there."""
        return next((tab for tab in TABS if tab.title == title), next(t for t in RUNS if t.verb == self._deed.value))

    def choose(self, verb: str) -> str:
        """The title of the page that shows a magic's line."""
        if any(tab.verb == verb for tab in RUNS):
            self._deed.value = verb
        return next(tab.title for tab in (*TABS[::-1], *RUNS) if tab.verb == verb)

    def show(self, tab: Tab, state: Settled) -> None:
        """Let the page say what the state says. What is there already stays: the focus must not be lost."""
        self._show_head(tab, state)
        sections = []
        for group, first, others in grouped(tab, state):
            section = self._sections.get((tab.verb, group)) or self._section(tab, group)
            opened = section.opened or not group.first
            here, behind = (
                [self._control(tab, *one, state) for one in placed] for placed in (first, others if opened else [])
            )
            section.show(here, behind, len(others) if group.first else 0)
            sections.append(section.root)
        _hold(self.boxes[tab.title], [self._heads[tab.title], *sections])
        for widget in [part for made in self._gone for part in family(made)]:
            widget.close()
        self._gone.clear()

    def _section(self, tab: Tab, group: Group) -> "Section":
        made = Section(group.title, self._text)
        made.more.on_click(lambda _: self._act(made.toggle))
        self._sections[tab.verb, group] = made
        return made

    def close(self) -> None:
        """Close every control, also those that are on no page now."""
        controls = (made for _, made in self._controls.values())
        sections = (section.root for section in self._sections.values())
        for root in (*self.boxes.values(), *self._heads.values(), *sections, *controls):
            for widget in family(root):
                widget.close()

    def _control(self, tab: Tab, name: str, option: Any, state: Settled) -> Any:
        """The control of an option, made anew only where it must be of another kind: the focus must not be lost."""
        value, columns = state.value(option), self._board.columns() if tab.verb == "nn_preprocess" else []
        known, made = self._controls.get((tab.verb, name), (None, None))
        if known != option.param or not can_show(option.param, made, value):
            new = control(option.param, value, columns, self._sliders)
            if type(new) is type(made):  # such as a step size that goes between other ends in another network
                become(made, new)
                self._gone.append(new)
            else:
                self._gone += [made] if made is not None else []
                made = new
                _style(made)
                made.observe(lambda _: self._act(lambda: self._say(tab.verb, name)), "value")
            self._controls[tab.verb, name] = (option.param, made)
        put(option.param, made, value, columns)
        return made

    def _say(self, verb: str, name: str) -> None:
        param, widget = self._controls[verb, name]
        self._board.set(verb, name, said(param, widget))

    def _head(self, tab: Tab) -> Any:
        """What the line is about: a variable, which a field offers."""
        field = ipywidgets.Combobox(
            description=tab.subject, tooltip=f"the variable with the {tab.subject}", continuous_update=False
        )
        _style(field)
        field.observe(lambda change: self._act(lambda: self._board.name_subjects(tab.verb, [change["new"]])), "value")
        return GridBox([field], layout=Layout(grid_template_columns=COLUMNS, width="100%"))

    def _runs_head(self) -> Any:
        """What to do, and the runs to do it with."""
        self._deed = ipywidgets.Dropdown(description="do", options=[(tab.deed.lower(), tab.verb) for tab in RUNS])
        self._runs = ipywidgets.SelectMultiple(description="runs", rows=6, tooltip="runs of the store, newest first")
        take = ipywidgets.Button(
            description="Take settings", tooltip="set the page Train as the first of these runs was"
        )
        _style(self._deed, self._runs)
        self._deed.observe(lambda _: self._act(self._name_runs), "value")
        self._runs.observe(lambda _: self._act(self._name_runs), "value")
        take.on_click(lambda _: self._act(self._take))
        chosen = HBox([self._deed, take], layout=Layout(flex_flow="row wrap"))
        return VBox([chosen, self._runs])

    def _name_runs(self) -> None:
        self._board.name_subjects(self._deed.value, self._runs.value)

    def _take(self) -> None:
        for run in self._runs.value[:1]:
            self._board.take_settings(run)

    def _show_head(self, tab: Tab, state: Settled) -> None:
        words = [word.text for word in state.form.words]
        if tab in RUNS:
            known = self._board.runs()
            offered = [*known, *((word, word) for word in words if word not in dict(known).values())]
            if list(self._runs.options) != offered:
                self._runs.options = offered
            self._runs.value = words
            return
        field = self._heads[tab.title].children[0]
        field.options, field.value = self._board.offered(tab.verb), " ".join(words)


class Section:
    """A group on its page: its first controls, a button, and behind it the others."""

    def __init__(self, title: str, text: look.Texts) -> None:
        self.opened = False
        self._title = title.lower()
        self._first, self._others = (GridBox(layout=Layout(grid_template_columns=COLUMNS, width="100%")) for _ in "12")
        layout = Layout(width="auto", align_self="flex-start")
        self.more = ipywidgets.Button(tooltip="show or hide the other settings of this group", layout=layout)
        self.more.add_class("nnl-more")
        self.root = VBox([text(look.title(title)), self._first, self.more, self._others])

    def toggle(self) -> None:
        """Show or hide the others."""
        self.opened = not self.opened

    def show(self, first: list[Any], others: list[Any], hidden: int) -> None:
        """Hold these controls. hidden: how many there are behind the button; 0: no button."""
        _hold(self._first, first)
        _hold(self._others, others)
        self.more.description = f"{'fewer' if self.opened else f'{hidden} more'}: {self._title}"
        self.more.layout.display = None if hidden else "none"


def _hold(box: Any, children: list[Any]) -> None:
    """Let the box hold these, if it does not."""
    if list(box.children) != children:
        box.children = children


def _style(*widgets: Any) -> None:
    for widget in widgets:
        widget.style.description_width, widget.layout.width = LABEL, "auto"
        if isinstance(widget, ipywidgets.Checkbox):
            widget.indent = True
