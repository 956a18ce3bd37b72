"""%nn_runs and %nn_diff: the runs of the store as a list, what is done to them, and what differs between two."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from nnlab.core.choosing import chosen, ordered
from nnlab.core.errors import SpecError
from nnlab.core.store import trash
from nnlab.core.store.marks import known_tags, mark, marks_of
from nnlab.core.wording import counted
from nnlab.magics.front_end import touchable
from nnlab.magics.runs import run_or_found, run_or_info, with_history
from nnlab.magics.text import Call
from nnlab.magics.work import publish

if TYPE_CHECKING:
    from nnlab.core.difference import Difference
    from nnlab.core.store.runs import Store
    from nnlab.magics import Lab

MARKING = ("tag", "untag", "note")


class Listed(list[Any]):
    """Runs that were listed; the table stands above, so one line is enough here."""

    __hash__ = object.__hash__  # type: ignore[assignment]  # a result is known again by what it is, not by what it holds

    def __repr__(self) -> str:
        return counted(len(self), "run")


def runs(lab: "Lab", said: Call, own: Mapping[str, Any], names: Mapping[str, Any], store: "Store") -> Listed | None:
    """The runs that are asked for, or those that are named with their curves, after what is done to them."""
    from nnlab.report.bundle import runs_bundles

    deed = _deed(said, own)
    if deed == "delete":
        _delete(said, names, store)
        return None
    if deed == "undo":
        return _show(trash.undo(store.root), said, 0)
    find = run_or_found if deed else run_or_info  # a run without weights has no curves, but can be marked
    asked: dict[str, Any] = {run.id: run for run in (find(word, names, store) for word in said.words)}
    if own["untag"] is not None:
        _check_tag(own["untag"], list(asked.values()))
    for run in asked.values() if deed else ():
        if run.path is None:
            raise SpecError("the run is in no store, so it cannot be marked; run.save(folder) keeps it")
        mark(run.path, own["tag"], own["untag"], (own["note"] or "") if "note" in said.options else None)
    there = list(asked.values()) if said.words else store.runs()
    if own["explore"] and there and not deed and not said.muted and touchable(lab, lab.run_table):
        typed = {"limited": "limit" in said.options, "named": bool(said.words)}
        lab.run_table(there, {**own, **typed}, with_history, runs_bundles)  # type: ignore[misc]  # it is there
        return Listed(there)
    found = chosen(there, own["tagged"], own["where"])
    found = ordered(found, own["sort"]) if own["sort"] else found
    shown = found if said.words else found[: own["limit"]]
    shown = [with_history(run) for run in shown] if own["curves"] else shown
    return _show(shown, said, len(found) or len(there), own["sort"])


def _check_tag(tag: str, runs: list[Any]) -> None:
    """A line for each run that lacks the tag which is to be taken away; SpecError if none has it."""
    without = [run for run in runs if tag not in marks_of(run.path).tags]
    if len(without) == len(runs):
        known = ", ".join(known_tags(run.path for run in runs if run.path is not None)) or "none"
        which = f"run {runs[0].name or runs[0].id} has no" if len(runs) == 1 else "none of these runs has the"
        raise SpecError(f"{which} tag {tag!r}; theirs: {known}")
    for run in without:
        print(f"nnlab: run {run.name or run.id} has no tag {tag!r}")


def _show(found: list[Any], said: Call, total: int, by: str | None = None) -> Listed:
    from nnlab.report.bundle import runs_bundles

    publish(lambda runs: runs_bundles(runs, total, by), found, said.muted)
    return Listed(found)


def _deed(said: Call, own: Mapping[str, Any]) -> str:
    """What is to be done to the runs that are named: mark, delete or undo; SpecError where that cannot be meant."""
    deeds = {"delete" if own["delete"] else "", "undo" if own["undo"] else ""}
    deeds |= {"mark" for name in MARKING if name in said.options}
    asked = sorted(deeds - {""})
    if len(asked) > 1:
        raise SpecError("%nn_runs marks, deletes or undoes: one of them at a time")
    if "tag" in said.options and own["tag"] is None:
        raise SpecError(f"--tag {said.options['tag']}: the word means that there is no value; take another one")
    if asked == ["undo"] and said.words:
        raise SpecError("%nn_runs --undo takes no runs: it brings back what was deleted last")
    if asked and asked != ["undo"] and not said.words:
        option = next(name for name in (*MARKING, "delete") if name in said.options)
        raise SpecError(f"%nn_runs --{option} needs runs: numbers, ids, names, variables or last")
    return asked[0] if asked else ""


def _delete(said: Call, names: Mapping[str, Any], store: "Store") -> None:
    from nnlab.report.blocks import Sentence
    from nnlab.report.bundle import page

    asked = {run.id: run for run in (run_or_found(word, names, store) for word in said.words)}
    trash.delete(store.root, [store.find(id) for id in asked])
    told = Sentence(f"{counted(len(asked), 'run')} deleted:", f"{', '.join(asked)};  %nn_runs --undo  brings back")
    publish(lambda block: [page([block])], told, said.muted)


def difference(said: Call, names: Mapping[str, Any], store: "Store") -> "Difference":
    """What differs between the two runs that are named."""
    if len(said.words) != said.verb.words:
        raise SpecError(
            "%nn_diff needs two runs, such as  %nn_diff 3 7  or  %nn_diff baseline last;  %nn_runs lists them"
        )
    from nnlab.core.difference import diff
    from nnlab.report.difference import difference_bundles

    a, b = (run_or_found(word, names, store) for word in said.words)
    found = diff(a, b, store.root)
    publish(difference_bundles, found, said.muted)
    return found
