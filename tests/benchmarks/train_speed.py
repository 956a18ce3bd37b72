"""Speed of a whole fit against the loops that people write and use: paired runs in one process, one thread each side.

    python tests/benchmarks/train_speed.py [--rows 50000] [--pairs 5] [--epochs 3]

MLP 128-64 with dropout 0.1, AdamW, batch 256, validation each epoch, on rows x 50 generated features with 3 classes.
Prints, for every rival, the median over pairs of rival time / nnlab time: above 1 nnlab is the faster one.
skorch needs `pip install "nnlab[bench]"`.
"""

import argparse
import gc
import math
import os
import statistics
import tempfile
import time
import warnings
from collections.abc import Callable

os.environ["OMP_NUM_THREADS"] = "1"

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

import nnlab
from nnlab.core.data.prepare import Prepared

BATCH, CLASSES, WIDTHS, DROPOUT = 256, 3, (128, 64), 0.1
Arrays = tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]


def make_data(rows: int, features: int) -> tuple[np.ndarray, np.ndarray]:
    """Standard normal features and classes from a small random net, so that there is something to learn."""
    draw = np.random.default_rng(0)
    x = draw.standard_normal((rows, features), dtype=np.float32)
    hidden = np.tanh(x @ draw.standard_normal((features, 16)).astype(np.float32) / math.sqrt(features) * 1.5)
    noise = 0.3 * draw.standard_normal((rows, CLASSES), dtype=np.float32)
    return x, (hidden @ draw.standard_normal((16, CLASSES)).astype(np.float32) + noise).argmax(1)


def network(features: int) -> nn.Sequential:
    layers: list[nn.Module] = []
    for width in WIDTHS:
        layers += [nn.Linear(features, width), nn.ReLU(), nn.Dropout(DROPOUT)]
        features = width
    return nn.Sequential(*layers, nn.Linear(features, CLASSES))


def arrays_of(data: Prepared) -> Arrays:
    return data.train.x, data.train.y, data.valid.x, data.valid.y


def with_nnlab(data: Prepared, epochs: int, store: str) -> None:
    network = {"hidden": WIDTHS, "activation": "relu", "dropout": DROPOUT}
    nnlab.fit(data, **network, epochs=epochs, batch_size=BATCH, store=store, metrics="accuracy")


def tight_loop(data: Prepared, epochs: int) -> None:
    """What an expert writes by hand: tensors in memory, fused AdamW, no waiting inside an epoch."""
    x, y, xv, yv = map(torch.from_numpy, arrays_of(data))
    model = network(x.shape[1])
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3, fused=True)
    for _ in range(epochs):
        order, total = torch.randperm(len(y)), torch.zeros(())
        model.train()
        for start in range(0, len(y), BATCH):
            rows = order[start : start + BATCH]
            loss = F.cross_entropy(model(x.index_select(0, rows)), y.index_select(0, rows))
            optimizer.zero_grad(set_to_none=True)
            loss.backward()
            optimizer.step()
            total += loss.detach()
        model.eval()
        with torch.inference_mode():
            output = torch.cat([model(part) for part in xv.split(8192)])
            F.cross_entropy(output, yv).item(), (output.argmax(1) == yv).float().mean().item(), total.item()


def textbook_loop(data: Prepared, epochs: int) -> None:
    """The DataLoader loop of the tutorials."""
    from torch.utils.data import DataLoader, TensorDataset

    x, y, xv, yv = map(torch.from_numpy, arrays_of(data))
    train, valid = DataLoader(TensorDataset(x, y), BATCH, shuffle=True), DataLoader(TensorDataset(xv, yv), BATCH)
    model, criterion = network(x.shape[1]), nn.CrossEntropyLoss()
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3)
    for _ in range(epochs):
        model.train()
        for xb, yb in train:
            optimizer.zero_grad()
            loss = criterion(model(xb), yb)
            loss.backward()
            optimizer.step()
        model.eval()
        with torch.no_grad():
            for xb, yb in valid:
                output = model(xb)
                criterion(output, yb).item(), (output.argmax(1) == yb).sum().item()


def with_skorch(data: Prepared, epochs: int) -> None:
    from skorch import NeuralNetClassifier
    from skorch.dataset import Dataset
    from skorch.helper import predefined_split

    x, y, xv, yv = arrays_of(data)
    net = NeuralNetClassifier(
        network,
        module__features=x.shape[1],
        criterion=nn.CrossEntropyLoss,
        optimizer=torch.optim.AdamW,
        lr=1e-3,
        batch_size=BATCH,
        max_epochs=epochs,
        iterator_train__shuffle=True,
        train_split=predefined_split(Dataset(xv, yv)),
        verbose=0,
    )
    net.fit(x, y)


def timed(run: Callable[[], None]) -> tuple[float, float]:
    """CPU and wall seconds."""
    gc.collect()
    cpu, wall = time.process_time(), time.perf_counter()
    run()
    return time.process_time() - cpu, time.perf_counter() - wall


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=50_000)
    parser.add_argument("--features", type=int, default=50)
    parser.add_argument("--pairs", type=int, default=5)
    parser.add_argument("--epochs", type=int, default=3)
    asked = parser.parse_args()
    warnings.simplefilter("ignore")
    torch.set_num_threads(1)
    data = nnlab.prepare(make_data(asked.rows, asked.features), task="multiclass", scale="none", valid=0.2, test=0.0)
    rivals = {"tight loop": tight_loop, "textbook DataLoader loop": textbook_loop, "skorch": with_skorch}
    ratios: dict[str, list[tuple[float, float]]] = {name: [] for name in rivals}
    with tempfile.TemporaryDirectory() as store:
        for pair in range(-1, asked.pairs):  # the first round only warms up
            for name, rival in rivals.items():
                ours = timed(lambda: with_nnlab(data, asked.epochs, store))
                theirs = timed(lambda rival=rival: rival(data, asked.epochs))
                if pair >= 0:
                    ratios[name].append((theirs[0] / ours[0], theirs[1] / ours[1]))
    print(f"{asked.rows} x {asked.features}, {asked.epochs} epochs, median of {asked.pairs} pairs: rival / nnlab")
    for name, pairs in ratios.items():
        cpu, wall = (statistics.median(column) for column in zip(*pairs, strict=True))
        print(f"  {name:26s} CPU time x {cpu:.2f}   wall x {wall:.2f}")


if __name__ == "__main__":
    main()
