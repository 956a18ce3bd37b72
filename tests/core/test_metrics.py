import numpy as np
import pandas as pd
import pytest
import torch
from sklearn import metrics as sk
from sklearn.datasets import make_friedman1

from nnlab import fit, prepare
from nnlab.core.errors import SpecError
from nnlab.core.metrics import METRICS, check_monitor, measure, metrics_for


def classes(k: int, rows: int = 300, seed: int = 0, ties: bool = False) -> tuple[torch.Tensor, torch.Tensor]:
    draw = torch.Generator().manual_seed(seed)
    output = torch.randn(rows, k, generator=draw)
    if ties:
        output = (output * 2).round() / 2
    return output, torch.randint(0, k, (rows,), generator=draw)


BINARY = {
    "accuracy": lambda y, g, s, p: sk.accuracy_score(y, g),
    "balanced_accuracy": lambda y, g, s, p: sk.balanced_accuracy_score(y, g),
    "f1": lambda y, g, s, p: sk.f1_score(y, g),
    "precision": lambda y, g, s, p: sk.precision_score(y, g),
    "recall": lambda y, g, s, p: sk.recall_score(y, g),
    "roc_auc": lambda y, g, s, p: sk.roc_auc_score(y, s),
    "average_precision": lambda y, g, s, p: sk.average_precision_score(y, s),
    "log_loss": lambda y, g, s, p: sk.log_loss(y, p),
    "sensitivity": lambda y, g, s, p: sk.recall_score(y, g),
    "specificity": lambda y, g, s, p: sk.recall_score(y, g, pos_label=0),
    "f1_macro": lambda y, g, s, p: sk.f1_score(y, g, average="macro"),
    "f1_weighted": lambda y, g, s, p: sk.f1_score(y, g, average="weighted"),
    "precision_macro": lambda y, g, s, p: sk.precision_score(y, g, average="macro"),
    "recall_macro": lambda y, g, s, p: sk.recall_score(y, g, average="macro"),
    "mcc": lambda y, g, s, p: sk.matthews_corrcoef(y, g),
    "kappa": lambda y, g, s, p: sk.cohen_kappa_score(y, g),
    "brier": lambda y, g, s, p: sk.brier_score_loss(y, p[:, 1]),
    "ece": lambda y, g, s, p: calibration_error(y, p),
}
ALIKE = ("accuracy", "balanced_accuracy", "log_loss", "mcc", "kappa", "ece")  # whatever the number of classes
ALIKE += ("f1_macro", "f1_weighted", "precision_macro", "recall_macro")
MULTICLASS = {name: BINARY[name] for name in ALIKE} | {
    "f1": lambda y, g, s, p: sk.f1_score(y, g, average="macro"),
    "precision": lambda y, g, s, p: sk.precision_score(y, g, average="macro", zero_division=0),
    "recall": lambda y, g, s, p: sk.recall_score(y, g, average="macro"),
    "sensitivity": lambda y, g, s, p: sk.recall_score(y, g, average="macro"),
    "specificity": lambda y, g, s, p: np.mean([c[0, 0] / c[0].sum() for c in sk.multilabel_confusion_matrix(y, g)]),
    "roc_auc": lambda y, g, s, p: sk.roc_auc_score(y, p, multi_class="ovr"),
    "roc_auc_ovr": lambda y, g, s, p: sk.roc_auc_score(y, p, multi_class="ovr"),
    "average_precision": lambda y, g, s, p: sk.average_precision_score(y, p),
    "top_2": lambda y, g, s, p: sk.top_k_accuracy_score(y, p, k=2),
    "top_3": lambda y, g, s, p: sk.top_k_accuracy_score(y, p, k=3),
    "top_5": lambda y, g, s, p: sk.top_k_accuracy_score(y, p, k=5),
    "brier": lambda y, g, s, p: np.square(p - np.eye(p.shape[1])[y]).sum(1).mean(),
}


def calibration_error(y: np.ndarray, shares: np.ndarray) -> float:
    """Expected calibration error with 15 bins, as its definition says."""
    confidence, right = shares.max(1), shares.argmax(1) == y
    total = 0.0
    for low in range(15):
        inside = (confidence > low / 15) & (confidence <= (low + 1) / 15)
        if inside.any():
            total += inside.sum() * abs(right[inside].mean() - confidence[inside].mean())
    return total / len(y)


