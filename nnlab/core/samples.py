"""At which steps of a run its layers are looked at: often enough for a picture, rarely enough to cost nothing.

The places follow from the number of the step alone, so a run that was cut and goes on has the same ones.
"""

from collections.abc import Iterable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from nnlab.core.events import Probed

FIRST = (1, 3, 6, 12, 25, 50)  # what goes wrong at once is seen at once
EVERY = 100  # steps between two looks, doubled whenever so many have come together
TOGETHER = 32


def stride(step: int) -> int:
    """Steps between two looks at this place of a run."""
    return EVERY << max(0, (step // (EVERY * TOGETHER)).bit_length() - 1)


def next_due(step: int) -> int:
    """The first step from this one on that is one to look at; steps are counted from 1 over the whole run."""
    if step <= FIRST[-1]:
        return next(first for first in FIRST if first >= step)
    wide = stride(step)
    return -(-step // wide) * wide


def thinned(events: Iterable["Probed"]) -> "list[Probed]":
    """The looks of a run in order, as far apart as at its end: at most 2 TOGETHER of them and the first."""
    known = {event.step: event for event in events}
    wide = stride(max(known, default=1))
    return [known[step] for step in sorted(known) if step in FIRST or step % wide == 0]
