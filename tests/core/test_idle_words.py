"""Words that change nothing in a run are told, and only these."""

from typing import Any

import pytest

import nnlab
from nnlab.core.data.prepare import Prepared

IDLE: list[tuple[dict[str, Any], str]] = [
    ({"embedding_dropout": 0.2}, "embedding_dropout does nothing here: no categories are embedded"),
    ({"dropout": 0, "dropout_schedule": "cosine"}, "dropout_schedule does nothing here: the network has no dropout"),
    ({"optimizer": "sgd", "decay_schedule": "cosine"}, "decay_schedule does nothing here: sgd runs with no"),
    ({"schedule": "one_cycle", "warmup": 0.2}, "warmup does nothing here: one_cycle has a rise of its own"),
    ({"optimizer": "muon", "model": "packed"}, "muon does nothing here: it steps hidden matrices"),
    ({"optimizer": "soap", "model": "packed"}, "soap does nothing here: it turns matrices"),
    ({"confidence_penalty": 0.1}, "confidence_penalty does nothing here: it is for classes"),
]


def told(data: Prepared, **options: Any) -> list[str]:
    run = nnlab.fit(data, epochs=1, store=False, baseline=False, **options)
    return [warning for warning in run.warnings if "does nothing" in warning]


@pytest.mark.parametrize(("options", "words"), IDLE, ids=lambda part: str(part)[:40])
def test_what_does_nothing_is_told(options: dict[str, Any], words: str, numbers: Prepared) -> None:
    (warning,) = told(numbers, **options)
    assert warning.startswith(words)


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"model": "realmlp", "dropout": 0},
        {"model": "linear"},
        {"model": "tabm", "optimizer": "muon"},
        {"dropout": 0.1, "dropout_schedule": "cosine", "decay_schedule": "cosine", "warmup": 0.2},
        {"schedule": "one_cycle"},
    ],
    ids=str,
)
def test_what_does_something_is_not_spoken_of(options: dict[str, Any], numbers: Prepared, classes: Prepared) -> None:
    assert told(numbers, **options) == []
    assert told(classes, confidence_penalty=0.1, **options) == []