@pytest.mark.parametrize("ties", [False, True])
@pytest.mark.parametrize("seed", range(3))
def test_binary_metrics_are_scikit_learns(seed: int, ties: bool) -> None:
    output, target = classes(2, seed=seed, ties=ties)
    shares = output.double().softmax(1).numpy()
    score = (output[:, 1] - output[:, 0]).numpy()
    got = measure(metrics_for("binary", tuple(BINARY)), output, target)
    for name, reference in BINARY.items():
        expected = reference(target.numpy(), output.argmax(1).numpy(), score, shares)
        assert got[name] == pytest.approx(expected, abs=1e-6), name


@pytest.mark.parametrize(("task", "references"), [("binary", BINARY), ("multiclass", MULTICLASS)])
def test_every_metric_of_classes_has_a_reference(task: str, references: dict[str, object]) -> None:
    assert {name for name, entry in METRICS.items() if task in entry.facts["tasks"]} == set(references)


@pytest.mark.parametrize("ties", [False, True])
@pytest.mark.parametrize("name", MULTICLASS)
def test_multiclass_metrics_are_scikit_learns(name: str, ties: bool) -> None:
    ties = ties and not name.startswith("top_")  # which of equals is among the k is not said
    output, target = classes(6, ties=ties)
    expected = MULTICLASS[name](target.numpy(), output.argmax(1).numpy(), None, output.double().softmax(1).numpy())
    assert measure((name,), output, target)[name] == pytest.approx(expected, abs=1e-6)


def test_any_number_of_likeliest_classes_is_a_metric() -> None:
    output, target = classes(6)
    got = measure(("top_1", "top_4", "top_6", "top_40"), output, target)
    assert got["top_4"] == pytest.approx(sk.top_k_accuracy_score(target, output.softmax(1).numpy(), k=4))
    assert got["top_1"] == measure(("accuracy",), output, target)["accuracy"]
    assert got["top_6"] == got["top_40"] == 1.0
    assert metrics_for("multiclass", ("top_7",)) == ("top_7",)
    assert check_monitor("top_7", ("top_7",))
    assert METRICS["top_7"].summary.startswith("Share of rows whose class is among the 7 likeliest")
    assert "top_7" not in list(METRICS)  # the help does not grow by what was asked
    for name in ("top_0", "top_-1", "top_1000", "top_", "top_x", "topp_3", "top_03"):
        assert name not in METRICS
        with pytest.raises(SpecError, match="no metric"):
            METRICS[name]
    with pytest.raises(SpecError, match=r"top_7 is not for a regression target; use rmse, "):
        metrics_for("regression", ("top_7",))


def test_more_regression_metrics_are_scikit_learns() -> None:
    rng = np.random.default_rng(0)
    target, output = rng.normal(10, 3, 500), rng.normal(10, 3, 500)
    got = measure(("mse", "mape", "pinball"), torch.tensor(output)[:, None], torch.tensor(target))
    assert got["mse"] == pytest.approx(sk.mean_squared_error(target, output))
    assert got["mape"] == pytest.approx(sk.mean_absolute_percentage_error(target, output))
    assert got["pinball"] == pytest.approx(sk.mean_pinball_loss(target, output))
    target[::50] = 0.0
    got = measure(("mape",), torch.tensor(output)[:, None], torch.tensor(target))
    assert got["mape"] == pytest.approx(sk.mean_absolute_percentage_error(target, output))


def test_pinball_is_the_mean_over_the_quantiles_that_are_learned() -> None:
    rng = np.random.default_rng(0)
    target, output = rng.normal(10, 3, 500), rng.normal(10, 3, (500, 3))
    levels = (0.5, 0.05, 0.95)
    names = ("pinball", "pinball_0.95", "pinball_0.05", "pinball_0.3", "mae")
    got = measure(names, torch.tensor(output), torch.tensor(target), levels)
    low, middle, high = np.sort(output, axis=1).T  # those that cross are put in order
    each = {
        level: sk.mean_pinball_loss(target, q, alpha=level) for level, q in ((0.05, low), (0.5, middle), (0.95, high))
    }
    assert got["pinball"] == pytest.approx(np.mean(list(each.values())))
    assert got["pinball_0.95"] == pytest.approx(each[0.95])
    assert got["pinball_0.05"] == pytest.approx(each[0.05])
    assert got["pinball_0.3"] == pytest.approx(sk.mean_pinball_loss(target, output[:, 0], alpha=0.3))
    assert got["mae"] == pytest.approx(sk.mean_absolute_error(target, output[:, 0]))
    alone = measure(("pinball", "pinball_0.9"), torch.tensor(output[:, :1]), torch.tensor(target))
    assert alone["pinball"] == pytest.approx(sk.mean_pinball_loss(target, output[:, 0]))
    assert alone["pinball_0.9"] == pytest.approx(sk.mean_pinball_loss(target, output[:, 0], alpha=0.9))


