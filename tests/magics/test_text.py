"""Lines and cells to calls and back."""

import re
from dataclasses import fields
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nnlab.core.data.steps import ENCODERS
from nnlab.core.errors import NNLabError, SpecError
from nnlab.core.options import options_of, resolve
from nnlab.core.params import UNSET_WORDS, Column, Param, Weights, Within, params_of
from nnlab.core.registry import Part
from nnlab.core.spec import PrepareSpec, TrainSpec, TuneSpec, part_values
from nnlab.magics.lines import to_line
from nnlab.magics.text import Call, layered, parse
from nnlab.magics.verbs import VERBS


def options(line: str, verb: str = "nn_train", names: dict[str, Any] | None = None) -> dict[str, Any]:
    return dict(parse(line, None, verb, names).options)


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("data --weight-decay 0.1", {"weight_decay": "0.1"}),
        ("data --weight_decay 0.1", {"weight_decay": "0.1"}),
        ("data --optimizer=adamw", {"optimizer": "adamw"}),
        ("--optimizer adamw data", {"optimizer": "adamw"}),
        ("data --hidden [128, 64] --seed 1", {"hidden": "[128, 64]", "seed": "1"}),
        ('data --name "my run"', {"name": "my run"}),
        ("data --name 'my run'", {"name": "my run"}),
        ("data --name x#y # a note --lr 3", {"name": "x#y"}),
        ("data\u00a0--lr\u00a01e-3", {"lr": "1e-3"}),
        ("data --name \"it's\"'\"'", {"name": "it's\""}),
        ("data --name it's", {"name": "it's"}),
        (r"data --name C:\new\table", {"name": r"C:\new\table"}),
        ("data --lr -1", {"lr": "-1"}),
        ("data --name '--x'", {"name": "--x"}),
    ],
)
def test_line_is_read(line: str, expected: dict[str, str]) -> None:
    call = parse(line, None, "nn_train")
    assert dict(call.options) == expected
    assert call.subject is not None
    assert call.subject.text == "data"


def test_quotes_keep_commas_and_blanks_in_lists() -> None:
    read = options('df --drop "a b",c', "nn_preprocess")
    assert resolve(PrepareSpec, read).drop == ("a b", "c")
    assert resolve(PrepareSpec, options("df --drop '[x, y]',\"1-2\"", "nn_preprocess")).drop == ("[x, y]", "1-2")
    assert resolve(PrepareSpec, options('df --drop ["a, b", c]', "nn_preprocess")).drop == ("a, b", "c")
    assert resolve(TrainSpec, options('data --hidden "[128, 64]"')).model.values == {"hidden": (128, 64)}


@pytest.mark.parametrize(("line", "muted"), [("data;", True), ("data --lr 1 ; # x", True), ("data --name a;b", False)])
def test_semicolon_mutes_at_the_end(line: str, muted: bool) -> None:
    call = parse(line, None, "nn_train")
    assert call.muted is muted
    assert call.subject is not None
    assert call.subject.text == "data"


def test_flags_take_a_word_only_where_it_is_one() -> None:
    assert options("--fresh data", "nn_tune") == {"fresh": True}
    assert options("data --fresh off --trials 3", "nn_tune") == {"fresh": "off", "trials": "3"}


