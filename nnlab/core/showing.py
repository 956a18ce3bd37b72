"""Where the root hands in what shows results, so that core draws them without importing a face."""

from collections.abc import Callable
from typing import Any

Maker = Callable[[Any, str | None], Any]

_makers: list[Maker] = []


def hand_in(maker: Maker) -> None:
    """From now on maker makes the reports: of a result, and of one of its columns."""
    _makers[:] = [maker]


def report(result: Any, column: str | None = None) -> Any:
    """The report of a result, be it prepared data or the quality of synthetic rows; column: of this one alone."""
    return _makers[-1](result, column)
