"""How near the stack comes to its matrix products, and what a member of several costs: paired, one thread.

    python tests/benchmarks/stack_speed.py [--pairs 7] [--epochs 3] [--recipe]

The floor is the products of the same fit and nothing else: three a layer and step, one for validation rows, in buffers
that are there. Whole fits of MLP 128-64 by AdamW, batch 256, validation each epoch, no store: median of floor / nnlab.
"compiled / not" is the time of the same with its steps compiled over that without.
The cost of a member is the time of K members together over K times that of a tight single run by hand.
The recipe is an epoch with its validation, by autograd over by the stack, on tables of the shapes of two real ones.
"""

import argparse
import contextlib
import gc
import itertools
import math
import os
import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Any

os.environ["OMP_NUM_THREADS"] = "1"

import numpy as np
import pandas as pd
import torch
import torch.nn.functional as F
from torch import Tensor, nn

import nnlab
from nnlab.core.data.prepare import Prepared
from nnlab.core.learners.choice import choose
from nnlab.core.learners.module import ModuleLearner
from nnlab.core.learners.stack.compiled.library import SWITCH, library
from nnlab.core.learners.stack.engine import Table
from nnlab.core.learners.stack.losses import Criterion
from nnlab.core.learners.stack.members import Members
from nnlab.core.optimizers import OPTIMIZERS
from nnlab.core.randomness import PrivateRandom, row_order
from nnlab.core.recipe import recipe_for
from nnlab.core.registry import Part
from nnlab.core.spec import part_values
from tests.benchmarks.rivals import BATCH, CLASSES, WIDTHS, network
from tests.benchmarks.train_speed import make_data

CHUNK = 8192
SHARE = {2_000: 20, 50_000: 3, 500_000: 1}  # times the epochs asked for: begin and end weigh little, as in a usual run


def products(data: Prepared, epochs: int) -> Callable[[], None]:
    """The matrix products of a fit."""
    sizes = [data.train.x.shape[1], *WIDTHS, CLASSES]
    steps = math.ceil(len(data.train.y) / BATCH)
    rows, pairs = math.ceil(len(data.train.y) / steps), list(itertools.pairwise(sizes))
    training = [torch.randn(rows, size) for size in sizes]
    valid = len(data.valid.y)
    checking = [torch.randn(min(CHUNK, valid), size) for size in sizes]
    weights = [torch.randn(n_out, n_in) for n_in, n_out in pairs]
    changes = [torch.empty_like(weight) for weight in weights]

    def run() -> None:
        for _ in range(epochs):
            for _ in range(steps):
                for at, weight in enumerate(weights):
                    torch.mm(training[at], weight.T, out=training[at + 1])
                for at in reversed(range(len(weights))):
                    torch.mm(training[at + 1].T, training[at], out=changes[at])
                    if at:
                        torch.mm(training[at + 1], weights[at], out=training[at])
            for _ in range(math.ceil(valid / CHUNK)):
                for at, weight in enumerate(weights):
                    torch.mm(checking[at], weight.T, out=checking[at + 1])

    return run


def fit(data: Prepared, epochs: int, dropout: float) -> None:
    shape = {"hidden": WIDTHS, "activation": "relu", "dropout": dropout}
    nnlab.fit(data, **shape, epochs=epochs, batch_size=BATCH, store=False, metrics="accuracy", baseline=False)


def tight(x: Tensor, y: Tensor, batches: list[Tensor], dropout: float) -> Callable[[], None]:
    """A single run by hand: tensors in memory, fused AdamW, no waiting."""
    model = network(x.shape[1])
    for layer in model.modules():
        if isinstance(layer, nn.Dropout):
            layer.p = dropout
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3, fused=True)

    def run() -> None:
        total = torch.zeros(())
        for rows in batches:
            loss = F.cross_entropy(model(x.index_select(0, rows)), y.index_select(0, rows))
            optimizer.zero_grad(set_to_none=True)
            loss.backward()
            optimizer.step()
            total += loss.detach()

    return run


def together(x: Tensor, y: Tensor, batches: list[Tensor], dropout: float, members: int) -> Callable[[], None]:
    nets = [network(x.shape[1]) for _ in range(members)]
    names = [name for name, _ in nets[0].named_parameters()]
    groups = [
        ([n for n in names if n.endswith(end)], decays, 1.0) for end, decays in (("weight", True), ("bias", False))
    ]
    adamw = Part("adamw", part_values(OPTIMIZERS, Part("adamw")))
    criterion = Criterion("cross_entropy", {"label_smoothing": 0.0}, [])
    stack = Members(nets, groups, criterion, Table(x, y, None), adamw, range(members))
    stack.dropout = [dropout] * members

    def run() -> None:
        for rows in batches:
            stack.gradients(rows)
            stack.update([1e-3 * (1 + k / 100) for k in range(members)])

    return run


