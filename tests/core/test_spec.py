from collections.abc import Iterator
from typing import Annotated, Any

import pytest

from nnlab.core.errors import SpecError
from nnlab.core.optimizers import OPTIMIZERS
from nnlab.core.options import options_of, resolve
from nnlab.core.params import Within
from nnlab.core.registry import Part, Registry
from nnlab.core.spec import PrepareSpec, TrainSpec, TuneSpec, from_json, to_json


def test_options_reach_the_parts_that_own_them() -> None:
    spec = resolve(
        TrainSpec, {"optimizer": "nesterov", "momentum": "0.5", "hidden": "32-16", "weight-decay": 0, "l1": 1e-3}
    )
    assert spec.optimizer == Part("nesterov", {"momentum": 0.5, "weight_decay": 0.0})
    assert spec.model == Part("mlp", {"hidden": (32, 16)})
    assert spec.regularizers == (Part("l1", {"strength": 1e-3}),)


def test_a_parameter_chooses_its_part_where_the_part_is_left_open() -> None:
    assert resolve(TrainSpec, {"label_smoothing": 0.1}).loss == Part("cross_entropy", {"label_smoothing": 0.1})


def test_a_base_keeps_what_is_not_named_again() -> None:
    base = resolve(TrainSpec, {"lr": 0.02, "epochs": 7})
    changed = resolve(TrainSpec, {"optimizer": "adamw", "dropout": 0.3}, base)
    assert changed.optimizer.values == {**TrainSpec().optimizer.values, "lr": 0.02}
    assert changed.epochs == 7
    assert resolve(TrainSpec, {"optimizer": "sgd"}, base).optimizer == Part("sgd")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"lrr": 1}, "no option 'lrr'; did you mean 'lr'"),
        ({"momentum": 0.9}, "belongs to optimizer .*momentum, nesterov.*; this one is adamw"),
        ({"optimizer": "adamm"}, "did you mean 'adam'"),
        ({"optimizer.lr": 99}, "lr=99: expected number, 1e-08 to 10"),
        ({"epochs": 0}, "epochs=0: expected whole number"),
        ({"metrics": "acuracy"}, "did you mean 'accuracy'"),
        ({"schedule": ""}, "schedule=: expected"),
    ],
)
def test_wrong_words_are_refused_by_name(options: dict[str, Any], message: str) -> None:
    with pytest.raises(SpecError, match=message.replace("(", r"\(")):
        resolve(TrainSpec, options)


@pytest.mark.parametrize(
    "spec",
    [
        TrainSpec(),
        resolve(
            TrainSpec, {"optimizer": "sgd", "lr": 0.3, "hidden": "", "l1": 0.1, "metrics": "f1,recall", "clip_norm": 1}
        ),
        PrepareSpec("income", numeric=("a, b", "c"), task="binary"),
        TuneSpec(space=("lr=1e-4..1e-1 log",), minutes=2.5),
    ],
)
def test_specs_come_back_from_json(spec: Any) -> None:
    assert from_json(type(spec), to_json(spec)) == spec


@pytest.fixture
def registered() -> Iterator[Registry]:
    @OPTIMIZERS.add
    def planted(
        groups: list[dict[str, Any]],
        lr: Annotated[float, Within(1e-6, 1.0, log=True), "step size"] = 0.01,
        twist: Annotated[float, Within(0.0, 1.0), "made up"] = 0.5,
    ) -> Any:
        """A planted optimizer."""
        from torch.optim import SGD

        return SGD(groups, lr=lr)

    yield OPTIMIZERS
    del OPTIMIZERS["planted"]


def test_a_new_entry_is_an_option_at_once(registered: Registry) -> None:
    options = options_of(TrainSpec, {"optimizer": "planted"})
    assert options["twist"].param.help == "made up"
    assert resolve(TrainSpec, {"optimizer": "planted", "twist": "0.25"}).optimizer == Part("planted", {"twist": 0.25})


def test_an_option_that_two_chosen_parts_share_must_be_qualified() -> None:
    @OPTIMIZERS.add
    def clashing(groups: Any, dropout: Annotated[float, Within(0, 1), "x"] = 0.5) -> None:
        """Has a parameter of the network's name."""

    try:
        with pytest.raises(SpecError, match=r"write model\.dropout or optimizer\.dropout"):
            resolve(TrainSpec, {"optimizer": "clashing", "dropout": 0.1})
        spec = resolve(TrainSpec, {"optimizer": "clashing", "model.dropout": 0.2})
        assert spec.model.values == {"dropout": 0.2}
    finally:
        del OPTIMIZERS["clashing"]


@pytest.mark.parametrize(
    ("base", "message"),
    [
        (TrainSpec(epochs=0), "epochs=0: expected whole number"),
        (TrainSpec(device="tpu"), "device=tpu: expected auto"),  # type: ignore[arg-type]
        (TrainSpec(optimizer=Part("adamw", {"lr": -1})), "lr=-1: expected number"),
        (TrainSpec(schedule=Part("cosin")), "did you mean 'cosine'"),
    ],
)
def test_a_spec_made_by_hand_is_checked_where_it_is_used(base: TrainSpec, message: str) -> None:
    with pytest.raises(SpecError, match=message):
        resolve(TrainSpec, {}, base)


def test_what_is_declared_badly_is_refused_where_it_is_written() -> None:
    registry = Registry("optimizer")

    def bare(groups: Any, lr=0.1) -> None:  # type: ignore[no-untyped-def]
        """Says nothing of lr."""

    def outside(groups: Any, lr: Annotated[float, Within(0, 1), "step size"] = 5.0) -> None:
        """Its default is not allowed."""

    def silent(groups: Any) -> None: ...

    with pytest.raises(SpecError, match="optimizer bare: lr has a default but no declaration; write lr: Annotated"):
        registry.add(bare)
    with pytest.raises(SpecError, match=r"lr=5\.0: expected number, 0 to 1"):
        registry.add(outside)
    with pytest.raises(SpecError, match="optimizer silent has no docstring"):
        registry.add(silent)
    assert not registry


@pytest.mark.parametrize(
    "spec, text",
    [
        (PrepareSpec("my y"), "PrepareSpec('my y')"),
        (PrepareSpec("y", test=0.1, drop=("a",)), "PrepareSpec('y', test=0.1, drop=('a',))"),
        (resolve(PrepareSpec, {"target": "y", "impute.age": "knn"}), None),
        (TrainSpec(), "TrainSpec()"),
        (TrainSpec(model=Part("mlp", {"hidden": (8,)}), loss=Part("focal")), None),
        (TuneSpec(trials=3), "TuneSpec(trials=3)"),
    ],
)
def test_a_spec_shows_itself_as_python_without_its_defaults(spec: Any, text: str | None) -> None:
    assert text in (repr(spec), None)
    assert len(repr(spec)) < 120
    assert eval(repr(spec)) == spec
