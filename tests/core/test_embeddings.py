"""Codes of categories: the embedding in front of a network, and runs with it."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from torch import nn

import nnlab
from nnlab.core.layers import CategoryEmbedding
from nnlab.core.run import Run


def frame(rows: int = 600) -> pd.DataFrame:
    rng = np.random.default_rng(0)
    city, shop = rng.integers(0, 30, rows), rng.integers(0, 7, rows)
    sign = np.where(rng.permutation(30) < 15, 1, -1)
    table = pd.DataFrame(
        {"city": [f"c{i}" for i in city], "age": rng.normal(size=rows), "shop": [f"s{i}" for i in shop]}
    )
    table["y"] = np.where(sign[city] * table["age"] > 0, "yes", "no")
    return table


def test_each_column_is_looked_up_in_its_own_part_of_the_table() -> None:
    layer = CategoryEmbedding(5, {1: (4, 3), 3: (6, 3), 4: (5, 2)})
    assert layer.n_out == 2 + 3 + 3 + 2
    narrow, wide = (table.weight.detach() for table in layer.tables)
    x = torch.tensor([[0.5, 2.0, -1.0, 5.0, 4.0], [1.5, 3.0, 7.0, 2.0, 2.0]])
    out = layer(x)
    for row in range(2):
        codes = x[row].long()
        expected = torch.cat([x[row, [0, 2]], narrow[codes[4]], wide[codes[1]], wide[4 + codes[3]]])
        assert torch.equal(out[row], expected)


def test_what_training_never_saw_adds_nothing() -> None:
    layer = CategoryEmbedding(3, {0: (5, 2), 1: (9, 2)})
    unseen_and_missing = torch.tensor([[0.0, 1.0, 3.5], [1.0, 0.0, 3.5]])
    assert layer(unseen_and_missing).tolist() == [[3.5, 0, 0, 0, 0], [3.5, 0, 0, 0, 0]]


def test_a_run_embeds_codes_learns_from_them_and_comes_back(tmp_path: Path) -> None:
    table = frame()
    data = nnlab.prepare(table, target="y", encode="codes", embedding_dim=4)
    assert {place: (c.cardinality, c.width) for place, c in data.pipeline.codes.items()} == {0: (32, 4), 2: (9, 4)}
    run = nnlab.fit(data, epochs=40, patience=40, store=tmp_path / "store", seed=1)
    assert run.score(data)["accuracy"] > 0.85, "which sign age has is known by the city alone"
    shifted = table.assign(city="elsewhere")
    with pytest.warns(nnlab.DataWarning, match="'city' has 600 with a level that training did not see"):
        assert np.isfinite(run.predict_proba(shifted)).all()
    run.save(tmp_path / "run")
    again = Run.load(tmp_path / "run")
    assert np.array_equal(again.predict_proba(table), run.predict_proba(table))


def test_a_network_of_the_users_own_gets_the_codes() -> None:
    data = nnlab.prepare(frame(), target="y", encode="codes")
    seen: list[torch.Tensor] = []

    class Own(nn.Module):
        def __init__(self, n_in: int, n_out: int) -> None:
            super().__init__()
            self.linear = nn.Linear(n_in, n_out)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            seen.append(x[:, 0])
            return self.linear(x)

    nnlab.fit(data, model=Own, epochs=1, store=False)
    assert max(float(x.max()) for x in seen) == 31


@pytest.mark.parametrize("options", [{"select": "variance"}, {"reduce": "pca"}])
def test_codes_are_not_selected_or_reduced(options: dict[str, str]) -> None:
    with pytest.raises(nnlab.SpecError, match="encode=codes"):
        nnlab.prepare(frame(), target="y", encode="codes", **options)
