"""What the recipe was chosen by: scores of validation rows. The test part is put away by the split and never scored.

    python -m tests.benchmarks.recipes out.jsonl [--seeds 5] [--sets titanic,wine] [--rows 15000] \
        default= "plain=model=mlp" "members=model=realmlp members=4 hidden=128,128"

Each recipe is NAME=OPTIONS, options as in OPTION=VALUE; no options: the default. A line of JSON for each run goes to
the file; what it holds already is not run again.
"""

import argparse
import json
import time
from pathlib import Path
from typing import Any

import nnlab
from tests.benchmarks.tables import TABLES

SHOWN = ("accuracy", "log_loss", "roc_auc", "rmse")


def prepared(folder: Path, name: str, seed: int, rows: int | None) -> nnlab.Prepared:
    """The table, or so many rows of it, always the same."""
    table = TABLES[name]
    frame = table.read(folder)
    if rows is not None:
        frame = frame.sample(min(rows, len(frame)), random_state=0)
    return nnlab.prepare(frame, seed=seed, target=table.target, task="regression" if table.regression else None)


def measured(data: nnlab.Prepared, seed: int, options: dict[str, str]) -> dict[str, Any]:
    """One run and what it took."""
    began = time.process_time()
    run = nnlab.fit(data, seed=seed, store=False, baseline=False, probe=False, **options)
    spent = {"cpu": round(time.process_time() - began, 2), "best": run.best_epoch, "rows": len(data.train)}
    return spent | {"learner": run.started.learner} | {name: round(value, 5) for name, value in run.metrics.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path)
    parser.add_argument("recipes", nargs="+", metavar="NAME=OPTIONS")
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--sets", default=",".join(TABLES))
    parser.add_argument("--rows", type=int, help="so many rows of each table")
    parser.add_argument("--data", type=Path, default=Path(__file__).parents[3] / "shared" / "data")
    asked = parser.parse_args()
    lines = asked.out.read_text().splitlines() if asked.out.exists() else []
    done = {tuple(json.loads(line)["key"]) for line in lines}
    for seed in range(asked.seeds):
        for name in asked.sets.split(","):
            data = prepared(asked.data, name, seed, asked.rows)
            for label, _, options in (recipe.partition("=") for recipe in asked.recipes):
                key = (name, asked.rows, seed, label)
                if key in done:
                    continue
                found = measured(data, seed, dict(word.split("=", 1) for word in options.split()))
                with asked.out.open("a") as file:
                    file.write(json.dumps({"key": key, **found}) + "\n")
                scores = "  ".join(f"{metric} {found[metric]:.4f}" for metric in SHOWN if metric in found)
                print(f"{name:16s} {seed} {label:16s} cpu {found['cpu']:6.1f}  {scores}", flush=True)


if __name__ == "__main__":
    main()
