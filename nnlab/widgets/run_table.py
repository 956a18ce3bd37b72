"""The runs of the store as a table that is filtered and sorted by what is typed, with the curves of those chosen."""

from collections.abc import Callable, Sequence
from typing import Any

import ipywidgets
from ipywidgets import HBox, Layout, VBox

from nnlab.core.choosing import OF_ANY, chosen, facts_of, ordered
from nnlab.core.errors import NNLabError
from nnlab.core.metrics import METRICS
from nnlab.core.store.marks import known_tags
from nnlab.core.wording import counted, visible
from nnlab.report.blocks import Block, Code, Sentence
from nnlab.report.bundle import fitting_runs
from nnlab.report.charts import WIDE
from nnlab.report.html import esc
from nnlab.report.runs import overlay, runs_table
from nnlab.widgets import look
from nnlab.widgets.slot import Slot, StaticOutput

NEWEST, ANY = "newest", ""
MOST = 200  # runs in the list; a filter finds the others
ROWS = 12  # that are seen at once
OPEN: list["RunTable"] = []  # at most one: another closes the one before

Bundles = Callable[[Sequence[Any], int, str | None], Sequence[StaticOutput]]


def open_table(runs: Sequence[Any], own: dict[str, Any], loaded: Callable[[Any], Any], bundles: Bundles) -> None:
    """Show the table in the running cell. own: where, tagged, sort and limit to begin with; limited, whether that was
    typed; named, whether the runs are those that were named.

    loaded: gives a run with its history. bundles: what stays of the runs that are shown when the table closes: given
    these, how many they are of, and what they are sorted by.
    """
    while OPEN:
        OPEN[-1].close()
    OPEN.append(RunTable(runs, own, loaded, bundles))


