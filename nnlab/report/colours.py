"""Colours of what a network gives over a plane: classes blended by their probability, numbers from pale to blue."""

import numpy as np

CLASSES = ("#d6480a", "#1f66cc", "#138a72", "#a63d97", "#b98900", "#4aa3df", "#7a5c3e", "#5b6472")
LOW, HIGH = "#f3f0e6", "#1f66cc"  # of numbers
PALE = 0.45  # share of white in the colour of a class that is sure


def inks_of(classes: int) -> list[str]:
    """A colour for each class; beyond the eighth they come again."""
    return [CLASSES[place % len(CLASSES)] for place in range(classes)]


def painted(values: np.ndarray, shape: tuple[int, ...], ends: tuple[float, float] | None = None) -> np.ndarray:
    """Pixels (height, width, 3) uint8 with the first axis to the right and the second upwards.

    values: probabilities (points, classes), or numbers (points, 1), the second axis going fastest. Half sure is pale.
    ends: the numbers that are palest and bluest; those beyond are as these.
    """
    if values.shape[1] == 1:
        low, high = ends or (0.0, 1.0)
        share = np.clip((np.nan_to_num(values[:, 0], nan=low) - low) / (high - low or 1.0), 0, 1)[:, None]
        flat = _rgb(LOW) * (1 - share) + _rgb(HIGH) * share
    else:
        shares = np.nan_to_num(values, nan=1 / values.shape[1])
        flat = shares @ np.stack([_rgb(ink) for ink in inks_of(values.shape[1])])
        least = 1 / values.shape[1]
        sure = np.clip((shares.max(1, keepdims=True) - least) / (1 - least), 0, 1) * (1 - PALE)
        flat = flat * sure + 255.0 * (1 - sure)
    grid = flat.reshape(*shape, 3).transpose(1, 0, 2)[::-1]
    return np.ascontiguousarray(grid.round().clip(0, 255).astype(np.uint8))


def _rgb(ink: str) -> np.ndarray:
    return np.array([int(ink[at : at + 2], 16) for at in (1, 3, 5)], float)
