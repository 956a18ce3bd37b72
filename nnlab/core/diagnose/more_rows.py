"""Whether more rows would help: the loss over the number of training rows, and where it goes (Hestness et al. 2017)."""

import math
from dataclasses import dataclass, replace

import numpy as np

from nnlab.core.data.prepare import Prepared, Rows
from nnlab.core.diagnose.registry import Plot
from nnlab.core.errors import DataError, RunError
from nnlab.core.models.custom import Maker
from nnlab.core.randomness import row_order
from nnlab.core.run import Run
from nnlab.core.spec import CUSTOM

SHARES = (1 / 8, 1 / 4, 1 / 2, 1.0)
TRIES = 2  # runs of each size
FEWEST = 16  # training rows of the smallest run
WORTH = 0.03  # share of the loss that twice the rows must save


@dataclass(frozen=True, eq=False)
class RowsCurve:
    """rows, loss: (runs,) of each run its training rows and its best validation loss. floor, scale, power: of the curve
    floor + scale * rows ** -power through them. helps: whether twice the rows would save a share of the loss."""

    rows: np.ndarray
    loss: np.ndarray
    floor: float
    scale: float
    power: float
    spread: float

    def at(self, rows: float) -> float:
        """The loss that the curve has for so many rows."""
        return float(self.floor + self.scale * rows**-self.power)

    @property
    def now(self) -> float:
        """The curve at all rows."""
        return self.at(float(self.rows.max()))

    @property
    def doubled(self) -> float:
        """The curve at twice as many."""
        return self.at(2.0 * float(self.rows.max()))

    @property
    def plot(self) -> Plot:
        """The losses of the runs, and the curve through them to twice the rows."""
        x = np.unique(self.rows)
        means = [float(self.loss[self.rows == rows].mean()) for rows in x]
        ends = [*x.tolist(), 2 * int(x.max())]
        lines = {"runs": [*means, math.nan], "curve": [self.at(float(rows)) for rows in ends]}
        return Plot("best validation loss", ends, lines, "training rows", place=float(x.max()))

    @property
    def helps(self) -> bool:
        """Whether twice the rows save more than noise and more than a small share."""
        return self.now - self.doubled > max(WORTH * abs(self.now), self.spread)

    def __str__(self) -> str:
        verdict = "more rows would help" if self.helps else "more rows would help little"
        return (
            f"{verdict}: the validation loss went from {self.at(float(self.rows.min())):.3g} with {self.rows.min():,}"
            f" training rows to {self.now:.3g} with {self.rows.max():,}; twice as many would give {self.doubled:.3g}"
            f" (± {self.spread:.2g})"
        )


def rows_curve(run: Run, data: Prepared | None, model: Maker = None) -> RowsCurve:
    """Train the run's spec on parts of its training rows, and fit a curve. model: a network of the user's own.

    The parts are nested, drawn by the run's seed. DataError where there are too few rows or none to validate.
    """
    if not isinstance(data, Prepared) or data.fingerprint != run.fingerprint:
        raise DataError("a learning curve needs the data that the run was trained on")
    if run.spec.model.name == CUSTOM and model is None:
        raise RunError("a learning curve trains the network anew; give it too: --model Net, or model=Net")
    if not len(data.valid.y) or len(data.train.y) * SHARES[0] < FEWEST:
        raise DataError(f"a learning curve needs validation rows and {math.ceil(FEWEST / SHARES[0])} training rows")
    sizes = [max(FEWEST, round(share * len(data.train.y))) for share in SHARES]
    found = [(rows, _best_loss(run, data, rows, seed, model)) for rows in sizes for seed in range(TRIES)]
    rows, loss = (np.array(values) for values in zip(*found, strict=True))
    return fitted(rows, loss)


def _best_loss(run: Run, data: Prepared, rows: int, seed: int, model: Maker) -> float:
    """The best validation loss of a run on so many rows, with as many steps as the run on all of them."""
    from nnlab.core.fit import fit
    from nnlab.core.pace import steps_by_epoch

    spec = run.spec
    longer = steps_by_epoch(spec, len(data.train.y))[0] / steps_by_epoch(spec, rows)[0]
    patience = None if spec.patience is None else math.ceil(spec.patience * longer)
    spec = replace(spec, seed=(spec.seed + seed) % 2**31, epochs=math.ceil(spec.epochs * longer), patience=patience)
    done = fit(_part(data, rows, seed), spec=spec, model=model, store=False, probe=False)
    return float(np.nanmin(done.history["valid_loss"].to_numpy(float), initial=math.inf))


def _part(data: Prepared, rows: int, seed: int) -> Prepared:
    kept = row_order(seed, 0, len(data.train.y))[:rows].sort().values.numpy()
    whole = data.train
    weight = None if whole.weight is None else whole.weight[kept]
    train = Rows(np.asarray(whole.x[kept]), whole.y[kept], whole.index[kept], weight, whole.part, whole.source)
    return replace(data, train=train)


def fitted(rows: np.ndarray, loss: np.ndarray) -> RowsCurve:
    """The curve c + a n^-b of least squares with a, b >= 0; for each b on a grid, c and a are linear."""
    best: tuple[float, float, float, float] = (math.inf, float(loss.mean()), 0.0, 1.0)
    for power in np.linspace(0.1, 2.0, 39):
        falls = (rows / rows.max()) ** -power
        design = np.stack([np.ones(len(rows)), falls], 1)
        (floor, scale), *_ = np.linalg.lstsq(design, loss, rcond=None)
        if scale < 0:
            floor, scale = float(loss.mean()), 0.0
        rest = float(((design @ [floor, scale] - loss) ** 2).sum())
        if rest < best[0]:
            best = rest, float(floor), float(scale) * float(rows.max()) ** power, float(power)
    rest, floor, scale, power = best
    spread = math.sqrt(rest / max(len(rows) - 3, 1) / TRIES)
    return RowsCurve(rows, loss, floor, scale, power, spread)
