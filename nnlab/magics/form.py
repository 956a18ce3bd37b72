"""What one line of a magic says, as values that controls can hold: line -> form -> line, and nothing is lost."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, fields, replace
from typing import TYPE_CHECKING, Any

from nnlab.core.errors import NNLabError, SpecError
from nnlab.core.options import Option, is_override, options_of, resolve
from nnlab.core.recipe import asks_for_lr, recipe_for
from nnlab.core.registry import Part
from nnlab.core.spec import PrepareSpec, TuneSpec
from nnlab.magics import subjects
from nnlab.magics.lines import subject_text, words_of
from nnlab.magics.scan import Word, value_of
from nnlab.magics.text import Call, no_option, parse
from nnlab.magics.verbs import VERBS, default_of, options_for

if TYPE_CHECKING:
    from nnlab.magics import Lab

Names = Mapping[str, Any]
LINE = re.compile(r"\s*(?:([^\W\d]\w*)\s*=\s*)?(%{1,2})(nn_\w+)[^\S\n]*([^\n]*)\n?(.*)", re.DOTALL)
# The magics whose lines a panel can show, and the variable that takes the value of a line.
VARIABLES = {
    "nn_preprocess": "data",
    "nn_train": "run",
    "nn_tune": "study",
    "nn_runs": "",
    "nn_diff": "",
    "nn_load": "run",
    "nn_evaluate": "",
    "nn_diagnose": "",
    "nn_report": "",
}


@dataclass(frozen=True)
class Form:
    """A line: its magic, the variable that takes its value, its subjects, and what it says, as checked values.

    options: by full name (optimizer.lr, epochs); a part by its name.
    """

    verb: str
    words: tuple[Word, ...] = ()
    options: Mapping[str, Any] = field(default_factory=dict)
    variable: str = ""

    @property
    def call(self) -> Call:
        """The form as a magic takes it."""
        return Call(VERBS[self.verb], self.words, dict(self.options))


@dataclass(frozen=True)
class Settled:
    """A form with what it leaves open filled in.

    known: the options that there are; values: of the specs' fields and of the magic's own options.
    """

    form: Form
    known: Mapping[str, Option]
    values: Mapping[str, Any]

    def each(self) -> Iterator[tuple[str, Option]]:
        """The options that the choice of parts gives, each once, by full name; none of parts that are left open."""
        for name, option in self.known.items():
            open_part = option.part and self.values[option.field] is None
            if name == full_name(option) and not open_part:
                yield name, option

    def value(self, option: Option) -> Any:
        """What an option is: said, by the user's defaults, by the data, or as declared. A part is its name."""
        if full_name(option) in self.form.options:
            return self.form.options[full_name(option)]
        held = self.values[option.field or option.name]
        if option.part is None:
            return getattr(held, "name", held)
        if held is None:
            return option.param.default
        if isinstance(held, tuple):
            part = next((part for part in held if part.name == option.part), None)
            return default_of(option) if part is None else part.values.get(option.value, option.param.default)
        return held.values.get(option.name, option.param.default)

    @property
    def line(self) -> str:
        """The line that says all that the form says."""
        subjects = map(subject_text, self.form.words)
        words = [f"%{self.form.verb}", *subjects, *words_of(self.form.options, self.known)]
        return " ".join([f"{self.form.variable} =", *words] if self.form.variable else words)


def full_name(option: Option) -> str:
    """optimizer.lr for lr: the name that means the same whichever parts are chosen."""
    return f"{option.field}.{option.name}" if option.part else option.name


def settled(lab: "Lab", form: Form, names: Names) -> Settled:
    """The form with its open values as its magic would fill them in; SpecError as the magic would say it."""
    trains = form.verb in ("nn_train", "nn_tune")
    values = _run_values(lab, form, names) if trains else _values(lab, form)
    known = options_for(VERBS[form.verb], {name: value for name, value in values.items() if value is not None})
    return Settled(form, known, values)


def _values(lab: "Lab", form: Form) -> dict[str, Any]:
    from nnlab.magics.magics import settle

    options, own = settle(lab, form.call)
    return (_fields(resolve(PrepareSpec, options)) if form.verb == "nn_preprocess" else {}) | own


