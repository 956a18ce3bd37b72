"""What a search of many trials gains over the default on rows that neither has seen, and what it costs.

    python -m tests.benchmarks.tuned out.jsonl [--tables california,adult] [--seeds 5] [--trials 50] [OPTION=VALUE ...]
    python -m tests.benchmarks.tuned out.jsonl --show

Parts as in tests.benchmarks.ranks. The default and the study see training and validation rows; the default, the best
trial, and the ensemble of the best few trials are scored on the test rows when the search is over. OPTION=VALUE: of
%nn_tune. A line of JSON for each pair goes to the file; what it holds already is not run again.
"""

import argparse
import json
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import nnlab
from tests.benchmarks.ranks import PART, split
from tests.benchmarks.tables import TABLES

ENSEMBLE = 8  # of the best trials at the most


def timed(make: Callable[[], Any]) -> tuple[Any, float]:
    """What a call gives, and its seconds of CPU."""
    began = time.process_time()
    made = make()
    return made, round(time.process_time() - began, 2)


def measured(table: str, seed: int, trials: int, folder: Path, options: dict[str, str]) -> dict[str, float]:
    regression = TABLES[table].regression
    metric = "rmse" if regression else "accuracy"
    task = "regression" if regression else None
    frame = split(TABLES[table], folder, seed)
    data = nnlab.prepare(frame, target=TABLES[table].target, task=task, part=PART, seed=seed)
    test = frame[frame[PART] == "test"]
    bare: dict[str, Any] = {"store": False, "baseline": False, "probe": False}
    run, default_cpu = timed(lambda: nnlab.fit(data, seed=seed, **bare))
    with tempfile.TemporaryDirectory() as store:
        study, cpu = timed(
            lambda: nnlab.tune(data, trials=trials, seed=seed, ensemble=ENSEMBLE, store=store, frame=frame, **options)
        )
        found = {"best": study.best_run.score(test)[metric], "ensemble": study.ensemble.score(test)[metric]}
    return {"default": run.score(test)[metric], **found, "default_cpu": default_cpu, "cpu": cpu}


def show(lines: list[dict[str, Any]]) -> None:
    """Means over seeds, how many of them gained, and the time of the search in that of a default run."""
    print("| | default | best trial | ensemble | gained | CPU time of default runs |\n|---|---:|---:|---:|---:|---:|")
    for name, table in TABLES.items():
        own = [line for line in lines if line["table"] == name]
        if not own:
            continue
        sign = -1 if table.regression else 1
        means = [statistics.mean(line[key] for line in own) for key in ("default", "best", "ensemble")]
        gained = [sum(sign * (line[key] - line["default"]) > 0 for line in own) for key in ("best", "ensemble")]
        times = statistics.median(line["cpu"] / line["default_cpu"] for line in own)
        cells = " | ".join(f"{mean:.4f}" for mean in means)
        print(f"| {name} | {cells} | {gained[0]} and {gained[1]} of {len(own)} | {times:.1f} |")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path)
    parser.add_argument("options", nargs="*", metavar="OPTION=VALUE")
    parser.add_argument("--tables", default="california,adult")
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--trials", type=int, default=50)
    parser.add_argument("--data", type=Path, default=Path(__file__).parents[3] / "shared" / "data")
    parser.add_argument("--show", action="store_true", help="only the table of what the file holds")
    asked = parser.parse_args()
    lines = [json.loads(line) for line in asked.out.read_text().splitlines()] if asked.out.exists() else []
    if asked.show:
        show(lines)
        return
    done = {(line["table"], line["seed"], line["trials"], line["options"]) for line in lines}
    options, words = dict(word.split("=", 1) for word in asked.options), " ".join(asked.options)
    for seed in range(asked.seeds):
        for table in asked.tables.split(","):
            if (table, seed, asked.trials, words) in done:
                continue
            line = {"table": table, "seed": seed, "trials": asked.trials, "options": words}
            line |= measured(table, seed, asked.trials, asked.data, options)
            with asked.out.open("a") as file:
                file.write(json.dumps(line) + "\n")
            print(line, flush=True)


if __name__ == "__main__":
    main()
