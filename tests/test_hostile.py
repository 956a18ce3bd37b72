"""Hostile texts on every surface: whatever a table, a file or a person names, it is shown verbatim and does nothing."""

import copy
import io
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import ipywidgets
import numpy as np
import pandas as pd
import pytest
from nbconvert.filters import markdown2html
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output

import nnlab
from nnlab.core.controls import Controls
from nnlab.core.evaluated.asking import evaluate
from nnlab.core.events import Changed, EpochDone, Event, Looked, Started, StudyStarted, TrialDone, Warned
from nnlab.core.options import resolve
from nnlab.core.playground import Layer, ground_of
from nnlab.core.registry import Part
from nnlab.core.spec import TrainSpec, TuneSpec
from nnlab.core.store.marks import mark
from nnlab.magics import Lab
from nnlab.magics.config import NNLab
from nnlab.magics.layout import TABS
from nnlab.magics.panel import PREPARE, TRAIN, Board
from nnlab.magics.plain import TextView
from nnlab.magics.scan import Word
from nnlab.report.blocks import render
from nnlab.report.bundle import Bundle, prepared_bundles, run_bundles, runs_bundles
from nnlab.report.difference import difference_bundles
from nnlab.report.document import document_of
from nnlab.report.html import visible
from nnlab.report.page import page_of
from nnlab.widgets import look
from nnlab.widgets.explorer import Explorer
from nnlab.widgets.pages import Pages
from nnlab.widgets.playground import PlaygroundView
from nnlab.widgets.run_table import RunTable
from nnlab.widgets.slot import family
from nnlab.widgets.study import StudyPanel
from nnlab.widgets.training import TrainPanel
from tests.report.reader import Reader
from tests.report.standins import RunStandIn

PAYLOADS = (
    "<script>hit(1)</script>",
    "<img src=x onerror=hit(2)>",
    "'\"><svg onload=hit(3)>",
    "</td></table><script>hit(4)</script>",
    "</script><script>hit(5)</script>",
    "<iframe srcdoc='<script>parent.hit(6)</script>'>",
    "<a href=javascript:hit(7)>here</a>",
    "<!--><img src=x onerror=hit(8)>-->",
    "<noscript><p title='</noscript><img src=x onerror=hit(9)>'>",
    "<math><style><img src=x onerror=hit(10)></style></math>",
    "<details open ontoggle=hit(11)>",
    "&lt;img src=x onerror=hit(12)&gt; &#60;b&#62;",
    "[here](javascript:hit(13))",
    "![x](x\" onerror=\"hit(14))",
    "<javascript:hit(15)>",
    "a|b`c`|**d** _e_ ~~f~~",
    "# no heading > no quote - no list",
    "```html",
    r"$\href{javascript:hit(18)}{x}$ \(y\) $$z$$",
    r"\unicode{0} \ and \\ and \[q\]",
    "{{ 7*7 }} {% raw %} {hit} ${hit(20)} $HOME",
    "\x1b[31mred\x1b[0m\x07",
    "\u202eoverride\u2066",
    "line\nbreak\ttab",
    "<style>*{display:none}</style>",
)  # fmt: skip
TAGS = {"table", "thead", "tbody", "tr", "th", "td", "p", "b", "code", "pre", "h1", "h2", "h3", "h4", "div", "span"}
TAGS |= {"br", "nobr", "wbr", "i", "small", "img", "a", "nav", "ul", "li", "section", "main", "strong", "em", "details"}
FRAME = {"html", "head", "meta", "title", "style", "body", "summary", "link", "input", "label"}  # of whole pages
SAFE = {"align", "class", "id", "href", "src", "alt", "width", "height", "style", "role", "charset", "content", "name"}
SAFE |= {"lang", "http-equiv", "colspan", "rowspan", "open", "dir", "tabindex"}


@dataclass(frozen=True)
class Shown:
    """What one surface shows; kind: html (of a cell), page, markdown, text, or label of a widget."""

    kind: str
    source: str


