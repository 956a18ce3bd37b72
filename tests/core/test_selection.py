"""Group lasso on inputs: exact zeros for whole features, whatever stands in front of the first layer."""

from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from torch import Tensor, nn

import nnlab
from nnlab.core.data.prepare import Prepared
from nnlab.report.bundle import run_bundles


def sparse_table(encode: str = "one_hot") -> Prepared:
    """Twelve numbers and two categories, of which x0, x3 and k matter."""
    draw = np.random.default_rng(0)
    x = draw.normal(size=(800, 12))
    frame = pd.DataFrame(x, columns=[f"x{i}" for i in range(12)])
    frame = frame.assign(k=draw.choice(list("ab"), 800), j=draw.choice(list("uv"), 800))
    frame["y"] = x[:, 0] - 2 * x[:, 3] + 2 * (frame["k"] == "b")
    return nnlab.prepare(frame, target="y", scale="standard", encode=encode)


SELECTING: list[tuple[dict[str, Any], str]] = [
    ({"optimizer": "sgd", "lr": 0.05, "schedule": "constant", "group_lasso": 0.1}, "one_hot"),
    ({"average": "ema", "group_lasso": 0.5}, "one_hot"),
    ({"model": "packed", "group_lasso": 0.5}, "codes"),
    ({"embed": "plr", "frequencies": 8, "size": 4, "group_lasso": 0.5}, "codes"),
]


@pytest.mark.parametrize(("options", "encode"), SELECTING, ids=str)
def test_group_lasso_finds_the_features_that_matter_and_names_the_others(options: dict[str, Any], encode: str) -> None:
    """Also where features are embedded first, and where the weights are an average of those with zeros."""
    data = sparse_table(encode)
    run = nnlab.fit(data, epochs=40, hidden="16", dropout=0, store=False, baseline=False, **options)
    places = {name: at for at, name in enumerate(data.feature_names)}
    used = {name for name in places if name not in run.unused_features}
    assert {"x0", "x3"} <= used
    assert any(name.startswith("k") for name in used)
    assert len(run.unused_features) >= 5
    x = data.valid.x.copy()
    for name in run.unused_features:
        x[:, places[name]] = 1.0 - x[:, places[name]] % 2
    assert torch.equal(run.outputs(x), run.outputs(data.valid.x))
    text = run_bundles(run, None, None)[-1].data["text/plain"]
    assert f"features left out: {len(run.unused_features)} of {len(places)}: {run.unused_features[0]}" in text


@pytest.mark.parametrize("model", ["dcn", "ft_transformer"])
def test_networks_that_read_features_past_their_first_layer_have_no_group_lasso(model: str) -> None:
    with pytest.raises(nnlab.SpecError, match=f"past which model {model} reads them too"):
        nnlab.fit(sparse_table(), model=model, group_lasso=0.1, store=False)


def test_features_of_an_own_network_are_left_out_where_that_can_be(classes: Prepared) -> None:
    class Mixed(nn.Module):
        def __init__(self, n_in: int, n_out: int) -> None:
            super().__init__()
            self.first, self.rest = nn.Linear(n_in, 8), nn.Linear(8, n_out)

        def forward(self, x: Tensor) -> Tensor:
            return self.rest(self.first(x + x.roll(1, 1)).relu())

    plain = nnlab.fit(
        classes, model=lambda a, b: nn.Sequential(nn.Linear(a, b)), group_lasso=50, epochs=3, store=False, lr=0.1
    )
    assert plain.unused_features == tuple(classes.feature_names)
    with pytest.raises(nnlab.SpecError, match="group_lasso leaves features out"):
        nnlab.fit(classes, model=Mixed, group_lasso=0.1, store=False)
