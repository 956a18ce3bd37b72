"""Trials per CPU-second of a study side by side, against one at a time and against Optuna with a loop written by hand.

    python -m tests.benchmarks.tune_speed [--trials 32] [--epochs 5] [--pairs 3] [--features 20] [--halving 10]

Random search of lr, weight decay and dropout on 5000 rows, no pruner, no store, one thread, without imports. Prints the
median over pairs of the other's CPU time over that of `population=8`. --halving: the stack drops members by successive
halving, also against every trial to its end with so many seeds: the difference of the best validation losses, paired.
"""

import argparse
import os
import statistics
from collections.abc import Callable
from unittest.mock import patch

os.environ["OMP_NUM_THREADS"] = "1"

import optuna
import torch

import nnlab
from nnlab.core.data.prepare import Prepared
from tests.benchmarks import rivals
from tests.benchmarks.train_speed import make_data, timed

SHAPES = (((128, 64), 256), ((32, 32), 64))
SPACE = ("lr=1e-4..1e-1 log", "weight_decay=1e-3..1 log", "dropout=0..0.5")


def with_nnlab(
    data: Prepared,
    widths: tuple[int, ...],
    batch: int,
    trials: int,
    epochs: int,
    population: int,
    halving: bool = False,
    seed: int = 0,
) -> float:
    """The best validation loss of a study."""
    run = {"hidden": widths, "activation": "relu", "batch_size": batch, "epochs": epochs, "metrics": "accuracy"}
    pruner = {"pruner": "asha", "min_epochs": 1, "factor": 3} if halving else {"pruner": "none"}
    search = {"space": SPACE, "sampler": "random", "population": population, "seed": seed}
    return float(nnlab.tune(data, trials=trials, store=False, **search, **pruner, **run).best_score or 0.0)


def with_optuna(data: Prepared, widths: tuple[int, ...], batch: int, trials: int, epochs: int, loop: str) -> None:
    """The loops of the rivals, with a trial's values in place of theirs; their optimizer's decay is left as it is."""
    optuna.logging.set_verbosity(optuna.logging.ERROR)

    def objective(trial: optuna.Trial) -> float:
        lr = trial.suggest_float("lr", 1e-4, 1e-1, log=True)
        dropout = trial.suggest_float("dropout", 0.0, 0.5)
        with patch.multiple(rivals, WIDTHS=widths, BATCH=batch, LR=lr, DROPOUT=dropout):
            rivals.RIVALS[loop].fit(data, epochs)
        return 0.0

    optuna.create_study(sampler=optuna.samplers.RandomSampler()).optimize(objective, n_trials=trials)


def main() -> None:
    parser = argparse.ArgumentParser()
    for name, default in (("trials", 32), ("epochs", 5), ("pairs", 3), ("features", 20), ("halving", 0)):
        parser.add_argument(f"--{name}", type=int, default=default)
    given = parser.parse_args()
    torch.set_num_threads(1)
    data = make_data(5_000, given.features)
    for widths, batch in SHAPES:
        words = (data, widths, batch, given.trials, given.epochs)
        ways: dict[str, Callable[[], None]] = {
            "population 8": lambda words=words: with_nnlab(*words, population=8, halving=bool(given.halving)),
            "population 1": lambda words=words: with_nnlab(*words, population=1),
            **{
                f"Optuna, {loop}": lambda words=words, loop=loop: with_optuna(*words, loop)
                for loop in ("tight loop", "textbook DataLoader loop")
            },
        }
        if given.halving:
            del ways["population 1"]
        for name in list(ways)[: 1 if given.halving else None]:
            ways[name]()
        rounds = [{name: timed(way)[0] for name, way in ways.items()} for _ in range(given.pairs)]
        print(f"{widths}, batch {batch}")
        for name in list(ways)[1:]:
            shares = [times[name] / times["population 8"] for times in rounds]
            print(f"  {name:32} {statistics.median(shares):5.2f} ({min(shares):.2f} to {max(shares):.2f})", flush=True)
        if given.halving:
            both = [
                [with_nnlab(*words, population=8, halving=halving, seed=seed) for halving in (True, False)]
                for seed in range(given.halving)
            ]
            lost = [halved - whole for halved, whole in both]
            error = statistics.stdev(lost) / len(lost) ** 0.5
            print(f"  best loss, halving minus whole: {statistics.mean(lost):+.5f} +- {error:.5f} (standard error)")


if __name__ == "__main__":
    main()
