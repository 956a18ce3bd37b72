"""Samplers and pruners of a search, one decorated function each; they give Optuna's objects.

Samplers are called as make(seed, points): the seed of this one trial, and a function that gives so many values of each
searched name's range. Facts: several=True: it can search for several objectives; exchange=True: trials inherit from one
another (pbt.py); one_shot=True: a network that holds all others is trained first (one_shot.py). Pruners are called as
make(epochs); folds=True: they judge by folds, not by epochs.
"""

import contextlib
import importlib.util
import math
import warnings
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Annotated, Any, Literal

from nnlab.core.errors import SpecError
from nnlab.core.params import Within
from nnlab.core.registry import Registry

if TYPE_CHECKING:
    from optuna.pruners import BasePruner
    from optuna.samplers import BaseSampler

    from nnlab.core.tune.header import Header

SAMPLERS = Registry("sampler")
PRUNERS = Registry("pruner")
Points = Callable[[int], dict[str, list[Any]]]
Judged = Literal["epochs", "folds", "nothing"]  # by what a pruner judges trials
LARGEST_GRID = 10_000
Trials = Within(1, 10_000, log=True, search=(3, 30))
Epochs = Within(1, 100_000, log=True, search=(1, 20))


@contextlib.contextmanager
def _experimental() -> Iterator[None]:
    """What Optuna calls experimental is made without its warning: the words here are nnlab's, and are tested."""
    import optuna

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        yield


@SAMPLERS.add(several=True)
def tpe(
    seed: int,
    points: Points,
    startup: Annotated[int, Trials, "random trials before good and bad values are told apart"] = 10,
) -> "BaseSampler":
    """Tree-structured Parzen estimator: tries what resembles the good trials (Bergstra 2011; Falkner 2018)."""
    import optuna

    with _experimental():
        return optuna.samplers.TPESampler(
            n_startup_trials=startup, multivariate=True, group=True, constant_liar=True, seed=seed
        )


@SAMPLERS.add(several=True, blind=True)
def random(seed: int, points: Points) -> "BaseSampler":
    """Independent draws from the ranges (Bergstra & Bengio 2012)."""
    from optuna.samplers import RandomSampler

    return RandomSampler(seed)


@SAMPLERS.add(several=True, blind=True)
def grid(
    seed: int,
    points: Points,
    values: Annotated[int, Within(2, 1000, search=(2, 10)), "values taken from a range of numbers"] = 4,
) -> "BaseSampler":
    """Every combination of the choices and of a few values of each range, in mixed order."""
    from optuna.samplers import GridSampler

    choices = points(values)
    size = math.prod(len(one) for one in choices.values())
    if size > LARGEST_GRID:
        raise SpecError(
            f"a grid of {size:,} trials is too large (at most {LARGEST_GRID:,}); search fewer names or values"
        )

    class Grid(GridSampler):
        def after_trial(self, *trial: Any) -> None:
            """Optuna would stop its own loop here; the search asks is_exhausted itself."""

    return Grid(choices, seed=0)  # one order for the whole study, whatever the trial


@SAMPLERS.add(several=True)
def gp(
    seed: int,
    points: Points,
    startup: Annotated[int, Trials, "random trials before the first model of the score"] = 10,
) -> "BaseSampler":
    """A Gaussian process of the score, asked where it may improve most; for few, dear trials (Snoek et al. 2012)."""
    import optuna

    with _experimental():
        return optuna.samplers.GPSampler(seed=seed, n_startup_trials=startup, warn_independent_sampling=False)


@SAMPLERS.add
def cmaes(
    seed: int,
    points: Points,
    startup: Annotated[int, Trials, "random trials before the first generation"] = 1,
) -> "BaseSampler":
    """Evolution of a normal over the ranges of numbers; choices are drawn by themselves (CMA-ES; Hansen 2016)."""
    from optuna.samplers import CmaEsSampler

    if importlib.util.find_spec("cmaes") is None:
        raise SpecError('sampler cmaes needs the package cmaes: pip install "nnlab[search]"')
    return CmaEsSampler(seed=seed, n_startup_trials=startup, warn_independent_sampling=False)


