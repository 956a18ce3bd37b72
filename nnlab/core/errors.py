"""Errors that a notebook shows in a few lines.

NNLabError
├── SpecError   a word or value that the user wrote cannot be used
├── DataError   a frame, column or target cannot be used
├── RunError    training or tuning could not go on
└── StoreError  a file of the store cannot be read or written
"""

import difflib
import os
import traceback
from collections.abc import Iterable

from nnlab.core.wording import visible


class NNLabError(Exception):
    """What was got, what is allowed, what to do; shown without a traceback unless NNLAB_TRACEBACK=1."""

    def _render_traceback_(self) -> list[str]:  # IPython finds this hook by its name
        if os.environ.get("NNLAB_TRACEBACK") == "1":
            return "".join(traceback.format_exception(self)).splitlines()
        return [f"nnlab: {visible(self)}"]


class SpecError(NNLabError, ValueError):
    """A word or value that the user wrote cannot be used."""


class DataError(NNLabError, ValueError):
    """A frame, column or target cannot be used."""


class RunError(NNLabError, RuntimeError):
    """Training or tuning could not go on."""


class StoreError(NNLabError, RuntimeError):
    """A file of the store cannot be read or written."""


class DataWarning(UserWarning):
    """New rows hold what the training rows did not."""


def did_you_mean(word: object, known: Iterable[object]) -> str:
    """'; did you mean 'x'?' for the nearest known word, or '' where none is near."""
    by_lower = {str(k).lower(): str(k) for k in known}
    near = difflib.get_close_matches(str(word).lower(), by_lower, n=1, cutoff=0.6)
    return f"; did you mean {by_lower[near[0]]!r}?" if near else ""


def nearest(word: object, known: Iterable[object], see: str, most: int = 8) -> str:
    """The known words, of more than `most` the nearest ones and where the others are: see."""
    words = [str(k) for k in known]
    if len(words) <= most:
        return ", ".join(words)
    near = difflib.get_close_matches(str(word).lower(), words, n=3, cutoff=0.55) or words[:3]
    return f"{', '.join(near)}, ... ({see} lists all {len(words)})"
