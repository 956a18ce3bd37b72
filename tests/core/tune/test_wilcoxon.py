"""The pruner that judges by folds: hopeless trials end before the last one, good ones see them all."""

import numpy as np
import pytest

from nnlab.core.data.prepare import prepare
from nnlab.core.errors import SpecError
from nnlab.core.events import Started
from nnlab.core.tune.search import tune

SPACE = ("lr={1e-7,1e-2}",)
WORDS = {"space": SPACE, "epochs": 4, "hidden": (8,), "model": "mlp", "lr": 1e-2, "sampler": "random", "refit": False}


@pytest.fixture(scope="module")
def eight():
    draw = np.random.default_rng(0)
    x = draw.normal(size=(600, 4))
    return prepare((x, x[:, 0] > 0), folds=8)


@pytest.mark.parametrize("population", [1, 4])
def test_hopeless_trials_end_before_the_last_fold_and_the_best_stays(eight, population):
    events = []
    words = WORDS | {"folds": 8, "trials": 8, "store": False, "population": population}
    study = tune(eight, pruner="wilcoxon", view=events.append, **words)
    whole = tune(eight, pruner="none", **words)
    trials = study.trials
    assert set(trials["state"][trials["lr"] == 1e-2]) == {"complete"}
    bad = trials[trials["lr"] == 1e-7]
    assert len(bad) >= 2
    assert "pruned" in set(bad["state"])
    assert study.best_score == whole.best_score
    for number in bad["number"][bad["state"] == "pruned"]:
        assert not study.result_of(number)["scores"]
    if population == 1:
        runs = sum(isinstance(event, Started) for event in events)
        ended = (trials["state"] == "pruned").sum()
        assert 8 * len(trials) - 5 * ended <= runs <= 8 * len(trials) - 3 * ended  # four or five folds say enough


def test_it_needs_folds_and_minds_several_objectives(eight):
    with pytest.raises(SpecError, match="pruner wilcoxon compares trials fold by fold; give --folds 5"):
        tune(eight, pruner="wilcoxon", trials=2, store=False, **WORDS)
    words = WORDS | {"folds": 4, "trials": 3, "store": False, "objectives": "loss,parameters"}
    study = tune(eight, pruner="wilcoxon", **words)
    assert set(study.trials["state"]) == {"complete"}
    scores = study.result_of(0)["scores"]
    assert study.trials["score"][0] == np.mean(scores) == study.result_of(0)["objectives"][0]