class Page(Reader):
    """What a reader reads, and where links and pictures lead."""

    def __init__(self, source: str) -> None:
        self.targets: list[str] = []
        super().__init__(re.sub(r"<style>[^<]*</style>", "", source))

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        super().handle_starttag(tag, attributes)
        self.targets += [str(value) for name, value in attributes if name in ("href", "src")]


@dataclass(frozen=True)
class Made:
    """Tables and runs whose every name is a payload."""

    data: nnlab.Prepared
    run: nnlab.Run
    plain: nnlab.Run
    folder: Path


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Made:
    draw = np.random.default_rng(0)
    rows = 8 * len(PAYLOADS)
    frame = pd.DataFrame({name: draw.normal(size=rows) for name in PAYLOADS})
    frame["level"] = np.resize(PAYLOADS, rows)
    frame["kind"] = np.where(frame[PAYLOADS[0]] > 0, "yes", "no")
    data = nnlab.prepare(frame, "kind")
    options = {"model": "linear", "epochs": 1, "baseline": False, "store": tmp_path_factory.mktemp("store")}
    run = nnlab.fit(data, **options)
    plain = nnlab.fit(nnlab.prepare(frame[["level", "kind"]], "kind"), **options)
    return Made(data, run, plain, tmp_path_factory.mktemp("marks"))


def of_bundles(*bundles: Bundle) -> Iterator[Shown]:
    for bundle in bundles:
        for mime in ("text/html", "text/markdown", "text/plain"):
            if mime in bundle.data and "image/png" not in bundle.data:
                yield Shown(mime.rpartition("/")[2].replace("plain", "text"), bundle.data[mime])


def columns(made: Made) -> Iterator[Shown]:
    return of_bundles(*prepared_bundles(made.data))


def levels(made: Made) -> Iterator[Shown]:
    for level in PAYLOADS:
        frame = pd.DataFrame({"level": [level, "other"] * 20, "kind": ["yes", "yes", "no", "no"] * 10})
        report = nnlab.prepare(frame, "kind").report("level")
        yield from (Shown("html", report.html), Shown("markdown", report.markdown), Shown("text", report.text))


def classes(made: Made) -> Iterator[Shown]:
    for at in range(0, len(PAYLOADS), 5):
        yield from of_bundles(*run_bundles(RunStandIn(classes=PAYLOADS[at : at + 5])))


def options(made: Made) -> Iterator[Shown]:
    """The line that made a run, its code and its warnings."""
    for text in PAYLOADS:
        yield from of_bundles(*run_bundles(_bare(warnings=[text]), f"%nn_train data --name {text}"))


def names(made: Made) -> Iterator[Shown]:
    return of_bundles(*runs_bundles([_bare(name=text) for text in PAYLOADS]))


def marks(made: Made) -> Iterator[Shown]:
    runs = []
    for at, text in enumerate(PAYLOADS):
        folder = made.folder / f"{at:02}"
        folder.mkdir(exist_ok=True)
        mark(folder, tag=text if text.isprintable() and len(text) <= 40 else "tag", note=text)
        runs.append(_bare(path=folder))
    return of_bundles(*runs_bundles(runs))


def errors(made: Made) -> Iterator[Shown]:
    """What is typed as an option, and as the name of a file."""
    for text in PAYLOADS:
        with pytest.raises(nnlab.SpecError) as wrong:
            resolve(TrainSpec, {"optimizer": text})
        with pytest.raises(nnlab.NNLabError) as missing:
            nnlab.prepare(text + ".csv", "y")
        for kind, error in (("option", wrong.value), ("file", missing.value)):
            yield Shown(kind, "\n".join(error._render_traceback_()))


