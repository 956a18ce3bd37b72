"""Work that is watched while it goes on, and what is shown when it is done."""

import contextlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from nnlab.core.controls import Controls
from nnlab.core.events import Earlier, Event, Grounded
from nnlab.core.store.files import store_root
from nnlab.magics.body import begin_at_user
from nnlab.magics.views import Kind, View, make_view, second_press, show
from nnlab.report.bundle import Bundle
from nnlab.report.html import visible

if TYPE_CHECKING:
    from nnlab.core.run import Run
    from nnlab.core.store.reading import RunInfo
    from nnlab.magics import Lab


@dataclass(frozen=True)
class Training:
    """A training that was ordered. work: gets view and controls, or that it is in the background, and gives the run.

    bundles_of: what the result shows. told: what a view hears before the run begins.
    """

    work: Callable[..., "Run"]
    bundles_of: Callable[[Any], list[Bundle]]
    told: Sequence[Event] = ()


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
    view = make_view(word, muted, lab.ip, (lambda fields: live(controls, kind, fields=fields)) if live else None)
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


def beside(fingerprint: str, ground: Any = None, other_than: str = "") -> list[Event]:
    """What a view is told before a run of this data begins: the run before it, and the ground to look at it over.

    other_than: the id of the run itself, where it goes on.
    """
    from nnlab.core.store.earlier import earlier_run

    told: list[Event] = [Earlier(lambda: earlier_run(store_root(), fingerprint, other_than))]
    return told if ground is None else [*told, Grounded(ground)]


def beside_stored(run: "RunInfo", data: Any, words: Sequence[str], again: bool) -> tuple[Any, Any, list[Event]]:
    """The same for a run of the store that goes on or, again, is repeated or left at an epoch: then it is the run to be
    seen beside. Gives the data, which is read where a ground needs it and it is None; the ground or None; what is told.
    """
    from nnlab.core.store.earlier import course_of
    from nnlab.core.store.reading import read_beginning, understood

    with understood(run.path):
        _, facts, spec = read_beginning(run.path)
    ground = None
    if words:
        from nnlab.core.playground import asked_ground
        from nnlab.core.resume import data_for

        data = data_for(facts, data)
        ground = asked_ground(data, words, spec)
    if not again:
        return data, ground, beside(facts.fingerprint, ground, run.id)
    return data, ground, [Earlier(lambda: course_of(run.path)), *([] if ground is None else [Grounded(ground)])]


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