def _run_values(lab: "Lab", form: Form, names: Names) -> dict[str, Any]:
    from nnlab.magics.magics import ordered, train_spec

    order = ordered(lab, form.call, names)
    options = {name: value for name, value in order.options.items() if not asks_for_lr(name, value)}
    values = dict(order.own)
    if form.verb == "nn_tune":
        searching = options_of(TuneSpec, options)
        values |= _fields(resolve(TuneSpec, {name: options.pop(name) for name in list(options) if name in searching}))
    data = _data(form, names)
    chosen = None if data is None or order.base or order.own_network else recipe_for(data, options)
    spec = _fields(train_spec(options, order.base or chosen, order.own_network))
    return {name: value for name, value in spec.items() if name not in values} | values


def _data(form: Form, names: Names) -> Any:
    """The prepared data that the form names; None where there is none, which its magic will say."""
    try:
        return subjects.prepared(form.call.subject, names, form.verb)
    except NNLabError:
        return None


def _fields(spec: Any) -> dict[str, Any]:
    return {f.name: getattr(spec, f.name) for f in fields(spec)}


def with_value(lab: "Lab", form: Form, name: str, raw: Any, names: Names) -> Form:
    """The form with one option said anew; not said where the value is the one that it has unsaid."""
    without = replace(form, options={key: value for key, value in form.options.items() if key != name})
    try:
        before = settled(lab, without, names)
    except SpecError:  # a part is said anew of which values are said, that another one may not have
        before = settled(lab, replace(form, options=_choices(without.options)), names)
    option = before.known.get(name) or settled(lab, form, names).known[name]
    value = _checked(option, raw)
    if name in before.known and before.value(option) == value:
        return _fitting(lab, without, {}, names)
    return _fitting(lab, form, {name: value}, names)


def _fitting(lab: "Lab", form: Form, said: Mapping[str, Any], names: Names) -> Form:
    """The form with what is said now, without what then belongs to parts that are no longer chosen."""
    known = settled(lab, replace(form, options={**_choices(form.options), **said}), names).known
    options = {**form.options, **said}
    kept = {name: value for name, value in options.items() if name in known or is_override(name, value)}
    fitting = replace(form, options=kept)
    settled(lab, fitting, names)
    return fitting


def _choices(options: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in options.items() if "." not in name}


def _checked(option: Option, raw: Any) -> Any:
    if asks_for_lr(option.name, raw):
        return raw.lower()
    value = option.param.read(raw)
    return value.name if isinstance(value, Part) else value


def read_line(lab: "Lab", text: str, names: Names) -> Form:
    """The form that a typed line, or a cell of options, makes; SpecError as its magic would say it."""
    match = LINE.fullmatch(text.strip())
    if match is None or match[3] not in VARIABLES:
        magics = ", ".join(f"%{verb}" for verb in VARIABLES)
        raise SpecError(f"{text.strip()[:60]!r} is no line that a panel can show; these can: {magics}")
    variable, percent, verb, line, body = match.groups()
    if body.strip() and percent == "%":
        raise SpecError("a panel shows one line; paste one of them")
    said = parse(line, body if percent == "%%" else None, verb, names)
    if said.help is not None or line == "?":
        raise SpecError(f"a panel shows options;  %{verb} --help  in a cell tells what each does")
    if said.body is not None:
        raise SpecError(f"a panel shows options; run such a cell of %%{verb} by itself")
    words = tuple(_without_variables(word, names) for word in said.words)
    form = Form(verb, words, said.options, variable or VARIABLES[verb])
    return _typed(lab, form, names)


def _without_variables(word: Word, names: Names) -> Word:
    """A subject as a word that means the same without {name} in it."""
    text = value_of(word, names)
    return Word(((text, ""),)) if isinstance(text, str) and text != word.text else Word(word.chunks)


def _typed(lab: "Lab", form: Form, names: Names) -> Form:
    """The form with full names and checked values in place of typed text."""
    known = settled(lab, form, names).known
    options: dict[str, Any] = {}
    for name, raw in form.options.items():
        option = known.get(name)
        if option is None and not is_override(name, raw):
            raise no_option(VERBS[form.verb], name, form.options)
        own_network = option is not None and name == "model" and raw not in option.param.choices
        options[full_name(option) if option else name] = raw if own_network or not option else _checked(option, raw)
    return replace(form, options=options)
