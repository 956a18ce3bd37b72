"""The two networks of ctgan with their gradients by hand: the weights of each are one tensor, which one step updates.

All that a critic does to its input is linear but for its masks (leaky ReLU, dropout), so that the slopes of its score,
and the gradient of a penalty on their size, are products of matrices. Tests hold both to autograd. What is asked for is
one level of many: its weights are looked up, not multiplied.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from math import prod

import numpy as np
import torch
from torch import Tensor

HIDDEN = 256
NOISE = 128
PENALTY = 10.0
LEAK = 0.2
EPS = 1e-5  # of batch normalization
TINY = 1e-12


class Weights:
    """Named weights, views of one tensor, and their gradients, views of another one; `step` is Adam's."""

    def __init__(self, shapes: Mapping[str, tuple[int, ...]], dtype: torch.dtype = torch.float32) -> None:
        sizes = [prod(shape) for shape in shapes.values()]
        self._all, self._slopes = (torch.zeros(sum(sizes), dtype=dtype, device="cpu") for _ in range(2))
        self._all.grad = self._slopes
        self.own, self.slope = (
            {
                name: part.view(shape)
                for (name, shape), part in zip(shapes.items(), flat.split_with_sizes(sizes), strict=True)
            }
            for flat in (self._all, self._slopes)
        )
        optimizer = torch.optim.Adam([self._all], lr=2e-4, betas=(0.5, 0.9), weight_decay=1e-6, fused=True)
        self.step = optimizer.step

    def draw(self, name: str, inputs: int) -> None:
        """First values as those of torch.nn.Linear: uniform, at most one over the root of its inputs."""
        self.own[name].uniform_(-(inputs**-0.5), inputs**-0.5)


@dataclass(frozen=True, eq=False)
class Made:
    """What the generator's forward pass leaves for its backward pass. noise: (n, NOISE); asked: levels (n,), int64;
    normal: the two normalized layers, hidden: what came of them, scale: one over their deviations; raw: (n, outputs).
    """

    noise: Tensor
    asked: Tensor
    normal: tuple[Tensor, Tensor]
    hidden: tuple[Tensor, Tensor]
    scale: tuple[Tensor, Tensor]
    raw: Tensor


