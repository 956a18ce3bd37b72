"""Whatever a panel says, its line says; and the line sets the panel to the same again."""

import string
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from nnlab import prepare
from nnlab.core.errors import SpecError
from nnlab.core.params import UNSET_WORDS, Column, Param, Weights, Within
from nnlab.core.registry import Part
from nnlab.magics import Lab
from nnlab.magics.config import NNLab
from nnlab.magics.form import Form, full_name, read_line, settled
from nnlab.magics.layout import ALL, TABS, grouped
from nnlab.magics.panel import PRESETS, Board
from nnlab.magics.scan import Word
from nnlab.magics.verbs import VERBS

HOSTILE = [
    "<img src=x onerror=alert(1)>",
    "a b",
    "it's",
    'say "x"',
    "a,b",
    "--lr",
    "{x}",
    "$y",
    "#1",
    "a;",
    "ß=ü",
    "[z]",
]
FORMS = ("nn_preprocess", "nn_train", "nn_tune")
texts = st.text(string.ascii_letters + string.digits + " ,;#{}$'\"<>&=-[]()äß", min_size=1, max_size=12).filter(
    lambda text: text.strip() == text and text.lower() not in UNSET_WORDS
)
columns = st.sampled_from(HOSTILE) | texts


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Any:
    rng = np.random.default_rng(0)
    frame = pd.DataFrame({name: rng.normal(size=40) for name in HOSTILE} | {"y": [0, 1] * 20})
    names = {"data": prepare(frame, target="y"), "frame": frame, "run": 1}
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("NNLAB_HOME", str(tmp_path_factory.mktemp("store")))
        yield Lab(SimpleNamespace(user_ns=names), None, NNLab())


def value_of(param: Param) -> st.SearchStrategy[Any]:
    """Values that the declaration allows, as checked."""
    domain = param.domain
    if isinstance(domain, Within):
        whole, numbers = st.integers(int(domain.low), int(domain.high)), st.floats(domain.low, domain.high)
        one: Any = whole if param.kind is int else numbers
    elif isinstance(domain, Weights):
        one = st.builds(lambda label, weight: f"{label}={weight}", texts, st.integers(0, 9))
    elif param.choices:
        one = st.sampled_from(param.choices)
    else:
        one = columns if isinstance(domain, Column) else texts
    many = st.lists(one, min_size=1, max_size=3, unique=True).map(tuple)
    return (st.none() | one if param.optional else one) if not param.many else many


@st.composite
def forms(draw: Any, lab: Any, verb: str) -> Form:
    """A form that says some of what there is, of parts that are chosen first."""
    form = Form(verb, (Word((("data", ""),)),), {}, "it")
    known = [option for _, option in settled(lab, form, lab.ip.user_ns).each()]
    parts = [option for option in known if option.param.kind is Part]
    said: dict[str, Any] = {}
    for option in draw(st.lists(st.sampled_from(parts), max_size=3, unique_by=full_name)):
        said[full_name(option)] = draw(st.sampled_from(list(option.param.domain)))
    form = Form(verb, form.words, said, "it")
    try:
        there = dict(settled(lab, form, lab.ip.user_ns).each())
    except SpecError:  # parts that do not go together
        return Form(verb, form.words, {}, "it")
    others = [o for o in there.values() if o.param.kind is not Part and o.name not in ("from", "resume", "model")]
    for option in draw(st.lists(st.sampled_from(others), max_size=6, unique_by=full_name)):
        try:
            said[full_name(option)] = option.param.read(draw(value_of(option.param)))
        except SpecError:  # two labels that are one when they are read
            continue
    return Form(verb, form.words, said, "it")


@pytest.mark.parametrize("verb", FORMS)
def test_a_form_becomes_a_line_and_the_same_form(lab: Any, verb: str) -> None:
    @settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck), database=None)
    @given(st.data())
    def holds(data: Any) -> None:
        form = data.draw(forms(lab, verb))
        try:
            line = settled(lab, form, lab.ip.user_ns).line
        except SpecError:  # values that do not go together; the magic says so too
            return
        assert read_line(lab, line, lab.ip.user_ns) == form, line

    holds()


@pytest.mark.parametrize("verb", ["nn_runs", "nn_diff", "nn_load", "nn_evaluate", "nn_diagnose", "nn_report"])
def test_so_does_a_form_about_runs(lab: Any, verb: str) -> None:
    runs = st.lists(st.sampled_from(["last", "1", "17"]) | texts, max_size=VERBS[verb].words, unique=True)

    @settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck), database=None)
    @given(st.data())
    def holds(data: Any) -> None:
        board = Board(lab)
        board.name_subjects(verb, data.draw(runs))
        known = list(board.state(verb).known.values())
        for option in data.draw(st.lists(st.sampled_from(known), max_size=4)) if known else []:
            board.set(verb, option.name, data.draw(value_of(option.param)))
        line, form = board.state(verb).line, board.forms[verb]
        board.paste(line)
        assert board.state(verb).line == line and board.forms[verb].options == form.options
        assert [word.text for word in board.forms[verb].words] == [word.text for word in form.words], line

    holds()


