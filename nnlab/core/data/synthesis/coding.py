"""A table as networks see it: each number as a mode and the place within it, each category as a level."""

import warnings
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from nnlab.core.data.steps.registries import Array
from nnlab.core.data.synthesis.sample import Sample

if TYPE_CHECKING:
    from torch import Tensor, nn

MOST_MODES = 10
LEAST_WEIGHT = 0.005  # of a mode
LEAST_WIDTH = 1e-3  # of a mode, in standard deviations of the column
WIDTHS = 4.0  # standard deviations of a mode that make a place of 1
ROWS_FOR_MODES = 10_000  # more rows do not move the modes, only the clock
STEPS = 3_000  # of a training without a number of epochs


@dataclass(frozen=True, eq=False)
class Modes:
    """The modes of a number: center, width and weight (k,) of the column as (x - shift) / scale; blank: some miss."""

    shift: float
    scale: float
    center: Array
    width: Array
    weight: Array
    blank: bool

    @property
    def picks(self) -> int:
        return len(self.center) + self.blank


@dataclass(frozen=True, eq=False)
class Coded:
    """places: float32 (n, p) from -1 to 1 within the mode; picks: int64 (n, p + q), the mode or level of each."""

    places: Array
    picks: Array


@dataclass(frozen=True, eq=False)
class Coding:
    """How a table is coded: p modes; known: the codes that occur in each of q columns, -1 as one of them.

    Missing is one more mode where numbers are missing. sizes: the number of picks of each of the p + q columns.
    """

    modes: tuple[Modes, ...]
    known: tuple[Array, ...]

    @property
    def sizes(self) -> tuple[int, ...]:
        return (*(modes.picks for modes in self.modes), *(len(codes) for codes in self.known))

    def encode(self, sample: Sample, rng: np.random.Generator) -> Coded:
        """The rows coded; the mode of a number is drawn by how likely each is for it."""
        columns = [_place(column, modes, rng) for column, modes in zip(sample.numbers.T, self.modes, strict=True)]
        levels = [np.searchsorted(known, codes) for codes, known in zip(sample.codes.T, self.known, strict=True)]
        n = len(sample)
        places = np.array([place for place, _ in columns], np.float32).reshape(-1, n).T
        picks = np.array([*(pick for _, pick in columns), *levels], np.int64).reshape(-1, n).T
        return Coded(np.ascontiguousarray(places), np.ascontiguousarray(picks))

    def decode(self, coded: Coded) -> tuple[Array, Array]:
        """Numbers float64 (n, p) and codes int64 (n, q)."""
        p = len(self.modes)
        numbers, codes = np.empty((len(coded.picks), p)), np.empty((len(coded.picks), len(self.known)), np.int64)
        for j, modes in enumerate(self.modes):
            place, pick = coded.places[:, j].astype(np.float64), coded.picks[:, j]
            center, width = np.append(modes.center, np.nan)[pick], np.append(modes.width, np.nan)[pick]
            numbers[:, j] = (center + WIDTHS * width * place) * modes.scale + modes.shift
        for j, known in enumerate(self.known):
            codes[:, j] = known[coded.picks[:, p + j]]
        return numbers, codes


def fit_coding(sample: Sample, rng: np.random.Generator) -> Coding:
    """The coding of a table: mode-specific normalization of Xu et al., "Modeling Tabular data using CTGAN", 2019."""
    modes = tuple(_fit_modes(column, rng) for column in sample.numbers.T)
    return Coding(modes, tuple(np.unique(codes) for codes in sample.codes.T))


def one_hot(picks: "Tensor", sizes: tuple[int, ...]) -> "Tensor":
    """float32 (n, sum of sizes) of picks int64 (n, columns)."""
    import torch

    starts = torch.tensor([0, *np.cumsum(sizes[:-1])], device="cpu") if sizes else torch.zeros(0, dtype=torch.int64)
    hot = torch.zeros((len(picks), sum(sizes)), dtype=torch.float32, device="cpu")
    return hot.scatter_(1, picks + starts[: len(sizes)], 1.0)


def linear(inputs: int, outputs: int) -> "nn.Module":
    """A layer of float32 from the start, whatever the user's default is: another type draws other weights."""
    import torch

    return torch.nn.Linear(inputs, outputs, dtype=torch.float32)


def blocks(logits: "Tensor", sizes: tuple[int, ...]) -> "tuple[Tensor, ...]":
    """The logits (n, sum of sizes) of each pick."""
    parts: tuple[Tensor, ...] = logits.split(sizes, 1)  # type: ignore[no-untyped-call]
    return parts


def gumbel(logits: "Tensor") -> "Tensor":
    """Standard Gumbel noise for each logit: the largest sum of both is a draw from their softmax."""
    import torch

    drawn = torch.rand_like(logits, requires_grad=False).clamp_(min=torch.finfo(logits.dtype).tiny)
    drawn = drawn.log_().neg_().clamp_(min=torch.finfo(logits.dtype).tiny)  # log(1) is 0
    return drawn.log_().neg_()


def batch_size(rows: int, most: int = 500) -> int:
    """Rows of a training step: few rows are cut into more steps than most at a time would give."""
    return int(np.clip(rows // 5, min(50, max(rows, 2)), most))


def epochs_for(epochs: int | None, steps: int) -> int:
    """Passes of so many steps; None: STEPS in all."""
    return epochs if epochs is not None else max(1, round(STEPS / steps))


def _fit_modes(column: Array, rng: np.random.Generator) -> Modes:
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.mixture import BayesianGaussianMixture

    present = column[~np.isnan(column)]
    blank = len(present) < len(column)
    size = float(np.abs(present).max(initial=0.0)) or 1.0  # squares of large numbers are too large
    shift = float((present / size).mean() * size) if len(present) else 0.0
    scale = float((present / size).std() * size) if len(present) else 0.0
    if not scale > 1e-12 * size:
        one = np.ones(min(len(present), 1))
        return Modes(shift, size, 0.0 * one, LEAST_WIDTH * one, one, blank)
    values = (present / scale - shift / scale)[:, None]
    if len(values) > ROWS_FOR_MODES:
        values = rng.choice(values, ROWS_FOR_MODES, replace=False)
    mixture = BayesianGaussianMixture(
        n_components=min(MOST_MODES, len(np.unique(values))),
        weight_concentration_prior=1e-3,
        random_state=int(rng.integers(2**31)),
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # modes that are nearly there serve as well
        mixture.fit(values)
    used = mixture.weights_ > min(LEAST_WEIGHT, mixture.weights_.max() / 2)
    width = np.maximum(np.sqrt(mixture.covariances_[used].reshape(-1)), LEAST_WIDTH)
    return Modes(shift, scale, mixture.means_[used].reshape(-1), width, mixture.weights_[used], blank)


def _place(column: Array, modes: Modes, rng: np.random.Generator) -> tuple[Array, Array]:
    """The place and the mode of each number; the mode after the last for missing ones."""
    missing = np.isnan(column)
    if missing.all():
        return np.zeros(len(column)), np.full(len(column), len(modes.center))
    values = np.where(missing, 0.0, column / modes.scale - modes.shift / modes.scale)[:, None]
    distance = (values - modes.center) / modes.width
    likely = np.log(modes.weight / modes.width) - 0.5 * distance**2
    pick = (likely + rng.gumbel(size=likely.shape)).argmax(axis=1)
    place = np.clip(distance[np.arange(len(column)), pick] / WIDTHS, -0.99, 0.99)
    return np.where(missing, 0.0, place), np.where(missing, len(modes.center), pick)
