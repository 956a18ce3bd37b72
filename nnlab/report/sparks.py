"""Numbers as a few characters: small histograms, ends and shares."""

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import numpy as np

from nnlab.report.tables import number

if TYPE_CHECKING:
    from nnlab.core.data.spreads import Spread

BLOCKS = "▁▂▃▄▅▆▇█"
HOURS_SHOWN = 3 * 86_400_000_000  # microseconds; in a shorter stretch of time the hours matter


def spark(counts: Sequence[int]) -> str:
    """One block for each count, as high as its share of the largest; the lowest is for none alone.

    >>> spark([0, 1, 50, 100])
    '▁▂▅█'
    """
    most = max(counts, default=0)
    return "".join(BLOCKS[-(-count * (len(BLOCKS) - 1) // most)] if most else BLOCKS[0] for count in counts)


def ends(spread: "Spread", words: Callable[[float], str] = lambda value: number(value, 3)) -> str:
    """From where to where numbers go; one word where both ends read alike.

    words: how a number is written.
    """
    low, high = words(spread.low), words(spread.high)
    return low if low == high else f"{low} to {high}"


def share(part: int, whole: int) -> str:
    """A share in percent that is 0 or 100 only where it is so.

    >>> share(1, 10_000), share(177, 891), share(9999, 10_000), share(3, 3)
    ('<0.1%', '19.9%', '>99.9%', '100%')
    """
    percent = 100 * part / max(whole, 1)
    if part in (0, whole):
        return f"{percent:.0f}%"
    return "<0.1%" if percent < 0.1 else ">99.9%" if percent > 99.9 else f"{percent:.1f}%"


def date_text(microseconds: float, span: float) -> str:
    """Microseconds since 1970 as a date, with the time of day where all dates lie within a short span."""
    time = np.datetime64(int(microseconds), "us")
    return str(time.astype("datetime64[m]")).replace("T", " ") if span < HOURS_SHOWN else str(time.astype("M8[D]"))
