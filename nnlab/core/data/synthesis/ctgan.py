"""New rows from a conditional generative adversarial network."""

from typing import TYPE_CHECKING, Annotated

import numpy as np

from nnlab.core.data.steps.registries import SYNTHESIZERS, Array
from nnlab.core.data.synthesis.coding import Coded, batch_size, blocks, epochs_for, fit_coding, gumbel
from nnlab.core.data.synthesis.sample import Sample, Times, like_training, new_rows
from nnlab.core.errors import RunError
from nnlab.core.params import Within

if TYPE_CHECKING:
    import torch
    from torch import Tensor

    from nnlab.core.data.synthesis.gan import Generator

PACK = 10
TAU = 0.2


@SYNTHESIZERS.add
def ctgan(
    sample: Sample,
    rng: np.random.Generator,
    rows: Times = 1.0,
    epochs: Annotated[int | None, Within(1, 100_000), "passes over the rows; auto: some 3000 steps in all"] = None,
) -> Sample:
    """A conditional generative adversarial network for tables; rare levels are seen as often; the slowest of these.

    Xu et al., "Modeling Tabular data using Conditional GAN", 2019, with the gradient penalty of Gulrajani et al., 2017,
    and the packing of Lin et al., "PacGAN", 2018. RunError where training runs off to infinity.
    """
    import torch

    from nnlab.core.randomness import PrivateRandom

    count = new_rows(sample, rows)
    if not count:
        return sample.take(np.arange(0))
    coding = fit_coding(sample, rng)
    coded = coding.encode(sample, rng)
    batch = batch_size(len(sample))
    conditions = Conditions(coded.picks[:, len(coding.modes) :], coding.sizes[len(coding.modes) :])
    rows_of = Rows(len(coding.modes), coding.sizes, conditions)
    with PrivateRandom(int(rng.integers(2**31)), "cpu"), torch.no_grad():
        generator = _trained(coded, rows_of, (batch, epochs), rng)
        parts = [_draw(generator, batch, rows_of, rng) for _ in range(0, count, batch)]
    places, picks = (np.concatenate(part)[:count] for part in zip(*parts, strict=True))
    if not np.isfinite(places).all():
        raise RunError("ctgan ran off to infinity; try fewer epochs, or synthesis=copula")
    return like_training(sample, *coding.decode(Coded(places, picks)))


class Conditions:
    """What the generator is asked for: one level of one code column in each row.

    levels: int64 (n, q) of the training rows; sizes: levels of each column. Without code columns nothing is asked.
    Tables that lie one behind the other, column by column, answer all rows of a step at once.
    """

    def __init__(self, levels: Array, sizes: tuple[int, ...]) -> None:
        self.sizes = sizes
        self._levels = levels
        self._order = np.stack([np.argsort(column, kind="stable") for column in levels.T]) if sizes else levels.T
        counts = [np.bincount(column, minlength=size) for column, size in zip(levels.T, sizes, strict=True)]
        self._starts = np.concatenate([[0], np.cumsum(sizes)]).astype(np.int64)
        self._counts = np.concatenate(counts) if sizes else np.empty(0, np.int64)
        self._before = np.concatenate([np.cumsum(own) - own for own in counts]) if sizes else self._counts
        ends = [np.cumsum(np.log1p(own)) for own in counts]  # by the logarithm of their rows
        self._ends = np.concatenate([j + own / own[-1] for j, own in enumerate(ends)]) if sizes else np.empty(0)

    def balanced(self, count: int, rng: np.random.Generator) -> tuple[Array, Array, Array]:
        """Columns, levels and training rows that have them; levels by the logarithm of their rows."""
        if not self.sizes:
            nothing = np.zeros(count, np.int64)
            return nothing, nothing, rng.integers(len(self._levels), size=count)
        columns = rng.integers(len(self.sizes), size=count)
        drawn = np.searchsorted(self._ends, columns + rng.random(count), side="right")
        drawn = np.minimum(drawn, self._starts[columns + 1] - 1)
        found = self._before[drawn] + (rng.random(count) * self._counts[drawn]).astype(np.int64)
        return columns, drawn - self._starts[columns], self._order[columns, found]

    def natural(self, count: int, rng: np.random.Generator) -> tuple[Array, Array]:
        """Columns and levels as the training rows have them."""
        columns = rng.integers(max(len(self.sizes), 1), size=count)
        rows = rng.integers(len(self._levels), size=count)
        return columns, self._levels[rows, columns] if self.sizes else np.zeros(count, np.int64)

    def places(self, columns: Array, levels: Array) -> "Tensor":
        """Where among all levels those asked for stand, int64 (n,); (0,) where none can be asked for."""
        import torch

        return torch.from_numpy(self._starts[columns] + levels if self.sizes else levels[:0])


