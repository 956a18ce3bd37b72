"""The grammar of ranges: what each form draws, what errors say, and that a space is its lines."""

import math
from dataclasses import replace

import optuna
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nnlab.core.errors import SpecError
from nnlab.core.models import MODELS
from nnlab.core.options import resolve
from nnlab.core.spec import PrepareSpec, TrainSpec
from nnlab.core.tune.ranges import Lists, Range, When, from_json, held_params, typed_values
from nnlab.core.tune.space import base_values, held_values, lines_of, parse, prepare_with, spec_with, suggest
from nnlab.core.tune.usual import default_space

BASE = resolve(TrainSpec, {"model": "mlp"})


def drawn(space, count=60, base=BASE):
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(0))
    trials = [study.ask() for _ in range(count)]
    return [(suggest(trial, space, base), trial.params) for trial in trials]


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("epochs=10..100 step 30", Range(10, 100, whole=True, step=30.0)),
        ("dropout=0..0.5 step 0.1", Range(0.0, 0.5, step=0.1)),
        ("hidden=[64..512]x1..4", Lists(Range(64, 512, log=True, whole=True), 1, 4)),
        ("hidden=[64..512]x2 step 64 same", Lists(Range(64, 512, whole=True, step=64.0), 2, 2, same=True)),
        ("hidden=[64,128] x 1..3 same", Lists(Range(choices=(64, 128)), 1, 3, same=True)),
        ("resnet.depth=1..4", Range(1, 4, whole=True)),
        ("optimizer.beta2=0.9..0.999", Range(0.9, 0.999)),
        ("scale={standard,quantile,auto}", Range(choices=("standard", "quantile", None))),
        ("encode={one_hot,ordinal}", Range(choices=("one_hot", "ordinal"))),
        ("impute.age={median,knn}", Range(choices=("median", "knn"))),
        ("indicators={on,off}", Range(choices=(True, False))),
    ],
)
def test_every_form_is_read(line, expected):
    base = resolve(TrainSpec, {"model": "resnet"}) if "resnet" in line else BASE
    assert list(parse([line], base).values()) == [expected]


@pytest.mark.parametrize(
    ("line", "message"),
    [
        (
            "lr=1e-4..1e-1 lgo",
            r"1e-1 lgo: 'lgo' is no word of a range; did you mean 'log'\?; a range is low",
        ),
        ("lr=1e-4..1e-1 log log", r"'log' is there twice; a range is low\.\.high \[log\|linear\] \[step number\]"),
        ("lr=1e-4..1e-1 step", r"'step' needs a number after it"),
        ("lr=1e-4..1e-1 step x", r"step 'x': expected a number"),
        ("lr=1e-4..1e-1 log step 0.1", r"log and step do not go together"),
        ("epochs=10..20 step 0.5", r"step 0\.5: expected a whole number above 0, 10 at most"),
        ("epochs=10..20 step 11", r"step 11: expected a whole number above 0, 10 at most"),
        ("dropout=0..0.5 step 0", r"step 0: expected a number above 0"),
        ("hidden=[64..512]x0..4", r"x0\.\.4: expected lengths from 1 to 64"),
        ("hidden=[64..512]x4..1", r"x4\.\.1: expected lengths"),
        ("hidden=[64..512 log]x1..4", r"write log after the length: \[low\.\.high\]x1\.\.4"),
        ("hidden=[64,abc]x1..4", r"hidden=abc: expected whole number"),
        ("hidden=[64,128]x1..4 log", r"'log' belongs to a range"),
        ("hidden=[64]x2", r"nothing to choose between"),
        ("hidden=[64..512]x1..4 smae", r"'smae' is no word of a range"),
        ("dropout=[0..0.5]x2", r"dropout is no list of numbers; write dropout=0\.\.0\.5"),
        ("lr=1e-4...1e-1", r"two dots stand between the ends, as in lr=0\.0003\.\.0\.03"),
        ("hidden=[64...512]x2", r"hidden=\.512: expected whole number"),
        ("x" * 5000, r"space 'x{80}': expected"),
        ("hidden=[64..512", r"a closing \] is missing"),
        ("model={mlp,resnet} log", r"'log' after the choices"),
        ("scale={standard,quantil}", r"did you mean 'quantile'\?"),
        ("scale_target={standard,none}", r"scale_target decides which rows or targets are compared"),
        ("valid=0.1..0.3", r"valid decides which rows or targets are compared"),
        ("scale.noisy=0..1", r"scale\.noisy is not a single number; write scale"),  # of a column
        ("indicators.age={on,off}", r"no option 'indicators\.age'"),
    ],
)
def test_errors_name_the_token_and_the_grammar(line, message):
    with pytest.raises(SpecError, match=message):
        parse([line], BASE)


