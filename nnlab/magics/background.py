"""Runs in the background: what shows them, in which cell, and how they are stopped and shown again."""

import contextlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from nnlab.core.controls import Controls
from nnlab.core.errors import NNLabError, RunError
from nnlab.core.events import Event
from nnlab.magics import subjects
from nnlab.magics.front_end import front_end
from nnlab.magics.runs import any_run
from nnlab.magics.scan import Word, plain, value_of
from nnlab.magics.text import Call
from nnlab.magics.views import FIELDS, LIVE, View, show
from nnlab.magics.work import Training, drawn, publish, under_view
from nnlab.report.bundle import Bundle
from nnlab.report.html import visible

if TYPE_CHECKING:
    from nnlab.core.background.run import BackgroundRun
    from nnlab.core.run import Run
    from nnlab.magics import Lab

SHOWN_AGAIN = "is shown again; run the cell once more to train anew"


@dataclass(eq=False)
class Shown:
    """A run in the background as this session knows it. cell: what asked for it, to know it again. told: what each of
    its views hears first.

    news: it has ended by itself, perhaps behind a closed tab, and no cell has asked for it since.
    """

    run: "BackgroundRun"
    cell: tuple[Any, ...]
    bundles_of: Callable[[Any], list[Bundle]]
    told: Sequence[Event] = ()
    view: View | None = None
    news: bool = False


def carried(lab: "Lab", said: Call, own: Mapping[str, Any], cell: tuple[Any, ...], training: Training) -> Any:
    """A training under its view: in this cell, or in the background. cell: by which it is known when it runs again."""
    if wanted(lab, own):
        return started(lab, said, own["view"], cell, training)

    def watched(view: View, controls: Controls) -> "Run":
        for event in training.told:
            view(event)
        return training.work(view=view, controls=controls)

    return under_view(lab, own["view"], said.muted, "train", watched, training.bundles_of)


def wanted(lab: "Lab", own: Mapping[str, Any]) -> bool:
    """Whether the run shall train in the background; where nobody looks on, the next cell would come too early."""
    if not own["background"]:
        return False
    if front_end(lab.ip).view != "none":
        return True
    print("nnlab: the notebook is run by a program here, which would not wait: --background trains in the cell")
    return False


def started(lab: "Lab", said: Call, word: str, cell: tuple[Any, ...], training: Training) -> "BackgroundRun":
    """The run that begins now, shown in this cell; of a cell that is run again, the one that it asked for before."""
    before: Shown | None = lab.background
    if before is not None and before.cell == cell and (before.run.alive or before.news):
        _say(f"run {before.run.label} {'still trains, and moves into this cell' if before.run.alive else SHOWN_AGAIN}")
        return _shown_here(lab, before, word, said.muted)
    run: Any = training.work(background=True)
    lab.background = here = Shown(run, cell, training.bundles_of, training.told)
    lab.later[run] = lambda run: _remembered(lab, here)
    run.when_over(lambda: _over(lab, here))
    return _shown_here(lab, here, word, said.muted)


def attach(lab: "Lab", said: Call, names: Mapping[str, Any]) -> Any:
    """Show in this cell the run that is meant: live while it trains in the background, else its result."""
    view = said.verb.own["view"]
    here = _begun_elsewhere(lab) or lab.background
    if here is not None and _is_meant(here.run, said, names):
        return _shown_here(lab, here, view.read(said.options.get("view", view.default)), said.muted)
    from nnlab.magics.show import static

    run = any_run(said if said.words else replace(said, words=(Word((("last", ""),)),)), None, names)
    publish(lambda run: lab.bundles.get(run) or static(run), run, said.muted)
    return run


def _begun_elsewhere(lab: "Lab") -> Shown | None:
    """The run that trains in the background by the word of plain Python, known from now on."""
    from nnlab.core.background.run import alive
    from nnlab.report.bundle import run_bundles

    run = alive()
    if run is None or (lab.background is not None and lab.background.run is run):
        return None
    lab.background = here = Shown(run, (), lambda run: run_bundles(run, run.line))
    return here