def test_space_takes_words_up_to_the_next_option() -> None:
    call = parse(
        'data --space "lr=1e-4..1e-1 log" dropout=0..0.5 optimizer={adam, sgd} --epochs 5', None, "nn_tune", {}
    )
    assert call.options["space"] == ["lr=1e-4..1e-1 log", "dropout=0..0.5", "optimizer={adam, sgd}"]
    assert call.options["epochs"] == "5"


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ('data --name "my run', "unclosed quote"),
        ("data --hidden [128, 64", "unclosed ["),
        ("data more", "one word too many"),
    ],
)
def test_error_points_at_the_place(line: str, message: str) -> None:
    with pytest.raises(SpecError) as caught:
        parse(line, None, "nn_train")
    first, shown, mark = str(caught.value).splitlines()
    assert message in first
    assert shown.strip() == f"%nn_train {line}"
    assert shown[mark.index("^")] in '"[m'


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("data --dropuot 0.1", "no option 'dropuot'; did you mean 'dropout'?"),
        ("data --epoch 3", "no option 'epoch'; did you mean 'epochs'?"),
        ("data --opt sgd", "no option 'opt'"),
        ("data --lr", "--lr needs a value: 1e-08 to 10"),
        ("data --lr --seed 1", "--lr needs a value"),
        ("data --sam", "--sam needs a value: 0 to 10, as in  --sam 0.05"),
        ("data --lr 1 --lr 2", "option 'lr' is given twice"),
        ("data --name {x}", "no variable 'x'"),
        ("data --name run-$undefined", "no variable 'undefined'"),
        ("data --name $frame", "option takes text, numbers and lists"),
    ],
)
def test_error_says_what_is_wrong(line: str, message: str) -> None:
    with pytest.raises(SpecError) as caught:
        parse(line, None, "nn_train", {"frame": object()})
    assert message in str(caught.value)


@pytest.mark.parametrize("raw", ["nan", "inf", "-inf", "1e999", "-1", "ten", "1e12", ""])
def test_value_out_of_range_names_the_range(raw: str) -> None:
    with pytest.raises(SpecError, match="1e-08 to 10"):
        resolve(TrainSpec, options(f"data --lr '{raw}'"))


def test_option_of_a_part_that_is_not_chosen() -> None:
    with pytest.raises(SpecError, match=r"'momentum' belongs to optimizer .*; this one is adamw"):
        resolve(TrainSpec, options("data --momentum 0.9"))


@pytest.mark.parametrize("said", ["schedule one_cycle", "norm rms", "optimizer lbfgs", "loss focal"])
def test_a_choice_that_is_typed_as_an_option_says_whose_it_is(said: str) -> None:
    name = said.partition(" ")[2]
    with pytest.raises(SpecError, match=f"'{name}' is no option but a choice of one:  --{said}"):
        resolve(TrainSpec, options(f"data --{name}"))
    assert resolve(TrainSpec, options(f"data --{said}")) != TrainSpec()


def test_variables_are_put_in_by_name_only() -> None:
    names = {"lr": 0.5, "i": 3, "widths": [64, 32], "_x": "y"}
    read = options('data --lr $lr --name "run {i} of $_x" --hidden {widths}', names=names)
    assert read == {"lr": 0.5, "name": "run 3 of y", "hidden": [64, 32]}
    assert options("data --name '{i} $lr'", names=names) == {"name": "{i} $lr"}
    assert options('data --name "{i + 1} {__import__} $5"', names=names | {"__import__": 1})["name"] == "{i + 1} 1 $5"


def test_body_of_options_lies_below_the_line() -> None:
    cell = "lr: 1e-2   # peak\noptimizer.beta1: 0.8\n\nhidden: 128, 64\n--epochs: 7\n"
    call = parse("data --optimizer.lr 0.5", cell, "nn_train")
    assert call.body is None
    spec = resolve(TrainSpec, call.options)
    assert spec.optimizer == Part("adamw", {**TrainSpec().optimizer.values, "beta1": 0.8, "lr": 0.5})
    assert spec.model == Part("mlp", {"hidden": (128, 64)})
    assert spec.epochs == 7


@pytest.mark.parametrize(
    "cell", ["x = 3\nnn.Linear(3, 1)", "lambda: nn.Linear(3, 1)", "class A: pass", "lr: 3\nf()", "if x:\n  y: int = 3"]
)
def test_body_of_python_is_kept_as_it_is(cell: str) -> None:
    assert parse("data", cell, "nn_train").body == cell


def test_body_of_a_search_holds_ranges_and_fixed_values() -> None:
    call = parse("data --space dropout=0..0.5", "lr: 1e-4..1e-1 log\noptimizer: {adam, sgd}\nepochs: 20", "nn_tune", {})
    assert call.options["space"] == ["lr=1e-4..1e-1 log", "optimizer={adam, sgd}", "dropout=0..0.5"]
    assert call.options["epochs"] == "20"


