"""Numbers out of features: a feature has few digits, and what it stands for is written with no more than it tells."""

from collections.abc import Callable

import numpy as np

UNITS = tuple(  # microseconds in a day, an hour, a minute, a second and a thousandth of one
    86_400_000_000 // parts for parts in (1, 24, 1440, 86_400, 86_400_000)
)


def carried(back: Callable[[np.ndarray], np.ndarray], features: np.ndarray) -> np.ndarray:
    """The numbers (float64) that gave features (of a float type), with the fewest decimals that the features allow.

    back: undoes a scaling, number by number. All numbers as near as half a step to the next feature have the same
    feature; of these the one with the fewest decimals is taken, as when a float is printed (Steele and White, 1990).
    """
    numbers = np.asarray(back(features.astype(np.float64)))
    steps = [np.nextafter(features, features.dtype.type(end)).astype(np.float64) for end in (-np.inf, np.inf)]
    with np.errstate(all="ignore"):  # beyond the last feature there is none
        low, high = (np.abs(back(step) - numbers) / 2 for step in steps)
        near = np.maximum(np.fmax(low, high), np.spacing(np.abs(numbers)))
        coarse = _rounded(numbers, np.ceil(np.log10(2 * near)))
        fine = _rounded(numbers, np.floor(np.log10(near)))
    found = np.where(np.abs(coarse - numbers) <= near, coarse, fine)
    return np.where(np.isfinite(found), found, numbers)


def _rounded(numbers: np.ndarray, exponent: np.ndarray) -> np.ndarray:
    """To multiples of 10 ** exponent; decimals come of a division, so that 0.3 is 0.3."""
    large = 10.0 ** np.maximum(exponent, 0)
    small = 10.0 ** np.maximum(-exponent, 0)
    return np.rint(numbers * small / large) * large / small


def unit_of(us: np.ndarray) -> int:
    """The largest unit that all of these microseconds (int64) are multiples of: day, hour, ..., or 1."""
    return next((unit for unit in UNITS if not (us % unit).any()), 1)


def whole(numbers: np.ndarray) -> np.ndarray:
    """Rounded to int64; as they are where one has no place there (NaN, infinite or too large)."""
    if not (np.abs(numbers) < 2.0**63).all():
        return numbers
    return np.rint(numbers).astype(np.int64)
