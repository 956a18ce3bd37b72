"""Results as the value of a cell."""

from typing import Any

from nnlab.magics.views import show
from nnlab.report.bundle import Bundle
from nnlab.report.html import visible


def one_line(value: Any) -> None:
    """The value's repr; what it holds stands above it."""
    show(Bundle({"text/plain": visible(repr(value))}))


def static(value: Any) -> list[Bundle]:
    """All that a result shows, as at the end of its work."""
    from nnlab.report import bundle

    make = {
        "Prepared": lambda: bundle.prepared_bundles(value),
        "Run": lambda: bundle.run_bundles(value, value.line),
        "Study": lambda: bundle.study_bundles(value),
        "Listed": lambda: bundle.runs_bundles(list(value)),
    }
    return make[type(value).__name__]()