def test_entries_may_be_cut_at_blanks_and_hold_comments():
    whole = parse(["lr=1e-4..1e-1 linear", "hidden=[64,128]x1..2 same", "dropout=0..0.5 step 0.1"], BASE)
    pieces = ["lr=1e-4..1e-1", "linear", "hidden=[64", "128]x1..2", "same", "dropout=0..0.5", "step", "0.1"]
    assert parse(pieces, BASE) == whole
    lines = ["# all of it", "lr: 1e-4 .. 1e-1 linear  # not by ratio", "", "hidden: [64, 128] x 1..2 same"]
    assert parse([*lines, "dropout: 0..0.5 step 0.1"], BASE) == whole


def test_a_line_may_hold_several_entries():
    whole = ["model={mlp,resnet}", "resnet.depth=1..4", "dropout=0..0.5 if model=mlp", "lr=1e-4..1e-1 log"]
    assert parse([" ".join(whole)], BASE) == parse([", ".join(whole) + ","], BASE) == parse(whole, BASE)
    assert parse(["optimizer: {adamw, sgd}  lr = 0.01..0.1,"], BASE) == parse(
        ["optimizer={adamw,sgd}", "lr=0.01..0.1"], BASE
    )


def test_lists_have_a_length_and_items_of_their_own():
    space = parse(["hidden=[64..512]x1..3 step 64"], BASE)
    lists = [[int(item) for item in values["hidden"].split("-")] for values, _ in drawn(space, 200)]
    assert {len(one) for one in lists} == {1, 2, 3}
    assert {item for one in lists for item in one} == set(range(64, 513, 64))
    assert any(len(set(one)) > 1 for one in lists)
    same = parse(["hidden=[64..512]x1..3 step 64 same"], BASE)
    lists = [values["hidden"].split("-") for values, _ in drawn(same, 100)]
    assert {len(one) for one in lists} == {1, 2, 3}
    assert all(len(set(one)) == 1 for one in lists)
    assert (space["hidden"].size, same["hidden"].size) == (8 + 64 + 512, 24)


def test_log_lists_spread_by_ratio():
    space = parse(["hidden=[8..512]x1"], BASE)
    items = sorted(int(values["hidden"]) for values, _ in drawn(space, 400))
    assert 50 < items[200] < 80  # the middle by ratio is 64, by difference 260


def test_steps_are_kept_and_the_high_end_may_lie_between_two():
    space = parse(["epochs=10..100 step 40", "dropout=0..0.5 step 0.2"], BASE)
    values = [values for values, _ in drawn(space, 80)]
    assert {one["epochs"] for one in values} == {10, 50, 90}
    assert {round(one["dropout"], 9) for one in values} == {0.0, 0.2, 0.4}
    assert all(one[name] in space[name] for one in values for name in space)
    assert 30 not in space["epochs"]
    assert space["epochs"].points(9) == [10, 50, 90]