class Generator:
    """Noise beside the level that is asked for, of `levels` -> two hidden layers, each put beside its input -> outputs.

    The weights of a layer lie in parts, by what they read: noise, level, first and second hidden layer.
    """

    def __init__(self, levels: int, outputs: int, dtype: torch.dtype = torch.float32) -> None:
        self._parts = (HIDDEN, HIDDEN, outputs)
        shapes: dict[str, tuple[int, ...]] = {f"noise{i}": (NOISE, n) for i, n in enumerate(self._parts, 1)}
        shapes |= {f"level{i}": (levels, n) for i, n in enumerate(self._parts, 1)}
        shapes |= {"first2": (HIDDEN, HIDDEN), "first3": (HIDDEN, outputs), "second3": (HIDDEN, outputs)}
        shapes |= {
            "bias3": (outputs,),
            "gain1": (HIDDEN,),
            "gain2": (HIDDEN,),
            "shift1": (HIDDEN,),
            "shift2": (HIDDEN,),
        }
        self.weights = Weights(shapes, dtype)
        for name in shapes:
            if name.startswith("gain"):
                self.weights.own[name].fill_(1.0)
            elif not name.startswith("shift"):
                self.weights.draw(name, NOISE + levels + HIDDEN * (int(name[-1]) - 1))

    def forward(self, noise: Tensor, asked: Tensor) -> Made:
        """Rows of noise (n, NOISE) and levels int64 (n,), (0,) where none can be asked for."""
        own = self.weights.own
        normal1, hidden1, scale1 = self._normalized(self._start(noise, asked, "1"), "1")
        layer2 = self._start(noise, asked, "2").addmm_(hidden1, own["first2"])
        normal2, hidden2, scale2 = self._normalized(layer2, "2")
        raw = self._start(noise, asked, "3").add_(own["bias3"])
        raw.addmm_(hidden1, own["first3"]).addmm_(hidden2, own["second3"])
        return Made(noise, asked, (normal1, normal2), (hidden1, hidden2), (scale1, scale2), raw)

    def backward(self, made: Made, slope: Tensor) -> None:
        """The gradients of all weights. slope: of the raw rows, (n, outputs)."""
        own, found = self.weights.own, self.weights.slope
        hidden1, hidden2 = made.hidden
        torch.sum(slope, 0, out=found["bias3"])
        torch.mm(hidden1.T, slope, out=found["first3"])
        torch.mm(hidden2.T, slope, out=found["second3"])
        second = self._through(made, 1, slope @ own["second3"].T)
        torch.mm(hidden1.T, second, out=found["first2"])
        first = self._through(made, 0, torch.addmm(slope @ own["first3"].T, second, own["first2"].T))
        for i, part in enumerate((first, second, slope), 1):
            torch.mm(made.noise.T, part, out=found[f"noise{i}"])
            if len(made.asked):
                found[f"level{i}"].zero_().index_add_(0, made.asked, part)

    def _start(self, noise: Tensor, asked: Tensor, which: str) -> Tensor:
        own = self.weights.own
        if not len(asked):
            return noise @ own[f"noise{which}"]
        return own[f"level{which}"].index_select(0, asked).addmm_(noise, own[f"noise{which}"])

    def _normalized(self, layer: Tensor, which: str) -> tuple[Tensor, Tensor, Tensor]:
        """Batch normalization and ReLU: the normalized layer, what comes out, and one over the deviations."""
        centered = layer.sub_(layer.mean(0))  # with sums of products: var_mean takes ten times as long
        scale = (centered * centered).mean(0).add_(EPS).rsqrt_()
        normal = centered.mul_(scale)
        own = self.weights.own
        return normal, torch.addcmul(own[f"shift{which}"], normal, own[f"gain{which}"]).relu_(), scale

    def _through(self, made: Made, layer: int, slope: Tensor) -> Tensor:
        """The gradient before normalization and ReLU of one after them."""
        own, found, which = self.weights.own, self.weights.slope, layer + 1
        normal, rows = made.normal[layer], len(slope)
        slope.mul_(made.hidden[layer].sign())
        shift = torch.sum(slope, 0, out=found[f"shift{which}"])
        gain = torch.sum(slope * normal, 0, out=found[f"gain{which}"])
        slope.sub_(shift / rows).addcmul_(normal, gain, value=-1.0 / rows)
        return slope.mul_(made.scale[layer] * own[f"gain{which}"])