def stop(lab: "Lab", said: Call, names: Mapping[str, Any]) -> "BackgroundRun | None":
    """End the run that trains in the background, and wait for its end."""
    from nnlab.core.background.run import alive

    run = alive()
    if run is None and front_end(lab.ip).view == "none":  # the cell that asked for the background has trained it
        _say("no run trains in the background, as a program runs the notebook")
        return None
    if run is None:
        raise RunError("no run trains in the background")
    if said.subject is not None and not _is_meant(run, said, names):
        raise RunError(f"run {said.subject.text} does not train in the background; run {run.label} does")
    run.stop()
    if not said.muted:
        best = f", epoch {run.best_epoch} is the best" if run.best_epoch else ""
        _say(f"run {run.label} stopped after epoch {run.finished.epoch}{best}; %nn_train --resume {run.id} goes on")
    return run


def _is_meant(run: "BackgroundRun", said: Call, names: Mapping[str, Any]) -> bool:
    if said.subject is None:
        return True
    value = value_of(said.subject, names)
    held = names.get(value) if isinstance(value, str) else value
    if subjects.is_a(held, ("nnlab", "Run")):
        return held is run
    word = str(plain(value, said.subject.text))
    return word in ("last", run.id, run.name) or _stored_id(word) == run.id


def _stored_id(word: str) -> str | None:
    from nnlab.core.store.runs import Store

    with contextlib.suppress(NNLabError):
        return Store().find(word).id
    return None


def _shown_here(lab: "Lab", here: Shown, word: str, muted: bool) -> "BackgroundRun":
    """Show the run in the cell that is running; a cell before that showed it says so."""
    run, before = here.run, here.view
    here.news, here.view = False, None
    if before is not None:
        run.unwatch(before)
        before.close([Bundle({"text/plain": f"run {visible(run.label)} is shown in another cell"})])
    if muted:
        return run
    if not run.alive:
        if run.error is not None:
            raise run.error
        publish(lambda run: _remembered(lab, here), run, False)
        return run
    view = _view(lab, here, word)
    if view is None:
        _say(repr(run) if before is not None or run.record.started else _promise(run))
    else:
        here.view = view
        for event in here.told:
            view(event)
        run.watch(view)
        run.when_over(lambda: _closed(lab, here, view))
    return run


def _promise(run: "BackgroundRun") -> str:
    return f"run {run.label} trains in the background: %nn_attach shows how it stands, %nn_stop ends it"


def _view(lab: "Lab", here: Shown, word: str) -> View | None:
    """What moves while the run trains; None where nothing can."""
    front = front_end(lab.ip)
    if lab.live_view is None or not front.widgets or (front.view if word == "auto" else word) not in LIVE:
        return None
    told: dict[str, Any] = {"since": here.run.began, "below": _promise(here.run), "fields": word == FIELDS}
    return lab.live_view(here.run.controls, "train", **told)


def _over(lab: "Lab", here: Shown) -> None:
    here.news = here.run.error is None and here.run.state in ("completed", "stopped_early")


def _closed(lab: "Lab", here: Shown, view: View) -> None:
    """The run is over: its result takes the place of what moved; from the thread that has listened to it."""
    if here.view is not view:
        return
    here.view = None
    error = here.run.error
    if error is None:
        view.close(drawn(lambda run: _remembered(lab, here), here.run))
    else:
        words = str(error) if isinstance(error, NNLabError) else f"{type(error).__name__}: {error}"
        view.close([Bundle({"text/plain": f"nnlab: {visible(words)}"})])


def _remembered(lab: "Lab", here: Shown) -> list[Bundle]:
    if here.run not in lab.bundles:
        lab.bundles[here.run] = here.bundles_of(here.run)
    return lab.bundles[here.run]


def _say(line: str) -> None:
    show(Bundle({"text/plain": visible(line)}))
