"""What the rows show: their order, wrong labels, classes never found, leaks, and what a plain model makes of them."""

from collections.abc import Mapping
from typing import Annotated, Any

import numpy as np

from nnlab.core.diagnose.case import Case
from nnlab.core.diagnose.registry import DIAGNOSES, Live, Plot, Verdict
from nnlab.core.diagnose.yardstick import MOST_ROWS, evenly
from nnlab.core.models import MODELS
from nnlab.core.network import member_count
from nnlab.core.optimizers import OPTIMIZERS
from nnlab.core.params import Within
from nnlab.core.spec import CUSTOM, part_values

LEAKS = ("target_copy", "near_copy", "unknown_at_prediction")  # kinds of the audit's findings
LOOK_FIRST = "look at the rows that are most wrong first, by %nn_evaluate"
SURE = 2.0  # standard errors
MOST_BARS = 6  # columns or features in a picture
FEWEST_STEPS = 50  # of a run that can have learned its classes
FEWEST = 8  # rows of a class that must have had a chance
SURELY = 3  # the rows that a model is surest of are one in so many


@DIAGNOSES.add(explains=("underfitting", "overfitting", "miscalibrated"))
def leak(
    case: Case,
    alone: Annotated[float, Within(0.5, 1.0), "largest area under the ROC curve of one feature of two classes"] = 0.995,
) -> Verdict | None:
    """A column says the target, which will not be known when predictions are wanted (Kaufman et al. 2012)."""
    for finding in _audit(case):
        if finding["kind"] in LEAKS:
            return Verdict(
                "leak",
                "a column tells the target",
                f"{finding['what']}: {finding['evidence']}",
                prepare={"drop": finding["columns"]},
                plot=_relations(case),
            )
    if case.data is None or len(case.run.pipeline.target.classes) != 2:
        return None
    some = evenly(case.data.train, MOST_ROWS)
    areas = _areas(np.asarray(case.data.train.x[some], np.float64), case.data.train.y[some])
    most = int(np.argmax(areas))
    if not areas[most] > alone:
        return None
    name = case.data.feature_names[most]
    column = _column_of(case, most)
    order = np.argsort(-areas)[:MOST_BARS]
    plot = Plot(
        "area under the ROC curve, one feature alone",
        range(len(order)),
        {"": areas[order].tolist()},
        "",
        level=alone,
        level_name="limit",
        labels=[case.data.feature_names[i] for i in order],
    )
    evidence = f"feature {name} alone parts the two classes (area under its ROC curve {areas[most]:.4f})"
    return Verdict("leak", "a column tells the target", evidence, prepare={"drop": (column,)}, plot=plot)


def _relations(case: Case) -> Plot | None:
    """How strongly each column goes with the target, of those that do most; None where the data is not at hand."""
    told = case.data.columns if case.data is not None else ()
    known = [(one.relation, one.name) for one in told if one.relation is not None and one.role != "target"]
    most = sorted(known, reverse=True)[:MOST_BARS]
    bars, names = [strength for strength, _ in most], [name for _, name in most]
    return Plot("relation with the target, 0 to 1", range(len(bars)), {"": bars}, "", labels=names) if bars else None


def _column_of(case: Case, place: int) -> str:
    """The column that gave a feature; the feature's name where several columns gave it."""
    features = case.run.pipeline.features
    owners = [feature.name for feature in features for _ in feature.labels]
    names = case.run.pipeline.feature_names
    return owners[place] if len(owners) == len(names) else names[place]


def _audit(case: Case) -> list[Mapping[str, Any]]:
    if case.data is not None:
        return [vars(finding) for finding in case.data.audit]
    return list(case.run.summary.get("audit", ()))


