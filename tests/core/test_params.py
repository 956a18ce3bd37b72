import math
from typing import Annotated, Literal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nnlab.core.errors import SpecError
from nnlab.core.params import Column, Within, as_cell, params_of, show_value, split_list


def declared(
    plain: int,
    lr: Annotated[float, Within(1e-4, 1.0, log=True, search=(1e-3, 1e-1)), "step size"] = 0.1,
    width: Annotated[int, Within(1, 512), "width"] = 64,
    hidden: Annotated[tuple[int, ...], Within(1, 512), "widths"] = (64,),
    fast: Annotated[bool, "fast"] = False,
    mode: Annotated[Literal["a", "bee"], "mode"] = "a",
    limit: Annotated[float | None, Within(0, 10), "limit"] = None,
    label: Annotated[str | None, "label"] = None,
    columns: Annotated[tuple[str, ...], Column(), "columns"] = (),
    kind: Annotated[Literal["none", "all"], "kind"] = "all",
) -> None: ...


PARAMS = params_of(declared)


def test_only_annotated_arguments_are_parameters() -> None:
    assert list(PARAMS) == ["lr", "width", "hidden", "fast", "mode", "limit", "label", "columns", "kind"]
    assert PARAMS["lr"].help == "step size"
    assert PARAMS["lr"].domain.offered == Within(1e-3, 1e-1, log=True)


@pytest.mark.parametrize(
    ("name", "raw", "value"),
    [
        ("lr", "1e-3", 1e-3),
        ("lr", 1, 1.0),
        ("width", "64", 64),
        ("width", "1e2", 100),
        ("hidden", "[128, 64]", (128, 64)),
        ("hidden", "128,64", (128, 64)),
        ("hidden", "128-64", (128, 64)),
        ("hidden", [128, 64], (128, 64)),
        ("hidden", "(128, 64)", (128, 64)),
        ("hidden", "()", ()),
        ("hidden", 32, (32,)),
        ("columns", "size (cm)", ("size (cm)",)),
        ("columns", "[size (cm), (b)]", ("size (cm)", "(b)")),
        ("columns", "2019-2020", ("2019-2020",)),
        ("hidden", "none", ()),
        ("fast", "on", True),
        ("fast", "False", False),
        ("fast", True, True),
        ("fast", "OFF", False),
        ("kind", "None", "none"),
        ("mode", "BEE", "bee"),
        ("limit", "none", None),
        ("limit", "auto", None),
        ("limit", 0, 0.0),
        ("label", "my run", "my run"),
    ],
)
def test_text_and_typed_values_are_read(name: str, raw: object, value: object) -> None:
    read = PARAMS[name].read(raw)
    assert read == value
    assert type(read) is type(value)


@pytest.mark.parametrize("raw", ["nan", "inf", "-inf", "1e999", 10**999, "2", "0", "-1", "abc", "", None, True, [], {}])
def test_a_number_out_of_range_is_refused_with_the_range(raw: object) -> None:
    with pytest.raises(SpecError, match=r"lr=.*expected number, 0\.0001 to 1"):
        PARAMS["lr"].read(raw)


def test_a_word_that_is_nearly_right_is_named() -> None:
    with pytest.raises(SpecError, match=r"mode=be: expected a, bee; did you mean 'bee'\?"):
        PARAMS["mode"].read("be")
    with pytest.raises(SpecError, match=r"width=1\.5: expected whole number, 1 to 512"):
        PARAMS["width"].read("1.5")


@given(st.floats(allow_nan=False, allow_infinity=False))
def test_numbers_survive_being_shown_and_read(value: float) -> None:
    param = params_of(_any_number)["value"]
    assert param.read(show_value(value)) == value or math.isclose(param.read(show_value(value)), value, rel_tol=0)


def _any_number(value: Annotated[float, Within(-1.8e308, 1.8e308), "any"] = 0.0) -> None: ...


def test_none_is_written_as_what_it_means() -> None:
    from nnlab.core.spec import TrainSpec

    params = params_of(TrainSpec)
    assert (params["patience"].show(None), params["batch_size"].show(None)) == ("none", "auto")
    assert params["patience"].allowed.endswith("or none") and params["batch_size"].allowed.endswith("or auto")


@settings(deadline=None)
@given(st.lists(st.text(max_size=8).filter(bool), min_size=2, max_size=4))
def test_a_list_that_is_written_is_read_as_it_was(items: list[str]) -> None:
    assert split_list(",".join(map(as_cell, items)), numbers=False) == items
