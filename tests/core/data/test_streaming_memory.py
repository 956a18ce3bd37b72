"""A table that does not fit into the process's addresses is prepared and predicted on in pieces. Linux limits them."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq
import pytest

ROWS, NUMBERS, BATCH = 400_000, 20, 100_000
ROOM = 150  # MiB beyond what the process has when its libraries are loaded; the features alone take 35

# One process each: libraries are loaded and used once, then the room for addresses is limited.
PROGRAM = """
import gc, json, re, resource, sys
from pathlib import Path
import nnlab

path, small, room, way = sys.argv[1:]

def size(word):
    return 1024 * int(re.search(rf"{word}:\\s+(\\d+)", Path("/proc/self/status").read_text())[1])

for stream in (False, True):
    nnlab.fit(nnlab.prepare(small, "y", stream=stream), epochs=1, store=False, device="cpu")
gc.collect()  # runs hold cycles: whether the first two are gone by now would else be chance
limit = size("VmSize") + int(room) * 2**20
resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
try:
    data = nnlab.prepare(path, "y", stream=way == "pieces")
except nnlab.DataError as error:
    print(json.dumps({"error": str(error)}))
    sys.exit()
run = nnlab.fit(data, hidden="16", epochs=2, batch_size=1024, store=False, device="cpu", baseline=False)
found = {"train": data.train.x.shape, "loss": run.record.epochs[-1].valid["loss"]}
found["test rows"] = run.score(data)["accuracy"]
pipeline, rows, seen = data.pipeline, data.train.index[::100].copy(), data.train.x[::100].copy()
del data  # files that are mapped take addresses, too
x = pipeline.transform(path)  # as data.transform and data.check do
found["transformed"] = [*x.shape, bool((x[rows] == seen).all())]
del x
found["checked"] = str(pipeline.examine(path))
found["all rows"] = run.score(path)["accuracy"]
found["predicted"] = len(run.predict(path))
found["strange"] = str(run.check(path))
print(json.dumps(found))
"""


def write(folder: Path, suffix: str, rows: int) -> Path:
    """A file of numbers, one column of levels and a target that the first number tells."""
    path = folder / f"{rows}{suffix}"
    draw = np.random.default_rng(0)
    writer = None
    for low in range(0, rows, BATCH):
        n = min(BATCH, rows - low)
        columns = {f"n{i}": np.round(draw.normal(i, 1, n), 3) for i in range(NUMBERS)}
        columns |= {"colour": draw.choice(["red", "green", "blue"], n), "y": np.where(columns["n0"] > 0, "yes", "no")}
        table = pa.table(columns)
        if writer is None:
            make = pq.ParquetWriter if suffix == ".parquet" else pa.csv.CSVWriter
            writer = make(path, table.schema)
        writer.write_table(table)
    assert writer is not None
    writer.close()
    return path


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="limits and measures addresses as Linux does")
@pytest.mark.parametrize("suffix", [".parquet", ".csv"])
def test_a_table_larger_than_the_room_is_prepared_and_trained_on(suffix: str, tmp_path: Path) -> None:
    large, small = write(tmp_path, suffix, ROWS), write(tmp_path, suffix, 3000)
    whole, pieces = run(large, small, "whole"), run(large, small, "pieces")
    assert "cannot be prepared in the memory that is free; --stream yes reads it in pieces" in whole["error"]
    assert pieces["train"] == [int(ROWS * 0.64), NUMBERS + 3]
    assert pieces["loss"] < 0.1
    assert pieces["predicted"] == ROWS
    assert pieces["transformed"] == [ROWS, NUMBERS + 3, True] and pieces["checked"] == pieces["strange"]
    assert re.match(rf"of {ROWS:,} rows 'n\d+' has \d+ outside of training's ", pieces["strange"])
    assert pieces["all rows"] == pytest.approx(pieces["test rows"], abs=0.01)


def run(large: Path, small: Path, way: str) -> dict[str, Any]:
    """What a process of its own found. Pools of addresses that are reserved and not used would count, too, and holes
    between large blocks, which glibc else keeps on its heap once some have been freed."""
    quiet = {"MALLOC_ARENA_MAX": "1", "ARROW_DEFAULT_MEMORY_POOL": "system", "OMP_NUM_THREADS": "1"}
    quiet["MALLOC_MMAP_THRESHOLD_"] = "131072"
    words = [sys.executable, "-c", PROGRAM, large, small, str(ROOM), way]
    done = subprocess.run(words, capture_output=True, text=True, env=os.environ | quiet, timeout=300)
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found
