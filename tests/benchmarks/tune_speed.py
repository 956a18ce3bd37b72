"""Trials per CPU-second of a study side by side, against one at a time and against Optuna with a loop written by hand.

    python -m tests.benchmarks.tune_speed [--trials 32] [--epochs 27] [--pairs 3] [--features 20] [--losses 10]

Random search of lr, weight decay and dropout on 5000 rows, no store, one thread, without imports: all run to their end,
then all with the same successive halving (Optuna's pruner, rungs after 3, 6, 12 and 24 epochs, the better half goes
on). Optuna is given the values that nnlab's study of the seed drew, in their order, and trains the same way: constant
step size, torch's first weights, AdamW. Prints the median over pairs of the other's CPU time over nnlab's.
--losses: also the best validation losses over so many seeds, nnlab's minus the other's, paired.
"""

import argparse
import os
import statistics
from collections.abc import Callable, Sequence
from typing import Any
from unittest.mock import patch

os.environ["OMP_NUM_THREADS"] = "1"

import optuna
import torch

import nnlab
from nnlab.core.data.prepare import Prepared
from nnlab.core.tune.study import Study
from tests.benchmarks import rivals
from tests.benchmarks.train_speed import make_data, timed

SHAPES = (((128, 64), 256), ((32, 32), 64))
SPACE = ("lr=1e-4..1e-1 log", "weight_decay=1e-3..1 log", "dropout=0..0.5")
RUNGS = {"min_epochs": 3, "factor": 2}
LOOPS = ("tight loop", "textbook DataLoader loop")
Values = Sequence[dict[str, float]]


class Setting:
    """One network and batch size, with or without halving, for both sides."""

    def __init__(self, data: Prepared, widths: tuple[int, ...], batch: int, asked: argparse.Namespace, halving: bool):
        self._data, self._widths, self._batch, self.halving = data, widths, batch, halving
        self._trials, self._epochs = asked.trials, asked.epochs
        self._drawn: dict[int, Values] = {}

    def with_nnlab(self, seed: int, population: int | None = None) -> Study:
        run: dict[str, Any] = {"hidden": self._widths, "batch_size": self._batch, "epochs": self._epochs}
        run |= {
            "activation": "relu",
            "metrics": "accuracy",
            "schedule": "constant",
            "warmup": 0,
            "init": "torch_default",
        }
        pruner = {"pruner": "asha", **RUNGS} if self.halving else {"pruner": "none"}
        search: dict[str, Any] = {"space": SPACE, "sampler": "random", "population": population, "seed": seed}
        return nnlab.tune(self._data, trials=self._trials, store=False, **search, **pruner, **run)

    def with_optuna(self, seed: int, loop: str) -> float:
        """The best validation loss of the trials that ran to their end, each at its best epoch."""
        rungs = optuna.pruners.SuccessiveHalvingPruner(RUNGS["min_epochs"], RUNGS["factor"])
        study = optuna.create_study(pruner=rungs if self.halving else optuna.pruners.NopPruner())
        for values in self.drawn(seed):
            study.enqueue_trial(values)

        def objective(trial: optuna.Trial) -> float:
            lr = trial.suggest_float("lr", 1e-4, 1e-1, log=True)
            decay = trial.suggest_float("weight_decay", 1e-3, 1.0, log=True)
            dropout = trial.suggest_float("dropout", 0.0, 0.5)
            told: list[float] = []

            def hear(epoch: int, loss: float) -> None:
                told.append(loss)
                trial.report(loss, epoch)
                if epoch < self._epochs and trial.should_prune():
                    raise optuna.TrialPruned

            own = {"WIDTHS": self._widths, "BATCH": self._batch, "LR": lr, "DECAY": decay, "DROPOUT": dropout}
            with patch.multiple(rivals, **own):
                rivals.RIVALS[loop].fit(self._data, self._epochs, hear)
            return min(told)

        torch.manual_seed(seed)
        study.optimize(objective, n_trials=self._trials)
        return float(study.best_value)

    def drawn(self, seed: int) -> Values:
        """The values of nnlab's trials, in their order."""
        if seed not in self._drawn:
            with patch.object(self, "_epochs", 1):
                study = self.with_nnlab(seed)
            self._drawn[seed] = [study.values_of(number) for number in study.trials["number"]]  # type: ignore[misc]
        return self._drawn[seed]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name, default in (("trials", 32), ("epochs", 27), ("pairs", 3), ("features", 20), ("losses", 0)):
        parser.add_argument(f"--{name}", type=int, default=default)
    parser.add_argument("--loops", nargs="*", default=LOOPS, choices=LOOPS)
    asked = parser.parse_args()
    torch.set_num_threads(1)
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    data = make_data(5_000, asked.features)
    for widths, batch in SHAPES:
        whole, halved = (Setting(data, widths, batch, asked, halving) for halving in (False, True))
        print(f"{widths}, batch {batch}")
        for setting, text in ((whole, "to the end"), (halved, "with halving")):
            show_times(setting, text, asked, {} if setting is whole else whole_ways(whole, asked.loops))
        if asked.losses:
            show_losses(whole, halved, asked.losses)


def whole_ways(whole: Setting, loops: Sequence[str]) -> dict[str, Callable[[], object]]:
    """The loops without halving, which is what nnlab's halving is also compared with."""
    return {f"Optuna, {loop}, no halving": lambda loop=loop: whole.with_optuna(0, loop) for loop in loops}


def show_times(setting: Setting, text: str, asked: argparse.Namespace, more: dict[str, Callable[[], object]]) -> None:
    setting.drawn(0)
    ways: dict[str, Callable[[], object]] = {"side by side": lambda: setting.with_nnlab(0)}
    if not setting.halving:
        ways["population 1"] = lambda: setting.with_nnlab(0, population=1)
    ways |= {f"Optuna, {loop}": lambda loop=loop: setting.with_optuna(0, loop) for loop in asked.loops}
    ways |= more
    ways["side by side"]()
    rounds = [{name: timed(way)[0] for name, way in ways.items()} for _ in range(asked.pairs)]
    for name in list(ways)[1:]:
        shares = [times[name] / times["side by side"] for times in rounds]
        spread = f"{statistics.median(shares):5.2f} ({min(shares):.2f} to {max(shares):.2f})"
        print(f"  {text}, {name:40} {spread}", flush=True)


def show_losses(whole: Setting, halved: Setting, seeds: int) -> None:
    """The best loss of nnlab, to the end and halved, minus that of Optuna with the tight loop."""
    from scipy import stats

    sides = {"to the end": whole, "halved": halved}
    own = {
        text: [setting.with_nnlab(seed).best_score or 0.0 for seed in range(seeds)] for text, setting in sides.items()
    }
    for other, setting in sides.items():
        theirs = [setting.with_optuna(seed, "tight loop") for seed in range(seeds)]
        for text, ours in own.items():
            if (text, other) == ("to the end", "halved"):
                continue
            lost = [mine - their for mine, their in zip(ours, theirs, strict=True)]
            error, p = statistics.stdev(lost) / seeds**0.5, stats.ttest_1samp(lost, 0.0).pvalue
            told = f"{statistics.mean(lost):+.5f} +- {error:.5f}, p {p:.2f}"
            print(f"  best loss, nnlab {text} minus Optuna {other}: {told}", flush=True)


if __name__ == "__main__":
    main()
