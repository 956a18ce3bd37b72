"""The plan of a run is what the run then does."""

import numpy as np
import pytest

from nnlab.core.data.prepare import Prepared
from nnlab.core.events import EpochDone
from nnlab.core.options import resolve
from nnlab.core.plan import MOST, plan
from nnlab.core.schedules import SCHEDULES
from nnlab.core.spec import TrainSpec
from tests.core.test_train import SMALL, run


@pytest.mark.parametrize("schedule", [name for name, entry in SCHEDULES.items() if not entry.facts.get("by_loss")])
@pytest.mark.parametrize("growth", [1.0, 4.0])
def test_the_run_follows_the_plan(schedule: str, growth: float, classes: Prepared) -> None:
    options = SMALL | {"schedule": schedule, "epochs": 7, "patience": None, "batch_growth": growth}
    ahead = plan(resolve(TrainSpec, options), len(classes.train))
    events, _ = run(classes, **options)
    done = [event.lr for event in events if isinstance(event, EpochDone)]
    np.testing.assert_allclose(ahead.end_lr, done, rtol=1e-12)
    assert ahead.place[0] == 0.0 and ahead.epochs.tolist() == list(range(1, 8))
    assert (ahead.batch_size[-1] >= 3 * ahead.batch_size[0]) == (growth == 4.0)


def test_courses_of_dropout_and_decay() -> None:
    spec = resolve(TrainSpec, {"dropout_schedule": "polynomial", "dropout": 0.4, "epochs": 4, "schedule": "plateau"})
    ahead = plan(spec, 100)
    assert ahead.dropout is not None and ahead.weight_decay is not None
    np.testing.assert_allclose(ahead.dropout, [0.4, 0.3, 0.2, 0.1])
    assert (ahead.weight_decay == ahead.weight_decay[0]).all()
    assert ahead.open.startswith("plateau falls when") and "20 epochs after" in ahead.open
    assert plan(resolve(TrainSpec, {"optimizer": "lbfgs", "model": "mlp", "patience": None}), 100).open == ""


def test_a_long_run_has_a_short_plan() -> None:
    ahead = plan(resolve(TrainSpec, {"epochs": 100_000}), 1000)
    assert len(ahead.lr) <= MOST and len(ahead.epochs) <= MOST
    assert ahead.epochs[0] == 1 and ahead.epochs[-1] == 100_000
