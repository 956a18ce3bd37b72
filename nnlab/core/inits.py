"""First weights, one decorated function each: fn(weight, **values) fills the matrix of a linear layer, biases are 0.

Facts: scope="network" for fn(network, x, **values), which sees the layers and some training rows. Where none is chosen
the activation decides, and torch's own is kept where measurement found nothing better.
"""

from typing import TYPE_CHECKING, Annotated, Any

from nnlab.core.activations import ACTIVATIONS
from nnlab.core.params import Within
from nnlab.core.registry import Part, Registry

if TYPE_CHECKING:
    from torch import Tensor, nn

INITS = Registry("initialization")
SIMPLEX = 6  # rows that a bias of data_driven lies between
Std = Within(1e-6, 10.0, log=True, search=(0.005, 0.3))
Gain = Within(1e-3, 100.0, log=True, search=(0.5, 2.0))
Slope = Within(0.0, 10.0)


@INITS.add
def torch_default(weight: "Tensor") -> None:
    """Uniform with variance 1 / (3 inputs), biases too: nn.Linear's own."""
    # The layer has just been made; its weights are left as they are.


@INITS.add
def normal(weight: "Tensor", std: Annotated[float, Std, "standard deviation"] = 0.05) -> None:
    """Normal with a fixed deviation."""
    weight.normal_(0.0, std)


@INITS.add
def uniform(weight: "Tensor", bound: Annotated[float, Std, "largest absolute value"] = 0.05) -> None:
    """Uniform between two bounds."""
    weight.uniform_(-bound, bound)


@INITS.add
def truncated_normal(weight: "Tensor", std: Annotated[float, Std, "standard deviation before the cut"] = 0.02) -> None:
    """Normal, cut at two deviations (torch.nn.init.trunc_normal_)."""
    from torch.nn import init

    init.trunc_normal_(weight, std=std, a=-2.0 * std, b=2.0 * std)


@INITS.add
def xavier_uniform(weight: "Tensor", gain: Annotated[float, Gain, "factor; 5/3 suits tanh"] = 1.0) -> None:
    """Uniform with variance 2 / (inputs + outputs) (Glorot & Bengio 2010)."""
    from torch.nn import init

    init.xavier_uniform_(weight, gain)


@INITS.add
def xavier_normal(weight: "Tensor", gain: Annotated[float, Gain, "factor; 5/3 suits tanh"] = 1.0) -> None:
    """Normal with variance 2 / (inputs + outputs) (Glorot & Bengio 2010)."""
    from torch.nn import init

    init.xavier_normal_(weight, gain)


@INITS.add
def he_uniform(weight: "Tensor", slope: Annotated[float, Slope, "of the activation below 0"] = 0.0) -> None:
    """Uniform with variance 2 / inputs, for ReLU (He et al. 2015)."""
    from torch.nn import init

    init.kaiming_uniform_(weight, a=slope, nonlinearity="leaky_relu")


@INITS.add
def he_normal(weight: "Tensor", slope: Annotated[float, Slope, "of the activation below 0"] = 0.0) -> None:
    """Normal with variance 2 / inputs, for ReLU (He et al. 2015)."""
    from torch.nn import init

    init.kaiming_normal_(weight, a=slope, nonlinearity="leaky_relu")


@INITS.add
def lecun_normal(weight: "Tensor") -> None:
    """Normal with variance 1 / inputs, for SELU (LeCun et al. 1998; Klambauer et al. 2017)."""
    from torch.nn import init

    init.kaiming_normal_(weight, nonlinearity="linear")


@INITS.add
def lecun_uniform(weight: "Tensor") -> None:
    """Uniform with variance 1 / inputs (LeCun et al. 1998)."""
    from torch.nn import init

    init.kaiming_uniform_(weight, nonlinearity="linear")


@INITS.add
def orthogonal(weight: "Tensor", gain: Annotated[float, Gain, "factor"] = 1.0) -> None:
    """A random orthogonal matrix (Saxe et al. 2014)."""
    from torch.nn import init

    init.orthogonal_(weight, gain)


@INITS.add
def sparse(
    weight: "Tensor",
    share: Annotated[float, Within(0.0, 0.999), "share of zeros in the weights of each input"] = 0.9,
    std: Annotated[float, Std, "standard deviation of the others"] = 0.3,
) -> None:
    """Normal with most entries 0 (Martens 2010)."""
    from torch.nn import init

    init.sparse_(weight, share, std)


@INITS.add
def identity(weight: "Tensor", gain: Annotated[float, Gain, "value on the diagonal"] = 1.0) -> None:
    """Ones on the diagonal: inputs are handed on as they are (Le et al. 2015)."""
    from torch.nn import init

    init.eye_(weight).mul_(gain)


@INITS.add
def heavy_tailed(
    weight: "Tensor",
    freedom: Annotated[float, Within(2.01, 100.0, log=True, search=(2.1, 10.0)), "degrees of freedom"] = 3.0,
) -> None:
    """Student's t scaled to variance 1 / inputs: a few large weights (Gurbuzbalaban & Hu 2021)."""
    import torch

    chi = torch.from_numpy(_draw_chi2(freedom, tuple(weight.shape))).to(weight)
    scale = ((freedom - 2.0) / freedom / weight.shape[1]) ** 0.5
    weight.normal_().mul_(scale).div_((chi / freedom).sqrt())