@contextlib.contextmanager
def uncompiled() -> Iterator[None]:
    """Inside, plans of steps that are made leave all to torch."""
    os.environ[SWITCH] = "0"
    library.cache_clear()
    yield
    del os.environ[SWITCH]
    library.cache_clear()


def without(run: Callable[[], object]) -> None:
    with uncompiled():
        run()


SHAPES = {"california": (20_640, 8, 0, False), "adult": (32_561, 6, 8, True)}  # rows, numbers, categories, classes


def like(name: str) -> Prepared:
    """A table of the shape of a real one."""
    rows, numbers, categories, classes = SHAPES[name]
    draw = np.random.default_rng(0)
    frame = pd.DataFrame({f"n{i}": draw.normal(size=rows) for i in range(numbers)})
    target = np.sin(2.0 * frame["n0"]) + frame["n1"]
    for i in range(categories):
        levels = draw.integers(12, size=rows)
        frame[f"c{i}"] = np.array([f"level {level}" for level in range(12)])[levels]
        target = target + (levels % 3 == i % 3)
    frame["y"] = target > target.median() if classes else target
    return nnlab.prepare(frame, target="y")


def epochs_of_the_recipe(data: Prepared) -> list[Callable[[], None]]:
    """An epoch of steps and its validation, by autograd and by the stack."""
    spec = recipe_for(data, {})
    assert spec is not None
    made: list[Callable[[], None]] = []
    for choice in (ModuleLearner, choose):
        with PrivateRandom(0, "cpu"):
            learner = choice(spec, data, "cpu", steps=10_000)
        made.append(partial(epoch, learner, row_order(0, 0, len(data.train.y)).split(BATCH)))
    assert learner.name == "stack", learner.why
    return made


def epoch(learner: Any, batches: Sequence[Tensor]) -> None:
    for rows in batches:
        learner.step(rows, 0.005)
    learner.measure(learner.outputs_of_members())


def cpu(run: Callable[[], object]) -> float:
    gc.collect()
    began = time.process_time()
    run()
    return time.process_time() - began


def ratio(first: Callable[[], object], second: Callable[[], object], pairs: int) -> float:
    """Median over pairs of first / second, after a round that warms up."""
    found = [cpu(first) / cpu(second) for _ in range(pairs + 1)]
    return statistics.median(found[1:])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pairs", type=int, default=7)
    parser.add_argument("--epochs", type=int, default=3)
    parser.add_argument("--recipe", action="store_true", help="nothing but the recipe")
    asked = parser.parse_args()
    torch.set_num_threads(1)
    for name in SHAPES:
        by_autograd, by_hand = epochs_of_the_recipe(like(name))
        print(f"recipe, shape of {name}: autograd / stack {ratio(by_autograd, by_hand, asked.pairs):.2f}", flush=True)
        with uncompiled():
            _, by_torch = epochs_of_the_recipe(like(name))
            by_torch()
        print(f"recipe, shape of {name}: compiled / not {ratio(by_hand, by_torch, asked.pairs):.2f}", flush=True)
    if asked.recipe:
        return
    for rows, features in ((2_000, 20), (50_000, 50), (500_000, 50)):
        data = make_data(rows, features)
        epochs = asked.epochs * SHARE[rows]
        for dropout in (0.0, 0.1):
            once = partial(fit, data, epochs, dropout)
            share = ratio(products(data, epochs), once, asked.pairs)
            gain = ratio(once, partial(without, once), asked.pairs)
            what = f"{rows:7d} x {features}, dropout {dropout}"
            print(f"{what}: products / whole fit {share:.2f}, compiled / not {gain:.2f}", flush=True)
    train = make_data(20_000, 50).train
    x, y = torch.from_numpy(train.x), torch.from_numpy(train.y)
    for batch in (256, 32):
        batches = list(torch.randperm(len(y)).split(batch))[:150]
        for dropout in (0.0, 0.1):
            single = tight(x, y, batches, dropout)
            for members in (1, 8):
                cost = ratio(together(x, y, batches, dropout, members), single, asked.pairs) / members
                print(f"batch {batch:3d}, dropout {dropout}, K = {members}: a member / tight single run {cost:.2f}")


if __name__ == "__main__":
    main()
