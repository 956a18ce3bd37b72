"""Layers that torch has, but slower."""

import torch
from torch import Tensor, nn


class Dropout(nn.Dropout):
    """nn.Dropout with masks from 16-bit random numbers on the CPU, where drawing the mask is most of its cost.

    p is rounded to 1/65536, and kept values are scaled by what was truly kept, so the expectation is exact.
    """

    def forward(self, x: Tensor) -> Tensor:
        """x of any shape; the same where the layer does not train."""
        dropped, size = round(self.p * 65536), x.numel()
        if not self.training or not 0 < dropped < 65536 or x.device.type != "cpu":
            return super().forward(x)
        words = torch.empty((size + 3) // 4, dtype=torch.int64, device=x.device)
        words.random_(-(2**63), None)  # four 16-bit draws in each
        kept = words.view(torch.int16)[:size].view(x.shape) >= dropped - 32768
        return x * kept.to(x.dtype).mul_(65536 / (65536 - dropped))