class RunTable:
    """The widget, in a slot of the running cell."""

    def __init__(
        self, runs: Sequence[Any], own: dict[str, Any], loaded: Callable[[Any], Any], bundles: Bundles
    ) -> None:
        self._runs, self._loaded, self._bundles = list(runs), loaded, bundles
        self._limit, self._limited, self._named = own["limit"], own["limited"], own["named"]
        self._most = min(own["limit"], MOST) if own["limited"] and not own["named"] else MOST
        self._shown: list[Any] = []
        self._fitting = 0  # runs of which those that are shown are the first
        self._slot: Slot | None = None  # until it is shown
        text = look.Texts()
        self._said, self._head, self._line = text(), text(), text()
        filters = self._filters(own)
        self._list = ipywidgets.SelectMultiple(
            rows=min(max(len(self._runs), 3), ROWS),
            layout=Layout(width="100%"),
            tooltip="runs; those that are chosen show their curves",
        )
        self._list.add_class("nnl-mono")
        self._curves = ipywidgets.Image(
            format="png", layout=Layout(width="100%", max_width=f"{WIDE}px", display="none")
        )
        self.root = VBox([text(look.CSS), filters, self._said, self._head, self._list, self._curves, self._line])
        self.root.add_class("nnl")
        for widget in (self._where, self._tag, self._sort, self._turned):
            widget.observe(lambda change: self._fill(), "value")
        self._list.observe(lambda change: self._draw(), "value")
        self._fill()
        self._slot = Slot()
        self._slot.show(self.root, self._note())

    def _filters(self, own: dict[str, Any]) -> HBox:
        """What chooses and sorts the runs, and the button that ends the table."""
        self._where = ipywidgets.Text(
            value=own["where"] or "", description="where", placeholder="accuracy>0.9 and optimizer=sgd",
            tooltip="a metric, an option or a state, a sign and a value", continuous_update=False,
            layout=Layout(flex="3 1 260px"),
        )  # fmt: skip
        tags = known_tags(run.path for run in self._runs if run.path is not None)
        tag = own["tagged"] if own["tagged"] in tags else ANY
        self._tag = ipywidgets.Dropdown(
            options=[("any", ANY), *((visible(tag), tag) for tag in tags)], value=tag, description="tag",
            layout=Layout(flex="1 1 150px"),
        )  # fmt: skip
        by = (own["sort"] or NEWEST).removeprefix("-")
        names = sortable(self._runs)
        self._sort = ipywidgets.Dropdown(
            options=names, value=by if by in names else NEWEST, description="sort by", layout=Layout(flex="1 1 190px")
        )
        self._turned = ipywidgets.Checkbox(
            value=(own["sort"] or "").startswith("-"), description="reversed", indent=False,
            layout=Layout(flex="0 1 120px"),
        )  # fmt: skip
        close = ipywidgets.Button(description="Close", icon="times", tooltip="leave the table as it is now")
        close.on_click(lambda button: self.close())
        return HBox(
            [self._where, self._tag, self._sort, self._turned, close], layout=Layout(width="100%", flex_flow="row wrap")
        )

    def _note(self) -> list[Block]:
        """The table as it is filtered and sorted, and its line."""
        said = Sentence("Runs were being looked through here;", "run the cell again to go on. What was listed:")
        return [said, *fitting_runs(self._shown, self._fitting, self._by()), Code("The same as a line", self.line)]

    def close(self) -> None:
        """Put the table as it is filtered, or the curves of the chosen runs, in the widget's place."""
        if self in OPEN and self._slot is not None:
            OPEN.remove(self)
            picked = self._picked()
            bundles = self._bundles(picked or self._shown, 0 if picked else self._fitting, self._by())
            self._slot.replace(bundles, "the table was closed")

    def _picked(self) -> list[Any]:
        """The chosen runs with their histories; of one that cannot be read it is said why."""
        found = []
        for at in self._list.value:
            try:
                found.append(self._loaded(self._shown[at]))
            except NNLabError as error:
                self._said.value = look.notes([str(error)])
        return found

    @property
    def line(self) -> str:
        """The line that lists the same, or overlays the curves of the runs that are chosen."""
        if self._list.value:
            return "%nn_runs " + " ".join(self._shown[at].id for at in self._list.value)
        words = ["%nn_runs", *([run.id for run in self._runs] if self._named else [])]
        for option, value in (("where", self._where.value.strip()), ("tagged", self._tag.value), ("sort", self._by())):
            if value:
                mark = "'" if '"' in value else '"'
                words.append(f"--{option} {value if value.isidentifier() else f'{mark}{value}{mark}'}")
        if not self._named and (self._limited or len(self._shown) > self._limit):
            words.append(f"--limit {self._most}")
        return " ".join(words)

    def _by(self) -> str | None:
        """What `--sort` takes; None for the order that a list has without it."""
        if self._sort.value == NEWEST:
            return "started" if self._turned.value else "-started" if self._named else None
        return f"-{self._sort.value}" if self._turned.value else str(self._sort.value)

    def _fill(self) -> None:
        """The runs that fit, in their order; where the words cannot be read, the list stays and it is said why."""
        try:
            found = chosen(self._runs, self._tag.value or None, self._where.value.strip() or None)
            found = ordered(found, self._by() or "-started")
        except NNLabError as error:
            self._said.value = look.notes([str(error)])
            return
        self._shown, self._fitting = found[: self._most], len(found)
        more = f", the first {self._most} are listed" if len(found) > self._most else ""
        self._said.value = look.notes([f"{len(found):,} of {counted(len(self._runs), 'run')}{more}"])
        head, *rows = runs_table(self._shown, ids=self._named).text().splitlines() if self._shown else [""]
        self._head.value = f'<pre class="nnl-mono">{esc(head)}</pre>'
        self._list.value = ()
        self._list.options = [(row.replace(" ", "\xa0"), at) for at, row in enumerate(rows)]
        self._draw()

    def _draw(self) -> None:
        """The curves of the chosen runs over one another, and the line that does the same."""
        picked = [run for run in self._picked() if len(run.history)]
        self._curves.layout.display = "block" if picked else "none"
        if picked:
            self._curves.value = overlay(picked)
        self._line.value = look.notes([self.line])
        if self._slot is not None:
            self._slot.note(self._note())


def sortable(runs: Sequence[Any]) -> list[str]:
    """What runs can be sorted by: their metrics, then what else differs among them."""
    facts = [facts_of(run) for run in runs]
    names = dict.fromkeys(name for known in facts for name in known)
    measured = [name for name in names if name in METRICS or name == "loss"]
    rest = [name for name in names if name not in measured and name not in ("started", *OF_ANY[:1])]
    differing = [name for name in rest if len({str(known.get(name)) for known in facts}) > 1]
    return [NEWEST, *measured, *differing]
