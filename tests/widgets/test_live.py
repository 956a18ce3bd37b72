"""The view by itself: what it shows, how seldom it draws, and that nothing of it can end a training or stay behind."""

import math
from collections.abc import Iterator
from dataclasses import replace
from html.parser import HTMLParser
from types import SimpleNamespace
from typing import Any

import pytest
from ipywidgets.widgets import widget
from sklearn.datasets import load_iris

from nnlab.core.controls import Controls
from nnlab.core.data.prepare import prepare
from nnlab.core.events import (
    Changed,
    EpochDone,
    Event,
    Finished,
    Progress,
    Resumed,
    Started,
    StudyStarted,
    TrialDone,
    Warned,
)
from nnlab.core.spec import TrainSpec, TuneSpec
from nnlab.core.tune.search import tune
from nnlab.report.bundle import Bundle
from nnlab.widgets import live, look
from nnlab.widgets.live import LiveView
from nnlab.widgets.pump import Pump

STARTED = Started(TrainSpec(epochs=50), "binary", 1000, 10, 999, "cpu", "module", ("accuracy",), "loss", False)
STUDY = StudyStarted("s", TuneSpec(trials=8), 0, {"lr": "1e-4..1e-1 log"}, "loss", False)


def epoch(number: int, loss: float = 0.5, **valid: Any) -> EpochDone:
    return EpochDone(number, {"loss": loss}, {"loss": loss, "accuracy": 0.8, **valid}, 1e-3, 0.01, 1e5, True)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
    """A clock that the test moves; a look at it takes no time."""
    moved = SimpleNamespace(now=0.0)
    moved.perf_counter = moved.thread_time = lambda: moved.now
    monkeypatch.setattr(live, "time", moved)
    monkeypatch.setattr("nnlab.widgets.training.time", moved)
    monkeypatch.setattr("nnlab.widgets.study.time", moved)
    return moved


@pytest.fixture(autouse=True)
def no_widget_is_left() -> Iterator[None]:
    yield
    for model in models():
        model.close()


def models() -> list[Any]:
    return list(widget._instances.values())


def texts() -> str:
    """All HTML that the panel shows now."""
    return "".join(model.value for model in models() if type(model).__name__ == "HTML")


def draw(view: LiveView, clock: SimpleNamespace, *events: Event) -> None:
    """Hand over events, the last one when it is time to draw."""
    for event in events[:-1]:
        view(event)
    clock.now += 10
    view(events[-1])


def test_the_panel_tells_where_the_run_is(clock: SimpleNamespace) -> None:
    view = LiveView(Controls())
    draw(view, clock, STARTED, epoch(1, 0.7), epoch(2, 0.25), Progress(3, 5, 10, 12345.0))
    shown = texts()
    assert "<b>3<small> / 50</small></b>" in shown and "best loss, epoch 2" in shown
    assert "12,345" in shown and "up to 0:00 left" in shown and 'aria-valuenow="5"' in shown
    assert "<td>last, epoch 2</td><td>0.2500</td>" in shown
    view.close()


def test_changes_and_warnings_are_told(clock: SimpleNamespace) -> None:
    view = LiveView(Controls())
    draw(view, clock, STARTED, Changed(1, 3, "weight_decay", 0.0, 0.1), Warned("look here"), epoch(1))
    assert "epoch 1: weight decay 0 → 0.1" in texts() and "look here" in texts()
    dots = [m for m in models() if type(m).__name__ == "Scatter" and m.colors == [look.CHANGE]]
    assert [(list(m.x), list(m.y)) for m in dots] == [([1], [0.5]), ([1], [0.8])], "on the loss and on the metric"
    view.close()


