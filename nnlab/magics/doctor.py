"""%nn_diagnose: the run that is meant, its data, and the lines that would mend what is found."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from nnlab.core.errors import NNLabError
from nnlab.core.spec import CUSTOM
from nnlab.magics import subjects
from nnlab.magics.lines import to_line
from nnlab.magics.scan import Word
from nnlab.magics.text import parse

if TYPE_CHECKING:
    from nnlab.core.diagnose.doctor import Diagnosis
    from nnlab.core.diagnose.registry import Verdict
    from nnlab.core.run import Run

NAMELESS = ("DataFrame", "LazyFrame", "Table", "dict", "arrays")  # what tables are called that came without a name
SUBJECT = "data"  # what a line calls prepared data where nobody said how


def data_of(run: "Run", name: str | None, names: Mapping[str, Any], verb: str = "nn_diagnose") -> tuple[Any, str]:
    """What the run was trained on, and the variable that holds it: the one that is named, else one that fits."""
    if name is not None:
        return subjects.prepared(Word(((name, ""),)), names, verb), name
    known = subjects.visible(names, subjects.is_prepared)
    there = [word for word in known if names[word].fingerprint == run.fingerprint]
    return (names[there[-1]], there[-1]) if there else (None, SUBJECT)


def mending_lines(diagnosis: "Diagnosis", data: str = SUBJECT) -> dict[str, str]:
    """The cell that would mend each finding, by its name; nothing where no option can. data: the variable."""
    cells = {verdict.name: _cell(diagnosis.run, verdict, data) for verdict in diagnosis.verdicts}
    return {name: cell for name, cell in cells.items() if cell}


def _cell(run: "Run", verdict: "Verdict", data: str) -> str:
    from nnlab.core.diagnose.mending import mended, prepared_anew

    steps = []
    if verdict.prepare:
        name = str(run.summary["name"])
        frame = "df" if name in NAMELESS else name
        steps.append(f"{data} = {to_line('nn_preprocess', frame, prepared_anew(run, verdict))}")
    if verdict.look:
        return to_line("nn_evaluate", run.name or run.id)
    if verdict.fix or verdict.prepare:
        spec, calibrate = mended(run, verdict)
        extra = {"model": _network(run), "calibrate": calibrate or None}
        steps.append(to_line("nn_train", data, spec, extra=extra, keep=verdict.fix))
    code = (run.code or "").strip("\n")
    if code and steps:
        return "\n\n".join([*steps[:-1], f"%{steps[-1]}\n{code}"])
    return "\n".join(steps)


def _network(run: "Run") -> str | None:
    """The variable with the user's own network, as the run's line has it."""
    if run.spec.model.name != CUSTOM or run.code:
        return None
    try:
        head, _, rest = (run.line or "").strip().partition(" ")
        word = parse(rest, None, head.lstrip("%")).options.get("model")
    except (NNLabError, KeyError):
        word = None
    return str(word or run.spec.model.values.get("name") or CUSTOM)
