"""Warnings while a run lives, each once, and only where it is sure."""

import contextlib
import math
from collections.abc import Generator

import numpy as np

from nnlab.core.events import EpochDone, Event, Probed, Warned

GRADIENT = 1e4  # norm of a layer's gradient that no healthy run came near
RATE = 1.0  # a step for the norm of the weights, median of the layers
DEAD = 0.5  # share of a layer's units that give the same for every row
LATER = 50  # steps after which dead units stay dead
RISE = 10.0  # the training loss for its smallest


class Watch:
    """Says what is wrong with events as they come."""

    def __init__(self) -> None:
        self._said: set[str] = set()
        self._lowest = math.inf
        self._began: np.ndarray | None = None  # which layers began with weights that are not 0

    def __call__(self, event: Event) -> list[Warned]:
        """The warnings that this event gives, each kind once."""
        if isinstance(event, Probed):
            if self._began is None:
                self._began = np.array(event.values["weight"]) > 0
            found = _of_look(event, self._began)
        elif isinstance(event, EpochDone):
            found = self._of_epoch(event)
        else:
            return []
        new = {kind: words for kind, words in found.items() if kind not in self._said}
        self._said |= set(new)
        return [Warned(words) for words in new.values()]

    def _of_epoch(self, event: EpochDone) -> dict[str, str]:
        loss = event.train.get("loss", math.nan)
        before, self._lowest = self._lowest, min(self._lowest, loss)
        if 0 < before < math.inf and loss > RISE * before and loss > event.valid.get("loss", loss) / RISE:
            return {
                "rise": f"the training loss rose from {before:.3g} to {loss:.3g} at lr {event.lr:.2g}: it may diverge"
            }
        return {}


def _of_look(look: Probed, began: np.ndarray) -> dict[str, str]:
    """What one look into the layers is sure of, by kind. began: layers to which a step must be a small change."""
    slopes, dead = np.array(look.values["gradient"]), np.array(look.values["dead"])
    found = {}
    with np.errstate(divide="ignore", invalid="ignore"):
        rates = np.array(look.values["update"]) / np.array(look.values["weight"])
        rate = float(np.median(rates[began])) if began.any() else 0.0
    if not np.isfinite(slopes).all() or slopes.max(initial=0.0) > GRADIENT:
        worst = int(np.argmax(np.nan_to_num(slopes, nan=np.inf)))
        found["gradient"] = (
            f"gradients explode: norm {slopes[worst]:.2g} in layer {look.layers[worst]}, step {look.step}"
        )
    if rate > RATE:
        found["rate"] = f"step {look.step} changed the weights by {rate:.0%} of their norm: the lr is too high"
    if look.step >= LATER and np.nan_to_num(dead).max(initial=0.0) > DEAD:
        worst = int(np.nanargmax(dead))
        found["dead"] = f"{dead[worst]:.0%} of the units of layer {look.layers[worst]} are dead, step {look.step}"
    return found


def watched(events: Generator[Event, None, None]) -> Generator[Event, None, None]:
    """The events, with warnings right behind those that gave them."""
    watch = Watch()
    with contextlib.closing(events):
        for event in events:
            yield event
            yield from watch(event)
