"""Results as the value of a cell."""

import ast
from typing import Any

from nnlab.magics.views import show
from nnlab.report.bundle import Bundle
from nnlab.report.html import visible


def one_line(value: Any) -> None:
    """The value's repr; what it holds stands above it."""
    show(Bundle({"text/plain": visible(repr(value))}))


def static(value: Any) -> list[Bundle]:
    """All that a result shows, as at the end of its work."""
    from nnlab.magics.doctor import mending_lines
    from nnlab.report import ahead, bundle, diagnosis, difference, evaluation

    make = {
        "LrRange": lambda: ahead.lr_range_bundles(
            value, f"%nn_train data{f' --lr {value.rounded}' * bool(value.best)}"
        ),
        "Prepared": lambda: bundle.prepared_bundles(value),
        "Run": lambda: bundle.run_bundles(value, value.line),
        "BackgroundRun": lambda: bundle.run_bundles(value, value.line),
        "Study": lambda: bundle.study_bundles(value),
        "Diagnosis": lambda: diagnosis.diagnosis_bundles(value, mending_lines(value)),
        "Difference": lambda: difference.difference_bundles(value),
        "Evaluated": lambda: evaluation.evaluation_bundles(value),
        "Listed": lambda: bundle.runs_bundles(list(value)),
    }
    return make[type(value).__name__]()


def ends_with(ip: Any, cell: str, text: str) -> bool:
    """Whether the value of the cell is that of the magic text, called by itself or under another one such as %%time."""
    try:
        body = ast.parse(ip.transform_cell(cell)).body
    except (SyntaxError, ValueError):
        return False
    last = body[-1].value if body and isinstance(body[-1], ast.Expr) else None
    if not isinstance(last, ast.Call) or not getattr(last.func, "attr", "").endswith("_magic"):
        return False
    said = " ".join(str(word.value) for word in last.args if isinstance(word, ast.Constant)).split()
    wanted = text.split()
    found = said[-len(wanted) :]
    return [found[0].lstrip("%"), *found[1:]] == wanted if found else False