class Rows:
    """How the networks see rows: p places, and a weight for each mode and level.

    asked: how many levels can be asked for, which are the last ones of a row; width: of a row; dtype: float32 if None.
    """

    def __init__(
        self, p: int, sizes: tuple[int, ...], conditions: Conditions, dtype: "torch.dtype | None" = None
    ) -> None:
        import torch

        self.p, self.sizes, self.conditions = p, sizes, conditions
        self.dtype = dtype or torch.float32
        self.asked = sum(conditions.sizes)
        self.width = p + sum(sizes)
        self._starts = torch.from_numpy(np.cumsum([p, *sizes])[:-1])
        column = np.repeat(np.arange(len(conditions.sizes)), conditions.sizes)
        other = column[None, :] != np.arange(len(conditions.sizes))[:, None]
        self._others = torch.where(torch.from_numpy(other), -torch.inf, 0.0).to(self.dtype)
        blocks_of = np.repeat(np.arange(len(sizes)), sizes)[:, None] == np.arange(len(sizes))
        self._blocks = torch.from_numpy(blocks_of).to(self.dtype)

    def write(self, places: Array, picks: Array, out: "Tensor") -> None:
        """Coded rows into out (n, width)."""
        import torch

        out.zero_()
        out[:, : self.p] = torch.from_numpy(places)
        out.scatter_(1, torch.from_numpy(picks) + self._starts, 1.0)

    def soft(self, raw: "Tensor", out: "Tensor | None" = None) -> "Tensor":
        """Rows that look coded and have slopes (n, width): a Gumbel softmax for each pick."""
        import torch

        logits = (raw[:, self.p :] + gumbel(raw[:, self.p :])).div_(TAU).T.contiguous()  # short rows are slow
        picks = torch.cat([torch.softmax(block, 0) for block in logits.split_with_sizes(self.sizes)])
        return torch.cat([raw[:, : self.p].tanh(), picks.T], 1, out=out)

    def soft_slope(self, soft: "Tensor", slope: "Tensor") -> "Tensor":
        """The gradient by the raw rows of one by the soft ones (n, width)."""
        import torch

        places, picks = soft[:, : self.p], soft[:, self.p :]
        own = picks * slope[:, self.p :]
        own.addcmul_(picks, (own @ self._blocks) @ self._blocks.T, value=-1.0).div_(TAU)
        return torch.cat([slope[:, : self.p] * (1.0 - places * places), own], 1)

    def add_asked_slope(self, raw: "Tensor", columns: Array, asked: "Tensor", slope: "Tensor") -> None:
        """Add the gradient by the raw rows of the mean cross-entropy to the levels that were asked for."""
        import torch

        if len(asked):
            logits = raw[:, self.width - self.asked :] + self._others.index_select(0, torch.from_numpy(columns))
            found = torch.softmax(logits, 1).div_(len(raw))
            found.scatter_add_(1, asked[:, None], torch.full_like(found[:, :1], -1.0 / len(raw)))
            slope[:, self.width - self.asked :] += found


def _trained(coded: Coded, rows_of: Rows, plan: tuple[int, int | None], rng: np.random.Generator) -> "Generator":
    """plan: rows of a step, and epochs. Every step trains the critic once, and the generator once on the same rows."""
    import torch

    from nnlab.core.data.synthesis.gan import Critic, Generator

    batch, epochs = plan
    pack = min(PACK, max(batch // 10, 1))  # a step of few rows still has ten packs
    packs, width = batch // pack, rows_of.width
    batch = packs * pack
    generator = Generator(rows_of.asked, width, rows_of.dtype)
    critic = Critic(pack * width, pack * rows_of.asked, rows_of.dtype)
    room = torch.empty((3 * packs, pack * width), dtype=rows_of.dtype, device="cpu")
    real, made, _ = room.view(3, batch, width)
    steps = max(len(coded.picks) // batch, 1)
    for _ in range(epochs_for(epochs, steps) * steps):
        columns, levels, chosen = rows_of.conditions.balanced(batch, rng)
        asked = rows_of.conditions.places(columns, levels)
        of_pack = (asked.view(packs, -1) + rows_of.asked * torch.arange(pack, device="cpu")) if len(asked) else asked
        rows_of.write(coded.places[chosen], coded.picks[chosen], real)
        passed = generator.forward(_noise(batch, rows_of), asked)
        soft = rows_of.soft(passed.raw, out=made)
        share = torch.rand((packs, 1), dtype=rows_of.dtype, device="cpu")
        critic.backward(room, of_pack, share, critic.masks(3 * packs, rng))
        critic.weights.step()
        slope = critic.slopes(room[packs : 2 * packs], of_pack, critic.masks(packs, rng)).view(batch, width)
        slope = rows_of.soft_slope(soft, slope.neg_())
        rows_of.add_asked_slope(passed.raw, columns, asked, slope)
        generator.backward(passed, slope)
        generator.weights.step()
    return generator


def _noise(count: int, rows_of: Rows) -> "Tensor":
    import torch

    from nnlab.core.data.synthesis.gan import NOISE

    return torch.randn((count, NOISE), dtype=rows_of.dtype, device="cpu")


def _draw(generator: "Generator", count: int, rows_of: Rows, rng: np.random.Generator) -> tuple[Array, Array]:
    """Places and picks of new rows: a whole step's, for the generator norms over them as it did in training."""
    import torch

    asked = rows_of.conditions.places(*rows_of.conditions.natural(count, rng))
    soft = rows_of.soft(generator.forward(_noise(count, rows_of), asked).raw)
    picks = [block.argmax(1) for block in blocks(soft[:, rows_of.p :], rows_of.sizes)]
    return soft[:, : rows_of.p].numpy(), torch.stack(picks, 1).numpy()
