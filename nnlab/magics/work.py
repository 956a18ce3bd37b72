"""Work that is watched while it goes on, and what is shown when it is done."""

import contextlib
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from nnlab.core.controls import Controls
from nnlab.core.events import Earlier, Grounded
from nnlab.core.store.files import store_root
from nnlab.magics.body import begin_at_user
from nnlab.magics.views import Kind, View, make_view, second_press, show
from nnlab.report.bundle import Bundle
from nnlab.report.html import visible

if TYPE_CHECKING:
    from nnlab.magics import Lab


def under_view(
    lab: "Lab",
    word: str,
    muted: bool,
    kind: Kind,
    work: Callable[[View, Controls], Any],
    bundles_of: Callable[[Any], list[Bundle]],
) -> Any:
    """Work under a view, which is closed however the work ends. A late interrupt does not lose the result."""
    controls = Controls()
    live = lab.live_view
    view = make_view(word, muted, lab.ip, (lambda: live(controls, kind)) if live else None)
    lab.working = controls
    try:
        result = work(view, controls)
    except BaseException as error:
        view.close([])
        begin_at_user(lab.ip, error)
        raise
    finally:
        lab.working = None

    if muted and kind == "train":
        lab.later[result] = bundles_of

    def remembered(result: Any) -> list[Bundle]:
        lab.bundles[result] = made = bundles_of(result)
        return made

    bundles: list[Bundle] = []
    with second_press(controls.stop_reason == "interrupted"):
        with contextlib.suppress(KeyboardInterrupt):
            bundles = [] if muted else drawn(remembered, result)
        with contextlib.suppress(KeyboardInterrupt):
            view.close(bundles)
    return result


def beside_earlier(fingerprint: str, work: Callable[..., Any], ground: Any = None) -> Callable[..., Any]:
    """A training whose view may also show the run before it on the same data, and what it gives over a ground."""

    def worked(**how: Any) -> Any:
        if "view" in how:
            from nnlab.core.store.earlier import earlier_run

            how["view"](Earlier(lambda: earlier_run(store_root(), fingerprint)))
            if ground is not None:
                how["view"](Grounded(ground))
        return work(**how)

    return worked


def drawn(bundles_of: Callable[[Any], list[Bundle]], result: Any) -> list[Bundle]:
    """The bundles of a result; of one that cannot be drawn, or whose drawing is interrupted, a line that says so."""
    try:
        return bundles_of(result)
    except KeyboardInterrupt:
        reason = "interrupted; show the value again to draw it"
    except Exception as error:
        reason = f"{type(error).__name__}: {error}"
    return [Bundle({"text/plain": visible(f"{result!r}\nnot drawn: {reason}")})]


def publish(bundles_of: Callable[[Any], list[Bundle]], result: Any, muted: bool) -> None:
    """Show a result, unless the line ends with ;"""
    for bundle in () if muted else drawn(bundles_of, result):
        show(bundle)