class Critic:
    """Packs of rows, each beside the levels that were asked for -> two hidden layers with dropout -> a score.

    inputs: of a pack's rows; levels: that can be asked for, counted anew for each row of a pack.
    """

    def __init__(self, inputs: int, levels: int, dtype: torch.dtype = torch.float32) -> None:
        shapes: dict[str, tuple[int, ...]] = {"first": (inputs, HIDDEN), "first_bias": (HIDDEN,)}
        shapes |= {"first_levels": (levels, HIDDEN)}
        shapes |= {"second": (HIDDEN, HIDDEN), "second_bias": (HIDDEN,), "last": (HIDDEN,)}
        self.weights = Weights(shapes, dtype)  # a bias of the score plays no part in what is learned
        for name in shapes:
            self.weights.draw(name, inputs + levels if name.startswith("first") else HIDDEN)

    def masks(self, packs: int, rng: np.random.Generator) -> Tensor:
        """Dropout of one half in the two layers: (2, packs, HIDDEN) of 0 and of 2, which keeps the mean."""
        bits = np.unpackbits(np.frombuffer(rng.bytes(packs * HIDDEN // 4), np.uint8)).reshape(2, packs, HIDDEN)
        return torch.from_numpy(bits).to(self.weights.own["last"].dtype).mul_(2)

    def backward(self, packs: Tensor, asked: Tensor, share: Tensor, masks: Tensor) -> None:
        """The gradients of all weights for the Wasserstein distance, negated, and the penalty on slopes other than 1.

        packs: (3 k, inputs), k real ones and k made ones; the last k are room to work in. asked: int64 (k, rows of a
        pack), of real and made ones alike. share: (k, 1) of the real ones in those between, where slopes are taken;
        masks: of 3 k packs, real, made and between.
        """
        own, found, k = self.weights.own, self.weights.slope, len(packs) // 3
        between = slice(2 * k, None)
        layer = torch.empty((3 * k, HIDDEN), dtype=packs.dtype, device="cpu")
        layer[: 2 * k].view(2, k, HIDDEN)[:] = self._levels(asked)
        layer[: 2 * k].addmm_(packs[: 2 * k], own["first"])
        torch.lerp(layer[k : 2 * k], layer[:k], share, out=layer[between])  # as of the packs between: it is linear
        bend1 = _bend(layer, masks[0])
        hidden1 = layer.mul_(bend1)
        layer2 = torch.addmm(own["second_bias"], hidden1, own["second"])
        bend2 = _bend(layer2, masks[1])
        sides = torch.tensor([-1.0 / k, 1.0 / k], dtype=packs.dtype, device="cpu").repeat_interleave(k)
        ahead = own["last"] * bend2  # the slope of a score at each unit of the second layer
        ahead[: 2 * k].mul_(sides[:, None])
        behind = (ahead @ own["second"].T).mul_(bend1)  # and of the first
        last = sides @ layer2[: 2 * k].mul_(bend2[: 2 * k])
        torch.sum(behind[: 2 * k], 0, out=found["first_bias"])
        torch.sum(ahead[: 2 * k], 0, out=found["second_bias"])
        slopes = torch.mm(behind[between], own["first"].T, out=packs[between])
        by_level = behind[between] @ own["first_levels"].T
        sizes = (slopes.square().sum(1, keepdim=True) + by_level.square().sum(1, keepdim=True)).sqrt_()
        by_size = 2.0 * PENALTY / k * (sizes - 1) / sizes.clamp(min=TINY)
        slopes.mul_(by_size), by_level.mul_(by_size)  # now of the penalty by the slopes
        back = (slopes @ own["first"]).addmm_(by_level, own["first_levels"])
        back.mul_(bend1[between])  # and by what was `behind`, in front of its mask
        torch.mm(packs.T, behind, out=found["first"])
        self._by_levels(asked, by_level, behind)
        hidden1[between] = back
        torch.mm(hidden1.T, ahead, out=found["second"])
        torch.add(last, (back @ own["second"]).mul_(bend2[between]).sum(0), out=found["last"])

    def _levels(self, asked: Tensor) -> Tensor:
        """What levels asked for (k, rows of a pack) add to the first layer, with its bias."""
        own = self.weights.own
        if not own["first_levels"].numel():
            return own["first_bias"]
        found = own["first_levels"].index_select(0, asked.reshape(-1))
        return found.view(*asked.shape, HIDDEN).sum(1).add_(own["first_bias"])

    def _by_levels(self, asked: Tensor, slopes: Tensor, behind: Tensor) -> None:
        """The gradients of the weights of levels. slopes: of the penalty, (k, levels); behind: of 3 k first layers."""
        k, found = len(slopes), self.weights.slope["first_levels"]
        torch.mm(slopes.T, behind[2 * k :], out=found)
        if found.numel():
            both = behind[:k] + behind[k : 2 * k]
            found.index_add_(0, asked.reshape(-1), both.repeat_interleave(asked.shape[1], 0))

    def slopes(self, packs: Tensor, asked: Tensor, masks: Tensor) -> Tensor:
        """The gradient of the mean score by the packs (k, inputs)."""
        own = self.weights.own
        layer = torch.addmm(self._levels(asked), packs, own["first"])
        bend1 = _bend(layer, masks[0])
        bend2 = _bend(torch.addmm(own["second_bias"], layer.mul_(bend1), own["second"]), masks[1])
        ahead = (own["last"] / len(packs) * bend2) @ own["second"].T
        return ahead.mul_(bend1) @ own["first"].T


def _bend(layer: Tensor, mask: Tensor) -> Tensor:
    """What leaky ReLU and dropout multiply each unit with."""
    return layer.sign().mul_((1 - LEAK) / 2).add_((1 + LEAK) / 2).mul_(mask)
