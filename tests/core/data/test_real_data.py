"""Real tables from the raw file with no hint but the target. They lie beside the repository and are not part of it."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from nnlab.core.data.prepare import Prepared, prepare

FOLDER = Path(__file__).parents[4] / "shared" / "data"
pytestmark = pytest.mark.skipif(not FOLDER.is_dir(), reason=f"the real tables are not in {FOLDER}")

# file, target, task, columns set aside, least score (accuracy or R2) of a linear model on the prepared numbers
TABLES = [
    ("titanic/titanic", "Survived", "binary", {"PassengerId", "Name", "Ticket", "Cabin"}, 0.74),
    ("adult/adult_train", "income", "binary", set(), 0.84),
    ("california_housing/california_benchmark", "MedHouseVal", "regression", set(), 0.55),
    ("california_housing/housing", "median_house_value", "regression", set(), 0.6),
    ("telco_churn/Telco-Customer-Churn", "Churn", "binary", {"customerID"}, 0.78),
    ("bank_marketing/bank", "deposit", "binary", set(), 0.89),
    ("bank_marketing/bank-additional", "y", "binary", set(), 0.89),
    ("wine_quality/wine", "quality", "multiclass", set(), 0.5),
    ("wine_quality/wine", "type", "binary", set(), 0.97),
    ("abalone/abalone", "Rings", "regression", set(), 0.4),
    ("pima_diabetes/diabetes", "Class variable", "binary", set(), 0.7),
    ("house_prices/house", "SalePrice", "regression", {"Id"}, 0.6),
    ("vehicle_claim_fraud/claims", "FraudFound_P", "binary", {"PolicyNumber"}, 0.93),
    ("penguins/penguins", "species", "multiclass", set(), 0.95),
    ("etth1/ETTh1", "OT", "regression", set(), 0.3),
    ("horse_colic/horse-colic", "column_24", "binary", {"column_27"}, 0.7),
]


def load(name: str, target: str) -> Prepared:
    return prepare(FOLDER / f"{name}.csv.gz", target=target)


@pytest.mark.parametrize(("name", "target", "task", "aside", "least"), TABLES, ids=[f"{t[0]}-{t[1]}" for t in TABLES])
def test_a_linear_model_learns_from_it(name: str, target: str, task: str, aside: set[str], least: float) -> None:
    data = load(name, target)
    assert data.task == task
    assert {c.name for c in data.columns if c.role in ("id", "text", "constant")} == aside
    assert np.isfinite(data.train.x).all()
    linear = Ridge(10.0) if task == "regression" else LogisticRegression(max_iter=2000, C=0.1)
    model = make_pipeline(StandardScaler(), linear).fit(data.train.x, data.train.y)
    assert model.score(data.test.x, data.test.y) > least


def test_columns_of_titanic() -> None:
    roles = {c.name: (c.role, c.missing) for c in load("titanic/titanic", "Survived").columns}
    assert roles == {
        "PassengerId": ("id", 0),
        "Survived": ("target", 0),
        "Pclass": ("numeric", 0),
        "Name": ("text", 0),
        "Sex": ("binary", 0),
        "Age": ("numeric", 177),
        "SibSp": ("numeric", 0),
        "Parch": ("numeric", 0),
        "Ticket": ("text", 0),
        "Fare": ("numeric", 0),
        "Cabin": ("text", 687),
        "Embarked": ("categorical", 2),
    }


def test_adult_test_file_is_read_like_the_training_file() -> None:
    data = load("adult/adult_train", "income")
    assert data.target.classes == ("<=50K", ">50K")
    missing = {c.name: c.missing for c in data.columns if c.missing}
    assert missing == {"workclass": 1836, "occupation": 1843, "native-country": 583}
    test = pd.read_csv(FOLDER / "adult/adult_test.csv.gz")
    test["income"] = test["income"].str.strip(" .")
    assert np.bincount(data.pipeline.transform_target(test)).tolist() == [12435, 3846]
    assert np.array_equal(data.transform(test), data.transform(FOLDER / "adult/adult_test.csv.gz"))
    assert not data.check(test).notable


def test_blanks_among_numbers_of_telco() -> None:
    telco = FOLDER / "telco_churn/Telco-Customer-Churn.csv.gz"
    for frame in (telco, pd.read_csv(telco)):
        charges = next(c for c in prepare(frame, "Churn").columns if c.name == "TotalCharges")
        assert (charges.role, charges.missing) == ("numeric", 11)


def test_byte_order_mark_and_separator() -> None:
    assert load("vehicle_claim_fraud/claims", "FraudFound_P").columns[0].name == "Month"
    assert load("bank_marketing/bank-additional", "y").columns[0].name == "age"