def files(made: Made) -> Iterator[Shown]:
    """A report as a file: its title, and the runs and tables that it names."""
    for text in PAYLOADS:
        run = replace(made.run, facts=replace(made.run.facts, name=text))
        document = document_of([run], text)
        yield Shown("page", document.html())
        yield Shown("markdown", document.markdown("pictures")[0])


def studies(made: Made) -> Iterator[Shown]:
    study = nnlab.tune(made.data, trials=1, space=("lr=1e-3..1e-1 log",), model="linear", epochs=1, store=False)
    for text in PAYLOADS:
        named = copy.copy(study)
        named.name = text
        yield Shown("page", document_of([named]).html())


def differences(made: Made) -> Iterator[Shown]:
    return of_bundles(*difference_bundles(nnlab.diff(made.run, made.plain)))


def panel(made: Made) -> Iterator[Shown]:
    """The live view: metrics, warnings, changed values."""
    for text in PAYLOADS:
        view = TrainPanel(_started(text), Controls(), True)
        for event in _events(text):
            view.take(event)
        view.root  # noqa: B018 (it is made when it is asked for)
        view.draw()
        yield Shown("html", "".join(str(widget.value) for widget in (view._head, view._below)))


def searching(made: Made) -> Iterator[Shown]:
    """The live view of a study: its metric, values of trials, and why they failed."""
    for text in PAYLOADS:
        view = StudyPanel(StudyStarted("s", TuneSpec(trials=8), 0, {"lr": "1..2"}, text, False), Controls(), True)
        for event in (Warned(text), TrialDone(0, {"lr": text}, "failed", 0.5, 1, 0.1, True, text)):
            view.take(event)
        view.draw()
        yield from of_widgets(view.root)


def panels(made: Made) -> Iterator[Shown]:
    """%nn_panel: names of columns to choose from, of the data, and what stays of it."""
    lab: Any = Lab(SimpleNamespace(user_ns={"data": made.data}), None, NNLab())
    board = Board(lab, Word((("data", ""),)))
    pages = Pages(board, look.Texts(), lambda work: None, True)
    for text in PAYLOADS:
        if text.strip() and board.set("nn_train", "name", text) is None:
            yield from of_bundles(board.bundle(text))
    for verb in (PREPARE, TRAIN):
        pages.show(next(tab for tab in TABS if tab.verb == verb), board.state(verb))
    yield from (one for box in pages.boxes.values() for one in of_widgets(box))


def run_table(made: Made) -> Iterator[Shown]:
    """%nn_runs --explore: the list, what a filter says that cannot be read, and what is left."""
    own = {"where": None, "tagged": None, "sort": None, "limit": 20, "limited": False, "named": False}
    table = RunTable([_bare(name=text) for text in PAYLOADS], own, lambda run: run, runs_bundles)
    yield from of_widgets(table.root)
    for text in PAYLOADS:
        table._where.value = text
        yield from of_widgets(table.root)
    yield Shown("html", render(table._note())["text/html"])


def explorer(made: Made) -> Iterator[Shown]:
    """%nn_evaluate --explore: the rows of a press, with what was pressed."""
    opened = Explorer(evaluate(made.run, made.data), None, [], True)
    for text in PAYLOADS:
        opened._show(pd.DataFrame({text: [text]}, index=[text]), text)
        yield from of_widgets(opened.root)


def playground(made: Made) -> Iterator[Shown]:
    """The features that a network is looked at over, the target, its classes and its layers."""
    for text in PAYLOADS:
        frame = pd.DataFrame({text: np.arange(40.0), "kind": [text, "other"] * 20})
        data = nnlab.prepare(frame.rename(columns={"kind": f"{text} "}), f"{text} ")
        ground = ground_of(data, [data.feature_names[0]], Part("cross_entropy"))
        view = PlaygroundView(ground, Controls(), look.Texts())
        layers = [Layer(text, (1, 2), 0.0, 1.0)]
        view.take(Looked(np.full((len(ground.x), 2), 0.5), layers))
        yield from of_widgets(view.root)


