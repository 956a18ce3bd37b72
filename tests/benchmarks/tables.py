"""The tables of ../shared/data on which defaults are chosen and compared: file, target, what is left out."""

from dataclasses import dataclass
from pathlib import Path

import pandas as pd

HORSE = [f"c{i}" for i in range(1, 29)]  # its file has no header


@dataclass(frozen=True)
class Table:
    """path: below the data folder. drop: columns that give the answer away or name the row."""

    path: str
    target: str
    regression: bool = False
    drop: tuple[str, ...] = ()
    separator: str = ","
    names: tuple[str, ...] | None = None
    official_test: str = ""  # a file of test rows, where the source parted them

    def read(self, folder: Path) -> pd.DataFrame:
        """The training file, or the only one."""
        return self._read(folder / self.path)

    def read_test(self, folder: Path) -> pd.DataFrame | None:
        """The official test rows; their labels end in a dot, which is not part of the label."""
        if not self.official_test:
            return None
        test = self._read(folder / self.official_test)
        return test.assign(**{self.target: test[self.target].str.rstrip(".")})

    def _read(self, path: Path) -> pd.DataFrame:
        how = {"sep": self.separator, "skipinitialspace": True, "na_values": ["?", ""]}
        frame = pd.read_csv(path, **how, names=list(self.names) if self.names else None)
        return frame.dropna(subset=[self.target]).drop(columns=list(self.drop)).reset_index(drop=True)


TABLES = {
    "horse_colic": Table(
        "horse_colic/horse-colic.csv.gz",
        "c24",
        drop=("c3", "c23", "c25", "c26", "c27", "c28"),
        names=tuple(HORSE),
    ),
    "penguins": Table("penguins/penguins.csv.gz", "species"),
    "pima": Table("pima_diabetes/diabetes.csv.gz", "Class variable"),
    "titanic": Table("titanic/titanic.csv.gz", "Survived", drop=("PassengerId", "Name", "Ticket", "Cabin")),
    "house_prices": Table("house_prices/house.csv.gz", "SalePrice", regression=True, drop=("Id",)),
    "bank_additional": Table("bank_marketing/bank-additional.csv.gz", "y", drop=("duration",), separator=";"),
    "abalone": Table("abalone/abalone.csv.gz", "Rings", regression=True),
    "wine": Table("wine_quality/wine.csv.gz", "quality", regression=True),
    "telco": Table("telco_churn/Telco-Customer-Churn.csv.gz", "Churn", drop=("customerID",)),
    "claims": Table("vehicle_claim_fraud/claims.csv.gz", "FraudFound_P", drop=("PolicyNumber",)),
    "california": Table("california_housing/california_benchmark.csv.gz", "MedHouseVal", regression=True),
    "bank": Table("bank_marketing/bank.csv.gz", "deposit", drop=("duration",)),
    "adult": Table("adult/adult_train.csv.gz", "income", official_test="adult/adult_test.csv.gz"),
}
