"""Ranges: how they are written, checked, drawn and put into specs."""

import math

import optuna
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nnlab.core.errors import SpecError
from nnlab.core.options import resolve
from nnlab.core.registry import Part
from nnlab.core.spec import TrainSpec
from nnlab.core.tune.ranges import Range, from_json
from nnlab.core.tune.space import base_values, parse, spec_with, suggest
from nnlab.core.tune.usual import About, default_space

BASE = resolve(TrainSpec, {"dropout": 0.1, "lr": 1e-3}, TrainSpec(optimizer=Part("adamw")))


def drawn(space, base=BASE, count=40, seed=0):
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed))
    return [suggest(study.ask(), space, base) for _ in range(count)]


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("lr=1e-4..1e-1 log", Range(1e-4, 1e-1, log=True)),
        ("lr: 1e-4 .. 1e-1", Range(1e-4, 1e-1, log=True)),  # log because lr is declared so
        ("lr=1e-4..1e-1 linear", Range(1e-4, 1e-1)),
        ("dropout=0..0.5", Range(0.0, 0.5)),
        ("weight-decay=0..0.1", Range(0.0, 0.1)),
        ("batch_size=32..512", Range(32, 512, log=True, whole=True)),
        ("epochs={5,10}", Range(choices=(5, 10))),
        ("hidden={128-64,[256, 256],32,none}", Range(choices=("128-64", "256-256", "32", "none"))),
        ("optimizer={adamw,sgd}", Range(choices=("adamw", "sgd"))),
        ("batch_size={auto,64}", Range(choices=(None, 64))),
        ("norm={none,batch}", Range(choices=("none", "batch"))),
        ("l1=0..0.01", Range(0.0, 0.01)),
        ("label_smoothing=0..0.1", Range(0.0, 0.1)),
    ],
)
def test_lines_become_ranges(line, expected):
    base = resolve(TrainSpec, {"loss": "cross_entropy"})
    assert list(parse([line], base).values()) == [expected]


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        (["lrr=1e-4..1"], r"no option 'lrr'; did you mean 'lr'\?"),
        (["lr=1e-4..20"], r"lr=20: expected number, 1e-08 to 10"),
        (["lr=nan..1"], r"lr=nan: expected number"),
        (["lr=1e-4..inf"], r"lr=inf: expected number"),
        (["lr=0.1..0.01"], r"low end must be below"),
        (["lr=0.1..0.1"], r"low end must be below"),
        (["dropout=0..0.5 log"], r"a log range starts above 0"),
        (["lr=0.1"], r"write low\.\.high, \{a,b\}, or --lr 0\.1"),
        (["lr=0.1,0.2"], r"write \{0\.1,0\.2\}"),
        (["batch_size=1.5..8"], r"batch_size=1\.5: expected whole number"),
        (["batch_size=auto..32"], r"a range has numbers at both ends"),
        (["hidden=32..64"], r"not a single number; write hidden=\[32\.\.512\]x1\.\.4"),
        (["hidden=[32..64]"], r"a list needs its length; write hidden=\[32\.\.64\]x1\.\.4"),
        (["lr=(0.1, 0.2)"], r"write \{0\.1, 0\.2\}"),
        (["learning_rate=0.1..1"], r"no option 'learning_rate'; here it is lr"),
        (["optimizer={sgd,nesterov}", "sgd.momentum=0..0.9"], r"sgd has no momentum; it has lr, weight_decay$"),
        (["optimizer={sgd,nesterov}", "nesterov.momentm=0..0.9"], r"has no momentm; did you mean 'momentum'"),
        (["activation={relu,tanhh}"], r"did you mean 'tanh'\?"),
        (["activation=relu..tanh"], r"write activation=\{relu,"),
        (["optimizer={adamw,sdg}"], r"did you mean 'sgd'\?"),
        (["optimizer={adamw}"], r"a single choice; write --optimizer adamw"),
        (["optimizer={}"], r"expected choices"),
        (["optimizer=adamw..sgd"], r"expected choices"),
        (["hidden={64"], r"a closing \} is missing"),
        (["lr"], r"expected name=low\.\.high"),
        (["=1..2"], r"expected name=low\.\.high"),
        (["lr=1e-4..1", "lr=1e-3..1"], r"space: lr is there twice"),
        (["lr=1e-4..1", "optimizer.lr=1e-3..1"], r"lr and optimizer\.lr mean the same"),
        (["momentum=0..0.9"], r"belongs to optimizer .*this one is adamw"),
        (["sgd.lr=0.1..1"], r"no option 'sgd\.lr'|this one is adamw"),
        (["monitor={loss,accuracy}"], r"monitor cannot be searched"),
        (["optimizer={adamw,sgd}", "lr=1e-4..50"], r"lr=50: expected number, 1e-08 to 10"),
    ],
)
def test_bad_lines_say_what_is_allowed(lines, message):
    with pytest.raises(SpecError, match=message):
        parse(lines, BASE)


@given(st.lists(st.text(alphabet="lr=:.,{}[]- 0123456789eadmws\n\t\x00é", max_size=30), max_size=3))
def test_any_text_is_a_space_or_a_spec_error(lines):
    try:
        parse(lines, BASE)
    except SpecError as error:
        assert str(error)


