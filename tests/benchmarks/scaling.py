"""Which scaling of numbers the default network learns best from, decided on validation rows; test rows are not touched.

    python tests/benchmarks/scaling.py [--seeds 5] [--rows 6000] [--data ../shared/data]

For each table and seed the same split and the same run with each scaler. Printed: the validation loss over that of the
default scaler, as the geometric mean over seeds, and below over tables; less than 1 is better than the default.
"""

import argparse
import math
import statistics
from pathlib import Path

import nnlab
from nnlab.core.data.files import read_file
from nnlab.core.data.steps import SCALERS
from nnlab.core.spec import PrepareSpec

TABLES = {
    "adult/adult_train.csv.gz": "income",
    "california_housing/california_benchmark.csv.gz": "MedHouseVal",
    "bank_marketing/bank.csv.gz": "deposit",
    "telco_churn/Telco-Customer-Churn.csv.gz": "Churn",
    "wine_quality/wine.csv.gz": "quality",
    "abalone/abalone.csv.gz": "Rings",
    "pima_diabetes/diabetes.csv.gz": "Class variable",
    "house_prices/house.csv.gz": "SalePrice",
    "titanic/titanic.csv.gz": "Survived",
    "vehicle_claim_fraud/claims.csv.gz": "FraudFound_P",
}


def loss(path: Path, target: str, scaler: str, seed: int, rows: int) -> float:
    """The best validation loss of the default run on at most so many rows."""
    frame = read_file(path)[0]
    frame = frame.to_pandas() if hasattr(frame, "to_pandas") else frame
    if len(frame) > rows:
        frame = frame.sample(rows, random_state=seed)
    data = nnlab.prepare(frame, target=target, scale=scaler, seed=seed)
    return float(nnlab.fit(data, seed=seed, store=False).metrics["loss"])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--rows", type=int, default=6000)
    parser.add_argument("--data", type=Path, default=Path(__file__).parents[3] / "shared" / "data")
    parser.add_argument("--scalers", nargs="*", default=[name for name in SCALERS if name != "none"])
    asked = parser.parse_args()
    usual = str(PrepareSpec("").settled(asked.rows).scale)
    names = [usual, *(name for name in asked.scalers if name != usual)]
    print(f"{'':22s}" + "".join(f"{name:>10s}" for name in names))
    logs: dict[str, list[float]] = {name: [] for name in names}
    for file, target in TABLES.items():
        losses = {
            name: [math.log(loss(asked.data / file, target, name, seed, asked.rows)) for seed in range(asked.seeds)]
            for name in names
        }
        for name in names:
            each = [own - base for own, base in zip(losses[name], losses[usual], strict=True)]
            logs[name].append(statistics.mean(each))
        print(
            f"{file.partition('/')[0]:22s}" + "".join(f"{math.exp(logs[name][-1]):10.4f}" for name in names), flush=True
        )
    print(f"{'all':22s}" + "".join(f"{math.exp(statistics.mean(logs[name])):10.4f}" for name in names))


if __name__ == "__main__":
    main()
