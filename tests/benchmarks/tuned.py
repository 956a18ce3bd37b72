"""What a search of many trials gains over the default on rows that neither has seen, and what it costs.

    python -m tests.benchmarks.tuned out.jsonl [--tables california,adult] [--seeds 5] [--trials 50] [OPTION=VALUE ...]
    python -m tests.benchmarks.tuned out.jsonl --show
    python -m tests.benchmarks.tuned out.jsonl --rival {pytabkit,autogluon} [--trials 3]

Parts as in tests.benchmarks.ranks. The default and the study see training and validation rows; the default, the winner,
and the ensemble of the best few trials are scored on the test rows when the search is over. OPTION=VALUE: of %nn_tune.
A line of JSON for each pair goes to the file; what it holds already is not run again. --rival: in its place pytabkit's
search of RealMLP (pip install "nnlab[bench]") or AutoGluon's of its torch network (pip install autogluon.tabular).
"""

import argparse
import itertools
import json
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any
from unittest.mock import patch

import pandas as pd
from sklearn.metrics import root_mean_squared_error

import nnlab
from nnlab.core.events import Event, Started, StudyFinished, TrialDone
from tests.benchmarks.ranks import PART, parted, split, with_validation
from tests.benchmarks.tables import TABLES, Table

ENSEMBLE = 8  # of the best trials at the most


def timed(make: Callable[[], Any]) -> tuple[Any, float]:
    """What a call gives, and its seconds of CPU."""
    began = time.process_time()
    made = make()
    return made, round(time.process_time() - began, 2)


def measured(frame: pd.DataFrame, table: Table, seed: int, trials: int, options: dict[str, str]) -> dict[str, Any]:
    """Scores on test rows and, by `valid`, on validation rows; seconds of CPU of a default run, of the trials, and of
    all that follows them."""
    metric = "rmse" if table.regression else "accuracy"
    task = "regression" if table.regression else None
    data = nnlab.prepare(frame, target=table.target, task=task, part=PART, seed=seed)
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


def pytabkit(frame: pd.DataFrame, table: Table, seed: int, trials: int) -> dict[str, Any]:
    """Of its search of RealMLP: the best trial on test rows, and seconds of CPU."""
    from pytabkit import RealMLP_HPO_Classifier, RealMLP_HPO_Regressor

    parts = parted(frame, table, seed)
    kind = RealMLP_HPO_Regressor if parts.regression else RealMLP_HPO_Classifier
    model = kind(device="cpu", random_state=seed, n_threads=1, n_hyperopt_steps=trials)
    answer, cpu = timed(lambda: with_validation(model, parts))
    truth = parts.y["test"]
    score = root_mean_squared_error(truth, answer) if parts.regression else (answer.argmax(1) == truth).mean()
    return {"rival": float(score), "cpu": cpu}


def autogluon(frame: pd.DataFrame, table: Table, seed: int, trials: int) -> dict[str, Any]:
    """Of its search of its torch network: the best trial on test rows and the weighted ensemble that it ends with,
    each trial on validation rows, and seconds of CPU. The seed parts the rows only."""
    parts = {name: rows.drop(columns=PART) for name, rows in frame.groupby(PART)}
    how = {"num_trials": trials, "scheduler": "local", "searcher": "random"}
    # Without ray the trials run in this process, where their CPU is seen; so none is spent on processes either.
    with tempfile.TemporaryDirectory() as store, patch.dict(sys.modules, {"ray": None}):
        from autogluon.tabular import TabularPredictor

        model = TabularPredictor(table.target, path=store, verbosity=0)
        told = {"tuning_data": parts["valid"], "hyperparameters": {"NN_TORCH": {}}, "num_cpus": 1, "num_gpus": 0}
        _, cpu = timed(lambda: model.fit(parts["train"], hyperparameter_tune_kwargs=how, **told))
        board = model.leaderboard(parts["test"]).set_index("model")[["score_val", "score_test"]].abs()
        single = board[board.index.str.startswith("NeuralNetTorch/")]
    best = single["score_val"].idxmin() if table.regression else single["score_val"].idxmax()
    tested = board["score_test"].to_dict()
    found = {"rival": tested[best], "ensemble": tested[model.model_best]}
    return found | {"cpu": cpu, "valid": single["score_val"].to_dict()}


RIVALS: dict[str, Callable[[pd.DataFrame, Table, int, int], dict[str, Any]]] = {
    "pytabkit": pytabkit,
    "autogluon": autogluon,
}


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
    parser.add_argument("--rival", choices=RIVALS, help="the search of another package")
    parser.add_argument("--show", action="store_true", help="only the table of what the file holds")
    asked = parser.parse_args()
    if asked.rival and asked.options:
        parser.error("OPTION=VALUE is of nnlab's own search: leave it out with --rival")
    lines = [json.loads(line) for line in asked.out.read_text().splitlines()] if asked.out.exists() else []
    if asked.show:
        show(lines)
        return
    done = {(line["table"], line["seed"], line["trials"], line["options"]) for line in lines}
    options = dict(word.split("=", 1) for word in asked.options)
    words = f"--rival {asked.rival}" if asked.rival else " ".join(asked.options)
    for seed in range(asked.seeds):
        for table in asked.tables.split(","):
            if (table, seed, asked.trials, words) in done:
                continue
            line = {"table": table, "seed": seed, "trials": asked.trials, "options": words}
            frame = split(TABLES[table], asked.data, seed)
            if asked.rival:
                line |= RIVALS[asked.rival](frame, TABLES[table], seed, asked.trials)
            else:
                line |= measured(frame, TABLES[table], seed, asked.trials, options)
            with asked.out.open("a") as file:
                file.write(json.dumps(line) + "\n")
            print(line, flush=True)


if __name__ == "__main__":
    main()
