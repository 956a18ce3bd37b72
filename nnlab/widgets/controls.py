"""Widgets that change a running run. Their callbacks may come on any thread, so they only write to `Controls`."""

import math
from collections.abc import Callable
from dataclasses import fields
from typing import Any

import ipywidgets

from nnlab.core.controls import LIVE, Controls
from nnlab.core.options import options_of
from nnlab.core.params import Param, Within
from nnlab.core.registry import Part
from nnlab.core.spec import TrainSpec

FINE = 1000  # whole numbers over a wider range cannot be hit with a slider
NO_PUMP = "the buttons do not work in this kernel while a cell runs: use the interrupt key (square) to stop"

Tell = Callable[[str], None]  # takes a line that the user shall see


def control(param: Param, value: Any = None) -> Any:
    """The widget that offers the values of a parameter, set to value (default: the declared one).

    Numbers become a slider over the offered range, widened to hold the value: ipywidgets would clamp it silently.
    Choices become a drop-down list; lists and free text become a text field, as a person would type them.
    """
    value = param.default if value is None else param.read(value)
    texts: dict[str, Any] = {"description": param.name.replace("_", " "), "tooltip": param.help}
    if param.many or not (param.choices or isinstance(param.domain, Within)):
        return ipywidgets.Text(value=param.show(value), **texts)
    if param.choices:
        held = value.name if isinstance(value, Part) else value  # a part is offered by its name
        return ipywidgets.Dropdown(options=_choices(param), value=held, **texts)
    offered = param.domain.offered
    value = offered.low if value is None else value
    low, high = min(offered.low, value), max(offered.high, value)
    texts["continuous_update"] = False
    if offered.log and param.kind is float:
        ends = (math.floor(math.log10(low)), math.ceil(math.log10(high)))
        return ipywidgets.FloatLogSlider(
            value=value, min=ends[0], max=ends[1], step=0.05, readout_format=".1e", **texts
        )
    if param.kind is int and high - low > FINE:
        return ipywidgets.BoundedIntText(value=value, min=int(param.domain.low), max=int(param.domain.high), **texts)
    if param.kind is int:
        return ipywidgets.IntSlider(value=value, min=int(low), max=int(high), **texts)
    step = (high - low) / 100
    return ipywidgets.FloatSlider(value=value, min=low, max=high, step=step, readout_format=".3f", **texts)


def _choices(param: Param) -> list[tuple[str, Any]]:
    words = [(word, word if param.kind is Part else param.read(word)) for word in param.choices]
    return [(param.unset, None), *words] if param.optional else words


def live_sliders(spec: TrainSpec, controls: Controls, tell: Tell) -> list[Any]:
    """A slider for each value that the run's parts have and that can be changed while it lives."""
    options = options_of(TrainSpec, {f.name: getattr(spec, f.name) for f in fields(spec)})
    sliders = []
    for name in LIVE:
        if option := options.get(name):
            part = getattr(spec, option.field)
            value = part.values.get(name) if isinstance(part, Part) else None
            slider = control(option.param, value)
            slider.style.description_width, slider.layout.width = "initial", "auto"
            slider.layout.flex, slider.layout.max_width = f"1 1 {120 + 6 * len(name)}px", "300px"
            slider.layout.margin = "2px 0 2px 16px"
            slider.observe(_setter(name, option.param, controls, tell), "value")
            sliders.append(slider)
    return sliders


def _setter(name: str, param: Param, controls: Controls, tell: Tell) -> Callable[[Any], None]:
    def write(change: Any) -> None:
        try:
            controls.set(name, param.read(change["new"]))
        except Exception as error:
            tell(f"{name} was not changed: {error}")

    return write


class Buttons:
    """Stop, and Pause that becomes Resume. `follow` makes them show what the controls say; main thread only."""

    def __init__(self, controls: Controls, tell: Tell, *, pausable: bool = True) -> None:
        self._controls = controls
        stop = button("Stop", "stop", "end after this step and keep the best epoch")
        stop.add_class("nnl-stop")
        stop.on_click(guarded(lambda: controls.stop(), tell))
        self.widgets = [stop]
        if pausable:
            pause = button("Pause", "pause", "hold the run between two steps")
            pause.on_click(guarded(lambda: controls.pause(not controls.paused), tell))
            self.widgets.append(pause)

    def follow(self) -> None:
        """Show whether the run is held or stopping."""
        word = ("Resume", "play") if self._controls.paused else ("Pause", "pause")
        for button in self.widgets[1:]:
            button.description, button.icon = word
        if self._controls.stop_reason:
            self.disable()

    def disable(self) -> None:
        """Nothing more can be pressed."""
        for button in self.widgets:
            button.disabled = True


def button(word: str, icon: str, hint: str) -> Any:
    return ipywidgets.Button(description=word, icon=icon, tooltip=hint, layout=ipywidgets.Layout(width="96px"))


def guarded(act: Callable[[], None], tell: Tell) -> Callable[[Any], None]:
    def on_click(pressed: Any) -> None:
        try:
            act()
        except Exception as error:
            tell(f"the button failed: {error}")

    return on_click
