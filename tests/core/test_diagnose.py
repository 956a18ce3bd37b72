"""The doctor: what is planted is named, healthy runs are let be, and every line that mends can be typed."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from nnlab import DataError, NNLabError, Run, RunError, diagnose, fit, prepare
from nnlab.core.controls import Controls
from nnlab.core.data.prepare import Prepared
from nnlab.core.data.told import NOTHING_TOLD
from nnlab.core.diagnose import watch
from nnlab.core.diagnose.case import NEEDS, Case
from nnlab.core.diagnose.doctor import Diagnosis
from nnlab.core.diagnose.mending import mended
from nnlab.core.diagnose.registry import DIAGNOSES
from nnlab.core.diagnose.rows import _areas
from nnlab.core.options import resolve
from nnlab.core.params import show_value
from nnlab.core.spec import CUSTOM, OWN_NETWORK, TrainSpec
from nnlab.magics.doctor import mending_lines
from nnlab.magics.text import parse
from nnlab.report.diagnosis import diagnosis_bundles
from nnlab.report.specs import differences
from tests.benchmarks.doctor import PLANTED, Patient, healthy

DONE: dict[str, tuple[Patient, Run, Diagnosis]] = {}


def examined(name: str) -> tuple[Patient, Run, Diagnosis]:
    """A planted run and what the doctor says of it, once for all tests; looked at all the while that it lived."""
    if name not in DONE:
        patient = PLANTED[name](1)
        with pytest.MonkeyPatch.context() as patched:
            patched.setattr(watch, "FREE", 60.0)
            run = patient.run()
        DONE[name] = patient, run, diagnose(run, patient.data)
    return DONE[name]


@pytest.mark.parametrize("name", PLANTED)
def test_what_is_planted_is_named_with_numbers_and_a_plot(name: str) -> None:
    _, run, found = examined(name)
    assert name in found.names, found
    verdict = next(verdict for verdict in found.verdicts if verdict.name == name)
    assert any(char.isdigit() for char in verdict.evidence) and verdict.plot is not None
    assert verdict.fix or verdict.prepare or verdict.look
    sizes = [bundle.size for bundle in diagnosis_bundles(found)]
    assert sum(sizes) < 60_000
    text = diagnosis_bundles(found)[-2 if run.record.probes else -1].data["text/plain"]
    assert verdict.what in text and verdict.evidence in text


@pytest.mark.parametrize("name", [name for name in PLANTED if "live" in DIAGNOSES[name].facts])
def test_what_is_planted_is_told_while_the_run_lives(name: str) -> None:
    """In the words that the doctor has afterwards, with the options of its line."""
    _, run, found = examined(name)
    (verdict,) = [verdict for verdict in found.verdicts if verdict.name == name]
    what, _, rest = run.record.told[name].partition(": ")
    assert what == verdict.what
    for option, value in verdict.fix.items():
        assert f"--{option.replace('_', '-')} {show_value(value)}" in rest
    assert set(run.record.told) <= set(found.names)


@pytest.mark.parametrize("name", PLANTED)
def test_lines_that_mend_are_read_as_what_they_say(name: str) -> None:
    """Each line through the parser gives the spec that the verdict asks for."""
    _, run, found = examined(name)
    lines = mending_lines(found)
    assert set(lines) == set(found.names)
    for verdict in found.verdicts:
        train = lines[verdict.name].splitlines()[-1]
        if verdict.look:
            assert train == f"%nn_evaluate {run.id}"
            continue
        verb, _, rest = train.partition(" ")
        said = parse(rest, None, verb.lstrip("%"))
        spec, calibrate = mended(run, verdict)
        own = run.spec.model.name == CUSTOM
        options = {word: value for word, value in said.options.items() if word != "calibrate"}
        if own:
            del options["model"]  # the variable with the network
        start = replace(OWN_NETWORK, model=run.spec.model) if own else None
        assert differences(resolve(TrainSpec, options, start)) == differences(spec)
        assert ("calibrate" in said.options) is calibrate
        assert spec != run.spec or calibrate or verdict.prepare
        if verdict.prepare:
            first = lines[verdict.name].splitlines()[0]
            assert first.startswith("data = %nn_preprocess df ")
            assert parse(first.partition("nn_preprocess ")[2], None, "nn_preprocess").options["drop"]


@pytest.mark.parametrize("name", ["breast_cancer", "wine", "digits", "diabetes"])
def test_healthy_runs_are_let_be(name: str) -> None:
    patient = healthy(0)[name]
    found = diagnose(patient.run(), patient.data)
    assert found.names == () and not found.open


@pytest.mark.parametrize("name", ["breast_cancer", "diabetes"])
def test_a_step_of_many_along_searched_lines_is_not_too_large(name: str) -> None:
    data = healthy(0)[name].data
    run = fit(data, model="mlp", hidden=(32,), optimizer="lbfgs", store=False, baseline=False)
    assert run.finished.reason in ("completed", "stopped_early")
    assert "lr_too_high" not in diagnose(run, data).names
    assert not [warning for warning in run.warnings if "learning rate is too high" in warning]


def test_lr_that_is_too_high_is_mended_by_the_line() -> None:
    patient, run, found = examined("lr_too_high")
    spec, _ = mended(run, found.verdicts[0])
    assert diagnose(fit(patient.data, spec=spec, store=False), patient.data).names == ()


def test_first_weights_that_are_far_away_are_no_step_that_is_too_large() -> None:
    """Focal loss of a constant prediction is so small that that of the first epoch is many times as large."""
    patient = PLANTED["miscalibrated"](2)
    run = patient.run()
    case = Case(run, patient.data)
    assert case.baseline is not None and case.train[0] > 3 * case.baseline > 10 * case.train[-1]
    names = diagnose(run, patient.data).names
    assert "miscalibrated" in names and "lr_too_high" not in names


def test_a_run_from_the_store_is_diagnosed_without_its_data(classes: Prepared, tmp_path: Path) -> None:
    run = fit(classes, hidden=(8,), epochs=4, lr=3.0, store=tmp_path / "store")
    assert run.path is not None
    loaded = Run.load(run.path)
    found = diagnose(loaded)
    assert found.names == ("lr_too_high",)
    assert found.open == {NEEDS["data"]: ("miscalibrated", "label_noise", "underfitting")}
    assert str(diagnose(run).verdicts[0]) == str(found.verdicts[0])


def test_what_cannot_be_looked_at_is_said(numbers: Prepared) -> None:
    blind = diagnose(fit(numbers, hidden=(8,), epochs=2, probe=False, store=False), numbers)
    assert {"lr_too_low", "dead_units"} <= set(blind.open[NEEDS["looks"]])
    assert "plateau" in blind.open[NEEDS["epochs"]]
    assert "nothing was found" in repr(blind)
    bundles = diagnosis_bundles(blind)
    assert len(bundles) == 1 and "not looked at" in bundles[0].data["text/plain"]


def test_without_validation_rows(classes: Prepared) -> None:
    data = replace(
        classes, valid=type(classes.valid)(classes.valid.x[:0], classes.valid.y[:0], classes.valid.index[:0])
    )
    found = diagnose(fit(data, hidden=(8,), epochs=4, store=False), data)
    assert {"overfitting", "underfitting", "class_ignored"} <= set(found.open[NEEDS["valid"]])


def test_interrupted_before_the_first_epoch_is_done(classes: Prepared) -> None:
    controls = Controls()
    controls.stop("interrupted")
    found = diagnose(fit(classes, hidden=(8,), controls=controls, store=False), classes)
    assert found.names == () and NEEDS["epochs"] in found.open


def test_a_run_that_diverges_at_once(numbers: Prepared) -> None:
    run = fit(numbers, hidden=(8,), optimizer="sgd", lr=90.0, schedule="constant", warmup=0, epochs=5, store=False)
    assert run.state == "diverged"
    assert diagnose(run, numbers).names == ("lr_too_high",)
    assert diagnosis_bundles(diagnose(run, numbers))


def test_waiting_for_rows_is_named(classes: Prepared) -> None:
    run = fit(classes, hidden=(8,), epochs=4, store=False)
    assert "loading_bound" not in diagnose(run, classes).names
    run.record.probes = [replace(look, load=0.6) for look in run.record.probes]
    (verdict,) = [verdict for verdict in diagnose(run, classes).verdicts if verdict.name == "loading_bound"]
    assert "60% of a step" in verdict.evidence and verdict.fix == {"batch_size": 1024}


def test_a_diagnosis_that_fails_leaves_the_rest(classes: Prepared, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(case: Case) -> None:
        raise ValueError("not today")

    monkeypatch.setitem(DIAGNOSES, "plateau", replace(DIAGNOSES["plateau"], make=fail))
    found = diagnose(fit(classes, hidden=(8,), epochs=4, lr=3.0, store=False), classes)
    assert found.names == ("lr_too_high",)
    assert found.open == {"ValueError: not today": ("plateau",)}


def test_what_follows_from_a_cause_is_not_told() -> None:
    _, _, found = examined("lr_too_high")
    assert "underfitting" not in found.names
    for name, entry in DIAGNOSES.items():
        assert set(entry.facts.get("needs", ())) <= set(NEEDS)
        assert set(entry.facts.get("explains", ())) <= set(DIAGNOSES) - {name}


def test_areas_are_those_of_scikit_learn() -> None:
    from sklearn.metrics import roc_auc_score

    draw = np.random.default_rng(0)
    y = draw.integers(0, 2, 200)
    x = np.round(draw.normal(size=(200, 4)) + y[:, None] * [0.0, 0.5, -1.0, 2.0], 1)
    expected = [max(auc := roc_auc_score(y, column), 1 - auc) for column in x.T]
    assert _areas(x, y) == pytest.approx(expected)


def test_baselines_are_those_of_one_prediction_for_all_rows(classes: Prepared, numbers: Prepared) -> None:
    shares = np.bincount(classes.train.y) / len(classes.train)
    options: dict[str, Any] = {"hidden": (4,), "epochs": 1, "store": False}
    run = fit(classes, **options)
    assert Case(run, classes).baseline == pytest.approx(-(shares * np.log(shares)).sum(), rel=1e-5)
    assert Case(run).baseline == pytest.approx(-(shares * np.log(shares)).sum(), rel=0.05)
    run = fit(numbers, **options)
    assert Case(run, numbers).baseline == pytest.approx(numbers.train.y.var(), rel=1e-4)
    assert Case(run).baseline == pytest.approx(numbers.valid.y.var(), rel=1e-4)


@pytest.mark.parametrize("wrong", [None, 3, "last"])
def test_what_is_no_run_is_refused(wrong: Any, classes: Prepared, numbers: Prepared) -> None:
    with pytest.raises(RunError, match="give a run"):
        diagnose(wrong)
    run = fit(classes, hidden=(4,), epochs=1, store=False)
    with pytest.raises(DataError, match="not what the run was trained on"):
        diagnose(run, numbers)
    with pytest.raises(NNLabError, match="prepare"):
        diagnose(run, "df")  # type: ignore[arg-type]


def test_leaks_without_an_audit(tmp_path: Path) -> None:
    """The finding is kept with the run, and one feature that parts the classes is found in the rows themselves."""
    _, run, found = examined("leak")
    assert found.verdicts[0].prepare == {"drop": ("c8",)}
    loaded = Run.load(run.save(tmp_path / "run"))
    assert diagnose(loaded).names == ("leak",)
    draw = np.random.default_rng(0)
    y = draw.integers(0, 2, 300)
    data = prepare((np.column_stack([draw.normal(size=300), y + 0.05 * draw.normal(size=300)]), y))
    data = replace(data, told=NOTHING_TOLD)
    assert diagnose(fit(data, hidden=(4,), epochs=3, store=False), data).names == ("leak",)
