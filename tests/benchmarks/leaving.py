"""What it saves that members past their patience leave the stack: paired runs to the same bits, one thread.

    python -m tests.benchmarks.leaving [--pairs 5]

Whole fits of the recipe's networks with --own-best --patience 5, without looks and baselines: median CPU time of the
run that goes on to compute all members, over that of the run whose stack becomes smaller. Printed too: the share of
the members' epochs that were computed.
"""

import argparse
import os
import statistics
import time

os.environ["OMP_NUM_THREADS"] = "1"

from sklearn import datasets

from nnlab.core.controls import Controls
from nnlab.core.data.prepare import Prepared, prepare
from nnlab.core.events import EpochDone
from nnlab.core.learners.stack.learner import StackLearner
from nnlab.core.options import resolve
from nnlab.core.recipe import recipe
from nnlab.core.spec import TrainSpec
from nnlab.core.train import set_up, train

SIZES = (400, 1_000, 4_000)  # rows, for two networks of the recipe
PATIENT = {"own_best": True, "patience": 5, "epochs": 64}


class AllOn(StackLearner):
    """The learner that computes members that have left, too."""

    def _leave_out(self, chosen: list[int]) -> None:
        pass


def fitted(data: Prepared, members: int, all_on: bool, seed: int) -> tuple[float, float]:
    """Seconds of CPU, and the share of the members' epochs that were computed."""
    spec = resolve(TrainSpec, recipe(data.task, len(data.train), 20) | PATIENT | {"members": members, "seed": seed})
    job = set_up(spec, data)
    assert isinstance(job.learner, StackLearner)
    if all_on:
        job.learner.__class__ = AllOn
    began, computed, epochs = time.process_time(), 0, 0
    for event in train(job, Controls()):
        if isinstance(event, EpochDone):
            computed += next(iter(job.learner.model.parameters())).shape[0]
            epochs += 1
    return time.process_time() - began, computed / (epochs * members)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pairs", type=int, default=5)
    pairs = parser.parse_args().pairs
    for rows in SIZES:
        x, y = datasets.make_friedman1(rows, 20, noise=3.0, random_state=0)
        data = prepare((x, y), test=0.0, valid=0.2)
        for members in (8, 16):
            fitted(data, members, False, 0)
            both = [(fitted(data, members, True, seed), fitted(data, members, False, seed)) for seed in range(pairs)]
            ratio = statistics.median(slow / quick for (slow, _), (quick, _) in both)
            share = statistics.median(share for _, (_, share) in both)
            print(f"{rows:6,} rows, {members:2} members: {ratio:.2f} times as long with all; {share:.0%} computed")


if __name__ == "__main__":
    main()
