"""%nn_panel without its widgets: the lines that a panel stands for, how they change, and how they are run."""

from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from nnlab.core.errors import NNLabError, SpecError
from nnlab.magics import subjects
from nnlab.magics.doctor import NAMELESS
from nnlab.magics.form import VARIABLES, Form, Settled, read_line, settled, with_value
from nnlab.magics.front_end import front_end
from nnlab.magics.lines import to_line
from nnlab.magics.scan import Word
from nnlab.magics.text import Call
from nnlab.magics.views import FIELDS, show
from nnlab.report.blocks import Block, Code, Sentence
from nnlab.report.bundle import Bundle, page
from nnlab.report.tables import Table

if TYPE_CHECKING:
    from nnlab.magics import Lab

PREPARE, TRAIN, TUNE, RUNS = "nn_preprocess", "nn_train", "nn_tune", "nn_runs"
NEWEST = 50  # runs that the page Runs offers
# What the words small and strong stand for; default says nothing, so that nnlab and the data choose.
PRESETS: dict[str, dict[str, str]] = {
    PREPARE: {
        "small": "--scale standard --indicators off",
        "default": "",
        "strong": "--folds 5 --impute iterative --group-duplicates on",
    },
    TRAIN: {
        "small": "--model mlp --hidden 64 --epochs 15 --patience 5",
        "default": "",
        "strong": "--model realmlp --members 8 --epochs 100 --patience 30",
    },
    TUNE: {
        "small": "--trials 10 --epochs 15",
        "default": "",
        "strong": "--trials 100 --finalists 3 --ensemble 10",
    },
}


def show_panel(lab: "Lab", said: Call, own: Mapping[str, Any]) -> None:
    """Open the panel in this cell; where there are no widgets, show its lines."""
    board, front = Board(lab, said.subject, own["preset"], fields=not own["sliders"]), front_end(lab.ip)
    if lab.panel is not None and front.widgets:
        lab.panel(lab, board, own)
    elif not said.muted:
        show(board.bundle(f"There is no panel here: {front.why}."))


def _word(text: str) -> tuple[Word, ...]:
    return (Word(((text, ""),)),) if text else ()


