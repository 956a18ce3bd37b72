"""How near `--threads auto` comes to the better of one and all cores, on an idle machine and on a busy one.

    python tests/benchmarks/thread_choice.py [--nets small,wide,deep,short] [--burners 0,1,2] [--rounds 5]

Whole fits, wall time, in one process and one after the other, so that all see the same machine. burners: processes
that keep a core each busy beside it. Printed: medians of the time on one thread and on all, over that of auto, and of
the better of both over that of auto (goal: at least 0.9); and what auto chose.
"""

import argparse
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager

os.environ.pop("OMP_NUM_THREADS", None)

import nnlab  # before torch: it decides how waiting threads behave
from nnlab.core.data.prepare import Prepared

NETS = {  # rows, features, options
    "small": (2_000, 20, {"hidden": (64, 64), "batch_size": 128, "epochs": 30}),
    "usual": (20_000, 50, {"hidden": (128, 64), "batch_size": 256, "epochs": 8}),
    "wide": (8_000, 100, {"hidden": (1024, 1024), "batch_size": 512, "epochs": 3}),
    "deep": (16_000, 100, {"hidden": (512,) * 4, "batch_size": 256, "epochs": 3}),
    "long": (16_000, 64, {"hidden": (256, 256), "batch_size": 256, "epochs": 20}),
    "short": (4_000, 100, {"hidden": (2048, 2048), "batch_size": 1024, "epochs": 2}),
}
BURN = "while True: pass"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--nets", default=",".join(NETS))
    parser.add_argument("--burners", default="0,2")
    parser.add_argument("--rounds", type=int, default=5)
    asked = parser.parse_args()
    import torch

    cores = torch.get_num_threads()
    print(f"{cores} cores; time on one thread, on all, and on the better one, for that of auto")
    for name in asked.nets.split(","):
        rows, features, options = NETS[name]
        data = table(rows, features)
        fit(data, options | {"epochs": 1}, 1)
        for burners in map(int, asked.burners.split(",")):
            with burning(burners):
                rounds = [measured(data, options, cores, at) for at in range(asked.rounds)]
            one, every, better = (statistics.median(ratios) for ratios in zip(*(r for r, _ in rounds), strict=True))
            chosen = "".join(str(threads) for _, threads in rounds)
            print(f"{name:6} {burners} beside: one {one:.2f}  all {every:.2f}  better {better:.2f}  auto took {chosen}")


def measured(data: Prepared, options: dict, cores: int, at: int) -> tuple[tuple[float, float, float], int]:
    """Time on one thread, on all, and on the better one, for that of auto; and what auto chose."""
    order: list[int | None] = [1, cores, None]
    order = order[at % 3 :] + order[: at % 3]
    found = {threads: fit(data, options, threads) for threads in order}
    (one, _), (every, _), (auto, chosen) = found[1], found[cores], found[None]
    return (one / auto, every / auto, min(one, every) / auto), chosen


def fit(data: Prepared, options: dict, threads: int | None) -> tuple[float, int]:
    """Seconds of a whole fit, and the threads that it was made on."""
    import torch

    used: list[int] = []
    began = time.perf_counter()
    nnlab.fit(
        data,
        store=False,
        baseline=False,
        probe=False,
        patience=None,
        threads=threads,
        view=lambda event: used.append(torch.get_num_threads()),
        **options,
    )
    return time.perf_counter() - began, used[-2]  # the last event comes when the threads are given back


def table(rows: int, features: int) -> Prepared:
    import numpy as np

    rng = np.random.default_rng(0)
    x = rng.normal(size=(rows, features)).astype(np.float32)
    y = (x @ rng.normal(size=features) + rng.normal(size=rows) > 0).astype(int)
    return nnlab.prepare((x, y), scale="standard", test=0.0)


@contextmanager
def burning(count: int) -> Iterator[None]:
    """So many processes beside."""
    children = [subprocess.Popen([sys.executable, "-c", BURN]) for _ in range(count)]
    try:
        time.sleep(0.5)
        yield
    finally:
        for child in children:
            child.kill()
            child.wait()


if __name__ == "__main__":
    main()
