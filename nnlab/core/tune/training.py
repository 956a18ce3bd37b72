"""Trials of a group trained: as one stack for each fold where that can be, else one after the other."""

import contextlib
import importlib.util
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from nnlab.core.data.prepare import Prepared
from nnlab.core.device import pick_device
from nnlab.core.errors import SpecError
from nnlab.core.learners.stack.together import can_share, can_stand_together
from nnlab.core.models.custom import Maker
from nnlab.core.spec import TrainSpec, part_values
from nnlab.core.tune.case import Case
from nnlab.core.tune.folds import folds_of
from nnlab.core.tune.header import Header
from nnlab.core.tune.pbt import Exchange
from nnlab.core.tune.population import MOST_TOGETHER, Claim, Member, trained
from nnlab.core.tune.preparing import Preparations
from nnlab.core.tune.strategies import SAMPLERS, Judged, exchanges
from nnlab.core.tune.watch import Searching, Watch


def exchange_for(header: Header, number: int) -> Exchange | None:
    """What happens between the epochs of a stack whose first trial has this number; None for most samplers."""
    if not exchanges(header):
        return None
    values = part_values(SAMPLERS, header.spec.sampler)
    seed = int(np.random.SeedSequence([header.base.seed, number]).generate_state(1)[0])
    return Exchange(header.space, header.maximize, seed, **values)


def check_study(header: Header, model: Maker, data: Preparations) -> None:
    """SpecError or DataError where a study cannot begin as it is asked for; nothing of it is written before."""
    folds_of(data.of({}), header.spec.folds)
    check_exchange(header, model, data)
    parts_to_rank(header, model)
    _check_cluster(header.spec.on)


def _check_cluster(address: str | None) -> None:
    if address is None:
        return
    if address != "ray" and not address.startswith("ray://"):
        raise SpecError(f"--on {address}: expected ray, or ray://host:port of a cluster")
    if importlib.util.find_spec("ray") is None:
        raise SpecError(f'--on {address} needs the package ray: pip install "nnlab[ray]"')


def check_exchange(header: Header, model: Maker, data: Preparations) -> None:
    """SpecError where trials shall take over from one another and cannot, as they do not train side by side."""
    if not exchanges(header):
        return
    base, sampler = header.base, header.spec.sampler
    if header.spec.folds is not None:
        raise SpecError(f"sampler {sampler} and --folds: a trial that inherits has one course, not one for each fold")
    if model is not None or not can_stand_together(base, data.of({}), pick_device(base.device)):
        raise SpecError(
            f"sampler {sampler} trains trials side by side, which {base.model} as it is set cannot; "
            "write --model mlp or resnet"
        )


def parts_to_rank(header: Header, model: Maker) -> Mapping[str, Any] | None:
    """What the sampler says of one network that holds all others; None for most. SpecError where none can hold all."""
    if not SAMPLERS[header.spec.sampler.name].facts.get("one_shot"):
        return None
    from nnlab.core.tune.one_shot import check

    if model is not None:
        raise SpecError("sampler one_shot searches parts of nnlab's mlp; take your network away, or another sampler")
    check(header.space, header.base)
    return part_values(SAMPLERS, header.spec.sampler)


@dataclass(frozen=True)
class Again:
    """A trial's spec that is trained again, in the place of a trial. number: among these; title: of its run."""

    number: int
    title: str


