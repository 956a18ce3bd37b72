"""What each technique costs: the CPU time of its training steps over that of the plain run, paired in one process.

    python -m tests.benchmarks.technique_cost [--kinds activation norm ...] [--pairs 7] [--write README.md]
    python -m tests.benchmarks.technique_cost --only lbfgs pid --write README.md

The plain run is the mlp as it is by itself (256-256-256, silu, dropout, AdamW, batches of 256) on 20 generated numbers.
Every entry of the registries is measured by its word alone. Where a technique needs autograd, the plain run by autograd
is timed beside it, too. --write puts what was measured into the table of a document, entry by entry.
"""

import argparse
import gc
import os
import re
import statistics
import time
from collections.abc import Callable, Collection, Mapping
from pathlib import Path
from typing import Any

os.environ["OMP_NUM_THREADS"] = "1"

import numpy as np
import torch

import nnlab
from nnlab.core.activations import ACTIVATIONS
from nnlab.core.augments import AUGMENTS
from nnlab.core.averages import AVERAGES
from nnlab.core.data.prepare import Prepared
from nnlab.core.embeddings import EMBEDDINGS
from nnlab.core.gradients import GRADIENTS
from nnlab.core.learners.choice import choose
from nnlab.core.learners.module import ModuleLearner
from nnlab.core.learners.protocol import Learner
from nnlab.core.models import MODELS
from nnlab.core.norms import NORMS
from nnlab.core.optimizers import OPTIMIZERS, WRAPPERS
from nnlab.core.options import resolve
from nnlab.core.registry import Registry
from nnlab.core.regularizers import REGULARIZERS
from nnlab.core.spec import TrainSpec
from nnlab.core.terms import TERMS

BEGIN, END = "<!-- costs: begin -->", "<!-- costs: end -->"
BATCH, FEATURES, ROWS = 256, 20, 20_480
SPAN = 0.12  # seconds of one measurement, of the plain run; as many steps are taken
CHOSEN: dict[str, Registry] = {"model": MODELS, "activation": ACTIVATIONS, "norm": NORMS, "embed": EMBEDDINGS}
CHOSEN |= {"optimizer": OPTIMIZERS, "average": AVERAGES}
LISTED: dict[str, Registry] = {"wrapper": WRAPPERS, "regularizer": REGULARIZERS, "gradient": GRADIENTS}
LISTED |= {"augmentation": AUGMENTS, "loss term": TERMS}
OTHERS: dict[str, dict[str, Any]] = {
    "alpha dropout": {"dropout_kind": "alpha"},
    "feature dropout": {"feature_dropout": 0.1},
    "learned share of the activation": {"parametric": True},
    "layer-wise step size": {"layer_decay": 0.8},
    "step size by kind of weight": {"lr_bias": 0.1, "lr_head": 0.5},
    "float64": {"precision": "float64"},
    "bf16": {"precision": "bf16"},
    "focal loss": {"loss": "focal"},
    "balanced cross-entropy": {"loss": "balanced_cross_entropy"},
    "label smoothing": {"label_smoothing": 0.1},
    "accumulation in 4 parts": {"accumulate": 4},
    "activations computed twice": {"checkpoint_activations": True},
}


def techniques(kind: str) -> Mapping[str, dict[str, Any]]:
    """The options of each entry of a kind, by its name."""
    if kind in CHOSEN:
        return {name: {kind: name} for name in CHOSEN[kind] if name != "none"}
    if kind in LISTED:
        firsts = {name: next(iter(entry.params.values())) for name, entry in LISTED[kind].items()}
        return {name: {name: first.default} for name, first in firsts.items()}
    return OTHERS


def make_data() -> Prepared:
    draw = np.random.default_rng(0)
    x = draw.standard_normal((ROWS, FEATURES), dtype=np.float32)
    y = (x @ draw.standard_normal((FEATURES, 3)).astype(np.float32)).argmax(1)
    return nnlab.prepare((x, y), task="multiclass", scale="standard", valid=0.1, test=0.0)


