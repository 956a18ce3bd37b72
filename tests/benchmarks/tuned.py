"""What a search of many trials gains over the default on rows that neither has seen, and what it costs.

    python -m tests.benchmarks.tuned out.jsonl [--tables california,adult] [--seeds 5] [--trials 50] [OPTION=VALUE ...]
    python -m tests.benchmarks.tuned out.jsonl --show
    python -m tests.benchmarks.tuned out.jsonl --rival [--trials 3]

Parts as in tests.benchmarks.ranks. The default and the study see training and validation rows; the default, the winner,
and the ensemble of the best few trials are scored on the test rows when the search is over. OPTION=VALUE: of %nn_tune.
A line of JSON for each pair goes to the file; what it holds already is not run again. --rival: pytabkit's search of
RealMLP in its place (pip install "nnlab[bench]").
"""

import argparse
import itertools
import json
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from sklearn.metrics import root_mean_squared_error

import nnlab
from nnlab.core.events import Event, Started, StudyFinished, TrialDone
from tests.benchmarks.ranks import PART, parted, split, with_validation
from tests.benchmarks.tables import TABLES

ENSEMBLE = 8  # of the best trials at the most


def timed(make: Callable[[], Any]) -> tuple[Any, float]:
    """What a call gives, and its seconds of CPU."""
    began = time.process_time()
    made = make()
    return made, round(time.process_time() - began, 2)


def measured(table: str, seed: int, trials: int, folder: Path, options: dict[str, str]) -> dict[str, Any]:
    """Scores on test rows and, by `valid`, on validation rows; seconds of CPU of a default run, of the trials, and of
    all that follows them."""
    regression = TABLES[table].regression
    metric = "rmse" if regression else "accuracy"
    task = "regression" if regression else None
    frame = split(TABLES[table], folder, seed)
    data = nnlab.prepare(frame, target=TABLES[table].target, task=task, part=PART, seed=seed)
    test = frame[frame[PART] == "test"]
    marks: list[tuple[float, Event]] = []

    def view(event: Event) -> None:
        if isinstance(event, (Started, TrialDone, StudyFinished)):
            marks.append((time.process_time(), event))

    with tempfile.TemporaryDirectory() as store:
        told: dict[str, Any] = {"seed": seed, "ensemble": ENSEMBLE, "store": store, "frame": frame, "view": view}
        began = time.process_time()
        study, cpu = timed(lambda: nnlab.tune(data, trials=trials, **told, **options))
        default = study.run_of(0)  # with all members it is what nnlab.fit(data, seed=seed) gives
        sides = {"default": default, "best": study.best_run, "ensemble": study.ensemble}
        scores = {side: dict(one.score(test)) for side, one in sides.items()}
        about = found_by(study)
    searched = max(at for at, event in marks if isinstance(event, TrialDone))
    after = [(at, getattr(event, "spec", None)) for at, event in marks if at > searched]
    (default_cpu,) = [later - at for (at, spec), (later, _) in itertools.pairwise(after) if spec == default.spec]
    cost = {"default_cpu": round(default_cpu, 2), "cpu": cpu, "trials_cpu": round(searched - began, 2)}
    return {side: one[metric] for side, one in scores.items()} | cost | about | {"scores": scores}


def found_by(study: nnlab.Study) -> dict[str, Any]:
    """What of a study tells why it gained or did not: the winner, and scores on validation rows."""
    winner = study.best_trial or 0
    valid = {"best": study.best_score, "trial": study.score_of(winner), "first": study.score_of(0)}
    about = {"winner": winner, "values": study.values_of(winner), "valid": valid, "whole": study.whole.values.tolist()}
    return about | {"states": study.trials["state"].value_counts().to_dict()}


def rival(table: str, seed: int, trials: int, folder: Path, options: dict[str, str]) -> dict[str, Any]:
    """What pytabkit's search finds, and its seconds of CPU."""
    from pytabkit import RealMLP_HPO_Classifier, RealMLP_HPO_Regressor

    parts = parted(split(TABLES[table], folder, seed), TABLES[table], seed)
    kind = RealMLP_HPO_Regressor if parts.regression else RealMLP_HPO_Classifier
    model = kind(device="cpu", random_state=seed, n_threads=1, n_hyperopt_steps=trials, **options)
    answer, cpu = timed(lambda: with_validation(model, parts))
    truth = parts.y["test"]
    score = root_mean_squared_error(truth, answer) if parts.regression else (answer.argmax(1) == truth).mean()
    return {"rival": float(score), "cpu": cpu}


def show(lines: list[dict[str, Any]]) -> None:
    """Means over seeds, how many of them gained, and the time of the search in that of a default run."""
    print("| | default | best trial | ensemble | gained | CPU time of default runs |\n|---|---:|---:|---:|---:|---:|")
    for name, table in TABLES.items():
        own = [line for line in lines if line["table"] == name and "best" in line]
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
    parser.add_argument("--rival", action="store_true", help="pytabkit's search")
    parser.add_argument("--show", action="store_true", help="only the table of what the file holds")
    asked = parser.parse_args()
    lines = [json.loads(line) for line in asked.out.read_text().splitlines()] if asked.out.exists() else []
    if asked.show:
        show(lines)
        return
    done = {(line["table"], line["seed"], line["trials"], line["options"]) for line in lines}
    options = dict(word.split("=", 1) for word in asked.options)
    words = " ".join([*asked.options, *(["--rival"] if asked.rival else [])])
    measure = rival if asked.rival else measured
    for seed in range(asked.seeds):
        for table in asked.tables.split(","):
            if (table, seed, asked.trials, words) in done:
                continue
            line = {"table": table, "seed": seed, "trials": asked.trials, "options": words}
            line |= measure(table, seed, asked.trials, asked.data, options)
            with asked.out.open("a") as file:
                file.write(json.dumps(line) + "\n")
            print(line, flush=True)


if __name__ == "__main__":
    main()
