"""CPU time that tests set limits to, told as on one machine: a slower one takes longer for everything."""

import time

import numpy as np
import pandas as pd

USUAL = 0.14  # seconds of CPU that the work below takes on the machine on which the limits were set


def as_there(seconds: float) -> float:
    """Seconds of CPU that were just spent here, as that machine would have spent them."""
    return seconds * USUAL / min(_work() for _ in range(3))


def _work() -> float:
    columns = pd.DataFrame(np.random.default_rng(0).normal(size=(200, 200)))
    began = time.process_time()
    for name in columns:
        columns[name].describe()
    return time.process_time() - began
