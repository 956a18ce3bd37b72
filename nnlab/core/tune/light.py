"""Trials of fewer members than the run they search for, so that a study of a recipe with many is affordable.

A run of eight networks side by side is about eight times as dear as one of them, and what makes one of them better
mostly makes their mean better. So trials are compared with one each, the first one too, and the best few are trained
again with all members beside the first (`Finals`), which decides between them.
"""

from collections.abc import Iterator, Mapping
from dataclasses import replace

from nnlab.core.errors import SpecError
from nnlab.core.network import members_apart
from nnlab.core.options import resolve
from nnlab.core.registry import Part
from nnlab.core.spec import TrainSpec, TuneSpec
from nnlab.core.tune.ranges import Range, Searched
from nnlab.core.tune.strategies import SAMPLERS

AUTO = 1  # members of a trial where nothing is said


def members_of_trials(
    spec: TuneSpec, base: TrainSpec, first: TrainSpec, space: Mapping[str, Searched], several: bool
) -> int | None:
    """How many members each trial's network has; None where it has all that its run shall have.

    That is where members are searched themselves, or share their weights, or trials inherit from one another, or
    several objectives ask for the whole network: SpecError if fewer are asked for there.
    """
    if several and spec.trial_members is not None:
        raise SpecError(
            f"trial_members={spec.trial_members} and --objectives: latency and parameters are those of the whole "
            "network; leave one of the two out"
        )
    searched = any(name.rpartition(".")[2] == "members" for name in space)
    if searched and spec.trial_members is not None:
        raise SpecError(
            f"trial_members={spec.trial_members}: members are searched themselves; take them out of the space"
        )
    if several or searched or SAMPLERS[spec.sampler.name].facts.get("exchange"):
        return None
    count = AUTO if spec.trial_members is None else spec.trial_members
    return count if any((members_apart(one) or 0) > count for one in _runs(base, first, space)) else None


def _runs(base: TrainSpec, first: TrainSpec, space: Mapping[str, Searched]) -> Iterator[TrainSpec]:
    """The runs that trials start from, one for each model."""
    yield from (base, first)
    models = space.get("model")
    for model in models.choices if isinstance(models, Range) else ():
        yield resolve(TrainSpec, {"model": model}, base)


def light(spec: TrainSpec, members: int | None) -> TrainSpec:
    """The run with so many members at the most, where they have weights of their own; None: as it is."""
    if members is None or (members_apart(spec) or 0) <= members:
        return spec
    return replace(spec, model=Part(spec.model.name, {**spec.model.values, "members": members}))
