import numpy as np
import pytest
import torch
from sklearn import metrics as sk

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
MULTICLASS = {
    name: BINARY[name] for name in BINARY if name in ("mcc", "kappa", "f1_weighted", "precision_macro", "ece")
}
MULTICLASS |= {
    "roc_auc_ovr": lambda y, g, s, p: sk.roc_auc_score(y, p, multi_class="ovr"),
    "top_2": lambda y, g, s, p: sk.top_k_accuracy_score(y, p, k=2),
    "top_3": lambda y, g, s, p: sk.top_k_accuracy_score(y, p, k=3),
    "top_4": lambda y, g, s, p: sk.top_k_accuracy_score(y, p, k=4),
    "top_5": lambda y, g, s, p: sk.top_k_accuracy_score(y, p, k=5),
    "brier": lambda y, g, s, p: np.square(p - np.eye(p.shape[1])[y]).sum(1).mean(),
    "recall_macro": lambda y, g, s, p: sk.recall_score(y, g, average="macro"),
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


def test_every_binary_metric_has_a_reference() -> None:
    assert {name for name, entry in METRICS.items() if "binary" in entry.facts["tasks"]} == set(BINARY)


def test_multiclass_metrics_are_scikit_learns() -> None:
    output, target = classes(4)
    got = measure(metrics_for("multiclass"), output, target)
    guess = output.argmax(1).numpy()
    assert got["accuracy"] == pytest.approx(sk.accuracy_score(target, guess))
    assert got["balanced_accuracy"] == pytest.approx(sk.balanced_accuracy_score(target, guess))
    assert got["f1"] == pytest.approx(sk.f1_score(target, guess, average="macro"))
    assert got["log_loss"] == pytest.approx(sk.log_loss(target, output.softmax(1).numpy()), rel=1e-5)


@pytest.mark.parametrize("name", MULTICLASS)
def test_more_multiclass_metrics_are_scikit_learns(name: str) -> None:
    output, target = classes(6)
    expected = MULTICLASS[name](target.numpy(), output.argmax(1).numpy(), None, output.double().softmax(1).numpy())
    assert measure((name,), output, target)[name] == pytest.approx(expected, abs=1e-6)


def test_any_number_of_likeliest_classes_is_a_metric() -> None:
    output, target = classes(6)
    got = measure(("top_1", "top_6", "top_40"), output, target)
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


def test_metrics_of_another_task_are_refused() -> None:
    with pytest.raises(SpecError, match="metric rmse is not for a binary target; use accuracy"):
        metrics_for("binary", ("rmse",))
    with pytest.raises(SpecError, match="did you mean 'accuracy'"):
        check_monitor("acuracy", metrics_for("binary"))
    with pytest.raises(SpecError, match="monitor=mcc is not measured; name it among the metrics:  --metrics mcc"):
        check_monitor("mcc", metrics_for("binary"))
