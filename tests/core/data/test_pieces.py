"""A file read in pieces gives the same preparation as in memory, and needs fewer addresses."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import nnlab
from nnlab.core.data.prepare import prepare


def frame(rows: int, columns: int = 6) -> pd.DataFrame:
    draw = np.random.default_rng(0)
    found = pd.DataFrame(draw.normal(size=(rows, columns))).rename(columns=lambda i: f"x{i}")
    found.loc[::7, "x0"] = np.nan
    found["kind"] = draw.choice(["red", "green", "blue"], rows)
    return found.assign(y=draw.normal(size=rows))


def write(table: pd.DataFrame, path: Path) -> Path:
    table.to_parquet(path, row_group_size=50_000) if path.suffix == ".parquet" else table.to_csv(path, index=False)
    return path


@pytest.mark.parametrize("name", ["a.csv", "a.csv.gz", "a.tsv", "a.parquet"])
@pytest.mark.parametrize("options", [{}, {"encode": "target", "scale": "standard"}, {"drop_rows": 0.1}])
def test_the_numbers_are_those_of_memory(name: str, options: dict[str, object], tmp_path: Path) -> None:
    table = frame(5000)
    path = tmp_path / name
    if ".tsv" in name:
        table.to_csv(path, sep="\t", index=False)
    else:
        write(table, path)
    whole, pieces = (prepare(path, "y", stream=stream, **options) for stream in (False, True))
    assert isinstance(pieces.train.x, np.memmap) and not isinstance(whole.train.x, np.memmap)
    for part in ("train", "valid", "test"):
        a, b = getattr(whole, part), getattr(pieces, part)
        assert np.array_equal(a.x, b.x) and np.array_equal(a.y, b.y) and np.array_equal(a.index, b.index)
    assert whole.fingerprint == pieces.fingerprint
    assert whole.pipeline.state()[0] == pieces.pipeline.state()[0]
    assert whole.audit == pieces.audit and whole.columns == pieces.columns


def test_a_run_learns_the_same_from_mapped_rows(tmp_path: Path) -> None:
    path = write(frame(600), tmp_path / "a.parquet")
    runs = [
        nnlab.fit(prepare(path, "y", stream=stream), epochs=2, hidden="8", store=False, seed=1)
        for stream in (False, True)
    ]
    assert runs[0].metrics == runs[1].metrics
