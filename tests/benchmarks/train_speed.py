"""Speed and memory of a whole fit against the loops and libraries that people use: paired runs, one thread each side.

    python -m tests.benchmarks.train_speed [--rows 50000] [--features 50] [--pairs 5] [--epochs 3] [--rivals ...]

MLP 128-64 with dropout 0.1, AdamW, batch 256, validation each epoch, rows x features generated numbers, 3 classes.
Prints, for every rival, the median over pairs of rival time / nnlab time: above 1 nnlab is the faster one; and the
peak of memory that a fit adds to the data and what it imports, over nnlab's, each in a process of its own (Linux).
The rivals' packages come with `pip install "nnlab[bench]"`.
"""

import argparse
import gc
import math
import os
import statistics
import subprocess
import sys
import tempfile
import time
import warnings
from collections.abc import Callable
from pathlib import Path

os.environ["OMP_NUM_THREADS"] = "1"

import numpy as np
import torch

import nnlab
from nnlab.core.data.prepare import Prepared
from tests.benchmarks.rivals import BATCH, CLASSES, DROPOUT, LR, RIVALS, WIDTHS, network


def make_data(rows: int, features: int) -> Prepared:
    """Standard normal features and classes from a small random net, so that there is something to learn."""
    draw = np.random.default_rng(0)
    x = draw.standard_normal((rows, features), dtype=np.float32)
    hidden = np.tanh(x @ draw.standard_normal((features, 16)).astype(np.float32) / math.sqrt(features) * 1.5)
    noise = 0.3 * draw.standard_normal((rows, CLASSES), dtype=np.float32)
    y = (hidden @ draw.standard_normal((16, CLASSES)).astype(np.float32) + noise).argmax(1)
    return nnlab.prepare((x, y), task="multiclass", scale="none", valid=0.2, test=0.0)


def with_nnlab(data: Prepared, epochs: int, own: bool = False) -> None:
    """own: the rivals' network as a network of the user's, which autograd trains, and nothing but training."""
    usual = {"lr": LR, "schedule": "constant", "weight_decay": 0.01}
    usual |= {"epochs": epochs, "patience": None, "batch_size": BATCH, "metrics": "accuracy"}
    if own:
        bare = {"store": False, "probe": False, "baseline": False}
        nnlab.fit(data, model=lambda n_in, n_out: network(n_in), **usual, **bare)
        return
    with tempfile.TemporaryDirectory() as store:
        nnlab.fit(data, hidden=WIDTHS, activation="relu", dropout=DROPOUT, **usual, store=store)


def timed(run: Callable[[], None]) -> tuple[float, float]:
    """CPU and wall seconds."""
    gc.collect()
    cpu, wall = time.process_time(), time.perf_counter()
    run()
    return time.process_time() - cpu, time.perf_counter() - wall


def held(what: str) -> float:
    """MiB of this process as Linux tells it: VmRSS now, VmHWM at most since `forget_peak`."""
    line = next(line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith(what))
    return int(line.split()[1]) / 1024


def forget_peak() -> None:
    Path("/proc/self/clear_refs").write_text("5")


def added_memory(name: str, asked: argparse.Namespace) -> float:
    """MiB that a fit adds to the peak of a process with the data."""
    size = ["--rows", str(asked.rows), "--features", str(asked.features), "--epochs", "1"]
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-m", "tests.benchmarks.train_speed", *size, "--memory-of", name],
        capture_output=True,
        text=True,
        check=True,
    )
    return float(done.stdout.split()[-1])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=50_000)
    parser.add_argument("--features", type=int, default=50)
    parser.add_argument("--pairs", type=int, default=5)
    parser.add_argument("--epochs", type=int, default=3)
    parser.add_argument("--rivals", nargs="*", default=list(RIVALS), choices=list(RIVALS))
    parser.add_argument("--own", action="store_true", help="a network of the user's own, without store and baselines")
    parser.add_argument("--memory-of", help=argparse.SUPPRESS)
    asked = parser.parse_args()
    warnings.simplefilter("ignore")
    torch.set_num_threads(1)
    data = make_data(asked.rows, asked.features)
    if asked.memory_of:
        gc.collect()
        forget_peak()
        before = held("VmRSS")
        with_nnlab(data, 1) if asked.memory_of == "nnlab" else RIVALS[asked.memory_of].fit(data, 1)
        print(held("VmHWM") - before)
        return
    print(f"{asked.rows} x {asked.features}, {asked.epochs} epochs, median of {asked.pairs} pairs: rival / nnlab")
    own = added_memory("nnlab", asked)
    for name in asked.rivals:
        rival = RIVALS[name]
        if not rival.there:
            print(f"  {name:26s} left out: {rival.needs} is not installed", flush=True)
            continue
        pairs = []
        for pair in range(-1, asked.pairs):  # the first round only warms up
            ours = timed(lambda: with_nnlab(data, asked.epochs, asked.own))
            theirs = timed(lambda rival=rival: rival.fit(data, asked.epochs))
            if pair >= 0:
                pairs.append((theirs[0] / ours[0], theirs[1] / ours[1]))
        cpu, wall = (statistics.median(column) for column in zip(*pairs, strict=True))
        memory = added_memory(name, asked) / own
        print(f"  {name:26s} CPU time x {cpu:5.2f}   wall x {wall:5.2f}   memory x {memory:5.2f}", flush=True)


if __name__ == "__main__":
    main()