def _draw_chi2(freedom: float, shape: tuple[int, ...]) -> Any:
    import numpy as np

    return np.random.chisquare(freedom, shape)


@INITS.add(scope="network")
def lsuv(
    network: "nn.Module",
    x: "Tensor",
    tolerance: Annotated[float, Within(1e-4, 1.0), "how near to 1 the variance must come"] = 0.01,
    rounds: Annotated[int, Within(1, 100), "tries for each layer"] = 10,
    center: Annotated[bool, "biases let each output have mean 0 as well (Krähenbühl et al. 2016)"] = False,
) -> None:
    """Orthogonal, then layers are scaled until outputs of training rows have variance 1 (Mishkin & Matas 2016)."""
    for layer in linears(network):
        _fill(layer, orthogonal, {})
    for layer in linears(network)[:-1]:
        for _ in range(rounds):
            outputs = _outputs_of(network, layer, x)
            if outputs is None:
                break
            variance = float((outputs - outputs.mean(0) if center else outputs).var())
            if abs(variance - 1.0) < tolerance or not variance > 0.0:
                break
            layer.weight.div_(variance**0.5)
        if center and layer.bias is not None and (outputs := _outputs_of(network, layer, x)) is not None:
            layer.bias.sub_(outputs.mean(0))


@INITS.add(scope="network")
def data_driven(
    network: "nn.Module",
    x: "Tensor",
    gain: Annotated[float, Gain, "standard deviation of the outputs of hidden layers"] = 1.0,
) -> None:
    """Neurons of unit deviation on training rows, kinks inside the data (RealMLP's he+5; Holzmüller et al. 2024).

    Each bias is minus the output for a random convex combination of six rows, shares of which are exponential draws.
    """
    import torch

    for layer in linears(network)[:-1]:
        _fill(layer, lecun_normal, {})
        outputs = _outputs_of(network, layer, x)
        if outputs is None:
            continue
        layer.weight.mul_(gain / outputs.std(0).clamp(min=1e-6).unsqueeze(-1))
        outputs = _outputs_of(network, layer, x)
        if layer.bias is not None and outputs is not None:
            some = torch.randint(len(outputs), (SIMPLEX, *outputs.shape[1:]), device=outputs.device)
            shares = torch.empty(some.shape, device=outputs.device).exponential_()
            layer.bias.copy_(-(shares / shares.sum(0) * outputs.gather(0, some)).sum(0))
    _fill(linears(network)[-1], lecun_normal, {})


def linears(network: "nn.Module") -> "list[Any]":
    """The linear layers, in order, those of networks side by side among them."""
    from torch import nn

    from nnlab.core.members import MemberLinear

    return [layer for layer in network.modules() if isinstance(layer, (nn.Linear, MemberLinear))]


def matrices(layer: Any) -> "list[Tensor]":
    """The weights of a linear layer, a matrix for each member."""
    weight: Tensor = layer.weight.detach()
    return list(weight.unbind(0)) if weight.ndim == 3 else [weight]


def _fill(layer: Any, make: Any, values: "dict[str, Any]") -> None:
    """First weights of a layer; with NTK scaling of N(0, 1) size, so that its function is the same."""
    for matrix in matrices(layer):
        make(matrix, **values)
        if getattr(layer, "ntk", False):
            matrix.mul_(matrix.shape[1] ** 0.5)
    _zero_bias(layer)


def _zero_bias(layer: Any) -> None:
    if layer.bias is not None:
        layer.bias.zero_()


def _outputs_of(network: "nn.Module", layer: Any, x: "Tensor") -> "Tensor | None":
    """What one layer gives for rows, the network in eval mode: (rows, out), or (rows, members, out) of members' own.

    None for a layer that only training uses.
    """
    found: list[Tensor] = []
    hook = layer.register_forward_hook(lambda _layer, _inputs, output: found.append(output.detach()))
    training = network.training
    try:
        network.eval()
        network(x)
    finally:
        network.train(training)
        hook.remove()
    if not found:
        return None
    return found[0] if layer.weight.ndim == 3 else found[0].flatten(0, -2)


def initialize(network: "nn.Module", part: Part | None, activation: str | None, x: "Tensor") -> None:
    """Fill a network's first weights. part: None leaves hidden layers to the activation; x: some training rows.

    Last layers of residual branches (those with zero_start) begin as 0, so that each block begins as the identity.
    """
    import torch

    chosen = part is not None
    if part is None:
        facts = ACTIVATIONS[activation].facts if activation else {}
        part = Part(facts.get("init", "torch_default"), {"gain": facts["gain"]} if "gain" in facts else {})
    entry = INITS[part.name]
    values = entry.read(part.values)
    with torch.no_grad():
        if entry.facts.get("scope") == "network":
            entry.make(network, x, **values)
        elif part.name != "torch_default":
            layers = linears(network)
            for layer in layers if chosen else layers[:-1]:  # behind the last one comes no activation
                _fill(layer, entry.make, values)
        for layer in linears(network):
            if getattr(layer, "zero_start", False):
                layer.weight.zero_()
                _zero_bias(layer)
