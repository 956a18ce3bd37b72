"""New rows from a variational autoencoder."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

import numpy as np

from nnlab.core.data.steps.registries import SYNTHESIZERS
from nnlab.core.data.synthesis.coding import Coded, batch_size, blocks, epochs_for, fit_coding, gumbel, linear, one_hot
from nnlab.core.data.synthesis.sample import Sample, Times, like_training, new_rows
from nnlab.core.errors import RunError
from nnlab.core.params import Within

if TYPE_CHECKING:
    from torch import Tensor, nn

HIDDEN = 128
LATENT = 128
LOSS_FACTOR = 2.0  # of the reconstruction beside the divergence from the prior
NARROWEST, WIDEST = 0.01, 1.0  # noise of a place around what is decoded
ROWS_AT_ONCE = 4096


@SYNTHESIZERS.add
def tvae(
    sample: Sample,
    rng: np.random.Generator,
    rows: Times = 1.0,
    epochs: Annotated[int | None, Within(1, 100_000), "passes over the rows; auto: some 3000 steps in all"] = None,
) -> Sample:
    """A variational autoencoder for tables; sees interactions; quicker than ctgan.

    TVAE of Xu et al., "Modeling Tabular data using Conditional GAN", 2019. What a latent point decodes to is drawn
    from its distribution. RunError where training runs off to infinity.
    """
    import torch

    from nnlab.core.randomness import PrivateRandom

    count = new_rows(sample, rows)
    if not count:
        return sample.take(np.arange(0))
    coding = fit_coding(sample, rng)
    coded = coding.encode(sample, rng)
    with PrivateRandom(int(rng.integers(2**31)), "cpu"), torch.device("cpu"), torch.inference_mode(False):
        with torch.enable_grad():
            model = _trained(torch.from_numpy(coded.places), torch.from_numpy(coded.picks), coding.sizes, epochs)
        with torch.no_grad():
            parts = [_draw(model, min(ROWS_AT_ONCE, count - at)) for at in range(0, count, ROWS_AT_ONCE)]
    places, picks = (np.concatenate(part) for part in zip(*parts, strict=True))
    if not np.isfinite(places).all():
        raise RunError("tvae ran off to infinity; try fewer epochs, or synthesis=copula")
    return like_training(sample, *coding.decode(Coded(places, picks)))


@dataclass(frozen=True, eq=False)
class _Model:
    """encoder: coded row -> latent mean and log variance; decoder: latent -> places and logits; noise: (p,)."""

    encoder: "nn.Module"
    decoder: "nn.Module"
    noise: "Tensor"
    sizes: tuple[int, ...]


def _trained(places: "Tensor", picks: "Tensor", sizes: tuple[int, ...], epochs: int | None) -> _Model:
    import torch

    p, n = places.shape[1], len(places)
    width = p + sum(sizes)
    model = _Model(
        _layers(width, 2 * LATENT), _layers(LATENT, width), torch.full((p,), 0.1, dtype=torch.float32), sizes
    )
    model.noise.requires_grad_()
    weights = [*model.encoder.parameters(), *model.decoder.parameters(), model.noise]
    optimizer = torch.optim.Adam(weights, lr=1e-3, weight_decay=1e-5)
    batch = batch_size(n)
    for _ in range(epochs_for(epochs, -(-n // batch))):
        for chosen in torch.split(torch.randperm(n), batch):
            loss = _loss(model, places[chosen], picks[chosen])
            optimizer.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            optimizer.step()
            model.noise.data.clamp_(NARROWEST, WIDEST)
    return model


def _layers(inputs: int, outputs: int) -> "nn.Module":
    from torch import nn

    return nn.Sequential(linear(inputs, HIDDEN), nn.ReLU(), linear(HIDDEN, HIDDEN), nn.ReLU(), linear(HIDDEN, outputs))


def _loss(model: _Model, places: "Tensor", picks: "Tensor") -> "Tensor":
    """The negative evidence lower bound for a row, its reconstruction LOSS_FACTOR times."""
    import torch
    from torch.nn import functional

    mean, log_variance = model.encoder(torch.cat([places, one_hot(picks, model.sizes)], 1)).chunk(2, 1)
    latent = mean + torch.randn_like(mean) * (0.5 * log_variance).exp()
    decoded = model.decoder(latent)
    error = places - decoded[:, : places.shape[1]].tanh()
    rebuilt = (error**2 / (2 * model.noise**2) + model.noise.log()).sum()
    for logits, pick in zip(blocks(decoded[:, places.shape[1] :], model.sizes), picks.T, strict=True):
        rebuilt = rebuilt + functional.cross_entropy(logits, pick, reduction="sum")
    divergence = -0.5 * (1 + log_variance - mean**2 - log_variance.exp()).sum()
    return (LOSS_FACTOR * rebuilt + divergence) / len(places)


def _draw(model: _Model, count: int) -> tuple[np.ndarray, np.ndarray]:
    """Places and picks of new rows."""
    import torch

    decoded = model.decoder(torch.randn(count, LATENT, dtype=torch.float32))
    p = len(model.noise)
    places = decoded[:, :p].tanh() + model.noise * torch.randn(count, p, dtype=torch.float32)
    picks = [(logits + gumbel(logits)).argmax(1) for logits in blocks(decoded[:, p:], model.sizes)]
    return places.clamp(-1.0, 1.0).numpy(), torch.stack(picks, 1).numpy()
