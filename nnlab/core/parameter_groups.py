"""Which weights shrink, and each weight's own share of the step size.

A layer tells its role by a class attribute: role = "scale", "embedding" or "activation" for all weights inside it;
undecayed = True, or names, keeps own weights from shrinking; one_layer = True: all inside is one layer of layer_decay.
"""

from collections.abc import Iterator
from typing import Any

from torch import Tensor, nn

from nnlab.core.inits import linears, matrices
from nnlab.core.layers import MemberTable
from nnlab.core.spec import TrainSpec

ROLES = {"bias": "lr_bias", "scale": "lr_scale", "embedding": "lr_embedding", "activation": "lr_activation"}
ROLES |= {"head": "lr_head"}
EMBEDDINGS = (nn.Embedding, nn.EmbeddingBag, MemberTable)
Groups = list[dict[str, Any]]


def groups_of(model: nn.Module, spec: TrainSpec) -> Groups:
    """The groups of an optimizer: params, decays, and factor, which the step size of the run is multiplied by.

    The group with the matrix of the last layer has its place among params as head.
    """
    factors, last = _factors(model, spec), _head(model)
    found: Groups = []
    for decays, weights in zip((True, False), decay_groups(model), strict=True):
        by_factor: dict[float, list[nn.Parameter]] = {}
        for weight in weights:
            by_factor.setdefault(factors.get(id(weight), 1.0), []).append(weight)
        fixed = {} if decays else {"weight_decay": 0.0}
        found += [{"params": some, "decays": decays, "factor": f} | fixed for f, some in by_factor.items()]
    for group in found:
        places = [id(weight) for weight in group["params"]]
        if last in places:
            group["head"] = places.index(last)
    return found


def decay_groups(model: nn.Module) -> tuple[list[nn.Parameter], list[nn.Parameter]]:
    """Weights that may shrink, and those that must not: biases, norms and embeddings."""
    fixed_layers = (*EMBEDDINGS, nn.LayerNorm, nn.RMSNorm)  # weights of other norms are vectors
    fixed = {
        id(weight)
        for layer in model.modules()
        for name, weight in layer.named_parameters(recurse=False)
        if isinstance(layer, fixed_layers) or _undecayed(layer, name) or name.endswith("bias") or weight.ndim < 2
    }
    weights = [weight for weight in model.parameters() if weight.requires_grad]
    return [w for w in weights if id(w) not in fixed], [w for w in weights if id(w) in fixed]


def separate(model: nn.Module, weights: list[nn.Parameter]) -> list[Tensor]:
    """The weights, a matrix of each member where networks stand side by side."""
    split = {id(layer.weight): matrices(layer) for layer in linears(model)}
    return [matrix for weight in weights for matrix in split.get(id(weight), [weight.detach()])]


def _undecayed(layer: nn.Module, name: str) -> bool:
    own: bool | tuple[str, ...] = getattr(layer, "undecayed", False)
    return own if isinstance(own, bool) else name in own


def _factors(model: nn.Module, spec: TrainSpec) -> dict[int, float]:
    """The factor of each weight by its id: that of its role times that of its depth."""
    by_role = {role: getattr(spec, field) for role, field in ROLES.items()}
    if spec.layer_decay == 1.0 and set(by_role.values()) == {1.0}:
        return {}
    last = _head(model)
    depths = {id(weight): depth for depth, weight in _depths(model)}
    deepest = max(depths.values(), default=0)
    return {
        id(weight): by_role.get("head" if id(weight) == last else role, 1.0)
        * spec.layer_decay ** (deepest - depths[id(weight)])
        for role, weight in roles(model)
    }


def _head(model: nn.Module) -> int | None:
    """The id of the matrix of the last layer; None in a network without a linear layer."""
    layers = linears(model)
    return id(layers[-1].weight) if layers else None


def roles(model: nn.Module, inherited: str = "") -> Iterator[tuple[str, nn.Parameter]]:
    """Each weight with its role: that of the layer that it is in, or bias; '' for the others."""
    own = "embedding" if isinstance(model, EMBEDDINGS) else "activation" if isinstance(model, nn.PReLU) else ""
    told = getattr(model, "role", own)
    role = inherited or (told if isinstance(told, str) and told in ROLES else own)
    for name, weight in model.named_parameters(recurse=False):
        yield role or ("bias" if name.endswith("bias") else ""), weight
    for child in model.children():
        yield from roles(child, role)


def _depths(model: nn.Module) -> Iterator[tuple[int, nn.Parameter]]:
    """Each weight with the number of its layer, from 0. A layer begins with a matrix; norms go with the one before."""
    depth = -1

    def walk(module: nn.Module, inside: bool) -> Iterator[tuple[int, nn.Parameter]]:
        nonlocal depth
        own = list(module.parameters(recurse=False))
        one = getattr(module, "one_layer", False) or isinstance(module, nn.TransformerEncoderLayer)
        if not inside and any(weight.ndim > 1 for weight in (module.parameters() if one else own)):
            depth += 1
        yield from ((max(depth, 0), weight) for weight in own)
        for child in module.children():
            yield from walk(child, inside or one)

    yield from walk(model, False)
