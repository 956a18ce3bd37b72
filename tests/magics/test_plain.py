"""The view of terminals: one line, written over at most four times a second."""

import io
from dataclasses import replace

import pytest

from nnlab.core.events import EpochDone, Finished, Resumed, Started, StudyFinished, StudyStarted, TrialDone, Warned
from nnlab.core.spec import TrainSpec, TuneSpec
from nnlab.magics.plain import TextView
from nnlab.report.bundle import Bundle

STARTED = Started(TrainSpec(epochs=100), "binary", 90, 3, 7, "cpu", "module", ("accuracy",), "loss", False)


def epoch(number: int, best: bool = False) -> EpochDone:
    return EpochDone(number, {"loss": 0.5}, {"loss": 0.4, "accuracy": 0.9}, 1e-3, 0.01, 9000.0, best)


def test_one_line_at_most_four_times_a_second() -> None:
    now, shown = [0.0], []
    out = io.StringIO()
    view = TextView(shown.append, out, clock=lambda: now[0])
    view(STARTED)
    for number in range(1, 101):
        now[0] += 0.01
        view(epoch(number, best=number == 3))
    view(Finished("completed", 100, 3, 1.0))
    view.close([Bundle({"text/plain": "done"})])
    text = out.getvalue()
    lines = text.split("\r")[1:]
    assert len(lines) <= 6
    assert text.count("\n") == 1
    assert text.endswith("\n")
    assert "epoch 100/100" in lines[-1]
    assert "valid 0.4" in lines[-1]
    assert "best 3" in lines[-1]
    assert [bundle.data for bundle in shown] == [{"text/plain": "done"}]


def test_shorter_line_covers_the_longer_and_warnings_stay() -> None:
    now = [0.0]
    out = io.StringIO()
    view = TextView(lambda bundle: None, out, clock=lambda: now[0])
    view(STARTED)
    view(epoch(99, best=True))
    view(Warned("column \x1b[31m\u202ex is odd"))
    now[0] = 1.0
    view(epoch(1))
    assert "\x1b" not in out.getvalue()
    assert "\u202e" not in out.getvalue()
    assert "warning: column" in out.getvalue()
    first = out.getvalue().split("\r")[1]
    assert len(out.getvalue().split("\r")[2].rstrip("\n")) >= len(first)


def test_a_resumed_run_is_said_and_its_old_epochs_count_for_no_time() -> None:
    now, out = [0.0], io.StringIO()
    view = TextView(lambda bundle: None, out, clock=lambda: now[0])
    view(replace(STARTED, resumed_from=98))
    for number in range(1, 99):
        view(epoch(number))
    view(Resumed(98, 0))
    now[0] = 5.0
    view(epoch(99))
    assert "\rresumed after epoch 98 " in out.getvalue()
    assert "epoch 99/100" in out.getvalue().split("\r")[-1]
    assert "  5 s left" in out.getvalue().split("\r")[-1]


def test_trials() -> None:
    now = [0.0]
    out = io.StringIO()
    view = TextView(lambda bundle: None, out, clock=lambda: now[0])
    view(StudyStarted("s", TuneSpec(trials=3), 0, {"lr": "1..2"}, "loss", False))
    view(epoch(1))
    for number, score in enumerate((0.5, None, 0.25)):
        now[0] += 1
        state = "failed" if score is None else "complete"
        view(TrialDone(number, {"lr": 0.1}, state, score, 3, 0.1, score is not None))  # type: ignore[arg-type]
    view(StudyFinished("completed", 3, 1.0))
    view.close([])
    text = out.getvalue()
    assert "epoch" not in text
    assert "2/3 trials  trial 1 failed  best 0.5 in trial 0" in text
    assert "best 0.25 in trial 2 lr=0.1" in text.split("\r")[-1]


def test_a_line_fits_the_terminal_and_speaks_as_the_options_do(monkeypatch: pytest.MonkeyPatch) -> None:
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    texts = []
    for columns in (40, 200):
        monkeypatch.setenv("COLUMNS", str(columns))
        view = TextView(lambda bundle: None, out := Terminal(), clock=lambda: 0.0)
        view(StudyStarted("s", TuneSpec(trials=9), 4, {"batch_size": "{auto,32}"}, "loss", False))
        view(TrialDone(7, {"batch_size": None, "hidden": (8, 4)}, "complete", 0.5, 3, 0.1, True))
        view.close([])
        texts.append(out.getvalue())
        assert max(len(line) for line in texts[-1].strip().split("\r")) < columns
    assert texts[1].strip() == "5/9 trials  trial 7 complete  0.5  best 0.5 in trial 7 batch_size=auto hidden=8,4"