@SAMPLERS.add(several=True, blind=True)
def qmc(seed: int, points: Points) -> "BaseSampler":
    """Sobol's sequence, which leaves no large hole between trials; choices are drawn at random (Sobol 1967)."""
    import optuna

    with _experimental():
        return optuna.samplers.QMCSampler(  # one sequence for the whole study, whatever the trial
            scramble=True,
            seed=0,
            independent_sampler=optuna.samplers.RandomSampler(seed),
            warn_independent_sampling=False,
        )


Population = Within(4, 1000, log=True, search=(8, 50))


@SAMPLERS.add(several=True)
def nsga2(
    seed: int,
    points: Points,
    population: Annotated[int, Population, "trials of a generation"] = 12,
) -> "BaseSampler":
    """Evolution by crossing good trials; of several objectives it seeks the whole front (NSGA-II; Deb et al. 2002)."""
    import optuna

    with _experimental():
        crossing = optuna.samplers.nsgaii.BLXAlphaCrossover()  # its children are seldom trials that were made already
        return optuna.samplers.NSGAIISampler(
            population_size=population, crossover=crossing, crossover_prob=1.0, seed=seed
        )


@SAMPLERS.add(several=True)
def nsga3(
    seed: int,
    points: Points,
    population: Annotated[int, Population, "trials of a generation"] = 12,
) -> "BaseSampler":
    """NSGA-II that spreads trials by reference points, for three objectives or more (Deb & Jain 2014)."""
    import optuna

    with _experimental():
        crossing = optuna.samplers.nsgaii.BLXAlphaCrossover()
        return optuna.samplers.NSGAIIISampler(
            population_size=population, crossover=crossing, crossover_prob=1.0, seed=seed
        )


@SAMPLERS.add
def evolution(
    seed: int,
    points: Points,
    population: Annotated[int, Population, "youngest trials that may become parents; so many are random first"] = 10,
    tournament: Annotated[int, Within(2, 100, search=(2, 10)), "trials of which the best becomes the parent"] = 4,
) -> "BaseSampler":
    """Aging evolution: a good young trial with one of its values changed, for architectures (Real et al. 2019)."""
    from nnlab.core.tune.learned import Evolution

    return Evolution(seed, population, tournament)


@SAMPLERS.add(exchange=True)
def pbt(
    seed: int,
    points: Points,
    every: Annotated[int, Epochs, "epochs from one exchange to the next"] = 2,
    share: Annotated[float, Within(0.01, 0.5, search=(0.1, 0.5)), "of the trials that the best ones replace"] = 0.25,
    factor: Annotated[float, Within(1.01, 10.0, log=True, search=(1.1, 2.0)), "by which values are moved"] = 1.5,
) -> "BaseSampler":
    """Population-based training: all trials train side by side, the worst take over from the best and vary their step
    size, weight decay and dropout (Jaderberg et al. 2017). It learns a course of values; study.best_run holds it.
    """
    from optuna.samplers import RandomSampler

    return RandomSampler(seed)


@SAMPLERS.add(one_shot=True)
def one_shot(
    seed: int,
    points: Points,
    parts: Annotated[int, Within(2, 100_000, log=True, search=(64, 1024)), "parts that are ranked"] = 256,
    longer: Annotated[
        float, Within(0.1, 100.0, log=True, search=(1, 10)), "epochs of that network for a trial's"
    ] = 4.0,
) -> "BaseSampler":
    """Architecture search in one network: it holds all others, its parts are ranked and the best trained from scratch.

    For hidden and activation of an mlp; other names are drawn at random (Yu et al. 2019; Guo et al. 2020).
    """
    from nnlab.core.tune.learned import OneShot

    return OneShot(seed)


@SAMPLERS.add
def reinforce(
    seed: int,
    points: Points,
    step: Annotated[float, Within(0.0, 100.0, search=(0.1, 3.0)), "step size of the policy"] = 1.0,
    entropy: Annotated[float, Within(0.0, 10.0, search=(0.0, 0.3)), "weight of the bonus for variety"] = 0.05,
) -> "BaseSampler":
    """Experimental: a controller that learns by REINFORCE which values are rewarded (Williams 1992; Zoph & Le 2017)."""
    from nnlab.core.tune.learned import Reinforce

    return Reinforce(seed, step, entropy)


