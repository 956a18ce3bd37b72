"""How many trials make one stack, by trial: a few steps of copies, of about 8 members and of up to 32.

What the trials come to is the same to the bit; only the time differs. Small networks gain by many members, as a call
costs as much for all as for one; those of large ones should lie in the cache together. What lies between the two is
between them in time too (measured: 16-16 to 512-512, batches of 32 to 256), so it is not tried.
"""

import copy
import math
import time
from collections.abc import Sequence

import torch
from torch import nn

from nnlab.core.data.prepare import Prepared
from nnlab.core.device import out_of_memory
from nnlab.core.learners.stack.together import Together
from nnlab.core.spec import TrainSpec
from nnlab.core.threads import first_rows

LEAST, MOST = 8, 32
WORTH = 1000  # steps of a run from which a trial costs little of it, though most of the runs be pruned
LARGE = 100_000  # weights from which few members are better where there is no trial
STEPS = 2  # of each size; the quickest counts, as others only ever take time away
LEVEL = 1.03  # of the time in small ones: as good, since stacks grow small by themselves when members leave


def stack_sizes(most: int) -> list[int]:
    """The sizes that members may be parted in, halves of halves, small ones first."""
    halved = {math.ceil(most / 2**times) for times in range(most.bit_length())}
    return sorted(size for size in halved if LEAST <= size <= MOST) or [most]


def stack_size(
    specs: Sequence[TrainSpec], networks: Sequence[nn.Module], own: Sequence[Prepared], device: str, plan: Sequence[int]
) -> int:
    """Members of a stack that train fastest. plan: the steps of each epoch."""
    sizes = [len(specs)] if device != "cpu" else stack_sizes(len(specs))
    if len(sizes) == 1:
        return sizes[0]
    if sum(plan) < WORTH:
        return sizes[0] if sum(weight.numel() for weight in networks[0].parameters()) >= LARGE else sizes[-1]
    batch = math.ceil(len(own[0].train.y) / plan[0])
    few = {id(one): first_rows(one, batch) for one in own}
    small, large = sizes[0], sizes[-1]
    found = list[float]()
    for size in (small, large):
        some = (specs[:size], copy.deepcopy(list(networks[:size])), [few[id(one)] for one in own[:size]])
        try:
            found.append(_seconds(*some, device) / size)
        except (RuntimeError, MemoryError) as error:
            if not out_of_memory(error) or not found:
                raise
            return small
    return large if found[1] <= LEVEL * found[0] else small


def _seconds(specs: Sequence[TrainSpec], networks: list[nn.Module], own: Sequence[Prepared], device: str) -> float:
    """Of a step."""
    stack = Together(specs, networks, own[0], device, 1 + STEPS, own)
    rows, times = torch.arange(len(own[0].train.y)), list[float]()
    for _ in range(1 + STEPS):  # the first one makes the buffers
        for learner in stack.learners:
            learner.step(rows, 1e-3)
        began = time.perf_counter()
        for _ in stack.steps():
            pass
        times.append(time.perf_counter() - began)
    return min(times[1:])
