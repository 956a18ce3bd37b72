"""How often the doctor names what was planted, how often its line mends it, and how often it speaks of healthy runs.

python -m tests.benchmarks.doctor [seeds] [name ...] [--model mlp]

Runs that leave their network open are those of the recipe; --model names another one for them.
"""

import argparse
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import pandas as pd
from sklearn import datasets

from nnlab import Run, diagnose, fit, prepare
from nnlab.core.data.prepare import Prepared
from nnlab.core.diagnose.mending import mended
from nnlab.core.diagnose.registry import Verdict
from tests.conftest import SHARED_DATA


@dataclass(frozen=True)
class Patient:
    """A run to be looked at: its data and how it is trained."""

    data: Prepared
    options: dict[str, Any] = field(default_factory=dict)

    def run(self) -> Run:
        return fit(self.data, store=False, **self.options)

    def on(self, model: str | None) -> "Patient":
        """The same with this network, where none is named."""
        return self if model is None else replace(self, options={"model": model} | self.options)


def classes(seed: int, rows: int = 1200, **more: Any) -> Prepared:
    """Three classes that a small net learns to some 95%."""
    x, y = datasets.make_classification(
        rows, 12, n_informative=8, n_redundant=0, n_classes=3, class_sep=1.5, flip_y=0.0, random_state=seed
    )
    return table(x, y, seed, **more)


def numbers(seed: int, rows: int = 1200, noise: float = 1.0, **more: Any) -> Prepared:
    """A smooth target of five of eight features (Friedman 1991)."""
    x, y = datasets.make_friedman1(rows, 8, noise=noise, random_state=seed)
    return table(x, y, seed, **more)


def table(x: np.ndarray, y: np.ndarray, seed: int, **more: Any) -> Prepared:
    frame = pd.DataFrame(x, columns=[f"c{i}" for i in range(x.shape[1])])
    return prepare(frame.assign(target=y), target="target", seed=seed, **more)


def either(seed: int, **more: Any) -> Prepared:
    return classes(seed, **more) if seed % 2 else numbers(seed, **more)


def lr_too_high(seed: int) -> Patient:
    how = [
        {"lr": 1.0},
        {"lr": 0.5, "activation": "relu"},
        {"optimizer": "momentum", "lr": 5.0},
        {"optimizer": "sgd", "lr": 30.0},
        {"lr": 0.3, "schedule": "constant", "warmup": 0.0},
    ]
    return Patient(either(seed), {"seed": seed, **how[seed % 5]})


def lr_too_low(seed: int) -> Patient:
    how = [{"lr": 1e-6}, {"lr": 1e-5}, {"optimizer": "sgd", "lr": 1e-4}, {"optimizer": "momentum", "lr": 1e-5}]
    return Patient(either(seed), {"seed": seed, **how[seed % 4]})


def _network(seed: int, depth: int, act: str, std: float | None = None, bias: float = 0.0, share: float = 1.0) -> Any:
    import torch
    from torch import nn

    def make(n_in: int, n_out: int) -> nn.Module:
        draw = torch.Generator().manual_seed(seed)
        layers: list[nn.Module] = []
        width = n_in
        for _ in range(depth):
            linear = nn.Linear(width, 64)
            if std is not None:
                nn.init.normal_(linear.weight, 0.0, std, generator=draw)
            with torch.no_grad():
                linear.bias[torch.rand(64, generator=draw) < share] += bias
            layers += [linear, getattr(nn, act)()]
            width = 64
        return nn.Sequential(*layers, nn.Linear(width, n_out))

    return make


def dead_units(seed: int) -> Patient:
    model = _network(seed, 2 + seed % 2, "ReLU", bias=-12.0, share=0.8)
    return Patient(either(seed), {"seed": seed, "model": model, "lr": 1e-3, "epochs": 30})


def exploding_gradients(seed: int) -> Patient:
    model = _network(seed, 8 + seed % 5, "ReLU", std=[0.5, 1.0][seed % 2])
    return Patient(either(seed), {"seed": seed, "model": model, "lr": 1e-3, "epochs": 20})


def vanishing_gradients(seed: int) -> Patient:
    model = _network(seed, 8 + seed % 6, ["Sigmoid", "Tanh"][seed % 4 == 3], std=[None, 0.02][seed % 4 == 3])
    return Patient(either(seed), {"seed": seed, "model": model, "lr": 1e-3, "epochs": 30})


