"""%nn_panel without its widgets: the lines that a panel stands for, how they change, and how they are run."""

from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from nnlab.core.errors import SpecError
from nnlab.magics import subjects
from nnlab.magics.form import VARIABLES, Form, Settled, read_line, settled, with_value
from nnlab.magics.front_end import front_end
from nnlab.magics.lines import to_line
from nnlab.magics.scan import Word
from nnlab.magics.text import Call
from nnlab.report.blocks import Code, Sentence
from nnlab.report.bundle import Bundle, page
from nnlab.report.tables import Table

if TYPE_CHECKING:
    from nnlab.magics import Lab

NO_WIDGETS = "a panel needs a notebook with a front end; the lines work everywhere"
# What the words small and strong stand for; default says nothing, so that nnlab and the data choose.
PRESETS: dict[str, dict[str, str]] = {
    "nn_preprocess": {
        "small": "--scale standard --encode one_hot --indicators off",
        "default": "",
        "strong": "--folds 5 --impute iterative --group_duplicates on",
    },
    "nn_train": {
        "small": "--model mlp --hidden 64 --epochs 15 --patience 5",
        "default": "",
        "strong": "--model realmlp --members 8 --epochs 100 --patience 30",
    },
    "nn_tune": {
        "small": "--trials 10 --epochs 15",
        "default": "",
        "strong": "--trials 100 --finalists 3 --ensemble 10",
    },
}


def show_panel(lab: "Lab", said: Call, own: Mapping[str, Any], names: Mapping[str, Any]) -> None:
    """Open the panel in this cell; where there are no widgets, show its lines."""
    from nnlab.magics.views import show

    board = Board(lab, said.subject, own["preset"])
    if lab.panel is not None and front_end(lab.ip).view == "live":
        lab.panel(lab, board, own["tab"])
    elif not said.muted:
        show(board.bundle(NO_WIDGETS))


class Board:
    """The state behind a panel: one form for each magic. All that its controls and buttons do is done here."""

    def __init__(self, lab: "Lab", subject: Word | None, preset: str = "default") -> None:
        self.lab = lab
        self.forms = {verb: Form(verb, None, {}, name) for verb, name in VARIABLES.items()}
        self._begin(subject)
        for verb in self.forms if preset != "default" else ():
            self.preset(verb, preset)

    @property
    def names(self) -> Mapping[str, Any]:
        """The user's variables."""
        names: Mapping[str, Any] = self.lab.ip.user_ns
        return names

    def _begin(self, subject: Word | None) -> None:
        """The subjects: what was named, else the newest prepared data and table."""
        there = [subjects.visible(self.names, test) for test in (subjects.is_prepared, subjects.is_frame)]
        data, table = [Word(((found[-1], ""),)) if found else None for found in there]
        if subject is not None and subjects.is_prepared(self.names.get(subject.text)):
            data = subject
        elif subject is not None:
            subjects.frame(subject, self.names)
            table, data = subject, None
        if data is not None:
            self._take_preparation(data)
        elif table is not None:
            self.forms["nn_preprocess"] = replace(self.forms["nn_preprocess"], subject=table)
        for verb in ("nn_train", "nn_tune"):
            word = data or Word(((VARIABLES["nn_preprocess"], ""),))
            self.forms[verb] = replace(self.forms[verb], subject=word)

    def _take_preparation(self, data: Word) -> None:
        """The Data tab says how the data was prepared."""
        prepared = self.names[data.text]
        line = to_line("nn_preprocess", str(prepared.source or prepared.name), prepared.spec)
        self.forms["nn_preprocess"] = read_line(self.lab, f"{data.text} = {line}", self.names)

    def state(self, verb: str) -> Settled:
        """The form of a magic with what it leaves open filled in."""
        return settled(self.lab, self.forms[verb], self.names)

    def set(self, verb: str, name: str, raw: Any) -> None:
        """Say a value; SpecError if it cannot be used, and nothing is changed then."""
        self.forms[verb] = with_value(self.lab, self.forms[verb], name, raw, self.names)

    def set_subject(self, verb: str, text: str) -> None:
        """Name another table or other data."""
        word = Word(((text.strip(), ""),)) if text.strip() else None
        self.forms[verb] = replace(self.forms[verb], subject=word)

    def paste(self, text: str) -> str:
        """Let a typed line set its form; gives its magic."""
        form = read_line(self.lab, text, self.names)
        settled(self.lab, form, self.names)
        self.forms[form.verb] = form
        return form.verb

    def preset(self, verb: str, word: str) -> None:
        """Say what a preset says, and nothing else; subject and target stay."""
        preset = read_line(self.lab, f"%{verb} {PRESETS[verb][word]}", self.names)
        self.reset(verb)
        self.forms[verb] = replace(self.forms[verb], options={**self.forms[verb].options, **preset.options})

    def reset(self, verb: str) -> None:
        """Say nothing but the target."""
        kept = {name: value for name, value in self.forms[verb].options.items() if name == "target"}
        self.forms[verb] = replace(self.forms[verb], options=kept)

    def run(self, verb: str) -> Any:
        """Do what the line says, through the magic itself, and put the value into its variable."""
        from nnlab.magics.magics import call

        state = self.state(verb)
        _, _, rest = state.line.partition(f"%{verb}")
        value = call(self.lab, verb, rest.strip(), None, {})
        if value is not None and state.form.variable:
            self.lab.ip.push({state.form.variable: value})
        if verb == "nn_preprocess":
            word = Word(((state.form.variable, ""),))
            for other in ("nn_train", "nn_tune"):
                self.forms[other] = replace(self.forms[other], subject=word)
        return value

    def offered(self, verb: str) -> list[str]:
        """The variables that can be the subject."""
        return subjects.visible(self.names, subjects.is_frame if verb == "nn_preprocess" else subjects.is_prepared)

    def columns(self) -> list[str]:
        """The columns of the table."""
        return subjects.columns(self.forms["nn_preprocess"].subject, self.names)

    def bundle(self, note: str = "") -> Bundle:
        """What stays of the panel: its lines, and a table of what they say."""
        blocks: list[Any] = [Sentence("Panel", f"({note})" if note else "")]
        rows, lines = [], []
        for verb in self.forms:
            try:
                state = self.state(verb)
            except SpecError:
                continue
            lines.append(state.line)
            for name, value in state.form.options.items():
                option = state.known.get(name)
                rows.append((verb.removeprefix("nn_"), name, option.param.show(value) if option else str(value)))
        blocks.append(Code("Lines", "\n".join(lines)))
        if rows:
            blocks.append(Table(("magic", "option", "value"), rows, "Settings", "lll"))
        return page(blocks)
