"""nnlab's default beside the packages that people use on tables, on the same rows: quality, mean rank and CPU time.

    python -m tests.benchmarks.ranks out.jsonl [--seeds 5] [--tables adult,california] [--models nnlab,hgb]
    python -m tests.benchmarks.ranks out.jsonl --show

Each seed parts the rows 64/16/20, classes stratified (adult: its own test file, 80/20 within the other); every model
gets the same parts and is scored once on the test rows, on which nothing is chosen. A model that stops or selects by
validation rows gets them as such; one that does not is fitted on training and validation rows together, as its user
would do. All are as their packages leave them (defaults), one thread. CPU time takes preparation, fit and prediction.
A line of JSON for each fit goes to the file; what it holds already is not run again. `pip install "nnlab[bench]"`.
"""

import argparse
import json
import os
import statistics
import time
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

os.environ |= dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")

import numpy as np
import pandas as pd
from sklearn.compose import make_column_transformer
from sklearn.ensemble import HistGradientBoostingClassifier, HistGradientBoostingRegressor
from sklearn.impute import SimpleImputer
from sklearn.metrics import accuracy_score, log_loss, root_mean_squared_error
from sklearn.model_selection import train_test_split
from sklearn.neural_network import MLPClassifier, MLPRegressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

import nnlab
from nnlab.core.wording import counted
from tests.benchmarks.tables import TABLES, Table

PART = "part of the split"


@dataclass(frozen=True)
class Parted:
    """The features of one table by part, text as categories; y: class numbers or values."""

    train: pd.DataFrame
    valid: pd.DataFrame
    test: pd.DataFrame
    y: dict[str, np.ndarray]
    regression: bool
    seed: int

    @property
    def fitted_on(self) -> tuple[pd.DataFrame, np.ndarray]:
        """Training and validation rows, for models that need no validation."""
        return pd.concat([self.train, self.valid]), np.concatenate([self.y["train"], self.y["valid"]])

    @property
    def texts(self) -> list[str]:
        return [name for name in self.train if isinstance(self.train[name].dtype, pd.CategoricalDtype)]


def split(table: Table, folder: Path, seed: int) -> pd.DataFrame:
    """All rows with a column that says their part."""
    frame, official = table.read(folder), table.read_test(folder)

    def cut(rows: pd.DataFrame, share: float) -> list[pd.DataFrame]:
        classes = None if table.regression else rows[table.target]
        return train_test_split(rows, test_size=share, random_state=seed, stratify=classes)

    rest, test = cut(frame, 0.2) if official is None else (frame, official)
    train, valid = cut(rest, 0.2)
    parts = {"train": train, "valid": valid, "test": test}
    return pd.concat([rows.assign(**{PART: name}) for name, rows in parts.items()], ignore_index=True)


def parted(frame: pd.DataFrame, table: Table, seed: int) -> Parted:
    """The parts as rivals take them."""
    features = frame.drop(columns=[table.target, PART])
    for name in features:
        if not pd.api.types.is_numeric_dtype(features[name]):
            features[name] = features[name].astype(str).where(features[name].notna()).astype("category")
    y = frame[table.target].to_numpy(float) if table.regression else pd.factorize(frame[table.target], sort=True)[0]
    rows = {name: (frame[PART] == name).to_numpy() for name in ("train", "valid", "test")}
    xs = [features[chosen].reset_index(drop=True) for chosen in rows.values()]
    return Parted(*xs, {name: y[chosen] for name, chosen in rows.items()}, table.regression, seed)


def answered(model: Any, parts: Parted, test: pd.DataFrame) -> np.ndarray:
    """Predictions of test rows: values, or probabilities of classes."""
    return np.asarray(model.predict(test) if parts.regression else model.predict_proba(test))


def fitted(model: Any, parts: Parted) -> np.ndarray:
    return answered(model.fit(*parts.fitted_on), parts, parts.test)


def hgb(parts: Parted) -> np.ndarray:
    kind = HistGradientBoostingRegressor if parts.regression else HistGradientBoostingClassifier
    return fitted(kind(random_state=parts.seed), parts)


def mlp(parts: Parted) -> np.ndarray:
    numbers = [name for name in parts.train if name not in parts.texts]
    columns = make_column_transformer(
        (make_pipeline(SimpleImputer(strategy="median"), StandardScaler()), numbers),
        (make_pipeline(SimpleImputer(strategy="most_frequent"), OneHotEncoder(handle_unknown="ignore")), parts.texts),
    )
    kind = MLPRegressor if parts.regression else MLPClassifier
    return fitted(make_pipeline(columns, kind(random_state=parts.seed)), parts)


def xgboost(parts: Parted) -> np.ndarray:
    from xgboost import XGBClassifier, XGBRegressor

    kind = XGBRegressor if parts.regression else XGBClassifier
    return fitted(kind(random_state=parts.seed, enable_categorical=True, n_jobs=1), parts)


def lightgbm(parts: Parted) -> np.ndarray:
    from lightgbm import LGBMClassifier, LGBMRegressor

    kind = LGBMRegressor if parts.regression else LGBMClassifier
    return fitted(kind(random_state=parts.seed, n_jobs=1, verbose=-1), parts)


def catboost(parts: Parted) -> np.ndarray:
    from catboost import CatBoostClassifier, CatBoostRegressor

    def named(x: pd.DataFrame) -> pd.DataFrame:
        return x.assign(**{name: x[name].astype(object).fillna("missing").astype(str) for name in parts.texts})

    kind = CatBoostRegressor if parts.regression else CatBoostClassifier
    model = kind(
        random_seed=parts.seed, thread_count=1, verbose=False, allow_writing_files=False, cat_features=parts.texts
    )
    x, y = parts.fitted_on
    return answered(model.fit(named(x), y), parts, named(parts.test))


