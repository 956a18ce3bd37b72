"""Widgets that change a running run. Their callbacks may come on any thread, so they only write to `Controls`."""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import fields, replace
from typing import Any

import ipywidgets

from nnlab.core.augments import AUGMENTS
from nnlab.core.controls import Controls
from nnlab.core.options import options_of
from nnlab.core.params import Column, Param, Within, as_cell
from nnlab.core.registry import Part
from nnlab.core.spec import TrainSpec

ROUND = (1.0, 1.5, 2.0, 3.0, 5.0, 7.0)  # of each power of ten, the places of a slider that goes by ratio down to 0
FINE = 1000  # whole numbers over a wider range cannot be hit with a slider
AMOUNTS = ("label_smoothing", *AUGMENTS)
NO_PUMP = "the buttons do not work in this kernel while a cell runs: use the interrupt key (square) to stop"

UNSET: Any = object()  # what a list holds for None, which ipywidgets takes for no choice at all

Tell = Callable[[str], None]  # takes a line that the user shall see


def control(param: Param, value: Any = None, columns: Sequence[str] = (), sliders: bool = True) -> Any:
    """The widget that offers the values of a parameter, set to value (default: the declared one).

    Numbers become a slider over the offered range, widened to hold the value: ipywidgets would clamp it silently. Where
    a number may also be open, 0 has no place on the scale, or no sliders are wanted, it is a text field that offers
    some. Choices and columns become a list; other lists and free text become a text field, as a person would type them.
    A word in a number's place, such as find for lr, is shown as it is, in a text field.
    """
    sliders = sliders and not _is_word(param, value)
    value = param.default if value is None else value if _is_word(param, value) else param.read(value)
    texts: dict[str, Any] = {"description": param.name.replace("_", " "), "tooltip": param.help}
    if isinstance(param.domain, Column) and columns:
        made: Any = ipywidgets.SelectMultiple(rows=4, **texts) if param.many else ipywidgets.Dropdown(**texts)
    elif param.kind is bool and not param.optional:
        made = ipywidgets.Checkbox(indent=False, **texts)
    elif param.choices and not param.many:
        made = ipywidgets.Dropdown(**texts)
    elif not param.many and isinstance(param.domain, Within):
        made = _number(param, value, texts, sliders)
    else:
        made = ipywidgets.Text(continuous_update=False, **texts)
    put(param, made, value, columns)
    return made


def _number(param: Param, value: Any, texts: dict[str, Any], sliders: bool) -> Any:
    offered = param.domain.offered
    if param.optional or not sliders or (offered.log and (value <= 0 or offered.low <= 0)):
        return ipywidgets.Combobox(options=_some(param), continuous_update=False, **texts)
    texts["continuous_update"] = False
    if offered.log:
        ends = (math.floor(math.log10(offered.low)), math.ceil(math.log10(offered.high)))
        whole = param.kind is int  # whose steps must reach the next whole number
        step = max(0.05, math.log10(1 + 1 / offered.low)) if whole else 0.05
        form = ",.0f" if whole else ".1e"
        return ipywidgets.FloatLogSlider(min=ends[0], max=ends[1], step=step, readout_format=form, **texts)
    if offered.least:
        return ipywidgets.SelectionSlider(options=_options(_places(offered.least, offered.high)), **texts)
    if offered.high - offered.low > FINE:
        kind = ipywidgets.BoundedIntText if param.kind is int else ipywidgets.BoundedFloatText
        return kind(min=param.kind(param.domain.low), max=param.kind(param.domain.high), **texts)
    if param.kind is int:
        return ipywidgets.IntSlider(min=int(offered.low), max=int(offered.high), **texts)
    power = 10.0 ** math.floor(math.log10((offered.high - offered.low) / 100))
    step = next(power * times for times in (5, 2, 1) if 100 * power * times <= (offered.high - offered.low) * 1.001)
    form = f".{max(0, -round(math.log10(power)))}f"
    return ipywidgets.FloatSlider(min=offered.low, max=offered.high, step=step, readout_format=form, **texts)


def _places(least: float, high: float) -> list[float]:
    """0, and round numbers by ratio from least to high, both included."""
    powers = range(math.floor(math.log10(least)), math.ceil(math.log10(high)))
    between = [float(f"{times}e{power}") for power in powers for times in ROUND]
    return [0.0, *(place for place in between if least <= place < high), high]


def _options(numbers: Sequence[float]) -> list[tuple[str, float]]:
    return [(f"{number:g}", number) for number in numbers]


def _is_word(param: Param, value: Any) -> bool:
    return not param.many and isinstance(param.domain, Within) and isinstance(value, str)


def become(widget: Any, other: Any) -> None:
    """Let a widget offer what another of its kind does, to be given its value by `put`: it stays where it is."""
    for name in ("options", "step", "readout_format", "tooltip"):
        if widget.has_trait(name):
            setattr(widget, name, getattr(other, name))
    if widget.has_trait("min"):
        widget.min, widget.max = min(widget.min, other.min), max(widget.max, other.max)  # never the one above the other
        widget.value = other.value
        widget.min, widget.max = other.min, other.max


def can_show(param: Param, widget: Any, value: Any) -> bool:
    """Whether `put` can give the widget the value: a slider has no place for a word, such as find for lr."""
    return isinstance(widget, ipywidgets.Text) or not _is_word(param, value)