class Board:
    """The state behind a panel: one form for each magic. All that its controls and buttons do is done here.

    fields: whether a run shows fields in place of sliders, which its line says, unless another view is said.
    """

    def __init__(self, lab: "Lab", subject: Word | None = None, preset: str = "default", fields: bool = False) -> None:
        self.lab = lab
        self._always = {TRAIN: {"view": FIELDS}} if fields else {}
        self.forms = {verb: Form(verb, (), self._always.get(verb, {}), name) for verb, name in VARIABLES.items()}
        self._begin(subject)
        for verb in PRESETS if preset != "default" else ():
            self.preset(verb, preset)

    @property
    def names(self) -> Mapping[str, Any]:
        """The user's variables."""
        names: Mapping[str, Any] = self.lab.ip.user_ns
        return names

    def _begin(self, subject: Word | None) -> None:
        """The subjects: what was named, else the newest prepared data, else the newest table."""
        data, tables = (subjects.visible(self.names, test) for test in (subjects.is_prepared, subjects.is_frame))
        if subject is not None and not subjects.is_prepared(self.names.get(subject.text)):
            subjects.frame(subject, self.names)
            self._about((PREPARE,), (subject,))
        elif subject is not None or data:
            self._take_preparation(subject.text if subject else data[-1])
        elif tables:
            self._about((PREPARE,), _word(tables[-1]))
        self._about((TRAIN, TUNE), _word(self.forms[PREPARE].variable))

    def _about(self, verbs: Iterable[str], words: tuple[Word, ...]) -> None:
        for verb in verbs:
            self.forms[verb] = replace(self.forms[verb], words=words)

    def _take_preparation(self, name: str) -> None:
        """The page Data says how the data was prepared."""
        data, tables = self.names[name], subjects.visible(self.names, subjects.is_frame)
        table = str(data.source or data.name)
        if table in NAMELESS:  # it was made in Python
            table = tables[-1] if tables else "df"
        line = to_line(PREPARE, table, data.spec)
        self.forms[PREPARE] = read_line(self.lab, f"{name} = {line}", self.names)

    def state(self, verb: str) -> Settled:
        """The form of a magic with what it leaves open filled in."""
        return settled(self.lab, self.forms[verb], self.names)

    def set(self, verb: str, name: str, raw: Any) -> None:
        """Say a value; SpecError if it cannot be used, and nothing is changed then."""
        self.forms[verb] = with_value(self.lab, self.forms[verb], name, raw, self.names)

    def name_subjects(self, verb: str, texts: Iterable[str]) -> None:
        """Say what the line is about: a table, data, or runs."""
        self._about((verb,), tuple(word for text in texts for word in _word(text.strip())))

    def paste(self, text: str) -> str:
        """Let a typed line set its form; gives its magic. SpecError as the magic would say it."""
        form = read_line(self.lab, text, self.names)
        form = replace(form, options={**self._always.get(form.verb, {}), **form.options})
        settled(self.lab, form, self.names)
        self.forms[form.verb] = form
        return form.verb

    def preset(self, verb: str, word: str) -> None:
        """Say what a preset says, and nothing else; subject and target stay."""
        preset = read_line(self.lab, f"%{verb} {PRESETS[verb][word]}", self.names)
        self.reset(verb)
        self.forms[verb] = replace(self.forms[verb], options={**self.forms[verb].options, **preset.options})

    def reset(self, verb: str) -> None:
        """Say nothing but the target, and what is said always."""
        kept = {name: value for name, value in self.forms[verb].options.items() if name == "target"}
        self.forms[verb] = replace(self.forms[verb], options=kept | self._always.get(verb, {}))

    def run(self, verb: str) -> Any:
        """Do what the line says, through the magic itself, and put the value into its variable."""
        from nnlab.magics.magics import call

        state = self.state(verb)
        value = call(self.lab, verb, state.line.partition(f"%{verb}")[2].strip(), None, {})
        variable = state.form.variable
        if value is not None and variable:
            self.lab.ip.push({variable: value})
        if verb == PREPARE and variable:
            self._about((TRAIN, TUNE), _word(variable))
        return value

    def offered(self, verb: str) -> list[str]:
        """The variables that the line can be about."""
        return subjects.visible(self.names, subjects.is_frame if verb == PREPARE else subjects.is_prepared)

    def runs(self) -> list[tuple[str, str]]:
        """The newest runs of the store: in words, and the id."""
        from nnlab.core.metrics import main_metric
        from nnlab.core.store.runs import Store
        from nnlab.report.tables import number

        found = []
        for run in Store().runs()[:NEWEST]:
            metric = main_metric(run.metrics, run.monitor)
            value = f"{metric} {number(run.metrics[metric])}" if metric else run.state
            found.append(("  ".join(word for word in (run.name, run.id, value) if word), run.id))
        return found

    def take_settings(self, run: str) -> None:
        """Let the line of a stored run set its form."""
        from nnlab.core.store.runs import Store

        info = Store().find(run)
        if not info.line:
            raise SpecError(f"run {run} was made in Python; it has no line")
        self.paste(info.line)

    def columns(self) -> list[str]:
        """The columns of the table."""
        return subjects.columns(self.forms[PREPARE].call.subject, self.names)

    def bundle(self, note: str = "") -> Bundle:
        """What stays of the panel: its lines, and a table of what they say."""
        return page(self.blocks(note))

    def blocks(self, note: str = "") -> list[Block]:
        """The same in its parts."""
        rows, lines = [], []
        for verb in PRESETS:
            try:
                state = self.state(verb)
            except NNLabError:  # a line whose variables are gone
                continue
            lines.append(state.line)
            for name, value in state.form.options.items():
                option = state.known.get(name)
                rows.append((f"%{verb}", name, option.param.show(value) if option else str(value)))
        strong = "What the panel says" if rows else "The panel says nothing:"
        rest = note if rows else f"nnlab and the data choose. {note}"
        table = [Table(("magic", "option", "value"), rows, align="lll")] if rows else []
        return [Sentence(strong, rest), Code("Lines", "\n".join(lines)), *table]
