"""Activation functions, one decorated function each: fn(shape) -> nn.Module; shape: (width,) or (members, width).

Facts: init, gain: the first weights that suit it, where torch's own do not. dropout: the kind that suits it.
gated=True: it halves its input, so the linear layer in front gives twice the width. searched=True: a search tries it.
"""

from typing import TYPE_CHECKING, Any

from nnlab.core.registry import Registry

if TYPE_CHECKING:
    from torch import nn

ACTIVATIONS = Registry("activation")
Shape = tuple[int, ...]


@ACTIVATIONS.add(init="he_uniform", searched=True)
def relu(shape: Shape) -> "nn.Module":
    """max(x, 0) (Nair & Hinton 2010)."""
    from torch import nn

    return nn.ReLU()


@ACTIVATIONS.add(init="he_uniform")
def leaky_relu(shape: Shape) -> "nn.Module":
    """max(x, 0.01 x): no unit dies (Maas et al. 2013)."""
    from torch import nn

    return nn.LeakyReLU()


@ACTIVATIONS.add(init="he_uniform")
def prelu(shape: Shape) -> "nn.Module":
    """max(x, a x), a learned for each layer, 0.25 at first (He et al. 2015)."""
    from torch import nn

    return nn.PReLU()


@ACTIVATIONS.add
def elu(shape: Shape) -> "nn.Module":
    """x above 0, exp(x) - 1 below (Clevert et al. 2016)."""
    from torch import nn

    return nn.ELU()


@ACTIVATIONS.add(init="lecun_normal", dropout="alpha", searched=True)
def selu(shape: Shape) -> "nn.Module":
    """Scaled ELU: outputs keep mean 0 and variance 1; with alpha dropout (Klambauer et al. 2017)."""
    from torch import nn

    return nn.SELU()


@ACTIVATIONS.add
def gelu(shape: Shape) -> "nn.Module":
    """x P(normal < x) (Hendrycks & Gimpel 2016)."""
    from torch import nn

    return nn.GELU()


@ACTIVATIONS.add(searched=True)
def silu(shape: Shape) -> "nn.Module":
    """x sigmoid(x) (Elfwing et al. 2018)."""
    from torch import nn

    return nn.SiLU()


@ACTIVATIONS.add
def swish(shape: Shape) -> "nn.Module":
    """x sigmoid(b x), b learned for each unit, 1 at first (Ramachandran et al. 2017)."""
    from nnlab.core.layers import Swish

    return Swish(shape)


@ACTIVATIONS.add(searched=True)
def mish(shape: Shape) -> "nn.Module":
    """x tanh(softplus(x)) (Misra 2019)."""
    from torch import nn

    return nn.Mish()


@ACTIVATIONS.add(init="xavier_uniform", gain=5.0 / 3.0)
def tanh(shape: Shape) -> "nn.Module":
    """Hyperbolic tangent, from -1 to 1 (LeCun et al. 1998)."""
    from torch import nn

    return nn.Tanh()


@ACTIVATIONS.add(init="xavier_uniform")
def sigmoid(shape: Shape) -> "nn.Module":
    """1 / (1 + exp(-x)), from 0 to 1 (Rumelhart et al. 1986)."""
    from torch import nn

    return nn.Sigmoid()


@ACTIVATIONS.add(init="he_uniform")
def softplus(shape: Shape) -> "nn.Module":
    """log(1 + exp(x)): a smooth ReLU (Dugas et al. 2001)."""
    from torch import nn

    return nn.Softplus()


@ACTIVATIONS.add
def hardswish(shape: Shape) -> "nn.Module":
    """x min(max(x + 3, 0), 6) / 6: SiLU in straight pieces (Howard et al. 2019)."""
    from torch import nn

    return nn.Hardswish()


@ACTIVATIONS.add(gated=True)
def glu(shape: Shape) -> "nn.Module":
    """a sigmoid(b) of the two halves a, b of twice the width (Dauphin et al. 2017)."""
    return _gate("sigmoid")


@ACTIVATIONS.add(gated=True)
def reglu(shape: Shape) -> "nn.Module":
    """a relu(b) of the two halves of twice the width (Shazeer 2020)."""
    return _gate("relu")


@ACTIVATIONS.add(gated=True)
def geglu(shape: Shape) -> "nn.Module":
    """a gelu(b) of the two halves of twice the width (Shazeer 2020)."""
    return _gate("gelu")


@ACTIVATIONS.add(gated=True)
def swiglu(shape: Shape) -> "nn.Module":
    """a silu(b) of the two halves of twice the width (Shazeer 2020)."""
    return _gate("silu")


def _gate(name: str) -> "nn.Module":
    from torch.nn import functional

    from nnlab.core.layers import Gate

    function: Any = getattr(functional, name)
    return Gate(function)
