"""nnlab: IPython magics and widgets over one PyTorch training core.

>>> import nnlab
>>> nnlab.fit.__module__
'nnlab.core.fit'
"""

import importlib
import sys
from typing import TYPE_CHECKING, Any

from nnlab.core import showing

if TYPE_CHECKING:
    from nnlab.core.branch import branch as branch
    from nnlab.core.data.prepare import Prepared as Prepared
    from nnlab.core.data.prepare import prepare as prepare
    from nnlab.core.difference import diff as diff
    from nnlab.core.errors import DataError as DataError
    from nnlab.core.errors import DataWarning as DataWarning
    from nnlab.core.errors import NNLabError as NNLabError
    from nnlab.core.errors import RunError as RunError
    from nnlab.core.errors import SpecError as SpecError
    from nnlab.core.errors import StoreError as StoreError
    from nnlab.core.estimators import NNClassifier as NNClassifier
    from nnlab.core.estimators import NNRegressor as NNRegressor
    from nnlab.core.evaluated.asking import evaluate as evaluate
    from nnlab.core.fit import fit as fit
    from nnlab.core.lr_range import lr_range as lr_range
    from nnlab.core.own import loss as loss
    from nnlab.core.own import metric as metric
    from nnlab.core.registry import Part as Part
    from nnlab.core.replay import replay as replay
    from nnlab.core.resume import resume as resume
    from nnlab.core.run import Run as Run
    from nnlab.core.spec import PrepareSpec as PrepareSpec
    from nnlab.core.spec import TrainSpec as TrainSpec
    from nnlab.core.spec import TuneSpec as TuneSpec
    from nnlab.core.store.runs import Store as Store
    from nnlab.core.tune.resuming import resume_study as resume_study
    from nnlab.core.tune.search import tune as tune
    from nnlab.core.tune.study import Study as Study

__version__ = "0.1.0"

_HOMES = {  # public name: the module that defines it; imported at first use, so that `import nnlab` costs nothing
    "prepare": "nnlab.core.data.prepare",
    "Prepared": "nnlab.core.data.prepare",
    "fit": "nnlab.core.fit",
    "tune": "nnlab.core.tune.search",
    "diff": "nnlab.core.difference",
    "diagnose": "nnlab.core.diagnose.doctor",
    "evaluate": "nnlab.core.evaluated.asking",
    "loss": "nnlab.core.own",
    "lr_range": "nnlab.core.lr_range",
    "resume": "nnlab.core.resume",
    "replay": "nnlab.core.replay",
    "branch": "nnlab.core.branch",
    "resume_study": "nnlab.core.tune.resuming",
    "metric": "nnlab.core.own",
    "NNClassifier": "nnlab.core.estimators",
    "NNRegressor": "nnlab.core.estimators",
    "Run": "nnlab.core.run",
    "Study": "nnlab.core.tune.study",
    "Store": "nnlab.core.store.runs",
    "Part": "nnlab.core.registry",
    "PrepareSpec": "nnlab.core.spec",
    "TrainSpec": "nnlab.core.spec",
    "TuneSpec": "nnlab.core.spec",
    "NNLabError": "nnlab.core.errors",
    "SpecError": "nnlab.core.errors",
    "DataError": "nnlab.core.errors",
    "DataWarning": "nnlab.core.errors",
    "RunError": "nnlab.core.errors",
    "StoreError": "nnlab.core.errors",
}
__all__ = ["__version__", "load", "load_ipython_extension", "unload_ipython_extension", *_HOMES]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'nnlab' has no attribute {name!r}")
    return getattr(importlib.import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return sorted(__all__)


def load(word: str = "last", model: Any = None) -> Any:
    """The run that word means (last, a number, an id, a name) with its pipeline, or the study of that name.

    model: your own network."""
    from nnlab.core.tune.loading import run_or_study

    return run_or_study(word, model)


def load_ipython_extension(ip: Any) -> None:
    """What %load_ext nnlab calls."""
    from nnlab.magics import register

    register(ip, live_view=_live_view, panel=_panel, explorer=_explorer, run_table=_run_table)


def unload_ipython_extension(ip: Any) -> None:
    """What %unload_ext nnlab calls."""
    from nnlab.magics import unregister

    if "nnlab.widgets.panel" in sys.modules:
        sys.modules["nnlab.widgets.panel"].close_panels()
    unregister(ip)


def _live_view(controls: Any, kind: Any, *, fields: bool = False, since: float | None = None, below: str = "") -> Any:
    """The view of the cell that works; of a run in the background, since it began, with a line below it. fields: in
    place of sliders."""
    from nnlab.widgets.live import BackgroundView, LiveView

    if since is None:
        return LiveView(controls, kind, fields)
    return BackgroundView(controls, since, below, fields)


def _explorer(found: Any, label: Any, outputs: Any, sliders: bool) -> None:
    from nnlab.widgets.explorer import explore

    explore(found, label, outputs, sliders)


def _run_table(runs: Any, own: Any, loaded: Any, bundles: Any) -> None:
    from nnlab.widgets.run_table import open_table

    open_table(runs, own, loaded, bundles)


def _panel(lab: Any, board: Any, own: Any) -> None:
    from nnlab.widgets.panel import open_panel

    open_panel(lab, board, own)


def _report(result: Any, column: str | None) -> Any:
    from nnlab.report.shown import report

    return report(result, column)


showing.hand_in(_report)
