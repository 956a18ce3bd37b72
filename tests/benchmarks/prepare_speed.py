"""Preparation against pandas and scikit-learn's ColumnTransformer, as people write it.

    python tests/benchmarks/prepare_speed.py [--rows 200000 1000000] [--pairs 5] [--kinds object str polars]

14 numeric columns with 5% missing cells and 6 text columns of 3 to 50 levels with 2% missing: median and most
frequent impute, standardise, one-hot; split stratified, fitted on the training rows, all parts transformed to
float32. Runs are paired in one process (A B A B) with one thread; printed are medians of the ratios rival / nnlab of
CPU time (children included) and wall time, so that more is better, with the least and the largest ratio of CPU, and the
largest difference of the numbers on the same rows. nnlab's side includes its fingerprint and takes the cells that its
report and audit need; told is the ratio of CPU time with these worked out as well, as when they are shown. Peak memory
is that of one run, all told, in a process of its own, over what the process held with its table read; printed as nnlab
/ rival, so that less is better. Kinds are those of the text columns: object has an object for each cell, as
astype(object) of pandas 3 gives; shared has one for each level, as read_csv of pandas 2 gives; str is what pandas 3
makes of text, arrow is string[pyarrow]; polars is a polars frame, of which the rival gets frame.to_pandas().
"""

import argparse
import gc
import os
import re
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

os.environ |= dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "POLARS_MAX_THREADS"), "1")

import numpy as np
import pandas as pd
import pyarrow

import nnlab

KINDS = ("object", "shared", "str", "arrow", "category", "polars")
CPU_FOR_WIDE = 5.0  # seconds that 10,000 columns x 200 rows may take
NUMBERS, LEVELS = 14, (3, 5, 8, 12, 25, 50)
TEXTS = [f"c{i}" for i in range(len(LEVELS))]


def table(rows: int, kind: str) -> Any:
    """The table, its text columns of one kind; polars: a polars frame."""
    draw = np.random.default_rng(0)
    columns: dict[str, Any] = {}
    for i in range(NUMBERS):
        values = draw.normal(3 * i, i + 1, rows)
        values[draw.random(rows) < 0.05] = np.nan
        columns[f"n{i}"] = values
    for i, levels in enumerate(LEVELS):
        names = np.array([f"level {i}-{j}" for j in range(levels)], object)
        texts = names[draw.integers(0, levels, rows)]
        texts[draw.random(rows) < 0.02] = None
        columns[f"c{i}"] = texts
    columns["y"] = (np.nan_to_num(columns["n0"]) + draw.normal(size=rows) > 0).astype(int)
    if kind == "polars":
        import polars

        return polars.DataFrame({name: list(v) if v.dtype == object else v for name, v in columns.items()})
    if kind == "shared":
        columns |= {name: pd.Series(columns[name], dtype=object).fillna(np.nan) for name in TEXTS}
    frame = pd.DataFrame(columns)
    dtype = {"object": object, "shared": object, "str": "str", "arrow": "string[pyarrow]", "category": "category"}[kind]
    return frame.astype(dict.fromkeys(TEXTS, dtype))


def ours(frame: Any, told: bool = False) -> tuple[Any, Any]:
    """nnlab: with its fingerprint and the cells that its report and audit need; told: with these worked out, too."""
    options = {"scale": "standard", "indicators": False, "impute.categorical": "most_frequent"}
    data = nnlab.prepare(frame, target="y", **options)
    if told:
        assert data.columns and data.audit is not None
    return data, (data.train.x, data.valid.x, data.test.x)


def theirs(frame: Any, parts: list[np.ndarray] | None = None) -> tuple[np.ndarray, ...]:
    """pandas and scikit-learn, split by train_test_split, or into given rows."""
    from sklearn.compose import ColumnTransformer
    from sklearn.impute import SimpleImputer
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import OneHotEncoder, StandardScaler

    if hasattr(frame, "to_pandas"):
        frame = frame.to_pandas()
    if str(frame[TEXTS[0]].dtype) == "string":  # scikit-learn cannot tell pd.NA
        frame = frame.astype(dict.fromkeys(TEXTS, "str"))
    features = frame.drop(columns="y")
    numbers = features.select_dtypes("number").columns
    texts = features.columns.difference(numbers, sort=False)
    encoder = OneHotEncoder(handle_unknown="ignore", sparse_output=False)
    transformer = ColumnTransformer(
        [
            ("numbers", make_pipeline(SimpleImputer(strategy="median"), StandardScaler()), numbers),
            ("texts", make_pipeline(SimpleImputer(strategy="most_frequent"), encoder), texts),
        ]
    )
    train, *rest = _split(features, frame["y"]) if parts is None else [features.iloc[rows] for rows in parts]
    first = transformer.fit_transform(train).astype(np.float32)
    return first, *(transformer.transform(part).astype(np.float32) for part in rest)


def _split(features: pd.DataFrame, y: pd.Series) -> list[pd.DataFrame]:
    from sklearn.model_selection import train_test_split

    rest, test, y, _ = train_test_split(features, y, test_size=0.2, stratify=y, random_state=0)
    train, valid = train_test_split(rest, test_size=0.2, stratify=y, random_state=0)
    return [train, valid, test]