def _some(param: Param) -> tuple[str, ...]:
    """A few values of a number, which a text field offers: the open one first, then over the range."""
    low, high = param.domain.offered.least or param.domain.offered.low, param.domain.offered.high
    if (param.domain.log or param.domain.least) and low > 0:
        values = [low * (high / low) ** (part / 4) for part in range(5)]
    else:
        values = [low + (high - low) * part / 4 for part in range(5)]
    numbers = [param.show(param.kind(float(f"{value:.2g}"))) for value in values]
    first = [param.unset] if param.optional else ["0"] if param.domain.low <= 0 else []
    return tuple(dict.fromkeys([*first, *numbers]))


def put(param: Param, widget: Any, value: Any, columns: Sequence[str] = ()) -> None:
    """Let the widget show a value, also one that it did not offer."""
    held: Any = value.name if isinstance(value, Part) else value  # a part is offered by its name
    if isinstance(widget, ipywidgets.SelectMultiple):
        _offer(widget, [(name, name) for name in dict.fromkeys([*columns, *(held or ())])])
        held = tuple(held or ())
    elif isinstance(widget, ipywidgets.Dropdown):
        offered = [(name, name) for name in columns] if isinstance(param.domain, Column) else _choices(param)
        open_one = [(param.unset, UNSET)] if param.optional or held is None else []
        new = [(str(held), held)] if held is not None and held not in dict(offered).values() else []
        _offer(widget, [*open_one, *offered, *new])
        held = UNSET if held is None else held
    elif isinstance(widget, (ipywidgets.Text, ipywidgets.Combobox)):
        held = ",".join(map(as_cell, held)) if param.many and param.kind is str and held else param.show(held)
    elif isinstance(widget, ipywidgets.SelectionSlider):
        _offer(widget, _options(sorted({held, *(number for _, number in widget.options)})))
    elif isinstance(widget, ipywidgets.FloatLogSlider):
        widget.min = min(widget.min, math.floor(math.log10(held)))
        widget.max = max(widget.max, math.ceil(math.log10(held)))
    elif not isinstance(widget, ipywidgets.Checkbox):
        widget.min, widget.max = min(widget.min, held), max(widget.max, held)
    widget.value = held


def _offer(widget: Any, options: list[tuple[str, Any]]) -> None:
    if list(widget.options) != options:
        widget.options = options


def _choices(param: Param) -> list[tuple[str, Any]]:
    return [(word, word if param.kind is Part else param.read(word)) for word in param.choices]


def said(param: Param, widget: Any) -> Any:
    """What the widget's user says, as the parameter reads it; places of a slider without digits that nobody chose."""
    value = widget.value
    if isinstance(widget, (ipywidgets.FloatLogSlider, ipywidgets.FloatSlider)):
        digits = 3 if isinstance(widget, ipywidgets.FloatLogSlider) else 6
        return round(value) if param.kind is int else float(f"{value:.{digits}g}")
    return None if value is UNSET else value


def live_controls(
    spec: TrainSpec, values: Mapping[str, float], controls: Controls, tell: Tell, sliders: bool = True
) -> list[Any]:
    """A slider, or a field, for each value that the run's parts have and that can be changed while it lives; as
    `steerable` gives them, but none for the dropout of a network of the user's own, which may have no such layer."""
    options = options_of(TrainSpec, {f.name: getattr(spec, f.name) for f in fields(spec)})
    made = []
    for name, value in values.items():
        if option := options.get(name):
            widget = _live_control(name, option.param, value, sliders)
            widget.style.description_width, widget.layout.width = "initial", "auto"
            widget.layout.flex, widget.layout.max_width = f"1 1 {120 + 6 * len(name)}px", "300px"
            widget.layout.margin = "2px 0 2px 16px"
            widget.observe(_setter(name, option.param, controls, tell), "value")
            made.append(widget)
    return made


def _live_control(name: str, param: Param, value: float, sliders: bool) -> Any:
    """As `control`, but a batch size is one of the usual powers, and any amount can go down to 0."""
    if name == "batch_size":
        sizes = sorted({*(2**power for power in range(3, 13)), int(value)})
        texts = {"description": "batch size", "tooltip": param.help, "continuous_update": False}
        if not sliders:
            return ipywidgets.Dropdown(options=sizes, value=int(value), description="batch size", tooltip=param.help)
        return ipywidgets.SelectionSlider(options=sizes, value=int(value), **texts)
    if name in AMOUNTS:
        param = replace(param, domain=Within(0.0, param.domain.offered.high))
    if math.isinf(value):
        made = control(param, sliders=sliders)
        put(param, made, None)  # which is open, not the default
        return made
    return control(param, value, sliders=sliders)


def _setter(name: str, param: Param, controls: Controls, tell: Tell) -> Callable[[Any], None]:
    def write(change: Any) -> None:
        try:
            value = param.read(change["new"])
            controls.set(name, math.inf if value is None else value)
        except Exception as error:
            tell(f"{name} was not changed: {error}")

    return write


class Buttons:
    """Stop, and Pause that becomes Resume. `follow` makes them show what the controls say; main thread only."""

    def __init__(self, controls: Controls, tell: Tell, *, pausable: bool = True) -> None:
        self._controls = controls
        kept = "keep the best epoch" if pausable else "keep all trials"
        stop = button("Stop", "stop", f"end after this step and {kept}")
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
