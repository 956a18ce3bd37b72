"""Trials of a group trained: as one stack for each fold where that can be, else one after the other."""

import contextlib
from collections.abc import Iterator, Mapping, Sequence

from nnlab.core.data.prepare import Prepared
from nnlab.core.models.custom import Maker
from nnlab.core.spec import TrainSpec
from nnlab.core.tune.case import Case
from nnlab.core.tune.population import Claim, Member, trained
from nnlab.core.tune.watch import Searching


class Group:
    """Claims of one shape. specs: by the trials' numbers; prunes: whether the study may end one early."""

    def __init__(
        self,
        search: Searching,
        claims: Sequence[Claim],
        specs: Mapping[int, TrainSpec],
        folds: Sequence[Prepared],
        prunes: bool = True,
    ) -> None:
        self._prunes = prunes
        self._search, self._claims, self._specs, self._folds = search, list(claims), specs, folds

    def ended(self, metric: str, model: Maker, name: str) -> Iterator[tuple[Claim, Case]]:
        """Train them; gives each when it has ended, and none any more when the search is over. name: of the study."""
        left = list(self._claims)
        if len(left) > 1 and not self._search.over:
            for claim, case in self._stacked(metric, name):
                left.remove(claim)
                yield claim, case
        for claim in left:
            if self._search.over:
                return
            case, number = self._case(claim, metric), claim[0].number
            case.train(self._specs[number], model, f"{name} trial {number}")
            yield claim, case

    def _case(self, claim: Claim, metric: str) -> Case:
        return Case(self._search, self._folds, metric, claim[0] if self._prunes else None)

    def _stacked(self, metric: str, name: str) -> Iterator[tuple[Claim, Case]]:
        """As one stack for each fold; where a stack breaks, not all come."""
        cases = {claim[0].number: self._case(claim, metric) for claim in self._claims}
        for data in self._folds:
            alive = [claim for claim in self._claims if cases[claim[0].number].end is None]
            if not alive:
                return
            members = [Member(claim, self._specs[claim[0].number], cases[claim[0].number].watch) for claim in alive]
            came = 0
            with contextlib.closing(trained(members, data, name)) as ended:
                for member in ended:
                    case = cases[member.claim[0].number]
                    if member.run is not None:
                        case.take(member.run)
                    elif member.error is not None:
                        case.fail(member.error)
                    came += 1
                    if case.end is not None:
                        yield member.claim, case
            if came < len(alive):
                return
