"""New rows from a conditional generative adversarial network."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

import numpy as np

from nnlab.core.data.steps.registries import SYNTHESIZERS, Array
from nnlab.core.data.synthesis.coding import Coded, batch_size, blocks, epochs_for, fit_coding, gumbel, linear, one_hot
from nnlab.core.data.synthesis.sample import Sample, Times, like_training, new_rows
from nnlab.core.errors import RunError
from nnlab.core.params import Within

if TYPE_CHECKING:
    from torch import Tensor, nn
    from torch.optim import Optimizer

HIDDEN = 256
NOISE = 128
PACK = 10
PENALTY = 10.0
TAU = 0.2


@SYNTHESIZERS.add
def ctgan(
    sample: Sample,
    rng: np.random.Generator,
    rows: Times = 1.0,
    epochs: Annotated[int | None, Within(1, 100_000), "passes over the rows; auto: some 3000 steps in all"] = None,
) -> Sample:
    """A conditional generative adversarial network for tables; rare levels are seen as often; some minutes.

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
    with PrivateRandom(int(rng.integers(2**31)), "cpu"), torch.device("cpu"), torch.inference_mode(False):
        with torch.enable_grad():
            gan = _trained(coded, coding.sizes, conditions, (batch, epochs), rng)
        with torch.no_grad():
            parts = [_draw(gan, batch, conditions, rng) for _ in range(0, count, batch)]
    places, picks = (np.concatenate(part)[:count] for part in zip(*parts, strict=True))
    if not np.isfinite(places).all():
        raise RunError("ctgan ran off to infinity; try fewer epochs, or synthesis=copula")
    return like_training(sample, *coding.decode(Coded(places, picks)))


class Conditions:
    """What the generator is asked for: one level of one code column in each row.

    levels: int64 (n, q) of the training rows; sizes: levels of each column. Without code columns nothing is asked.
    """

    def __init__(self, levels: Array, sizes: tuple[int, ...]) -> None:
        self.sizes = sizes
        self._levels = levels
        self._order = [np.argsort(column, kind="stable") for column in levels.T]
        self._counts = [np.bincount(column, minlength=size) for column, size in zip(levels.T, sizes, strict=True)]
        self._starts = np.concatenate([[0], np.cumsum(sizes)]).astype(np.int64)

    def balanced(self, count: int, rng: np.random.Generator) -> tuple[Array, Array, Array]:
        """Columns, levels and training rows that have them; levels by the logarithm of their rows."""
        columns = rng.integers(max(len(self.sizes), 1), size=count)
        levels, rows = np.zeros(count, np.int64), rng.integers(len(self._levels), size=count)
        for j, counts in enumerate(self._counts):
            here = np.flatnonzero(columns == j)
            shares = np.log1p(counts)
            levels[here] = rng.choice(len(counts), size=len(here), p=shares / shares.sum())
            before = np.cumsum(counts) - counts
            found = before[levels[here]] + (rng.random(len(here)) * counts[levels[here]]).astype(np.int64)
            rows[here] = self._order[j][found]
        return columns, levels, rows

    def natural(self, count: int, rng: np.random.Generator) -> tuple[Array, Array]:
        """Columns and levels as the training rows have them."""
        columns = rng.integers(max(len(self.sizes), 1), size=count)
        rows = rng.integers(len(self._levels), size=count)
        return columns, self._levels[rows, columns] if self.sizes else np.zeros(count, np.int64)

    def vector(self, columns: Array, levels: Array) -> "Tensor":
        """float32 (n, sum of sizes): 1 at the level that is asked for."""
        import torch

        asked = torch.zeros((len(columns), int(self._starts[-1])), dtype=torch.float32)
        if self.sizes:
            asked[np.arange(len(columns)), self._starts[columns] + levels] = 1.0
        return asked