def timed(call: Callable[[], Any]) -> tuple[float, float, Any]:
    """CPU time of this process and its children, wall time, and what the call gave."""
    gc.collect()
    cpu, wall = cpu_time(), time.perf_counter()
    found = call()
    return cpu_time() - cpu, time.perf_counter() - wall, found


def cpu_time() -> float:
    children = resource.getrusage(resource.RUSAGE_CHILDREN)
    return time.process_time() + children.ru_utime + children.ru_stime


def compare(rows: int, kind: str, pairs: int) -> str:
    frame = table(rows, kind)
    data, mine = ours(frame)
    parts = [part.index for part in (data.train, data.valid, data.test)]
    rival = theirs(frame, parts)
    difference = max(float(np.abs(a - b).max()) for a, b in zip(mine, rival, strict=True))
    del mine, rival, data
    ratios = []
    for _ in range(pairs):
        a, b, c = timed(lambda: theirs(frame)), timed(lambda: ours(frame)), timed(lambda: ours(frame, told=True))
        ratios.append((a[0] / b[0], a[1] / b[1], a[0] / c[0]))
    cpu, wall, told = (statistics.median(column) for column in zip(*ratios, strict=True))
    least, most = min(ratio for ratio, *_ in ratios), max(ratio for ratio, *_ in ratios)
    share = peak(rows, kind, "ours") / peak(rows, kind, "theirs")
    found = f"{cpu:6.1f} {least:5.1f} {most:5.1f} {wall:6.1f} {told:6.1f} {share:7.2f} {difference:11.0e}"
    return f"{rows:9,d} {kind:8s} {found}"


def peak(rows: int, kind: str, side: str) -> float:
    """Bytes that one side takes beyond its table, in a process of its own."""
    words = [sys.executable, "-W", "ignore", __file__, "--measure", side, kind, str(rows)]
    return float(subprocess.run(words, check=True, capture_output=True, text=True).stdout.split()[-1])


def measure(side: str, kind: str, rows: int) -> None:
    """Print the bytes; libraries are loaded by a small run before."""
    run(side, table(500, kind))
    frame = table(rows, kind)
    before = resident()
    run(side, frame)
    print(memory("VmHWM") - before)


def run(side: str, frame: Any) -> Any:
    return ours(frame, told=True) if side == "ours" else theirs(frame)


def resident() -> int:
    """Bytes that the process holds now; from here on its peak counts anew."""
    Path("/proc/self/clear_refs").write_text("5")
    return memory("VmRSS")


def memory(line: str) -> int:
    """Bytes of a line of the process's status. getrusage would count what the parent held when it started this one."""
    status = Path("/proc/self/status").read_text()
    return 1024 * int(re.search(rf"{line}:\s+(\d+)", status)[1])


def wide() -> str:
    frame = pd.DataFrame(np.random.default_rng(0).normal(size=(200, 10_000))).rename(columns=str)
    frame["y"] = np.random.default_rng(1).integers(0, 2, 200)
    cpu, _, _ = timed(lambda: nnlab.prepare(frame, target="y"))
    return f"10,000 columns x 200 rows: {cpu / CPU_FOR_WIDE:.2f} of the {CPU_FOR_WIDE:g} s of CPU that it may take"


def long() -> str:
    words = [sys.executable, "-W", "ignore", __file__, "--measure", "long", "float32", "10000000"]
    share = subprocess.run(words, check=True, capture_output=True, text=True).stdout.split()[-1]
    return f"10,000,000 rows x 8 float32: peak memory {share} times the frame, the frame included"


def measure_long(rows: int) -> None:
    draw = np.random.default_rng(0)
    small = pd.DataFrame(draw.normal(size=(500, 8)).astype(np.float32)).rename(columns=str)
    nnlab.prepare(small, target="0", scale="standard")
    before = resident()
    frame = pd.DataFrame({str(i): draw.random(rows, np.float32) for i in range(8)})
    size = int(frame.memory_usage(index=False).sum())
    nnlab.prepare(frame, target="0", scale="standard")
    print(round((memory("VmHWM") - before) / size, 2))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, nargs="*", default=[200_000, 1_000_000])
    parser.add_argument("--pairs", type=int, default=5)
    parser.add_argument("--kinds", nargs="*", default=list(KINDS))
    parser.add_argument("--measure", nargs=3, help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.measure:
        side, kind, rows = asked.measure
        measure_long(int(rows)) if side == "long" else measure(side, kind, int(rows))
        return
    pyarrow.set_cpu_count(1)
    print(f"pandas {pd.__version__}, its text is {pd.Series(['a']).dtype}; {asked.pairs} pairs, ratios rival / nnlab")
    print("     rows kind        CPU least  most   wall   told  memory  difference")
    for rows in asked.rows:
        for kind in asked.kinds:
            print(compare(rows, kind, asked.pairs), flush=True)
    print(wide())
    print(long())


if __name__ == "__main__":
    main()
