import pytest
import torch
from torch import nn

from nnlab.core.layers import Dropout


@pytest.mark.parametrize("p", [0.05, 0.1, 0.5, 0.93])
@pytest.mark.parametrize("shape", [(400, 257), (3, 5, 20_001)])
def test_dropout_keeps_the_share_the_scale_and_the_expectation(p: float, shape: tuple[int, ...]) -> None:
    torch.manual_seed(0)
    output = Dropout(p)(torch.ones(shape))
    kept = output != 0
    share, n = kept.float().mean().item(), output.numel()
    assert abs(share - (1 - p)) < 5 * (p * (1 - p) / n) ** 0.5
    assert output[kept].unique().item() == pytest.approx(1 / (1 - p), rel=1e-3)
    assert output.mean().item() == pytest.approx(1, abs=5 * (p / (1 - p) / n) ** 0.5 + 1e-4)


def test_neighbours_in_one_random_word_are_independent() -> None:
    torch.manual_seed(0)
    kept = (Dropout(0.5)(torch.ones(200_000, 4)) != 0).double()
    correlation = torch.corrcoef(kept.T) - torch.eye(4)
    assert correlation.abs().max() < 0.012


def test_the_gradient_is_the_mask() -> None:
    torch.manual_seed(0)
    x = torch.randn(50, 7, requires_grad=True)
    output = Dropout(0.3)(x)
    output.sum().backward()
    torch.testing.assert_close(x.grad * x.detach(), output.detach())


@pytest.mark.parametrize("p", [0.0, 1e-9, 1 - 1e-9, 1.0])
def test_the_ends_and_evaluation_are_torchs(p: float) -> None:
    x = torch.randn(9, 5)
    assert torch.equal(Dropout(p)(x), nn.Dropout(p)(x))
    assert torch.equal(Dropout(0.5).eval()(x), x)