class Steps:
    """Training steps of one spec, timed."""

    def __init__(self, data: Prepared, options: Mapping[str, Any], make: Callable[..., Learner]) -> None:
        torch.manual_seed(0)
        spec = resolve(TrainSpec, options)
        self._learner = make(spec, data, "cpu", steps=1000)
        whole = OPTIMIZERS[spec.optimizer.name].facts.get("full_batch")
        order = torch.randperm(len(data.train.y))
        self._rows = [order] if whole else list(order.split(BATCH))[:-1]
        self._share = len(self._rows[0]) / BATCH  # of rows in a step, over those of the plain run
        self.by = self._learner.name

    def seconds(self, count: int) -> float:
        """CPU time of 256 rows, by the mean of some steps."""
        return self.step_seconds(count) / self._share

    def step_seconds(self, count: int) -> float:
        """CPU time of a step, by the mean of some."""
        gc.collect()
        began = time.process_time()
        for step in range(count):
            self._learner.step(self._rows[step % len(self._rows)], 1e-3)
        self._learner.take_loss()
        return max((time.process_time() - began) / count, 1e-6)


def fitting(steps: Steps) -> int:
    """Steps that take about SPAN, after some that only warm up."""
    first = steps.step_seconds(1)
    return 1 if first > SPAN else max(2, min(100, round(SPAN / steps.step_seconds(3))))


def costs(data: Prepared, options: Mapping[str, Any], pairs: int) -> tuple[float, float]:
    """Medians of the ratios to the plain run, and to the plain run by the same learner."""
    sides = [Steps(data, options, choose), Steps(data, {}, choose)]
    if sides[0].by != sides[1].by:
        sides.append(Steps(data, {}, ModuleLearner))
    counts = [fitting(side) for side in sides]
    ratios = []
    for _ in range(pairs):
        own, *plain = (side.seconds(count) for side, count in zip(sides, counts, strict=True))
        ratios.append([own / one for one in plain])
    medians = [statistics.median(column) for column in zip(*ratios, strict=True)]
    return medians[0], medians[-1]


def measured(kind: str, names: Collection[str], data: Prepared, pairs: int) -> dict[str, str]:
    """The cells of entries of a kind, by name."""
    cells = {}
    for name in names:
        plain, same = costs(data, techniques(kind)[name], pairs)
        cells[name] = f"`{name}` {plain:.2f}" + ("" if plain == same else f" ({same:.2f})")
        print(f"  {kind:12s} {name:32s} {plain:6.2f} {same:6.2f}", flush=True)
    return cells


def with_cells(text: str, cells: Mapping[str, Mapping[str, str]]) -> str:
    """A document with the cells in its table, in the place of those of the same kinds and names; other cells stay, but
    for those of techniques that are no more."""
    before, _, rest = text.partition(BEGIN)
    table, _, after = rest.partition(END)
    rows = []
    for kind in KINDS:
        line = re.search(rf"^\| {re.escape(kind)} \| (.*) \|$", table, re.MULTILINE)
        old = {match[1]: match[0] for match in re.finditer(r"`([^`]+)` [^,]+", line[1] if line else "")}
        both = old | dict(cells.get(kind, {}))
        if shown := [both[name] for name in techniques(kind) if name in both]:
            rows.append(f"| {kind} | {', '.join(shown)} |")
    head = "| technique | times the plain run (times the plain run by autograd) |\n| --- | --- |"
    return "\n".join([f"{before}{BEGIN}", head, *rows, f"{END}{after}"])


def asked_for(kinds: Collection[str], only: Collection[str]) -> dict[str, list[str]]:
    """The names to measure by kind; SystemExit for a name that no kind has."""
    if lost := [name for name in only if all(name not in techniques(kind) for kind in kinds)]:
        raise SystemExit(f"no technique {', '.join(lost)} in {', '.join(kinds)}")
    found = {kind: [name for name in techniques(kind) if not only or name in only] for kind in kinds}
    return {kind: names for kind, names in found.items() if names}


KINDS = [*CHOSEN, *LISTED, "other"]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kinds", nargs="*", default=KINDS, choices=KINDS)
    parser.add_argument("--only", nargs="+", default=(), metavar="NAME", help="only these entries")
    parser.add_argument("--pairs", type=int, default=7)
    parser.add_argument("--write", type=Path)
    asked = parser.parse_args()
    torch.set_num_threads(1)
    wanted = asked_for(asked.kinds, asked.only)
    data = make_data()
    cells = {kind: measured(kind, names, data, asked.pairs) for kind, names in wanted.items()}
    if asked.write:
        asked.write.write_text(with_cells(asked.write.read_text(encoding="utf-8"), cells), encoding="utf-8")


if __name__ == "__main__":
    main()