def test_lists_that_were_cut_at_commas_are_put_together_again():
    assert parse(["hidden={64", "128-64}", "dropout=0..0.5"], BASE) == parse(
        ["hidden={64,128-64}", "dropout=0..0.5"], BASE
    )


def test_names_are_looked_up_in_the_parts_of_each_trial():
    space = parse(["optimizer={adamw,momentum}", "lr=1e-3..1e-1", "momentum=0.5..0.9"], BASE)
    trials = drawn(space)
    assert {values["optimizer"] for values in trials} == {"adamw", "momentum"}
    for values in trials:
        assert ("momentum" in values) == (values["optimizer"] == "momentum")
        spec = spec_with(values, BASE)
        assert spec.optimizer == Part(values["optimizer"], {n: values[n] for n in ("lr", "momentum") if n in values})


def test_each_part_can_have_a_range_of_its_own():
    space = parse(["optimizer={adamw,sgd}", "adamw.lr=1e-4..1e-3", "sgd.lr=0.1..1"], BASE)
    for values in drawn(space):
        lr = spec_with(values, BASE).optimizer.values["lr"]
        assert (0.1 <= lr <= 1.0) if values["optimizer"] == "sgd" else (1e-4 <= lr <= 1e-3)


def test_drawn_values_are_allowed_and_go_into_the_spec():
    space = default_space(BASE)
    for values in drawn(space):
        assert list(values) == list(space)
        assert all(values[name] in space[name] for name in space)
        spec = spec_with(values, BASE)
        assert base_values(space, spec) == values


def test_default_space_holds_few_names_of_the_chosen_parts():
    space = default_space(BASE)
    assert set(space) == {"lr", "weight_decay", "hidden", "activation", "norm", "dropout", "batch_size"}
    assert space["lr"] == Range(3e-4, 3e-2, log=True)
    assert space["dropout"] == Range(0.0, 0.5)
    assert "256-256-256" in space["hidden"]
    assert len(base_values(space, BASE)) == len(space)  # the base lies in it
    assert "momentum" in default_space(resolve(TrainSpec, {"optimizer": "momentum"}))


def test_default_space_leaves_out_what_is_fixed_and_batches_that_are_too_large():
    space = default_space(BASE, fixed=("lr", "model.dropout"), about=About(rows=1000))
    assert set(space) == {"weight_decay", "hidden", "activation", "norm", "batch_size"}
    assert space["batch_size"].choices == (None, 32, 64)


def test_a_newly_registered_optimizer_is_in_the_space():
    from typing import Annotated

    from nnlab.core.optimizers import OPTIMIZERS
    from nnlab.core.params import Within

    def kappa(
        groups, lr: Annotated[float, Within(0.1, 9.0), "l"] = 1.0, pull: Annotated[float, Within(0, 1), "p"] = 0.5
    ):
        """Only for this test."""

    OPTIMIZERS.add(kappa)
    try:
        space = default_space(resolve(TrainSpec, {"optimizer": "kappa"}))
        assert space["lr"] == Range(0.1, 9.0)
        assert space["pull"] == Range(0, 1)
        assert "kappa" in parse(["optimizer={adamw,kappa}"], BASE)["optimizer"].choices
    finally:
        del OPTIMIZERS["kappa"]


def test_own_networks_have_a_space_too():
    base = TrainSpec(model=Part("custom", {"name": "Net", "code": ""}))
    assert set(default_space(base)) == {"lr", "weight_decay", "batch_size"}


def test_base_outside_the_space_gives_only_what_lies_in_it():
    space = parse(["lr=0.1..1", "dropout=0..0.5"], BASE)
    assert base_values(space, BASE) == {"dropout": 0.1}


def test_ranges_go_to_json_and_back_and_show_themselves():
    for one in (*default_space(BASE).values(), Range(0.5, 2.0), Range(1, 9, whole=True)):
        assert from_json(one.to_json()) == one
    assert str(Range(1e-4, 0.1, log=True)) == "0.0001..0.1 log"
    assert str(Range(choices=(None, 64))) == "{auto,64}"


@given(st.floats(1e-6, 1.0), st.floats(1.5, 1e3), st.booleans(), st.integers(2, 20))
def test_points_of_a_range_lie_in_it_ends_included(low, factor, log, count):
    one = Range(low, low * factor, log)
    points = one.points(count)
    assert points[0] == one.low
    assert points[-1] == one.high
    assert len(points) == count
    assert points == sorted(points)
    assert all(point in one for point in points)


def test_points_are_even_by_difference_or_by_ratio():
    assert Range(0.0, 1.0).points(5) == [0.0, 0.25, 0.5, 0.75, 1.0]
    assert [round(math.log10(p), 9) for p in Range(1e-4, 1e-1, log=True).points(4)] == [-4, -3, -2, -1]
    assert Range(1, 3, whole=True).points(8) == [1, 2, 3]


@pytest.mark.parametrize("value", [True, "0.2", None, math.nan, 1.5])
def test_a_range_holds_only_its_numbers(value):
    assert value not in Range(0.0, 1.0)
    assert 1.5 not in Range(1, 3, whole=True)