class Group:
    """Claims of one shape. specs: by the trials' numbers; judged: by what a pruner judges them;
    exchange: what happens between the epochs of their stack."""

    def __init__(
        self,
        search: Searching,
        claims: Sequence[Claim],
        specs: Mapping[int, TrainSpec],
        folds: Sequence[Prepared],
        judged: Judged = "epochs",
        exchange: Exchange | None = None,
    ) -> None:
        self._judged, self._exchange = judged, exchange
        self._search, self._claims, self._specs, self._folds = search, list(claims), specs, folds

    def ended(self, metric: str, model: Maker, name: str) -> Iterator[tuple[Claim, Case]]:
        """Train them; gives each when it has ended, and none any more when the search is over. name: of the study."""
        left = list(self._claims)
        stacked = self._in_folds if self._folds_together(model) else self._stacked if len(left) > 1 else None
        if stacked is not None and not self._search.over:
            for claim, case in stacked(metric, name):
                left.remove(claim)
                yield claim, case
        for claim in left:
            if self._search.over:
                return
            case, number = self._case(claim, metric), claim[0].number
            case.train(self._specs[number], model, f"{name} {getattr(claim[0], 'title', f'trial {number}')}")
            yield claim, case

    def _case(self, claim: Claim, metric: str) -> Case:
        trial = None if isinstance(claim[0], Again) else claim[0]
        return Case(self._search, self._folds, metric, trial, self._judged)

    def _folds_together(self, model: Maker) -> bool:
        """Whether the folds of a trial can be members of one stack. A pruner of folds needs one after the other."""
        if len(self._folds) < 2 or model is not None or self._judged == "folds" or self._exchange is not None:
            return False
        spec, first = next(iter(self._specs.values())), self._folds[0]
        return can_stand_together(spec, first, pick_device(spec.device)) and len(self._alike()) < len(self._folds)

    def _alike(self) -> list[list[int]]:
        """The places of the folds by what can stand in one stack."""
        spec, groups = next(iter(self._specs.values())), list[list[int]]()
        most = max(1, MOST_TOGETHER // len(self._claims))
        for at, fold in enumerate(self._folds):
            fits = (g for g in groups if len(g) < most and can_share(self._folds[g[0]], fold, spec))
            group = next(fits, None)
            if group is None:
                groups.append([at])
            else:
                group.append(at)
        return groups

    def _in_folds(self, metric: str, name: str) -> Iterator[tuple[Claim, Case]]:
        """As one stack of all folds that are alike; where a stack breaks, not all come. What a trial comes to is what
        it would come to on one fold after the other."""
        cases = {claim[0].number: self._case(claim, metric) for claim in self._claims}
        watches = {
            (number, at): case.watch if at == 0 else Watch(self._search, metric)
            for number, case in cases.items()
            for at in range(len(self._folds))
        }
        held: dict[tuple[int, int], Member] = {}
        for places in self._alike():
            living = [claim for claim in self._claims if cases[claim[0].number].end is None]
            members = {
                (claim[0].number, at): Member(
                    claim, self._specs[claim[0].number], watches[claim[0].number, at], self._folds[at]
                )
                for claim in living
                for at in places
            }
            if not members:
                return
            place = {id(member): key for key, member in members.items()}
            came = 0
            with contextlib.closing(trained(list(members.values()), self._folds[places[0]], name)) as ended:
                for member in ended:
                    came += 1
                    held[place[id(member)]] = member
                    case = cases[member.number]
                    open_before = case.end is None
                    self._take_folds(member.number, case, watches, held)
                    if open_before and case.end is not None and not case.end.cut:
                        yield member.claim, case
            # All folds of a stack are cut at once, and each that had validated an epoch is part of the result.
            yield from ((claim, case) for claim in living if (case := cases[claim[0].number]).end and case.end.cut)
            if came < len(members):
                return

    def _take_folds(
        self, number: int, case: Case, watches: Mapping[tuple[int, int], Watch], held: Mapping[tuple[int, int], Member]
    ) -> None:
        """Give a trial the runs that are its next ones; its end ends its other runs."""
        while case.is_open and (member := held.get((number, len(case.runs)))) is not None:
            case.watch = watches[number, len(case.runs)]
            if member.run is not None:
                case.take(member.run)
            elif member.error is not None:
                case.fail(member.error)
        if not case.is_open:
            for at in range(len(self._folds)):
                watches[number, at].controls.stop("pruned")

    def _stacked(self, metric: str, name: str) -> Iterator[tuple[Claim, Case]]:
        """As one stack for each fold; where a stack breaks, not all come."""
        cases = {claim[0].number: self._case(claim, metric) for claim in self._claims}
        for data in self._folds:
            alive = [claim for claim in self._claims if cases[claim[0].number].end is None]
            if not alive:
                return
            members = [Member(claim, self._specs[claim[0].number], cases[claim[0].number].watch) for claim in alive]
            came = 0
            with contextlib.closing(trained(members, data, name, self._exchange)) as ended:
                for member in ended:
                    case = cases[member.claim[0].number]
                    if member.run is not None:
                        case.take(member.run)
                    elif member.error is not None:
                        case.fail(member.error)
                    if self._exchange is not None and case.end is not None:
                        inherited = self._exchange.history.get(member.number, ())
                        case.end = replace(case.end, inherited=tuple(inherited))
                    came += 1
                    if case.end is not None:
                        yield member.claim, case
            if came < len(alive):
                return