def _areas(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Area under the ROC curve of each column, whichever way it goes; ties count half (Mann & Whitney 1947)."""
    from scipy.stats import rankdata

    ones = int(y.sum())
    if not 0 < ones < len(y):
        return np.full(x.shape[1], 0.5)
    ranks = rankdata(x, axis=0)
    areas = (ranks[y == 1].sum(0) - ones * (ones + 1) / 2) / (ones * (len(y) - ones))
    return np.maximum(areas, 1.0 - areas)


@DIAGNOSES.add(needs=("looks",), live=Live(looks=6), explains=("overfitting", "miscalibrated"))
def no_shuffling(
    case: Case,
    drift: Annotated[
        float, Within(1.0, 1e6), "largest mean square of how far a step's mean target is from that of all"
    ] = 6.0,
) -> Verdict | None:
    """Rows come in an order that has to do with the target, so that each step sees another task (Bengio 2012)."""
    far = np.array([look.drift for look in case.looks])
    far = far[np.isfinite(far)]
    if len(far) < 3 or not np.mean(far**2) > drift:
        return None
    evidence = (
        f"the mean target of the rows of a step is {np.sqrt(np.mean(far**2)):.1f} standard deviations from that of all"
        f" rows, where a random order gives 1 ({len(far)} steps)"
    )
    known = [look.step for look in case.looks if np.isfinite(look.drift)]
    plot = Plot("mean target of a step's rows, deviations", known, {"": far.tolist()}, "step", level=0.0)
    fix = {"shuffle": True} if not case.spec.shuffle else {}
    return Verdict("no_shuffling", "rows are not shuffled", evidence, fix, plot=plot)


@DIAGNOSES.add(needs=("classes", "weights", "valid", "epochs"))
def class_ignored(
    case: Case,
    found: Annotated[float, Within(0.0, 1.0), "share of a class's validation rows that is found, at most"] = 0.15,
) -> Verdict | None:
    """A class is hardly ever predicted, mostly because it is rare (He & Garcia 2009)."""
    evaluation = case.run.evaluation
    if evaluation is None or not evaluation.confusion:
        return None
    counts = np.array(evaluation.confusion, float)
    rows = counts.sum(1)
    recall = counts.diagonal() / np.maximum(rows, 1.0)
    rare = rows * len(rows) <= rows.sum()
    missed = np.flatnonzero((rows >= FEWEST) & rare & (recall < found))
    if not len(missed) or case.taken < FEWEST_STEPS:
        return None
    worst = int(missed[np.argmin(recall[missed])])
    name = evaluation.classes[worst]
    evidence = (
        f"of {int(rows[worst])} validation rows of class {name} ({rows[worst] / rows.sum():.1%} of all)"
        f" {int(counts[worst, worst])} are found"
    )
    evidence += f"; so it is with {len(missed) - 1} more" if len(missed) > 1 else ""
    shown = np.argsort(recall)[:8]
    plot = Plot(
        "share found of each class",
        range(len(shown)),
        {"": recall[shown].tolist()},
        "",
        level=found,
        level_name="limit",
        labels=[evaluation.classes[i] for i in shown],
    )
    fix = {"loss": "balanced_cross_entropy"}
    if case.loss_part.name == "balanced_cross_entropy":
        fix = {"loss": "focal", "balanced": True}  # type: ignore[dict-item]
    return Verdict("class_ignored", "a class is ignored", evidence, fix, plot=plot)


@DIAGNOSES.add(needs=("data", "valid", "weights"))
def label_noise(
    case: Case,
    wrong: Annotated[float, Within(0.0, 1.0), "share of other labels among the rows that a forest is surest of"] = 0.1,
    flat: Annotated[float, Within(0.0, 1.0), "that share for the share among all rows"] = 0.5,
    far: Annotated[float, Within(0.0, 1.0), "share of validation rows of a regression that are far off"] = 0.03,
) -> Verdict | None:
    """Labels are wrong for some rows, whatever their features (Northcutt et al. 2021)."""
    return _far_targets(case, far) if case.run.task == "regression" else _other_labels(case, wrong, flat)


def _other_labels(case: Case, wrong: float, flat: float) -> Verdict | None:
    """Where classes overlap, the surest rows are right all the same; where labels are wrong, they are not."""
    shares, y = case.forest.out_of_bag, case.forest.y
    order = np.argsort(-shares.max(1), kind="stable")
    other = shares.argmax(1) != y
    surest = order[: len(order) // SURELY]
    share = float(other[surest].mean()) if len(surest) else 0.0
    usual = 1.0 - np.bincount(y).max() / len(y)
    if not _at_least(share, len(surest)) > wrong or share < flat * other.mean() or other.mean() > 0.85 * usual:
        return None
    evidence = (
        f"of the third of training rows that a forest is surest of, {share:.0%} have another label"
        f" ({other.mean():.0%} of all rows)"
    )
    tenths = np.array_split(order, 10)
    plot = Plot(
        "other labels",
        range(1, 11),
        {"": [float(other[t].mean()) for t in tenths]},
        "tenths of rows, the surest first",
    )
    fix: dict[str, object] = {"label_smoothing": 0.1}
    if case.loss_part.name != "cross_entropy":
        fix = {"loss": "cross_entropy"} | fix
    done = member_count(case.spec) > 1 or case.loss_part.values.get("label_smoothing", 0.0) > 0.0
    advice = "classes that overlap much look the same"
    return _softened("labels look wrong for some rows", evidence, {} if done else fix, advice, plot)


def _softened(what: str, evidence: str, fix: dict[str, object], advice: str, plot: Plot) -> Verdict:
    """Options that let wrong rows do less harm, or the rows themselves where there are none.

    Which do was measured with the true labels of planted ones: smoothing saves a network alone a fifth of the errors,
    but nothing where the mean of members is taken; the mean absolute error has a third of the error of the square.
    """
    if not fix:
        show = "show those that the network finds most wrong"
        return Verdict("label_noise", what, evidence, look=True, effect=show, advice=advice, plot=plot)
    advice = "; ".join(filter(None, (LOOK_FIRST, advice)))
    return Verdict("label_noise", what, evidence, fix, effect="let them do less harm", advice=advice, plot=plot)


def _at_least(share: float, rows: int) -> float:
    """The lower end of Wilson's interval."""
    z2 = SURE**2 / max(rows, 1)
    spread = SURE * np.sqrt(share * (1 - share) / max(rows, 1) + z2 / (4 * max(rows, 1)))
    return float((share + z2 / 2 - spread) / (1 + z2))


def _far_targets(case: Case, far: float) -> Verdict | None:
    rest = case.truth - case.output[:, 0]
    rest = rest - np.median(rest)
    spread = 1.4826 * float(np.median(np.abs(rest)))
    off = np.abs(rest) > 6 * max(spread, 1e-12)
    if off.sum() < FEWEST or not off.mean() > far:
        return None
    evidence = (
        f"{off.mean():.1%} of the validation rows are further from their prediction than 6 times the usual"
        " (of a normal spread none is)"
    )
    counts, edges = np.histogram(np.clip(rest / max(spread, 1e-12), -12, 12), 24)
    plot = Plot(
        "true value less prediction, in usual deviations",
        ((edges[1:] + edges[:-1]) / 2).tolist(),
        {"rows": counts.tolist()},
        "",
    )
    fix: dict[str, object] = {"loss": "mae"} if case.loss_part.name in ("mse", "huber") else {}
    return _softened("target values look wrong for some rows", evidence, fix, "", plot)


@DIAGNOSES.add(needs=("data", "valid", "weights", "epochs"), explains=("class_ignored", "miscalibrated"))
def underfitting(
    case: Case,
    sure: Annotated[float, Within(1.0, 100.0), "standard errors by which a forest must be better"] = 4.0,
    worth: Annotated[float, Within(0.0, 1.0), "share of the network's errors that it must save"] = 0.15,
) -> Verdict | None:
    """The network learns less than there is to learn: a forest, fitted in a second, is better on the same rows."""
    if case.run.task == "regression":
        own, other = (case.truth - case.output[:, 0]) ** 2, (case.truth - case.forest.valid) ** 2
    else:
        own, other = (values.argmax(1) != case.truth for values in (case.output, case.forest.valid))
    better = own.astype(float) - other.astype(float)
    error = float(better.std()) / np.sqrt(max(len(better), 1))
    if not better.mean() > max(sure * error, worth * float(own.mean()), 1e-9):
        return None
    what = "mean squared error" if case.run.task == "regression" else "share of wrong rows"
    unit = " (of the scaled target)" if case.run.task == "regression" else ""
    evidence = (
        f"on the validation rows its {what}{unit} is {own.mean():.3g}, that of a random forest {other.mean():.3g},"
        f" which is better by {better.mean() / max(error, 1e-12):.0f} standard errors"
    )
    plot = Plot(what, range(2), {"": [float(own.mean()), float(other.mean())]}, "", labels=("network", "forest"))
    return Verdict("underfitting", "the network underfits", evidence, _freed(case), plot=plot)


def _freed(case: Case) -> dict[str, object]:
    """Options that hold the network back go to what the default run has."""
    fix: dict[str, object] = {
        part.name: 0 for part in case.spec.regularizers if part.name in ("l1", "l2", "elastic_net", "group_lasso")
    }
    if case.spec.model.name != CUSTOM:
        known = MODELS[case.spec.model.name].params
        values = part_values(MODELS, case.spec.model)
        if values.get("dropout", 0.0) > 0.3:
            fix["dropout"] = 0.1
        if "hidden" in known and (not values["hidden"] or min(values["hidden"]) < 64):
            fix["hidden"] = known["hidden"].default
    if case.run.best_epoch == len(case.epochs) == case.spec.epochs:
        fix["epochs"] = 3 * case.spec.epochs
    if part_values(OPTIMIZERS, case.spec.optimizer).get("weight_decay", 0.0) > 0.3:
        fix["weight_decay"] = 0.01
    return fix or {"epochs": 3 * case.spec.epochs}
