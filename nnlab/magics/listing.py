"""%nn_runs and %nn_diff: the runs of the store as a list, and what differs between two of them."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from nnlab.core.errors import SpecError
from nnlab.core.wording import counted
from nnlab.magics.runs import run_or_found, run_or_info
from nnlab.magics.text import Call
from nnlab.magics.work import publish

if TYPE_CHECKING:
    from nnlab.core.difference import Difference
    from nnlab.core.store.runs import Store


class Listed(list[Any]):
    """Runs that were listed; the table stands above, so one line is enough here."""

    __hash__ = object.__hash__  # type: ignore[assignment]  # a result is known again by what it is, not by what it holds

    def __repr__(self) -> str:
        return counted(len(self), "run")


def runs(said: Call, own: Mapping[str, Any], names: Mapping[str, Any], store: "Store") -> Listed:
    """The newest runs of the store, or those that are named, with their curves."""
    from nnlab.report.bundle import runs_bundles

    there = [] if said.words else store.runs()
    asked = {run.id: run for run in (run_or_info(word, names, store) for word in said.words)}
    found = list(asked.values()) or there[: own["limit"]]
    publish(lambda runs: runs_bundles(runs, len(there)), found, said.muted)
    return Listed(found)


def difference(said: Call, names: Mapping[str, Any], store: "Store") -> "Difference":
    """What differs between the two runs that are named."""
    if len(said.words) != said.verb.words:
        raise SpecError("%nn_diff needs two runs, such as  %nn_diff baseline last;  %nn_runs lists them")
    from nnlab.core.difference import diff
    from nnlab.report.difference import difference_bundles

    a, b = (run_or_found(word, names, store) for word in said.words)
    found = diff(a, b, store.root)
    publish(difference_bundles, found, said.muted)
    return found