def test_a_run_without_validation_is_drawn(clock: SimpleNamespace) -> None:
    view = LiveView(Controls())
    turned = Changed(2, 1, "lr", 0.1, 0.2)
    draw(view, clock, STARTED, replace(epoch(1), valid={}), turned, replace(epoch(2, 0.4), valid={}, best=False))
    dots = [m for m in models() if type(m).__name__ == "Scatter" and m.colors == [look.CHANGE]]
    assert [(list(m.x), list(m.y)) for m in dots] == [([2], [0.4])], "a change has its dot on the training loss"
    assert "training loss" in texts() and len([m for m in models() if type(m).__name__ == "Figure"]) == 2
    view.close()


def test_a_diverging_run_is_drawn(clock: SimpleNamespace, capsys: pytest.CaptureFixture[str]) -> None:
    view = LiveView(Controls())
    draw(view, clock, STARTED, epoch(1), epoch(2, math.inf), epoch(3, math.nan))
    assert "live view stopped" not in capsys.readouterr().out and "<td>nan</td>" in texts()
    view.close()


def test_ten_thousand_epochs_a_second_are_drawn_at_most_four_times(clock: SimpleNamespace) -> None:
    view = LiveView(Controls())
    draw(view, clock, STARTED, Progress(1, 1, 10, 1.0))
    head = next(m for m in models() if type(m).__name__ == "HTML" and "nnl-facts" in m.value)
    drawn: list[str] = []
    head.observe(lambda change: drawn.append(change["new"]), "value")
    for number in range(1, 20_001):
        clock.now += 1e-4
        view(epoch(number))
    assert 2 <= len(drawn) <= 8
    view.close()


def test_what_the_doctor_says_stands_out(clock: SimpleNamespace) -> None:
    view = LiveView(Controls())
    draw(view, clock, STARTED, Warned("<b> is high; try --lr 0.01", "lr_too_high"), Warned("doctors"), epoch(1))
    assert '<div class="nnl-doctor"><b>doctor:</b> &lt;b&gt; is high; try --lr 0.01</div>' in texts()
    assert "<div>doctors</div>" in texts()
    view.close()


def test_no_text_becomes_markup(clock: SimpleNamespace) -> None:
    evil = "<img src=x onerror=alert(1)><script>x</script>"
    view = LiveView(Controls())
    metrics = replace(STARTED, metrics=(evil,), monitor=evil, maximize=True, device=evil)
    draw(view, clock, metrics, Warned(evil), epoch(1, **{evil: 0.5}), epoch(2, **{evil: 0.6}))
    assert tags(texts()) <= {"style", "div", "b", "small", "span", "i", "table", "tr", "th", "td"}
    assert "&lt;img" in texts()
    view.close()
    study = LiveView(Controls(), "tune")
    start = replace(STUDY, space={evil: ""}, metric=evil)
    draw(study, clock, start, TrialDone(0, {evil: evil}, "complete", 0.5, 3, 1.0, True, evil))
    assert tags(texts()) <= {"style", "div", "b", "small", "span", "i", "table", "tr", "th", "td"}
    study.close()


def tags(html: str) -> set[str]:
    """The elements that a browser would make of it."""
    found: set[str] = set()
    parser = HTMLParser()
    parser.handle_starttag = lambda tag, attributes: found.add(tag)  # type: ignore[method-assign]
    parser.feed(html)
    return found


def test_a_view_that_fails_says_so_once_and_lets_the_training_go_on(capsys: pytest.CaptureFixture[str]) -> None:
    view = LiveView(Controls())
    view(STARTED)
    broken = replace(epoch(1), train={"loss": "text"})  # type: ignore[dict-item]
    for event in (broken, broken, epoch(2), Finished("completed", 2, 2, 1.0)):
        view(event)
    assert capsys.readouterr().out.count("the live view stopped") == 1
    view.close()