def saturated_activations(seed: int) -> Patient:
    model = _network(seed, 2 + seed % 2, ["Tanh", "Sigmoid"][seed % 3 == 0], std=[4.0, 8.0][seed % 2])
    return Patient(either(seed), {"seed": seed, "model": model, "lr": 1e-3, "epochs": 30})


def no_shuffling(seed: int) -> Patient:
    x, y = datasets.make_classification(
        1200, 12, n_informative=8, n_redundant=0, n_classes=2 + seed % 2, random_state=seed
    )
    if seed % 3 == 0:
        x, y = datasets.make_friedman1(1200, 8, noise=1.0, random_state=seed)
    order = np.argsort(y, kind="stable")
    return Patient(table(x[order], y[order], seed), {"seed": seed, "shuffle": False, "epochs": 30})


def label_noise(seed: int) -> Patient:
    draw = np.random.default_rng(seed)
    if seed % 3 == 2:
        x, y = datasets.make_friedman1(1500, 8, noise=1.0, random_state=seed)
        wrong = draw.random(len(y)) < 0.12
        y = np.where(wrong, draw.permutation(y) * draw.choice([-2.0, 3.0], len(y)), y)
        return Patient(table(x, y, seed), {"seed": seed})
    kinds = 2 + seed % 3
    x, y = datasets.make_classification(
        1500, 12, n_informative=8, n_redundant=0, n_classes=kinds, class_sep=2.0, flip_y=0.0, random_state=seed
    )
    wrong = draw.random(len(y)) < (0.2, 0.3)[seed % 2]
    return Patient(table(x, np.where(wrong, (y + draw.integers(1, kinds, len(y))) % kinds, y), seed), {"seed": seed})


def overfitting(seed: int) -> Patient:
    rows = 200 + 100 * (seed % 3)
    x, y = datasets.make_classification(rows, 40, n_informative=4, n_redundant=0, flip_y=0.2, random_state=seed)
    if seed % 2:
        x, y = datasets.make_friedman1(rows, 40, noise=5.0, random_state=seed)
    options = {"dropout": 0.0, "weight_decay": 0.0, "patience": None, "epochs": 80}
    if seed % 6 < 3:  # a plain network, else that of the recipe
        options |= {"schedule": "constant", "lr": 0.003}
    return Patient(table(x, y, seed), {"seed": seed, **options})


def underfitting(seed: int) -> Patient:
    x, y = datasets.make_moons(1200, noise=0.1, random_state=seed)
    x2, y2 = datasets.make_circles(1200, noise=0.08, factor=0.5, random_state=seed)
    x3, y3 = datasets.make_friedman1(1200, 8, noise=0.5, random_state=seed)
    how = [
        (table(x2, y2, seed), {"hidden": ()}),
        (table(x3, y3, seed), {"hidden": (2,), "dropout": 0.8}),
        (table(x, y, seed), {"hidden": (16,), "dropout": 0.9, "epochs": 20}),
        (table(x2, y2, seed), {"weight_decay": 10.0, "lr": 0.01}),
        (table(x3, y3, seed), {"hidden": (3,), "l1": 0.03}),
    ]
    data, options = how[seed % 5]
    return Patient(data, {"seed": seed, **options})


def class_ignored(seed: int) -> Patient:
    draw = np.random.default_rng(seed)
    x = draw.normal(size=(2400, 6))
    y = np.zeros(2400, dtype=int)
    rare = draw.random(2400) < 0.05
    y[rare] = 1
    x[rare, :2] += 0.8
    if seed % 2:
        y[(x[:, 3] > 0.5) & ~rare] = 2
    return Patient(table(x, y, seed), {"seed": seed})


def leak(seed: int) -> Patient:
    x, y = datasets.make_classification(1000, 8, n_informative=4, flip_y=0.1, random_state=seed)
    if seed % 2:
        x, y = datasets.make_friedman1(1000, 8, noise=2.0, random_state=seed)
    draw = np.random.default_rng(seed)
    copy = y * 3.0 + 1.0 + (seed % 3) * 0.02 * y.std() * draw.normal(size=len(y))
    return Patient(table(np.column_stack([x, copy]), y, seed), {"seed": seed, "epochs": 20})


