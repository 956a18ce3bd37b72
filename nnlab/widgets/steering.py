"""The row with which a study is steered: pin a value, narrow a range, free it again, queue a trial."""

from collections.abc import Mapping
from typing import Any

import ipywidgets
from ipywidgets import HBox, Layout

from nnlab.core.controls import Controls
from nnlab.core.events import Steered, StudyStarted
from nnlab.magics.verbs import shown_value
from nnlab.widgets import look
from nnlab.widgets.controls import Tell, button, guarded

DONE = {"pin": "pinned", "narrow": "narrowed", "free": "freed", "queue": "queued"}


class SteerRow:
    """Its callbacks only write to the controls; what was done comes back as an event."""

    def __init__(self, started: StudyStarted, controls: Controls, tell: Tell, text: look.Texts) -> None:
        self._controls, self._space, self._tell = controls, started.space, tell
        self._said: dict[str, str] = {}
        names = [(f"{name}   {allowed}", name) for name, allowed in started.space.items()]
        wide = Layout(width="auto", flex="1 1 150px", max_width="260px")
        self._name = ipywidgets.Dropdown(options=names, layout=wide, tooltip="what to steer")
        self._value = ipywidgets.Text(layout=wide, tooltip="a value to pin, or a range to narrow to")
        self._trial = ipywidgets.Text(
            layout=Layout(width="auto", flex="2 1 220px", max_width="620px"),
            tooltip="a trial to try next",
            placeholder="lr=0.01 dropout=0.1",
        )
        self._offered = ""  # what stands there, unless a person wrote it
        self._name.observe(lambda change: self._hint(), "value")
        words = (
            ("Pin", "thumb-tack", "try only this value from the next trials on", lambda: self._wish("pin")),
            ("Narrow", "compress", "try only this range from the next trials on", lambda: self._wish("narrow")),
            ("Free", "expand", "search the whole range again", lambda: controls.steer("free", self._name.value)),
            ("Queue", "plus", "try these values next", lambda: controls.steer("queue", self._trial.value)),
        )
        buttons = []
        for word, icon, hint, act in words:
            buttons.append(made := button(word, icon, hint))
            made.on_click(guarded(act, tell))
        self._hint()
        self._state = text()
        self._inputs = [self._name, self._value, *buttons[:3], self._trial, buttons[3]]
        wrapped = {"width": "100%", "flex_flow": "row wrap", "margin": "2px 0"}
        rows = self._inputs[:5], self._inputs[5:]
        self.widgets = [*(HBox(row, layout=Layout(**wrapped)) for row in rows), self._state]

    def disable(self) -> None:
        """Nothing more can be steered."""
        for widget in self._inputs:
            widget.disabled = True

    def offer(self, values: Mapping[str, Any]) -> None:
        """Fill in the best values so far, as a trial that a person may change, unless one was written there."""
        if self._trial.value == self._offered:
            held = {name: shown_value(name, value) for name, value in values.items() if value is not None}
            self._offered = self._trial.value = " ".join(f"{name}={value}" for name, value in held.items())

    def take(self, step: Steered) -> str:
        """Show what holds now; gives the line that tells of the step."""
        if step.what == "queue":
            self._trial.value = self._offered
        else:
            self._value.value = ""
            for part in step.text.split(", "):
                name, _, value = part.partition("=")
                if step.what == "free":
                    self._said.pop(name, None)
                else:
                    self._said[name] = f"{name} {'=' if step.what == 'pin' else 'in'} {value}"
        held = " · ".join(self._said.values())
        self._state.value = look.notes((f"steered: {held}",)) if held else ""
        return f"{DONE[step.what]} {step.text}, from trial {step.trial} on"

    def _wish(self, what: str) -> None:
        name, value = self._name.value, self._value.value.strip()
        if not value:
            self._tell(f"write {self._value.placeholder} first")
            return
        self._controls.steer(what, f"{name}={value}")

    def _hint(self) -> None:
        self._value.placeholder = f"a value, or part of {self._space.get(self._name.value, '')}"