@pytest.mark.parametrize("kind", ["train", "tune"])
@pytest.mark.parametrize("outputs", [[], [Bundle({"text/plain": "final"}, {}), Bundle({"text/plain": "table"}, {})]])
def test_closing_leaves_no_widget(
    kind: Any, outputs: list[Bundle], clock: SimpleNamespace, capsys: pytest.CaptureFixture[str]
) -> None:
    before = set(widget._instances)
    view = LiveView(Controls(), kind)
    done = TrialDone(0, {"lr": 0.1}, "complete", 0.5, 3, 1.0, True)
    draw(view, clock, STUDY if kind == "tune" else STARTED, STARTED, epoch(1), epoch(2), done)
    clock.now += 10
    view(epoch(3))
    assert len(widget._instances) > len(before) + 20
    view.close(outputs)
    assert set(widget._instances) == before
    shown = capsys.readouterr().out
    assert ("final" in shown and "table" in shown) if outputs else "training ended without a result" in shown


def test_closing_before_anything_was_shown_shows_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    LiveView(Controls()).close()
    assert capsys.readouterr().out == ""


def test_a_run_that_is_over_at_once_has_its_place_and_no_widget(
    clock: SimpleNamespace, capsys: pytest.CaptureFixture[str]
) -> None:
    view = LiveView(Controls())
    view(STARTED)
    assert "starting" in capsys.readouterr().out, "its outputs stand before what the cell prints now"
    for number in range(1, 40):
        clock.now += 0.01
        view(epoch(number))
    assert not models()
    clock.now += 10
    view(Finished("completed", 40, 1, 1.0))
    view.close([Bundle({"text/plain": "final"}, {})])
    assert not models() and "final" in capsys.readouterr().out


def test_without_a_kernel_the_panel_points_to_the_interrupt_key(clock: SimpleNamespace) -> None:
    assert not Pump().ok
    view = LiveView(Controls())
    draw(view, clock, STARTED, epoch(1))
    buttons = [m for m in models() if type(m).__name__ == "Button"]
    assert [button.disabled for button in buttons] == [True, True]
    view.close()


class Deaf(Pump):
    """A pump in a kernel whose queue can be read no longer, with a cell held back."""

    def __init__(self) -> None:
        super().__init__()
        self.ok, self._held, self._channel, self.given = True, [["a queued cell"]], None, []
        self._stream = SimpleNamespace(_recv_callback=self.given.append)

    def _waiting(self) -> bool:
        raise OSError("the socket is gone")