@SAMPLERS.add
def bandit(
    seed: int,
    points: Points,
    explore: Annotated[float, Within(0.0, 10.0, search=(0.1, 1.0)), "weight of values that were seldom taken"] = 0.35,
) -> "BaseSampler":
    """Experimental: a bandit for each name takes the value with the best upper bound (UCB1; Auer et al. 2002)."""
    from nnlab.core.tune.learned import Bandit

    return Bandit(seed, explore)


@PRUNERS.add
def median(
    epochs: int,
    min_trials: Annotated[int, Trials, "complete trials before any is ended"] = 5,
    min_epochs: Annotated[int, Epochs, "epochs that each trial may have"] = 5,
) -> "BasePruner":
    """End a trial whose best value so far is worse than the median of the others at the same epoch."""
    from optuna.pruners import MedianPruner

    return MedianPruner(n_startup_trials=min_trials, n_warmup_steps=min_epochs)


@PRUNERS.add(racing=True)
def hyperband(
    epochs: int,
    min_epochs: Annotated[int, Epochs, "epochs that each trial may have"] = 3,
    factor: Annotated[int, Within(2, 10), "of so many trials one goes on at each rung"] = 3,
) -> "BasePruner":
    """Several rounds of successive halving, from many short trials to few long ones (Li et al. 2018)."""
    from optuna.pruners import HyperbandPruner

    return HyperbandPruner(min_resource=min(min_epochs, epochs), max_resource=epochs, reduction_factor=factor)


@PRUNERS.add(racing=True)
def asha(
    epochs: int,
    min_epochs: Annotated[int, Epochs, "epochs that each trial may have"] = 3,
    factor: Annotated[int, Within(2, 10), "of so many trials one goes on at each rung"] = 3,
) -> "BasePruner":
    """Successive halving that never waits: a trial goes on if it is among the best at its rung (Li et al. 2020)."""
    from optuna.pruners import SuccessiveHalvingPruner

    return SuccessiveHalvingPruner(min_resource=min(min_epochs, epochs), reduction_factor=factor)


@PRUNERS.add
def percentile(
    epochs: int,
    share: Annotated[float, Within(1.0, 99.0), "percent of the trials that are good enough"] = 25.0,
    min_trials: Annotated[int, Trials, "complete trials before any is ended"] = 5,
    min_epochs: Annotated[int, Epochs, "epochs that each trial may have"] = 5,
) -> "BasePruner":
    """End a trial whose best value so far is not among the best share of the others at the same epoch."""
    from optuna.pruners import PercentilePruner

    return PercentilePruner(share, n_startup_trials=min_trials, n_warmup_steps=min_epochs)


@PRUNERS.add
def patient(
    epochs: int,
    patience: Annotated[int, Epochs, "epochs that a trial may become worse"] = 5,
    min_trials: Annotated[int, Trials, "complete trials before any is ended"] = 5,
) -> "BasePruner":
    """The median rule, for trials that have also become worse for some epochs."""
    import optuna

    with _experimental():
        return optuna.pruners.PatientPruner(optuna.pruners.MedianPruner(n_startup_trials=min_trials), patience)


@PRUNERS.add(folds=True)
def wilcoxon(
    epochs: int,
    p: Annotated[float, Within(0.001, 0.5, log=True), "chance of ending a trial that is as good as the best"] = 0.1,
) -> "BasePruner":
    """For --folds: end a trial between two folds where it is worse than the best on those done (signed-rank test)."""
    import optuna

    with _experimental():
        return optuna.pruners.WilcoxonPruner(p_threshold=p)


@PRUNERS.add(racing=True)
def none(epochs: int) -> "BasePruner":
    """Let every trial run to its end."""
    from optuna.pruners import NopPruner

    return NopPruner()


def exchanges(header: "Header") -> bool:
    """Whether trials inherit from one another."""
    return bool(SAMPLERS[header.spec.sampler.name].facts.get("exchange"))


def judged_by(header: "Header") -> Judged:
    """By what the pruner judges trials: not those of several objectives, nor those that inherit."""
    if header.several or exchanges(header):
        return "nothing"
    return "folds" if PRUNERS[header.spec.pruner.name].facts.get("folds") else "epochs"