@dataclass(frozen=True, eq=False)
class _Gan:
    """hidden: two of the generator, each put beside its input; last: to places and logits; critic: packs to scores."""

    hidden: "nn.ModuleList"
    last: "nn.Module"
    critic: "nn.Module"
    pack: int
    p: int
    sizes: tuple[int, ...]

    def generate(self, asked: "Tensor") -> "Tensor":
        """Places before tanh and logits of rows (n, p + sum of sizes)."""
        import torch

        rows = torch.cat([torch.randn(len(asked), NOISE, dtype=torch.float32), asked], 1)
        for block in self.hidden:
            rows = torch.cat([block(rows), rows], 1)
        return self.last(rows)

    def soft(self, raw: "Tensor") -> "Tensor":
        """Rows that look coded and have gradients: a Gumbel softmax for each pick."""
        import torch

        picks = [torch.softmax((logits + gumbel(logits)) / TAU, 1) for logits in blocks(raw[:, self.p :], self.sizes)]
        return torch.cat([raw[:, : self.p].tanh(), *picks], 1)

    def score(self, rows: "Tensor") -> "Tensor":
        """The critic's score of each pack of rows."""
        return self.critic(rows.reshape(len(rows) // self.pack, -1))


def _new_gan(p: int, sizes: tuple[int, ...], asked: int, pack: int) -> _Gan:
    import torch
    from torch import nn

    def block(inputs: int) -> nn.Module:
        return nn.Sequential(linear(inputs, HIDDEN), nn.BatchNorm1d(HIDDEN, dtype=torch.float32), nn.ReLU())

    def critic_layer(inputs: int) -> list[nn.Module]:
        return [linear(inputs, HIDDEN), nn.LeakyReLU(0.2), nn.Dropout(0.5)]

    width, start = p + sum(sizes), NOISE + asked
    hidden = nn.ModuleList([block(start), block(start + HIDDEN)])
    layers = [*critic_layer(pack * (width + asked)), *critic_layer(HIDDEN), linear(HIDDEN, 1)]
    last = linear(start + 2 * HIDDEN, width)
    return _Gan(hidden, last, nn.Sequential(*layers), pack, p, sizes)


def _trained(
    coded: Coded, sizes: tuple[int, ...], conditions: Conditions, plan: tuple[int, int | None], rng: np.random.Generator
) -> _Gan:
    """plan: rows of a step, and epochs. Every step trains the critic once and the generator once."""
    import torch

    batch, epochs = plan
    n, p = coded.places.shape
    pack = min(PACK, max(batch // 10, 1))  # a step of few rows still has ten packs
    batch -= batch % pack
    gan = _new_gan(p, sizes, sum(conditions.sizes), pack)
    makers = [*gan.hidden.parameters(), *gan.last.parameters()]
    by_critic = torch.optim.Adam(gan.critic.parameters(), lr=2e-4, betas=(0.5, 0.9), weight_decay=1e-6)
    by_maker = torch.optim.Adam(makers, lr=2e-4, betas=(0.5, 0.9), weight_decay=1e-6)
    steps = max(n // batch, 1)
    for _ in range(epochs_for(epochs, steps) * steps):
        columns, levels, rows = conditions.balanced(batch, rng)
        asked = conditions.vector(columns, levels)
        places, picks = torch.from_numpy(coded.places[rows]), torch.from_numpy(coded.picks[rows])
        real = torch.cat([places, one_hot(picks, sizes), asked], 1)
        _step(by_critic, _critic_loss(gan, real, asked))
        columns, levels, _ = conditions.balanced(batch, rng)
        _step(by_maker, _generator_loss(gan, conditions, columns, levels))
    return gan


def _step(optimizer: "Optimizer", loss: "Tensor") -> None:
    optimizer.zero_grad()
    loss.backward()  # type: ignore[no-untyped-call]
    optimizer.step()


def _critic_loss(gan: _Gan, real: "Tensor", asked: "Tensor") -> "Tensor":
    """The Wasserstein distance, negated, and the penalty on slopes other than 1 between real and generated packs."""
    import torch

    with torch.no_grad():
        made = torch.cat([gan.soft(gan.generate(asked)), asked], 1)
    share = torch.rand(len(real) // gan.pack, 1, dtype=torch.float32).repeat_interleave(gan.pack, 0)
    between = (share * real + (1 - share) * made).requires_grad_()
    slopes = torch.autograd.grad(gan.score(between).sum(), between, create_graph=True)[0]
    sizes = slopes.reshape(len(real) // gan.pack, -1).norm(2, dim=1)
    return gan.score(made).mean() - gan.score(real).mean() + PENALTY * ((sizes - 1) ** 2).mean()


def _generator_loss(gan: _Gan, conditions: Conditions, columns: Array, levels: Array) -> "Tensor":
    """What the critic thinks of the rows, and the cross-entropy to the levels that were asked for."""
    import torch
    from torch.nn import functional

    asked = conditions.vector(columns, levels)
    raw = gan.generate(asked)
    loss = -gan.score(torch.cat([gan.soft(raw), asked], 1)).mean()
    if not conditions.sizes:
        return loss
    logits = blocks(raw[:, raw.shape[1] - sum(conditions.sizes) :], conditions.sizes)
    for j, block in enumerate(logits):
        here = np.flatnonzero(columns == j)
        wanted = torch.from_numpy(levels[here])
        loss = loss + functional.cross_entropy(block[here], wanted, reduction="sum") / len(columns)
    return loss


def _draw(gan: _Gan, count: int, conditions: Conditions, rng: np.random.Generator) -> tuple[Array, Array]:
    """Places and picks of new rows: a whole step's, for the generator norms over them as it did in training."""
    import torch

    raw = gan.soft(gan.generate(conditions.vector(*conditions.natural(count, rng))))
    picks = [block.argmax(1) for block in blocks(raw[:, gan.p :], gan.sizes)]
    return raw[:, : gan.p].numpy(), torch.stack(picks, 1).numpy()