def of_widgets(root: Any) -> Iterator[Shown]:
    """What a page makes of widgets: HTML of some, plain text of the labels of others."""
    for widget in family(root):
        if isinstance(widget, ipywidgets.HTML) and widget.value != look.CSS:
            yield Shown("html", widget.value)
        elif isinstance(widget, ipywidgets.widget_selection._Selection):
            yield Shown("label", " ".join(map(str, widget._options_labels)))


def terminal(made: Made) -> Iterator[Shown]:
    for text in PAYLOADS:
        out = io.StringIO()
        view = TextView(lambda bundle: None, out)
        for event in (_started(text), *_events(text)):
            view(event)
        yield Shown("terminal", out.getvalue())


def notebooks(made: Made) -> Iterator[Shown]:
    """A notebook by the template `nnlab`: title, code, heading, printed text."""
    for text in PAYLOADS:
        text = visible(text)  # of what users print themselves, colours are kept
        outputs = [new_output("stream", name="stdout", text=text), new_output("display_data", {"text/plain": text})]
        cells = [new_markdown_cell("# Report"), new_code_cell(f"print({text!r})", outputs=outputs)]
        yield Shown("page", page_of(new_notebook(cells=cells, metadata={"title": text}), "name"))


def _bare(**facts: Any) -> RunStandIn:
    """A run without a picture, which takes its time to be drawn."""
    return RunStandIn(history=pd.DataFrame(), best_epoch=None, **facts)


def _started(text: str) -> Started:
    return Started(TrainSpec(epochs=9), "binary", 100, 10, 9, "cpu", "module", (text,), "loss", False)


def _events(text: str) -> tuple[Event, ...]:
    epoch = EpochDone(1, {"loss": 0.5}, {"loss": 0.5, text: 0.5}, 0.1, 0.1, 100.0, True)
    return epoch, Changed(1, 1, text, 0.1, 0.2), Warned(text)


SURFACES: tuple[Callable[[Made], Iterator[Shown]], ...] = (
    columns, levels, classes, options, names, marks, errors, files, studies, differences, panel, searching, panels,
    run_table, explorer, playground, terminal, notebooks
)  # fmt: skip


@pytest.mark.parametrize("surface", SURFACES, ids=lambda surface: surface.__name__)
def test_every_text_is_shown_and_none_acts(surface: Callable[[Made], Iterator[Shown]], made: Made) -> None:
    assert len(PAYLOADS) == 25 and len(SURFACES) >= 12
    seen: dict[str, str] = {}
    for shown in surface(made):
        text = shown.source
        if shown.kind in ("html", "page", "markdown"):
            read = Page(markdown2html(text) if shown.kind == "markdown" else text)
            assert read.tags <= TAGS | (FRAME if shown.kind == "page" else set()), read.tags
            assert not {name for name in read.attributes - SAFE if not name.startswith(("aria-", "data-"))}
            assert all(target.startswith(("#", "data:image/png;", "pictures/")) for target in read.targets), (
                read.targets
            )
            text = read.text
        assert not re.search("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f\u202e\u2066]", text)
        kind = "html" if shown.kind == "label" else shown.kind  # of one widget or another
        seen[kind] = seen.get(kind, "") + squeezed(text)
    for kind, text in seen.items():
        lost = [payload for payload in PAYLOADS if not any(form in text for form in forms(kind, payload))]
        assert not lost, f"{surface.__name__} as {kind}"


def forms(kind: str, payload: str) -> list[str]:
    """How a payload may be shown verbatim: an error names a file as Python writes a string."""
    if kind == "terminal":
        return [squeezed("".join(char if char.isprintable() else "?" for char in payload))]
    return [squeezed(visible(payload))] + [squeezed(repr(payload)[1:-1])] * (kind == "file")


def squeezed(text: str) -> str:
    """Text without blanks: lines are broken differently everywhere."""
    return "".join(text.split())