@pytest.mark.parametrize(
    ("cell", "message"),
    [
        ("lr: [0.1, 0.01]", "lr: [0.1, 0.01]: one value is kept fixed; to try each write  lr: {0.1, 0.01}"),
        ("optimizer: adamw, sgd", "to try each write  optimizer: {adamw, sgd}"),
        ("lr 1e-4..0.01", "'lr 1e-4..0.01': a range stands behind its name, as in  lr: 1e-4..1e-1 log"),
        ("epochs: 3\nlr in 0.1..0.01", "'lr in 0.1..0.01': a range stands behind its name"),
    ],
)
def test_what_a_body_of_a_search_cannot_be_is_told(cell: str, message: str) -> None:
    with pytest.raises(SpecError, match=re.escape(message)):
        parse("data", cell, "nn_tune", {})


def test_body_error_shows_its_line() -> None:
    with pytest.raises(SpecError, match="unclosed quote\n  name: 'x\n        \\^"):
        parse("data", "name: 'x", "nn_train")
    with pytest.raises(SpecError, match="did you mean 'dropout'"):
        parse("data", "dropot: 0.1", "nn_train")


def test_layers_rise() -> None:
    verb = VERBS["nn_train"]
    low, high = {"lr": 0.1, "optimizer": "sgd", "epochs": 5, "target": "y"}, {"epochs": 6, "optimizer.beta1": 0.5}
    assert layered(verb, [low, high], {}) == {"optimizer": "sgd", "lr": 0.1, "epochs": 6}
    assert layered(verb, [low, high], {"optimizer": "adam"}) == {
        "optimizer": "adam",
        "epochs": 6,
        "optimizer.beta1": 0.5,
    }
    assert layered(verb, [{"lr": 0.1}], {"optimizer.lr": "1"}) == {"optimizer.lr": "1"}


def test_shortest_line() -> None:
    assert to_line("nn_train", "data", TrainSpec()) == "%nn_train data --model mlp"  # without it the data chooses
    assert to_line("nn_preprocess", "df", PrepareSpec("custom")) == "%nn_preprocess df --target custom"
    spec = resolve(TrainSpec, {"hidden": "64-32", "optimizer": "momentum", "momentum": 0.8, "l1": 0.01})
    expected = "%nn_train data --hidden 64,32 --optimizer momentum --momentum 0.8 --l1 0.01"
    assert to_line("nn_train", "data", spec) == expected
    assert to_line("nn_train", "data", TrainSpec(), keep={"epochs", "lr"}) == "%nn_train data --lr 0.01 --epochs 60"
    assert to_line("nn_preprocess", "my file.csv", PrepareSpec("a b")) == "%nn_preprocess 'my file.csv' --target 'a b'"


TEXT = st.text(st.characters(codec="utf-8"), min_size=1, max_size=12).filter(
    lambda text: text.strip() and text.lower() not in UNSET_WORDS
)


LABELS = st.dictionaries(TEXT, st.floats(0, 100, allow_subnormal=False), min_size=1, max_size=3)


def values_of(param: Param) -> st.SearchStrategy[Any]:
    domain = param.domain
    if isinstance(domain, Weights):
        return st.just((domain.word,)) | LABELS
    if isinstance(domain, Within):
        low, high = domain.low, domain.high
        one = st.integers(int(low), int(high)) if param.kind is int else st.floats(low, high, allow_subnormal=False)
    elif param.kind is Part:
        one = st.sampled_from(sorted(domain))
    elif domain is None or isinstance(domain, Column):
        one = TEXT
    else:
        one = st.sampled_from(list(domain))
    if param.many:
        one = st.lists(one, max_size=3).map(tuple)
    return st.none() | one if param.optional else one


@st.composite
def specs(draw: st.DrawFn, kind: type[Any]) -> Any:
    """Any spec of a kind: any part with any of its values, any other option."""
    own = params_of(kind)
    parts = {name: draw(values_of(p)) for name, p in own.items() if p.kind is Part and not p.many}
    known = options_of(kind, parts)
    rest = [name for name, option in known.items() if name not in parts and (option.part is None or "." in name)]
    named = draw(st.lists(st.sampled_from(rest), unique=True, max_size=6))
    if kind is PrepareSpec:
        named = sorted({*named, "target"})
    fitting = [n for n in named if not (known[n].field in parts and parts[known[n].field] is None)]
    chosen = {n: draw(values_of(known[n].param)) for n in fitting}
    return resolve(kind, {name: part for name, part in parts.items() if part is not None} | chosen)