def test_names_of_a_part_are_only_tried_where_it_is_chosen():
    lines = ["model={mlp,resnet}", "resnet.depth=1..4", "mlp.hidden=[16,32]x1..2", "resnet.lr=1e-4..1e-3 log"]
    space = parse([*lines, "mlp.batch_size={32,64}"], BASE)
    for values, _ in drawn(space):
        spec = spec_with(values, BASE)
        if values["model"] == "resnet":
            assert set(values) == {"model", "resnet.depth", "resnet.lr"}
            assert spec.model.values["depth"] == values["resnet.depth"]
            assert spec.optimizer.values["lr"] == values["resnet.lr"] <= 1e-3
        else:
            assert set(values) == {"model", "mlp.hidden", "mlp.batch_size"}
            assert spec.optimizer.values == BASE.optimizer.values
            assert spec.batch_size == values["mlp.batch_size"]


def test_steps_of_the_preparation_go_into_its_spec_and_not_into_the_runs():
    space = parse(["scale={standard,quantile}", "scale.noise=0..0.1", "impute.age={median,knn}", "lr=1e-3..1e-1"], BASE)
    before = PrepareSpec("y", seed=3)
    seen = set()
    for values, _ in drawn(space):
        after = prepare_with(values, before)
        assert after.scale.name == values["scale"]
        assert after.overrides["impute"]["age"].name == values["impute.age"]
        assert (after.target, after.seed) == ("y", 3)
        assert ("scale.noise" in values) == (values["scale"] == "quantile")
        assert spec_with(values, BASE).optimizer.values["lr"] == values["lr"]
        seen.add(values["scale"])
    assert seen == {"standard", "quantile"}


def test_what_optuna_holds_gives_the_values_again():
    space = parse(["hidden=[64..512]x1..3", "lr=1e-4..1e-1", "optimizer={adamw,momentum}", "momentum=0..0.9"], BASE)
    for values, params in drawn(space):
        assert typed_values(space, params) == values
        assert held_params(space, values) == params


def test_the_base_lies_in_lists_that_hold_it():
    wide = resolve(TrainSpec, {"model": "mlp", "hidden": (64, 100)})
    space = parse(["hidden=[64..512]x1..4"], BASE)
    assert base_values(space, wide) == {"hidden": "64-100"}
    for line in ("hidden=[64..512]x3..4", "hidden=[65..512]x1..4", "hidden=[64..512]x1..4 same"):
        assert not base_values(parse([line], BASE), wide)
        assert held_values(parse([line], BASE), wide) == {"hidden": "64-100"}


numbers = st.floats(1e-6, 1.0).map(lambda value: float(f"{value:.3g}"))
widths = st.integers(1, 2000)


@st.composite
def ranges(draw):
    """A range that some hyperparameter can have, with its name."""
    name = draw(st.sampled_from(["lr", "dropout", "epochs", "hidden", "batch_size", "scale", "optimizer", "warmup"]))
    if name == "hidden":
        item = draw(st.one_of(whole_ranges(), st.sets(widths, min_size=2, max_size=4).map(choices)))
        least = draw(st.integers(1, 4))
        return name, Lists(item, least, draw(st.integers(least, 6)), draw(st.booleans()))
    if name in ("epochs", "batch_size"):
        return name, draw(st.one_of(whole_ranges(), st.sets(widths, min_size=2, max_size=4).map(choices)))
    words = {"scale": ["standard", "quantile", "robust", None], "optimizer": ["adamw", "sgd", "momentum"]}
    if name in words:
        return name, choices(draw(st.permutations(words[name]))[: draw(st.integers(2, len(words[name])))])
    low, high = sorted(draw(st.lists(st.floats(0.001, 0.9), min_size=2, max_size=2, unique=True)))
    log = draw(st.booleans())
    step = draw(st.one_of(st.none(), st.floats(1e-3, 1.0).map(lambda share: share * (high - low))))
    return name, Range(low, high, log and step is None, step=step)


@st.composite
def whole_ranges(draw):
    low = draw(widths)
    high = low + draw(widths)
    step = draw(st.one_of(st.none(), st.integers(1, high - low).map(float)))
    return Range(low, high, draw(st.booleans()) and step is None, True, step=step)