def test_a_pump_that_fails_says_so_and_gives_back_what_it_held(
    clock: SimpleNamespace, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(live, "Pump", Deaf)
    view = LiveView(Controls())
    draw(view, clock, STARTED, epoch(1), epoch(2))
    pump = view._pump
    assert not pump.ok and texts().count("the buttons do not work") == 1
    view.close()
    assert isinstance(pump, Deaf) and pump.given == [["a queued cell"]]


def test_a_study_is_drawn_with_its_best_trials_first(clock: SimpleNamespace) -> None:
    view = LiveView(Controls(), "tune")
    scores = [0.9, 0.4, 0.6, None, 0.3, 80.0, 0.5, 0.45]
    states = ["complete", "complete", "complete", "failed", "pruned", "complete", "stopped", "stopped"]
    trials = [
        TrialDone(n, {"lr": 10.0 ** -(n % 6)}, state, score, 5, 1.0, False)  # type: ignore[arg-type]
        for n, (score, state) in enumerate(zip(scores, states, strict=True))
    ]
    trials[6] = replace(trials[6], values={"lr": 7.0})  # of the others that were cut the values ran to an end as well
    draw(view, clock, STUDY, *trials)
    shown = texts()
    assert "best loss, trial 1" in shown and "<b>6<small> / 8</small></b>" in shown
    rows = shown.split("<tr>")[2:]
    assert [row.split("<td>")[1].split("<")[0] for row in rows] == ["1", "6", "2", "0", "5"]
    assert "<td>5 cut</td>" in rows[1] and shown.count(" cut</td>") == 1
    figure = next(m for m in models() if type(m).__name__ == "Figure")
    best, complete, pruned = figure.marks
    assert best.y.tolist() == [0.9, *[0.4] * 6] and pruned.x.tolist() == [4.0]
    assert complete.x.tolist() == [0.0, 1.0, 2.0, 5.0, 6.0, 7.0]
    view.close()


def test_a_study_that_goes_on_shows_what_it_held_and_what_another_kernel_adds(clock: SimpleNamespace) -> None:
    data = prepare(load_iris(return_X_y=True))
    told: dict[str, Any] = {"store": False, "sampler": "random", "population": 1, "lr": 0.01, "view": None}
    told |= {"epochs": 3, "space": ("epochs=1..3", "model={mlp,resnet}", "resnet.depth=1..2")}
    study = tune(data, trials=6, **told)
    space = {name: str(one) for name, one in study.space.items()}
    view = LiveView(Controls(), "tune")
    draw(view, clock, StudyStarted("s", replace(study.spec, trials=9), 6, space, "loss", False, study))
    best = min(range(6), key=study.score_of)  # type: ignore[arg-type]
    assert f"best loss, trial {best}" in texts() and "<b>6<small> / 9</small></b>" in texts()
    assert "<th>epochs reached</th>" in texts() and texts().count("<th>epochs</th>") == 1
    assert [m.tooltip for m in models() if getattr(m, "description", "") == "Stop"] == [
        "end after this step and keep all trials"
    ]
    assert "<td>–</td>" in texts() and "<td>auto</td>" not in texts()  # the depth of an mlp
    figure = next(m for m in models() if type(m).__name__ == "Figure")
    assert sum(len(mark.x) for mark in figure.marks[1:]) == 6
    for _ in range(2):  # another kernel's
        study._journal.add_trial(study._journal.get_trials()[best])
    draw(view, clock, TrialDone(8, {"epochs": 2, "model": "mlp"}, "complete", 9.0, 2, 0.1, False))
    assert "<b>9<small> / 9</small></b>" in texts()
    view.close()


@pytest.mark.parametrize(
    ("value", "shown"),
    [(None, "–"), (0.28399, "0.2840"), (12.3, "12.30"), (54321.0, "54,321"), (1.2e-7, "1.20e-07"), (math.nan, "nan")],
)
def test_numbers_keep_their_width(value: float | None, shown: str) -> None:
    assert look.number(value) == shown


def test_time_is_shown_as_on_a_clock() -> None:
    assert [look.clock(t) for t in (0.4, 67, 3723)] == ["0:00", "1:07", "1:02:03"]


def test_a_plan_of_a_million_epochs_is_drawn_by_few_points_whose_numbers_have_room(clock: SimpleNamespace) -> None:
    started = replace(STARTED, spec=TrainSpec(epochs=1_000_000))
    view = LiveView(Controls())
    draw(view, clock, started, *(epoch(number) for number in range(1, 40)))
    draw(view, clock, epoch(40))
    charts = [model for model in models() if type(model).__name__ == "Figure"]
    course = charts[-1].marks[0]
    assert len(course.x) < 1000 and course.x[-1] == 1_000_000
    planned, real = course.y
    assert math.isfinite(planned.sum()) and real[course.x <= 40].tolist() == [1e-3] * 40
    assert all(math.isnan(lr) for lr in real[course.x > 40])
    assert charts[-1].axes[0].tick_format == "~s"
    view.close()


def test_a_resumed_run_has_its_whole_course_and_a_mark_where_it_was_cut(clock: SimpleNamespace) -> None:
    view = LiveView(Controls())
    view(replace(STARTED, resumed_from=2))
    for event in (epoch(1, 0.9), epoch(2, 0.7), Resumed(2, 3)):
        view(event)
    draw(view, clock, epoch(3, 0.6), epoch(4, 0.5))
    assert "resumed after epoch 2" in texts()
    lines = next(model for model in models() if type(model).__name__ == "Lines")
    assert list(lines.x) == [1.0, 2.0, 3.0, 4.0]
    dots = [(list(m.x), list(m.y)) for m in models() if type(m).__name__ == "Scatter"]
    assert ([2.0], [0.7]) in dots
    view.close()