def filled(spec: Any) -> dict[str, Any]:
    """A spec with the defaults of its parts written out, since a line leaves them out."""
    own = params_of(type(spec))

    def full(name: str, value: Any) -> Any:
        if name == "overrides":
            return value
        if isinstance(value, Part):
            return value.name, part_values(own[name].domain, value)
        return [full(name, item) for item in value] if own[name].kind is Part and own[name].many else value

    return {f.name: full(f.name, getattr(spec, f.name)) for f in fields(spec)}


@pytest.mark.parametrize(
    ("verb", "kind"), [("nn_preprocess", PrepareSpec), ("nn_train", TrainSpec), ("nn_tune", TuneSpec)]
)
@given(data=st.data())
@settings(max_examples=150, deadline=None)
def test_line_of_a_spec_gives_the_spec(verb: str, kind: type[Any], data: st.DataObject) -> None:
    spec = data.draw(specs(kind))
    line = to_line(verb, "data", spec)
    call = parse(line.removeprefix(f"%{verb}"), None, verb, {})
    assert filled(resolve(kind, call.options)) == filled(spec)


@pytest.mark.parametrize(
    ("given", "kept"), [("none", None), ((), None), (("none",), ("none",)), (("low", "none"), ("low", "none"))]
)
def test_no_list_of_texts_and_a_text_that_reads_none_are_two_things(given: Any, kept: Any) -> None:
    spec = resolve(PrepareSpec, {"target": "y", "encode": "ordinal", "order": given})
    call = parse(to_line("nn_preprocess", "data", spec).removeprefix("%nn_preprocess"), None, "nn_preprocess", {})
    for one in (spec, resolve(PrepareSpec, call.options)):
        assert part_values(ENCODERS, one.encode)["order"] == kept


@given(st.text(max_size=20).filter(str.strip))
@settings(max_examples=300, deadline=None)
def test_any_subject_comes_back(path: str) -> None:
    line = to_line("nn_preprocess", path, PrepareSpec("y")).removeprefix("%nn_preprocess ")
    call = parse(line, None, "nn_preprocess", {})
    assert call.subject is not None
    assert call.subject.text == path


PIECES = st.sampled_from(
    ["--", "--lr", "--optimizer", "=", "--hidden", "[", "]", "{", "}", "{x}", "$x", "'", '"', "#", ";", ",", "nan",
     "1e999", "data", "--space", "lr=1..2", "--help", "-h", "\\", "\x00", "\u202e", "\t", "\n", " ", "-1",
     "--optimizer.lr", "--no", "%", "()", "--name", "--from", "--fresh", "0", "é", "\ud800"]
)  # fmt: skip
LINES = st.text(max_size=60) | st.lists(PIECES | st.text(max_size=5), max_size=12).map(" ".join)


@pytest.mark.parametrize("verb", list(VERBS))
@given(line=LINES, cell=st.none() | LINES)
@settings(max_examples=250, deadline=None)
def test_no_line_raises_a_foreign_error(verb: str, line: str, cell: str | None) -> None:
    try:
        call = parse(line, cell, verb, {"x": 3, "data": object()})
        for spec in call.verb.specs:
            known = {name: value for name, value in call.options.items() if name not in call.verb.own}
            resolve(spec, known)
    except NNLabError as error:
        assert len(str(error).splitlines()) <= 4
    else:
        assert isinstance(call, Call)


def test_a_switch_is_turned_off_by_no() -> None:
    assert parse("data --no-probe", None, "nn_train").options == {"probe": False}
    assert parse("data --no-shuffle --epochs 3", None, "nn_train").options == {"shuffle": False, "epochs": "3"}
    for line in ("data --no-epochs", "data --no-nothing"):
        with pytest.raises(SpecError):
            parse(line, None, "nn_train")