def choices(values):
    return Range(choices=tuple(values))


@st.composite
def spaces(draw):
    """A space of some names, those that choose no part under a condition or not."""
    space = dict(draw(st.lists(ranges(), min_size=1, max_size=5, unique_by=lambda pair: pair[0])))
    asked = {name: one for name, one in space.items() if isinstance(one, Range) and one.choices and draw(st.booleans())}
    for name in [name for name in space if name not in asked and name not in ("scale", "optimizer")]:
        if asked and draw(st.booleans()):
            other = draw(st.sampled_from(list(asked)))
            some = draw(st.lists(st.sampled_from(asked[other].choices), min_size=1, max_size=3, unique=True))
            space[name] = replace(space[name], when=When(other, tuple(some)))
    return space


@settings(deadline=None)
@given(spaces())
def test_a_space_is_its_lines_and_its_json(space):
    lines = lines_of(space, BASE)
    assert parse(lines, BASE) == space
    assert parse(" ".join(lines).split(" "), BASE) == space  # as a line cuts it
    assert {name: from_json(one.to_json()) for name, one in space.items()} == space


@pytest.mark.parametrize("model", MODELS)
def test_the_usual_space_of_each_model_is_its_lines(model):
    base = resolve(TrainSpec, {"model": model})
    space = default_space(base)
    assert parse(lines_of(space, base), base) == space


@settings(deadline=None)
@given(st.lists(st.text(alphabet="hidenlrscae=:.,{}[]x- 0123456789\n#\tlogstpf", max_size=30), max_size=3))
def test_any_text_is_a_space_or_a_spec_error(lines):
    try:
        space = parse(lines, BASE)
    except SpecError as error:
        assert str(error)
    else:
        assert all(one.size >= 1 or math.isinf(one.size) for one in space.values())


def test_a_name_under_a_condition_is_only_there_where_it_holds():
    space = parse(
        [
            "dropout=0..0.5 if model=mlp",
            "model={mlp,resnet,autoencoder}",
            "lr=1e-3..1e-1 if model={resnet,autoencoder}",
            "batch_size={32,64}",
            "epochs=3..9 if batch_size=32",
        ],
        BASE,
    )
    seen = drawn(space, 200)
    for values, params in seen:
        assert ("dropout" in values) == (values["model"] == "mlp")
        assert ("lr" in values) == (values["model"] != "mlp")
        assert ("epochs" in values) == (values["batch_size"] == 32)
        assert typed_values(space, params) == values and list(values) == [name for name in space if name in values]
        spec = spec_with(values, BASE)
        assert values["batch_size"] == 32 or spec.epochs == BASE.epochs
    assert {values["model"] for values, _ in seen} == {"mlp", "resnet", "autoencoder"}
    assert set(base_values(space, BASE)) == {
        "dropout",
        "model",
    }  # no batch size, which is auto


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("dropout=0..0.5 if", "expected a condition"),
        ("dropout=0..0.5 if model", "expected a condition"),
        ("dropout=0..0.5 if modell=mlp", "modell is not searched; did you mean 'model'"),
        ("dropout=0..0.5 if model=mpl", "if model=mpl: it can be mlp, resnet; did you mean 'mlp'"),
        ("dropout=0..0.5 if lr=0.1", "has no choices"),
        ("dropout=0..0.5 if dropout=0.1", "dropout is not searched"),
        ("dropout=0..0.5 if batch_size=32", "has a condition itself"),
        ("optimizer={sgd,adamw} if model=mlp", "a part has no condition"),
        ("dropout=0.1..0.5 step 0.1 log if model=mlp", "do not go together"),
    ],
)
def test_a_condition_that_cannot_be_is_said(line, message):
    others = ["lr=1e-3..1e-1", "model={mlp,resnet}", "batch_size={32,64} if model=mlp"]
    with pytest.raises(SpecError, match=message):
        parse([*others, line], BASE)
