"""%nn_evaluate: the run that is meant, the rows it is looked at on, and the table that they come from."""

from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from nnlab.core.errors import DataError, SpecError
from nnlab.magics import subjects
from nnlab.magics.doctor import data_of
from nnlab.magics.front_end import touchable
from nnlab.magics.runs import any_run
from nnlab.magics.scan import Word
from nnlab.magics.text import Call
from nnlab.magics.work import publish

if TYPE_CHECKING:
    from nnlab.core.evaluated.evaluated import Evaluated
    from nnlab.core.run import Run
    from nnlab.magics import Lab

PARTS = ("valid", "test", "train")


def evaluate(lab: "Lab", said: Call, own: Mapping[str, Any], names: Mapping[str, Any]) -> "Evaluated":
    """The run on the rows that are asked for, shown."""
    run = any_run(said, own["model"], names)
    from nnlab.report.evaluation import VIEWS, Asked, evaluation_bundles

    found = _of_part(run, own, names) if own["on"] in PARTS else _of_table(run, own, names)
    known = [] if found.table is None else [str(name) for name in found.table]
    pairs = [f"{first}:{second}" for first in known for second in known]
    slices = subjects.split_columns(list(own["slices"]), known)
    dependence = subjects.split_columns(list(own["dependence"]), {*known, *pairs})
    asked = Asked(own["views"] or VIEWS, own["label"], slices, dependence, own["repeats"])
    asked.check(found)
    lab.later[found] = lambda found: evaluation_bundles(found, asked)
    if own["explore"] and not said.muted and touchable(lab, lab.explorer):
        first, *others = lab.later[found](found)
        lab.explorer(found, asked.label, [first], own["sliders"])  # type: ignore[misc]  # it is there
        publish(lambda found: others, found, False)
    else:
        publish(lab.later[found], found, said.muted)
    return found


def _of_table(run: "Run", own: Mapping[str, Any], names: Mapping[str, Any]) -> "Evaluated":
    from nnlab.core.evaluated.asking import evaluate

    for option in ("data", "frame"):
        if own[option] is not None:
            raise SpecError(f"--{option} is for the rows of a preparation; --on {own['on']} is a table of its own")
    found = evaluate(run, subjects.frame(_word(own["on"]), names))
    return replace(found, part=f"rows of {own['on']}") if str(own["on"]).isidentifier() else found


def _of_part(run: "Run", own: Mapping[str, Any], names: Mapping[str, Any]) -> "Evaluated":
    from nnlab.core.evaluated.asking import evaluate

    data, _ = data_of(run, own["data"], names, "nn_evaluate")
    if data is None:
        raise SpecError(
            "no variable holds the data that the run was trained on; prepare it again and name it by --data, "
            "or evaluate on a table:  %nn_evaluate run --on df"
        )
    if own["frame"] is not None:
        return evaluate(run, data, on=own["on"], frame=subjects.frame(_word(own["frame"]), names))
    held = None if data.source else subjects.frame_of(data, None, names)
    try:
        return evaluate(run, data, on=own["on"], frame=held)
    except DataError as error:
        if held is None:
            raise
        return replace(evaluate(run, data, on=own["on"]), lacking=f"{data.name}: {error}")


def _word(text: Any) -> Word:
    return Word(((str(text), ""),))
