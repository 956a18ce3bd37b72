"""A declared parameter becomes a widget, and the widgets write to the controls."""

import itertools
import math
from dataclasses import replace
from typing import Any

import pytest
from ipywidgets import FloatSlider

from nnlab.core.controls import Controls
from nnlab.core.options import options_of
from nnlab.core.params import Column, Param, Weights, Within
from nnlab.core.registry import Part
from nnlab.core.spec import TrainSpec
from nnlab.core.steering import steerable
from nnlab.magics.verbs import VERBS, any_option
from nnlab.widgets.controls import Buttons, become, can_show, control, live_controls, put, said

OPTIONS = options_of(TrainSpec)


@pytest.mark.parametrize("name", [name for name, o in OPTIONS.items() if o.param.default is not None])
def test_every_option_has_a_widget_that_holds_its_default(name: str) -> None:
    param = OPTIONS[name].param
    held = param.read(control(param).value)
    if isinstance(param.default, Part):  # offered by its name
        assert held.name == param.default.name
    else:
        assert held == (pytest.approx(param.default) if isinstance(param.default, float) else param.default)


def test_a_value_outside_of_the_offered_range_is_not_clamped() -> None:
    lr = OPTIONS["lr"].param
    assert control(lr, 5.0).value == pytest.approx(5.0)
    assert control(lr, 1e-7).value == pytest.approx(1e-7)
    assert control(OPTIONS["dropout"].param, 0.9).value == pytest.approx(0.9)


def test_a_slider_of_weight_decay_goes_by_ratio_down_to_0() -> None:
    decay = OPTIONS["weight_decay"].param
    slider = control(decay, 0.0123)  # a value that is between its places
    numbers = [number for _, number in slider.options]
    assert slider.value == 0.0123 and numbers[0] == 0.0 and numbers[1] == 1e-6 and numbers[-1] == 0.3
    assert max(b / a for a, b in itertools.pairwise(numbers[1:])) < 1.7
    slider.value = 0.0
    assert decay.read(said(decay, slider)) == 0.0
    put(decay, slider, 2.5)
    assert slider.value == 2.5 and numbers[-1] < 2.5


@pytest.mark.parametrize("name", [name for name, o in OPTIONS.items() if isinstance(o.param.domain, Within)])
def test_steps_of_a_slider_are_round_and_its_readout_shows_each(name: str) -> None:
    slider = control(OPTIONS[name].param)
    if isinstance(slider, FloatSlider):
        assert 50 <= (slider.max - slider.min) / slider.step <= 1000
        shown = [format(slider.min + k * slider.step, slider.readout_format) for k in range(3)]
        assert len(set(shown)) == 3 and f"{slider.step:.0e}"[0] in "125" and slider.step == float(f"{slider.step:.0e}")


def test_a_slider_becomes_that_of_another_network_in_its_place() -> None:
    lr = OPTIONS["lr"].param
    made = control(lr, 0.04)
    wider = replace(lr, domain=replace(lr.domain, search=(1e-6, 1e-5)))
    become(made, other := control(wider, 2e-6))
    put(wider, made, 2e-6)
    assert (made.min, made.max, made.value) == (other.min, other.max, pytest.approx(2e-6))
    decay = OPTIONS["weight_decay"].param
    made = control(decay, 0.1)
    fewer = replace(decay, domain=replace(decay.domain, least=1e-3, search=(0.0, 0.01)))
    become(made, control(fewer, 0.0))
    put(fewer, made, 0.005)
    assert [made.options[1][1], made.options[-1][1], made.value] == [0.001, 0.01, 0.005]


@pytest.mark.parametrize("sliders", [True, False])
def test_a_word_in_the_place_of_a_number_has_a_text_field(sliders: bool) -> None:
    lr = OPTIONS["lr"].param
    field = control(lr, "find", sliders=sliders)
    assert said(lr, field) == "find" and can_show(lr, field, "find") and can_show(lr, field, 0.01)
    put(lr, field, 0.01)
    assert field.value == "0.01"
    assert can_show(lr, control(lr, sliders=sliders), "find") is not sliders


def test_an_optional_choice_can_stay_open() -> None:
    param = Param("kind", str, None, ("a", "b"), "which", optional=True)
    widget = control(param)
    assert said(param, widget) is None and widget.label == "none"
    assert [label for label, _ in widget.options] == ["none", "a", "b"]
    put(param, widget, "b")
    assert said(param, widget) == "b"


def test_sliders_write_changes_of_what_the_parts_have() -> None:
    controls, told = Controls(), []
    spec = TrainSpec(model=Part("mlp", {"dropout": 0.3}))
    sliders = {
        slider.description: slider
        for slider in live_controls(spec, steerable(spec, "binary", 100), controls, told.append)
    }
    assert list(sliders) == ["lr", "weight decay", "dropout", "batch size", "label smoothing", "patience"]
    assert sliders["dropout"].value == pytest.approx(0.3)
    sliders["lr"].value = 0.004
    sliders["dropout"].value = 0.5
    sliders["weight decay"].value = 0.0
    assert (sliders["batch size"].value, sliders["patience"].value) == (100, "20")
    sliders["batch size"].value = 64
    sliders["patience"].value = "none"
    changes = [("lr", 0.004), ("dropout", 0.5), ("weight_decay", 0.0), ("batch_size", 64), ("patience", math.inf)]
    assert [(c.name, c.value) for c in controls.take_changes(1, 1)] == changes
    assert not told


