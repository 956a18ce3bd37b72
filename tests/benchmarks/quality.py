"""Quality of the defaults on public tables: nothing is chosen on test rows.

    python tests/benchmarks/quality.py [--seeds 3] [--data ../shared/data]

adult: the official split, validation cut from its training file. california_benchmark, house_prices
and titanic: 64/16/20 by seed, from the raw files with no hint but the target.
"""

import argparse
import statistics
from pathlib import Path

import pandas as pd

import nnlab


def adult(folder: Path, seed: int, **options: object) -> float:
    """Test accuracy of the official split (its test labels end in a dot, which is not part of the label)."""
    test = pd.read_csv(folder / "adult" / "adult_test.csv.gz", skipinitialspace=True, na_values="?")
    test["income"] = test["income"].str.rstrip(".")
    data = nnlab.prepare(folder / "adult" / "adult_train.csv.gz", target="income", test=0.0, valid=0.2, seed=seed)
    return nnlab.fit(data, seed=seed, store=False, **options).score(test)["accuracy"]


def california(folder: Path, seed: int, **options: object) -> float:
    """Test RMSE, in units of 100,000 dollars."""
    path = folder / "california_housing" / "california_benchmark.csv.gz"
    data = nnlab.prepare(path, target="MedHouseVal", test=0.2, valid=0.16, seed=seed)
    return nnlab.fit(data, seed=seed, store=False, **options).score(data)["rmse"]


def house_prices(folder: Path, seed: int, **options: object) -> float:
    """Test R2 of the price itself."""
    data = nnlab.prepare(folder / "house_prices" / "house.csv.gz", target="SalePrice", seed=seed)
    return nnlab.fit(data, seed=seed, store=False, **options).score(data)["r2"]


def titanic(folder: Path, seed: int, **options: object) -> float:
    """Test accuracy."""
    data = nnlab.prepare(folder / "titanic" / "titanic.csv.gz", target="Survived", seed=seed)
    return nnlab.fit(data, seed=seed, store=False, **options).score(data)["accuracy"]


TABLES = {
    "adult accuracy": adult,
    "california RMSE": california,
    "house prices R2": house_prices,
    "titanic accuracy": titanic,
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--data", type=Path, default=Path(__file__).parents[3] / "shared" / "data")
    parser.add_argument(
        "--set", nargs="*", default=[], metavar="OPTION=VALUE", help="options of the run, as in epochs=30"
    )
    asked = parser.parse_args()
    options = dict(word.split("=", 1) for word in asked.set)
    for name, score in TABLES.items():
        scores = [score(asked.data, seed, **options) for seed in range(asked.seeds)]
        spread = statistics.stdev(scores) if len(scores) > 1 else 0.0
        print(f"{name:16s} mean {statistics.mean(scores):.4f}  sd {spread:.4f}  seeds {[round(s, 4) for s in scores]}")


if __name__ == "__main__":
    main()