def test_any_quantile_has_a_pinball() -> None:
    assert metrics_for("regression", ("pinball_0.25",)) == ("pinball_0.25",)
    assert "quantile 0.25" in METRICS["pinball_0.25"].summary
    for name in ("pinball_0", "pinball_1", "pinball_0.0", "pinball_0.50", "pinball_9", "pinball_.5", "top_0.5"):
        assert name not in METRICS


@pytest.mark.parametrize("options", [{"model": "mlp"}, {"model": "packed"}, {"loss": "mse"}], ids=str)
def test_pinball_of_a_run_is_that_of_what_it_predicts(options: dict[str, str]) -> None:
    """In validation rows while it learns, in its score, and of its members."""
    x, y = make_friedman1(300, 5, noise=1.0, random_state=0)
    frame = pd.DataFrame(x, columns=list("abcde")).assign(y=1000 * y)
    data = prepare(frame, target="y", test=0.3)
    how = {"loss": "quantile", "metrics": ("pinball", "pinball_0.95", "rmse"), "epochs": 3, "hidden": (8,)} | options
    run = fit(data, store=False, baseline=False, **how)
    for part, got in (("valid", run.metrics), ("test", run.score(data))):
        rows = frame.iloc[getattr(data, part).index]
        if how["loss"] == "mse":
            expected = [sk.mean_pinball_loss(rows.y, run.predict(rows), alpha=level) for level in (0.5, 0.95)]
        else:
            table = run.predict_distribution(rows)
            each = {
                level: sk.mean_pinball_loss(rows.y, table[f"q{level:g}"], alpha=level) for level in (0.05, 0.5, 0.95)
            }
            expected = [np.mean(list(each.values())), each[0.95]]
        assert [got["pinball"], got["pinball_0.95"]] == pytest.approx(expected, rel=1e-5)
        assert got["rmse"] == pytest.approx(sk.root_mean_squared_error(rows.y, run.predict(rows)), rel=1e-5)


def test_regression_metrics_are_scikit_learns() -> None:
    rng = np.random.default_rng(0)
    target = rng.normal(1e4, 30, 500)
    output = target + rng.normal(0, 10, 500)
    got = measure(metrics_for("regression"), torch.tensor(output)[:, None], torch.tensor(target))
    assert got["rmse"] == pytest.approx(sk.root_mean_squared_error(target, output))
    assert got["mae"] == pytest.approx(sk.mean_absolute_error(target, output))
    assert got["r2"] == pytest.approx(sk.r2_score(target, output))


def test_an_absent_class_gives_nan_for_the_area_and_no_error() -> None:
    output, _ = classes(2)
    got = measure(("roc_auc", "accuracy"), output, torch.zeros(len(output), dtype=torch.long))
    assert np.isnan(got["roc_auc"])
    assert 0 <= got["accuracy"] <= 1


def test_classes_that_are_not_there_do_not_count() -> None:
    output, target = classes(5, rows=60)
    output[:, 3], target = -9.0, target % 3
    output[:, 4] = -9.0
    truth, guess = target.numpy(), output.argmax(1).numpy()
    got = measure(("precision", "recall", "f1", "balanced_accuracy", "specificity"), output, target)
    assert got["precision"] == pytest.approx(sk.precision_score(truth, guess, average="macro"))
    assert got["recall"] == pytest.approx(sk.recall_score(truth, guess, average="macro"))
    assert got["f1"] == pytest.approx(sk.f1_score(truth, guess, average="macro"))
    assert got["balanced_accuracy"] == pytest.approx(sk.balanced_accuracy_score(truth, guess))
    assert got["specificity"] == pytest.approx(MULTICLASS["specificity"](truth, guess, None, None))


def test_what_a_run_measures_unless_it_is_told_otherwise() -> None:
    both = ("accuracy", "balanced_accuracy", "f1", "log_loss")
    assert metrics_for("multiclass") == both
    assert metrics_for("binary") == (*both[:3], "roc_auc", "log_loss")
    assert metrics_for("regression") == ("rmse", "mae", "r2")


def test_metrics_of_another_task_are_refused() -> None:
    with pytest.raises(SpecError, match="metric rmse is not for a binary target; use accuracy"):
        metrics_for("binary", ("rmse",))
    with pytest.raises(SpecError, match="did you mean 'accuracy'"):
        check_monitor("acuracy", metrics_for("binary"))
    with pytest.raises(SpecError, match="monitor=mcc is not measured; name it among the metrics:  --metrics mcc"):
        check_monitor("mcc", metrics_for("binary"))