@pytest.mark.parametrize("sliders", [True, False])
def test_a_run_without_patience_shows_none_and_the_default_is_a_change(sliders: bool) -> None:
    controls, spec = Controls(), TrainSpec(patience=None)
    made = live_controls(spec, steerable(spec, "binary", 100), controls, print, sliders)
    (field,) = [one for one in made if one.description == "patience"]
    assert field.value == "none"
    field.value = "20"
    assert [(c.name, c.value) for c in controls.take_changes(1, 1)] == [("patience", 20)]


def test_fields_write_the_same_and_are_no_sliders() -> None:
    controls, spec = Controls(), TrainSpec(model=Part("mlp", {"dropout": 0.3}))
    values = steerable(spec, "binary", 100)
    made = {one.description: one for one in live_controls(spec, values, controls, print, sliders=False)}
    assert not [name for name, one in made.items() if "Slider" in type(one).__name__]
    made["lr"].value, made["dropout"].value, made["batch size"].value = "0.004", "0.5", 64
    changes = [("lr", 0.004), ("dropout", 0.5), ("batch_size", 64)]
    assert [(c.name, c.value) for c in controls.take_changes(1, 1)] == changes


def test_amounts_that_the_run_has_can_be_turned_down_to_0() -> None:
    spec = TrainSpec(augments=(Part("mixup", {"alpha": 0.3}), Part("swap_noise")))
    values = steerable(spec, "binary", 128)
    sliders = {slider.description: slider for slider in live_controls(spec, values, Controls(), print)}
    assert (sliders["mixup"].value, sliders["mixup"].min, sliders["swap noise"].value) == (0.3, 0.0, 0.1)
    assert "cutmix" not in sliders


def test_an_own_network_has_no_dropout_slider() -> None:
    spec = TrainSpec(model=Part("custom", {"name": "Mine", "code": ""}))
    names = [
        slider.description for slider in live_controls(spec, steerable(spec, "regression", 100), Controls(), print)
    ]
    assert names == ["lr", "weight decay", "batch size", "patience"]


def test_buttons_stop_pause_and_resume() -> None:
    controls = Controls()
    buttons = Buttons(controls, print)
    stop, pause = buttons.widgets
    pause.click()
    buttons.follow()
    assert controls.paused and pause.description == "Resume"
    pause.click()
    buttons.follow()
    assert not controls.paused and pause.description == "Pause"
    stop.click()
    buttons.follow()
    assert controls.stop_reason == "stopped" and stop.disabled and pause.disabled


def test_an_error_in_a_callback_is_told_and_not_raised() -> None:
    class Broken(Controls):
        def stop(self, reason: str = "stopped") -> None:
            raise RuntimeError("no")

        def set(self, name: str, value: float) -> None:
            raise RuntimeError("neither")

    controls, told = Broken(), []
    Buttons(controls, told.append).widgets[0].click()
    live_controls(TrainSpec(), {"lr": 0.01}, controls, told.append)[0].value = 0.002
    assert told == ["the button failed: no", "lr was not changed: neither"]


def _values(param: Param) -> list[Any]:
    """Some values that the declaration allows, as checked; numbers of three digits at most."""
    if isinstance(param.domain, Within):
        ends = [param.domain.low, param.domain.high, param.domain.offered.low, param.domain.offered.high]
        numbers = [param.kind(float(f"{end:.3g}")) for end in ends]
        numbers = [number for number in numbers if number in param.domain]
        found: list[Any] = [(number,) for number in numbers] if param.many else numbers
    elif param.choices:
        found = [(word,) for word in param.choices] if param.many else [param.read(word) for word in param.choices]
    elif isinstance(param.domain, Weights):
        found = [("balanced",), ("a, b=2", "it's=1")]
    else:
        found = [("<b>", 'say "x"', "a,b")] if param.many else ["<img src=x>", "a b"]
    return [None, *found] if param.optional else found


@pytest.mark.parametrize("verb", ["nn_preprocess", "nn_train", "nn_tune"])
def test_a_control_says_every_value_that_it_shows(verb: str) -> None:
    params = {id(option.param): option.param for option in any_option(VERBS[verb]).values()}
    for param in params.values():
        for columns in ([], ["a b", "<img src=x>", "<b>"]) if isinstance(param.domain, Column) else ([],):
            for sliders in (True, False):
                widget = control(param, None, columns, sliders)
                for value in _values(param):
                    put(param, widget, value, columns)
                    shown = param.read(said(param, widget))
                    assert getattr(shown, "name", shown) == getattr(value, "name", value), (param.name, value)