def with_validation(model: Any, parts: Parted) -> np.ndarray:
    """A model of pytabkit; its numbers may not be missing."""
    middle = parts.train.drop(columns=parts.texts).median().fillna(0.0)
    train, valid, test = (x.fillna(middle) for x in (parts.train, parts.valid, parts.test))
    model.fit(train, parts.y["train"], X_val=valid, y_val=parts.y["valid"], cat_col_names=parts.texts)
    return answered(model, parts, test)


def realmlp_td(parts: Parted) -> np.ndarray:
    from pytabkit import RealMLP_TD_Classifier, RealMLP_TD_Regressor

    kind = RealMLP_TD_Regressor if parts.regression else RealMLP_TD_Classifier
    return with_validation(kind(device="cpu", random_state=parts.seed, n_threads=1), parts)


def tabm_d(parts: Parted) -> np.ndarray:
    from pytabkit import TabM_D_Classifier, TabM_D_Regressor

    kind = TabM_D_Regressor if parts.regression else TabM_D_Classifier
    return with_validation(kind(device="cpu", random_state=parts.seed, n_threads=1), parts)


RIVALS: dict[str, Callable[[Parted], np.ndarray]] = {
    "hgb": hgb,
    "mlp": mlp,
    "xgboost": xgboost,
    "lightgbm": lightgbm,
    "catboost": catboost,
    "realmlp_td": realmlp_td,
    "tabm_d": tabm_d,
}
MODELS = ("nnlab", *RIVALS)


def scores(answer: np.ndarray, y: np.ndarray, regression: bool) -> dict[str, float]:
    if regression:
        return {"rmse": float(root_mean_squared_error(y, answer.ravel()))}
    classes = np.arange(answer.shape[1])
    return {
        "accuracy": float(accuracy_score(y, answer.argmax(1))),
        "log_loss": float(log_loss(y, answer, labels=classes)),
    }


def nnlab_scores(frame: pd.DataFrame, table: Table, seed: int) -> dict[str, float]:
    task = "regression" if table.regression else None
    data = nnlab.prepare(frame, target=table.target, task=task, part=PART, seed=seed)
    found = nnlab.fit(data, seed=seed, store=False, baseline=False, probe=False).score(data)
    return {name: float(found[name]) for name in (("rmse",) if table.regression else ("accuracy", "log_loss"))}


def measured(model: str, frame: pd.DataFrame, table: Table, seed: int) -> dict[str, float]:
    """The scores of one fit and the seconds of CPU that it took."""
    began = time.process_time()
    if model == "nnlab":
        found = nnlab_scores(frame, table, seed)
    else:
        parts = parted(frame, table, seed)
        found = scores(RIVALS[model](parts), parts.y["test"], table.regression)
    return found | {"cpu": round(time.process_time() - began, 3)}


def show(lines: list[dict[str, Any]]) -> None:
    """A Markdown table of means over the seeds that all models have, mean ranks and CPU ratios."""
    cells = {(line["table"], line["model"], line["seed"]): line for line in lines}
    models = [name for name in MODELS if any(model == name for _, model, _ in cells)]
    print("| | " + " | ".join(models) + " |\n|---|" + "---:|" * len(models))
    ranks, ratios = [], []
    for name, table in TABLES.items():
        seeds = sorted(set.intersection(*({s for t, m, s in cells if (t, m) == (name, model)} for model in models)))
        if not seeds:
            continue
        metric = "rmse" if table.regression else "accuracy"
        means, spent = (
            np.array([statistics.mean(cells[name, model, seed][value] for seed in seeds) for model in models])
            for value in (metric, "cpu")
        )
        signs = means if table.regression else -means
        ranks.append(pd.Series(signs).round(6).rank().to_numpy())
        ratios.append(spent / spent[0])
        shown = [f"{mean:,.0f}" if mean > 100 else f"{mean:.4f}" for mean in means]
        shown[int(signs.argmin())] = f"**{shown[int(signs.argmin())]}**"
        print(f"| {name}, {metric}, {counted(len(seeds), 'seed')} | " + " | ".join(shown) + " |")
    print("| mean rank | " + " | ".join(f"{value:.2f}" for value in np.mean(ranks, 0)) + " |")
    times = np.exp(np.mean(np.log(ratios), 0))
    print("| CPU time, nnlab = 1 | " + " | ".join(f"{value:.2f}" for value in times) + " |")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--tables", default=",".join(TABLES))
    parser.add_argument("--models", default=",".join(MODELS))
    parser.add_argument("--data", type=Path, default=Path(__file__).parents[3] / "shared" / "data")
    parser.add_argument("--show", action="store_true", help="only the table of what the file holds")
    asked = parser.parse_args()
    lines = [json.loads(line) for line in asked.out.read_text().splitlines()] if asked.out.exists() else []
    if asked.show:
        return show(lines)
    warnings.simplefilter("ignore")
    done = {(line["table"], line["seed"], line["model"]) for line in lines}
    for seed in range(asked.seeds):
        for name in asked.tables.split(","):
            frame = split(TABLES[name], asked.data, seed)
            for model in asked.models.split(","):
                if (name, seed, model) in done:
                    continue
                line = {"table": name, "seed": seed, "model": model} | measured(model, frame, TABLES[name], seed)
                with asked.out.open("a") as file:
                    file.write(json.dumps(line) + "\n")
                print(line, flush=True)


if __name__ == "__main__":
    main()