def miscalibrated(seed: int) -> Patient:
    """Too sure: many epochs without restraint, chosen by accuracy. Not sure enough: smoothed labels, focal loss."""
    kinds = 2 + seed % 2
    x, y = datasets.make_classification(
        1500, 20, n_informative=8, n_redundant=0, n_classes=kinds, class_sep=0.6, flip_y=0.0, random_state=seed
    )
    free = {"dropout": 0.0, "weight_decay": 0.0, "patience": None, "schedule": "constant", "lr": 0.002}
    how = [
        {**free, "monitor": "accuracy", "epochs": 60},
        {"label_smoothing": 0.5, "monitor": "accuracy"},
        {"loss": "focal", "gamma": 5.0},
    ]
    return Patient(table(x, y, seed), {"seed": seed, **how[seed % 3]})


def plateau(seed: int) -> Patient:
    """Small networks, many large steps that only go back and forth."""
    x, y = datasets.make_classification(800, 12, n_informative=4, flip_y=0.25, random_state=seed)
    if seed % 2:
        x, y = datasets.make_friedman1(800, 8, noise=4.0, random_state=seed)
    how = [{"lr": 0.02}, {"optimizer": "momentum", "lr": 0.02}, {"optimizer": "rmsprop", "lr": 0.01}][seed % 3]
    options = {"schedule": "constant", "patience": None, "hidden": (8,), "batch_size": 16, "dropout": 0.0}
    return Patient(table(x, y, seed), {"seed": seed, "epochs": 60, **options, **how})


PLANTED: dict[str, Callable[[int], Patient]] = {
    make.__name__: make
    for make in (
        lr_too_high,
        lr_too_low,
        dead_units,
        exploding_gradients,
        vanishing_gradients,
        saturated_activations,
        no_shuffling,
        label_noise,
        overfitting,
        underfitting,
        class_ignored,
        leak,
        miscalibrated,
        plateau,
    )
}


def healthy(seed: int) -> dict[str, Patient]:
    """The default recipe on real tables, and on those from which the planted ones are made."""
    found = {
        name: Patient(prepare(f"sklearn:{name}", target="target", seed=seed), {"seed": seed})
        for name in ("breast_cancer", "wine", "digits", "diabetes")
    }
    if (folder := SHARED_DATA).is_dir():
        adult, california = folder / "adult" / "adult_train.csv.gz", folder / "california_housing"
        found["adult"] = Patient(prepare(adult, target="income", test=0.0, valid=0.2, seed=seed), {"seed": seed})
        california = california / "california_benchmark.csv.gz"
        found["california"] = Patient(prepare(california, target="MedHouseVal", seed=seed), {"seed": seed})
    return found | {
        "classes": Patient(classes(seed), {"seed": seed}),
        "numbers": Patient(numbers(seed), {"seed": seed}),
    }


def examined(patient: Patient, name: str = "") -> tuple[tuple[str, ...], bool | None]:
    """The names of what the doctor finds, and whether the line for one of them mends it; None where no line of a
    training claims to."""
    run = patient.run()
    found = diagnose(run, patient.data)
    verdict = next((verdict for verdict in found.verdicts if verdict.name == name), None)
    if verdict is None or not verdict.fix or verdict.effect != Verdict.effect:
        return found.names, None
    spec, calibrate = mended(run, verdict)
    again = fit(patient.data, spec=spec, model=patient.options.get("model"), calibrate=calibrate, store=False)
    return found.names, name not in diagnose(again, patient.data).names


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("seeds", type=int, nargs="?", default=5)
    parser.add_argument("names", nargs="*", help="of what is planted, or healthy; none: all")
    parser.add_argument("--model", help="the network of runs that leave it open")
    asked = parser.parse_args()
    wanted = asked.names or [*PLANTED, "healthy"]
    for name in (name for name in wanted if name in PLANTED):
        found = [examined(PLANTED[name](seed).on(asked.model), name) for seed in range(asked.seeds)]
        named = sum(name in names for names, _ in found)
        others = Counter(other for names, _ in found for other in names if other != name)
        tried = [well for _, well in found if well is not None]
        words = f"{named}/{len(found)} named, {sum(tried)}/{len(tried)} mended by the line"
        print(f"{name:22} {words}  also {dict(others)}", flush=True)
    for seed in range(asked.seeds) if "healthy" in wanted else ():
        for name, patient in healthy(seed).items():
            names, _ = examined(patient.on(asked.model))
            print(f"healthy {name:14} seed {seed}  {', '.join(names) or 'silent'}", flush=True)


if __name__ == "__main__":
    main()
