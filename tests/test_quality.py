"""The defaults on real tables: figures that a change must not lose. Scores are of test rows that no fit has seen."""

from pathlib import Path

import pytest

from tests.benchmarks.quality import adult, california, house_prices, titanic


@pytest.mark.slow
def test_adult_with_defaults(shared_data: Path) -> None:
    assert adult(shared_data, seed=0) >= 0.863


@pytest.mark.slow
def test_california_with_defaults(shared_data: Path) -> None:
    assert california(shared_data, seed=0) <= 0.485


def test_raw_files_with_no_hint_but_the_target(shared_data: Path) -> None:
    assert house_prices(shared_data, seed=0) >= 0.7
    assert titanic(shared_data, seed=0) >= 0.78