@pytest.mark.parametrize("verb", FORMS)
def test_every_press_leads_to_a_line_that_leads_there_again_or_changes_nothing(lab: Any, verb: str) -> None:
    @settings(max_examples=25, deadline=None, suppress_health_check=list(HealthCheck), database=None)
    @given(st.data())
    def holds(data: Any) -> None:
        board = Board(
            lab, Word((("data", ""),)), data.draw(st.sampled_from([*PRESETS[verb]])), data.draw(st.booleans())
        )
        for _ in range(data.draw(st.integers(1, 5))):
            before, state = board.forms[verb], board.state(verb)
            name, option = data.draw(st.sampled_from(list(state.each())))
            parts = [one for one in state.each() if one[1].param.kind is Part]
            if data.draw(st.booleans()):  # a choice takes others away and brings others
                name, option = data.draw(st.sampled_from(parts))
            value = data.draw(
                st.sampled_from(list(option.param.domain)) if option.param.kind is Part else value_of(option.param)
            )
            try:
                board.set(verb, name, value)
            except SpecError:
                assert board.forms[verb] == before
            line = board.state(verb).line
            assert read_line(lab, line, lab.ip.user_ns) == board.forms[verb], line

    holds()


@pytest.mark.parametrize("verb", FORMS)
def test_a_control_that_says_what_it_shows_changes_nothing_that_is_done(lab: Any, verb: str) -> None:
    lines = {
        "nn_preprocess": "%nn_preprocess frame --target y --folds 5 --split none --drop 'a b','{x}'",
        "nn_train": "%nn_train data --model realmlp --schedule cosine --floor 0.1 --optimizer momentum --momentum 0.5",
        "nn_tune": "%nn_tune data --minutes 2 --sampler random --epochs 7",
    }
    board = Board(lab)
    board.paste(lines[verb])
    state = board.state(verb)
    shown = {name: state.value(option) for name, option in state.each()}
    for name, value in shown.items():
        board.set(verb, name, value)
    state = board.state(verb)
    assert {name: state.value(option) for name, option in state.each()} == shown


@pytest.mark.parametrize("verb", FORMS)
def test_every_option_has_its_place_once(lab: Any, verb: str) -> None:
    board = Board(lab, Word((("data", ""),)))
    state = board.state(verb)
    placed = [
        name
        for tab in ALL
        if tab.verb == verb
        for _, first, others in grouped(tab, state)
        for name, _ in (*first, *others)
    ]
    assert len(placed) == len(set(placed))
    assert {name for name, _ in state.each()} <= set(placed)
    for tab in TABS:
        assert 8 <= sum(len(first) for _, first, _ in grouped(tab, board.state(tab.verb))) <= 10, tab.title


def test_what_no_longer_fits_falls_out_and_what_is_refused_changes_nothing(lab: Any) -> None:
    board = Board(lab, Word((("data", ""),)))
    board.paste("%nn_train data --model realmlp --members 4 --epochs 5")
    board.set("nn_train", "model", "mlp")
    assert board.state("nn_train").line == "run = %nn_train data --model mlp --epochs 5"
    board.set("nn_train", "optimizer.lr", 0.5)
    board.set("nn_train", "optimizer", "sgd")
    assert board.state("nn_train").line == "run = %nn_train data --model mlp --epochs 5 --lr 0.5 --optimizer sgd"
    board.set("nn_train", "optimizer", "adamw")  # its default: it need not be said
    board.paste("%nn_train data --optimizer momentum --momentum 0.5 --lr 0.5")
    board.set("nn_train", "optimizer", "sgd")  # though the other part's own value is said
    assert board.state("nn_train").line == "run = %nn_train data --optimizer sgd --lr 0.5"
    board.paste("%nn_train data --model mlp --lr 0.5")
    board.set("nn_train", "epochs", 60)
    assert board.state("nn_train").line == "run = %nn_train data --model mlp --lr 0.5"
    for name, value in (("model.hidden", "64,a"), ("epochs", 0), ("model", "lstm")):
        with pytest.raises(SpecError):
            board.set("nn_train", name, value)
    for line in (
        "%nn_train data --epochs",
        "%nn_train data --momentum 2",
        "print(1)",
        "%%nn_train data\nimport torch",
        "%nn_train?",
        "%nn_tune data -h",
    ):
        with pytest.raises(SpecError):
            board.paste(line)
    assert board.state("nn_train").line == "run = %nn_train data --model mlp --lr 0.5"


def test_where_sliders_are_fields_the_run_says_so_unless_another_view_is_said(lab: Any) -> None:
    board = Board(lab, Word((("data", ""),)), "small", fields=True)
    line = "run = %nn_train data --view fields --model mlp --hidden 64 --epochs 15 --patience 5"
    assert board.state("nn_train").line == line and "--view" not in board.state("nn_tune").line
    board.reset("nn_train")
    assert board.state("nn_train").line == "run = %nn_train data --view fields"
    board.paste("%nn_train data --epochs 5")
    assert board.state("nn_train").line == "run = %nn_train data --view fields --epochs 5"
    board.paste("%nn_train data --view text")
    assert board.state("nn_train").line == "run = %nn_train data --view text"
    board.set("nn_train", "view", "auto")
    assert board.state("nn_train").line == "run = %nn_train data"


def test_a_value_of_a_part_that_is_left_open_is_written_so_that_it_can_be_read(lab: Any) -> None:
    board = Board(lab, Word((("data", ""),)))
    board.paste("%nn_train data --activation relu")
    board.set("nn_train", "init.gain", 0.5)
    line = board.state("nn_train").line
    assert line == "run = %nn_train data --activation relu --init.gain 0.5" and board.paste(line)
    with pytest.raises(SpecError, match=r"'gain' is of a part that is left open; write init\.gain"):
        board.paste("%nn_train data --activation relu --gain 0.5")


def test_an_open_network_that_is_designed_keeps_what_still_fits(lab: Any) -> None:
    board = Board(lab, Word((("data", ""),)))
    board.set("nn_train", "model.members", 3)  # of the network that the data chooses
    board.set("nn_train", "epochs", 7)
    board.set("nn_train", "model.hidden", "16,16")  # from here on it is an mlp, which has no members
    assert board.state("nn_train").line == "run = %nn_train data --epochs 7 --hidden 16,16"
