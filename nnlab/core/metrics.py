"""Metrics, one decorated function each, computed on the device of their tensors.

output: (n, classes) logits, or (n,) predictions in the target's own units. target: (n,) class codes or values. Each
gives a tensor without dimensions. quantiles=True: it is given output (n, k) and the k quantiles that the run learned
and the columns are; none where it learned single values, (n, 1). usual: the tasks of which a run measures it unless it
is told otherwise, in the order of this file: the first is the main number of its task.
"""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from nnlab.core.errors import SpecError, did_you_mean, nearest
from nnlab.core.registry import Registry

if TYPE_CHECKING:
    from torch import Tensor

METRICS = Registry("metric")
BINARY, CLASSES, REGRESSION = ("binary",), ("binary", "multiclass"), ("regression",)


@METRICS.add(tasks=CLASSES, maximize=True, usual=CLASSES)
def accuracy(output: "Tensor", target: "Tensor") -> "Tensor":
    """Share of rows whose class is predicted."""
    return (output.argmax(1) == target).float().mean()


@METRICS.add(tasks=CLASSES, maximize=True, usual=CLASSES)
def balanced_accuracy(output: "Tensor", target: "Tensor") -> "Tensor":
    """Mean over the classes present of the share of their rows that is found (recall)."""
    hits, support, _ = _counts(output, target)
    present = support > 0
    return (hits[present] / support[present]).mean()


@METRICS.add(tasks=CLASSES, maximize=True, usual=CLASSES)
def f1(output: "Tensor", target: "Tensor") -> "Tensor":
    """Harmonic mean of precision and recall: of the second class if there are two, else the mean over all classes."""
    scores, there, _ = _f1_scores(output, target)
    return _second_or_mean(scores, there)


@METRICS.add(tasks=CLASSES, maximize=True)
def precision(output: "Tensor", target: "Tensor") -> "Tensor":
    """Share of the rows predicted as the second class that are of it, 0 if none is; of more classes the mean."""
    hits, support, predicted = _counts(output, target)
    return _second_or_mean(hits / predicted.clamp(min=1), (support + predicted) > 0)


@METRICS.add(tasks=CLASSES, maximize=True)
def recall(output: "Tensor", target: "Tensor") -> "Tensor":
    """Share of the rows of the second class that are found, 0 if there are none; of more classes the mean."""
    hits, support, predicted = _counts(output, target)
    return _second_or_mean(hits / support.clamp(min=1), (support + predicted) > 0)


@METRICS.add(tasks=CLASSES, maximize=True)
def sensitivity(output: "Tensor", target: "Tensor") -> "Tensor":
    """Recall, by the name that it has in medicine."""
    return recall(output, target)


@METRICS.add(tasks=CLASSES, maximize=True)
def specificity(output: "Tensor", target: "Tensor") -> "Tensor":
    """Share of the rows not of the second class that are not predicted as it; of more classes the mean."""
    hits, support, predicted = _counts(output, target)
    others = len(target) - support
    return _second_or_mean((others - predicted + hits) / others.clamp(min=1), (support + predicted) > 0)


@METRICS.add(tasks=CLASSES, maximize=True, usual=BINARY)
def roc_auc(output: "Tensor", target: "Tensor") -> "Tensor":
    """Chance that a row of the second class scores above one of the first, ties half; nan if one class is absent.

    Of more than two classes the mean, each against all others.
    """
    if output.shape[1] > 2:
        return roc_auc_ovr(output, target)
    return _area(_margin(output), target == 1)


@METRICS.add(tasks=CLASSES, maximize=True)
def average_precision(output: "Tensor", target: "Tensor") -> "Tensor":
    """Precision averaged over the steps of recall, the area under the precision-recall curve; nan with no positives.

    Of more than two classes the mean, each against all others.
    """
    import torch

    if output.shape[1] == 2:
        return _average_precision(_margin(output), target == 1)
    shares = wide(output).softmax(1)
    return torch.stack([_average_precision(shares[:, k], target == k) for k in range(output.shape[1])]).mean()


@METRICS.add(tasks=CLASSES, maximize=False, usual=CLASSES)
def log_loss(output: "Tensor", target: "Tensor") -> "Tensor":
    """Mean negative log-probability of the true class."""
    from torch.nn.functional import cross_entropy

    return cross_entropy(output, target)


@METRICS.add(tasks=CLASSES, maximize=True)
def f1_macro(output: "Tensor", target: "Tensor") -> "Tensor":
    """Mean over all classes of the harmonic mean of precision and recall."""
    scores, there, _ = _f1_scores(output, target)
    return scores[there].mean()


@METRICS.add(tasks=CLASSES, maximize=True)
def f1_weighted(output: "Tensor", target: "Tensor") -> "Tensor":
    """Mean of the classes' F1, each weighing as many as it has rows."""
    scores, _, support = _f1_scores(output, target)
    return (scores * support).sum() / support.sum()


@METRICS.add(tasks=CLASSES, maximize=True)
def precision_macro(output: "Tensor", target: "Tensor") -> "Tensor":
    """Mean over the classes of the share of rows predicted as it that are of it."""
    hits, support, predicted = _counts(output, target)
    return (hits / predicted.clamp(min=1))[(support + predicted) > 0].mean()


@METRICS.add(tasks=CLASSES, maximize=True)
def recall_macro(output: "Tensor", target: "Tensor") -> "Tensor":
    """Mean over the classes of the share of its rows that are found."""
    hits, support, predicted = _counts(output, target)
    return (hits / support.clamp(min=1))[(support + predicted) > 0].mean()


@METRICS.add(tasks=("multiclass",), maximize=True)
def roc_auc_ovr(output: "Tensor", target: "Tensor") -> "Tensor":
    """Mean over the classes of the area under the ROC curve of that class against all others."""
    import torch

    shares = wide(output).softmax(1)
    areas = [_area(shares[:, k], target == k) for k in range(output.shape[1])]
    return torch.stack(areas).mean()


@METRICS.add(tasks=CLASSES, maximize=True)
def mcc(output: "Tensor", target: "Tensor") -> "Tensor":
    """Matthews' correlation of predicted and true class; 0 where one of them has one value only."""
    hits, support, predicted = (wide(counts) for counts in _counts(output, target))
    n = support.sum()
    common = hits.sum() * n - support @ predicted
    spread = (n**2 - support @ support) * (n**2 - predicted @ predicted)
    return common / spread.sqrt().clamp(min=1e-300)


@METRICS.add(tasks=CLASSES, maximize=True)
def kappa(output: "Tensor", target: "Tensor") -> "Tensor":
    """Cohen's agreement of predicted and true class beyond chance."""
    hits, support, predicted = (wide(counts) for counts in _counts(output, target))
    n = support.sum()
    chance = (support @ predicted) / n**2
    return (hits.sum() / n - chance) / (1 - chance)


@METRICS.family(listed=(2, 3, 5), tasks=("multiclass",), maximize=True)
def top(output: "Tensor", target: "Tensor", number: int) -> "Tensor":
    """Share of rows whose class is among the {} likeliest; so for any number, as in top_10."""
    best = output.topk(min(number, output.shape[1]), 1).indices
    return (best == target.unsqueeze(1)).any(1).float().mean()


@METRICS.add(tasks=CLASSES, maximize=False)
def brier(output: "Tensor", target: "Tensor") -> "Tensor":
    """Mean squared error of the probabilities: of the second class if there are two, else summed over all."""
    shares = wide(output).softmax(1)
    if shares.shape[1] == 2:
        return (shares[:, 1] - target).square().mean()
    truth = shares.new_zeros(shares.shape).scatter_(1, target.unsqueeze(1), 1.0)
    return (shares - truth).square().sum(1).mean()


@METRICS.add(tasks=CLASSES, maximize=False)
def ece(output: "Tensor", target: "Tensor") -> "Tensor":
    """Expected calibration error: mean gap of confidence and accuracy in 15 bins of confidence (Guo et al. 2017)."""
    import torch

    confidence, guess = wide(output).softmax(1).max(1)
    place = (confidence * 15).ceil().long().clamp(1, 15) - 1
    gap = torch.zeros(15, dtype=confidence.dtype, device=output.device)
    gap.index_add_(0, place, (guess == target).to(confidence.dtype) - confidence)
    return gap.abs().sum() / len(target)


@METRICS.add(tasks=REGRESSION, maximize=False, usual=REGRESSION)
def rmse(output: "Tensor", target: "Tensor") -> "Tensor":
    """Root of the mean squared error, in the target's units."""
    return (output - target).square().mean().sqrt()


@METRICS.add(tasks=REGRESSION, maximize=False, usual=REGRESSION)
def mae(output: "Tensor", target: "Tensor") -> "Tensor":
    """Mean absolute error, in the target's units."""
    return (output - target).abs().mean()


@METRICS.add(tasks=REGRESSION, maximize=True, usual=REGRESSION)
def r2(output: "Tensor", target: "Tensor") -> "Tensor":
    """Share of the target's variance that is explained; below 0 worse than the mean."""
    target = wide(target)
    return 1 - (target - output).square().sum() / (target - target.mean()).square().sum()


@METRICS.add(tasks=REGRESSION, maximize=False)
def mse(output: "Tensor", target: "Tensor") -> "Tensor":
    """Mean squared error, in the square of the target's units."""
    return wide(output - target).square().mean()


@METRICS.add(tasks=REGRESSION, maximize=False)
def mape(output: "Tensor", target: "Tensor") -> "Tensor":
    """Mean of |error| / |target|; targets of 0 count as the smallest step of a float64."""
    target = wide(target)
    return ((output - target).abs() / target.abs().clamp(min=2.220446049250313e-16)).mean()


@METRICS.add(tasks=REGRESSION, maximize=False, quantiles=True)
def pinball(output: "Tensor", target: "Tensor", levels: Sequence[float]) -> "Tensor":
    """Pinball loss, the mean over the quantiles that --loss quantile learns; else of the median, half of mae."""
    import torch

    each = _quantiles(output, levels or (0.5,))
    return torch.stack([_pinball(values, target, level) for level, values in each.items()]).mean()


@METRICS.family(listed=(0.1, 0.9), tasks=REGRESSION, maximize=False, quantiles=True)
def pinball_(output: "Tensor", target: "Tensor", levels: Sequence[float], number: float) -> "Tensor":
    """Pinball loss of the quantile {}, else of the prediction as such; so for any, as in pinball_0.25."""
    each = _quantiles(output, levels)
    return _pinball(each.get(number, output[:, 0]), target, number)


def metrics_for(task: str, chosen: tuple[str, ...] = ()) -> tuple[str, ...]:
    """The chosen metrics, or the usual ones of the task; SpecError for one of another task."""
    fitting = [name for name, entry in METRICS.items() if task in entry.facts["tasks"]]
    for name in chosen:
        if task not in METRICS[name].facts["tasks"]:
            near = nearest(name, fitting, "--help metrics", most=12)
            raise SpecError(f"metric {name} is not for a {task} target; use {near}")
    return chosen or tuple(name for name in fitting if task in METRICS[name].facts.get("usual", ()))


def check_monitor(monitor: str, metrics: tuple[str, ...]) -> bool:
    """Whether more of the monitored value is better; SpecError if it is neither loss nor measured."""
    if monitor == "loss":
        return False
    if monitor in METRICS and monitor not in metrics:
        raise SpecError(f"monitor={monitor} is not measured; name it among the metrics:  --metrics {monitor}")
    if monitor not in metrics:
        known = ("loss", *metrics)
        raise SpecError(f"monitor={monitor}: measured are {', '.join(known)}{did_you_mean(monitor, known)}")
    return bool(METRICS[monitor].facts["maximize"])


def main_metric(metrics: Mapping[str, float], monitor: str = "loss") -> str | None:
    """What people look at first: the monitored metric, else the task's first one, else the loss."""
    if monitor != "loss" and monitor in metrics:
        return monitor
    named = [name for name in METRICS if name in metrics] + [name for name in metrics if name != "loss"]
    return named[0] if named else ("loss" if "loss" in metrics else None)


def measure(
    names: tuple[str, ...], output: "Tensor", target: "Tensor", levels: Sequence[float] = ()
) -> dict[str, float]:
    """The named metrics as numbers. output: (n, n_out); for a regression output and target in the target's units, its
    first column the prediction, all of them those of the quantiles levels where the run learned some."""
    import torch

    if not target.is_floating_point():
        values = [METRICS[name].make(output, target) for name in names]
    else:
        output = output.reshape(len(target), -1)
        values = [
            METRICS[name].make(output, target, levels)
            if METRICS[name].facts.get("quantiles")
            else METRICS[name].make(output[:, 0], target)
            for name in names
        ]
    if not values:
        return {}
    values = [value.to(torch.float32) for value in values]
    waits = output.device.type != "cpu"  # once for all of them; on the CPU one after the other is faster
    numbers = torch.stack(values).tolist() if waits else [value.item() for value in values]
    return dict(zip(names, numbers, strict=True))


def _quantiles(output: "Tensor", levels: Sequence[float]) -> "dict[float, Tensor]":
    """The columns (n, levels) by their level; those that cross are put in order, as `Run.predict_distribution` does."""
    order = sorted(range(len(levels)), key=lambda at: levels[at])
    columns = output[:, order].sort(1).values
    return {levels[at]: columns[:, place] for place, at in enumerate(order)}


def _pinball(output: "Tensor", target: "Tensor", level: float) -> "Tensor":
    """Koenker & Bassett 1978."""
    import torch

    error = wide(target - output)
    return torch.maximum(level * error, (level - 1) * error).mean()


def _area(score: "Tensor", positive: "Tensor") -> "Tensor":
    """Chance that a positive row scores above another one, ties half."""
    import torch

    _, place, count = torch.unique(score, return_inverse=True, return_counts=True)
    below = count.cumsum(0) - count
    rank = below[place] + (count[place] + 1) / 2  # mean rank of ties, counted from 1
    n = positive.sum()
    pairs = n * (len(positive) - n)
    return (wide(rank[positive]).sum() - n * (n + 1) / 2) / pairs


def _average_precision(score: "Tensor", positive: "Tensor") -> "Tensor":
    import torch

    score, order = score.sort(descending=True)
    hits = positive[order].cumsum(0)
    last_of_tie = torch.ones_like(order, dtype=torch.bool)
    last_of_tie[:-1] = score[1:] != score[:-1]
    rows = torch.arange(1, len(order) + 1, device=score.device)[last_of_tie]
    found = hits[last_of_tie]
    gain = torch.diff(found, prepend=found.new_zeros(1))
    return (wide(found / rows) * gain).sum() / hits[-1]


def _second_or_mean(scores: "Tensor", there: "Tensor") -> "Tensor":
    """The score of the second class of two, else the mean over the classes that are there."""
    return scores[1] if len(scores) == 2 else scores[there].mean()


def _f1_scores(output: "Tensor", target: "Tensor") -> "tuple[Tensor, Tensor, Tensor]":
    """F1 of each class, whether it is there at all, and its rows."""
    hits, support, predicted = _counts(output, target)
    return 2 * hits / (support + predicted).clamp(min=1), (support + predicted) > 0, support


def _counts(output: "Tensor", target: "Tensor") -> "tuple[Tensor, Tensor, Tensor]":
    """For each class: rows of it that were predicted as it, rows of it, rows predicted as it."""
    import torch

    classes, guess = output.shape[1], output.argmax(1)
    hits = torch.bincount(target[guess == target], minlength=classes)
    return hits, torch.bincount(target, minlength=classes), torch.bincount(guess, minlength=classes)


def _margin(output: "Tensor") -> "Tensor":
    return output[:, 1] - output[:, 0]  # orders the rows as the probability of the second class does


def wide(values: "Tensor") -> "Tensor":
    """Double precision where the device has it: sums of ranks and squares outgrow float32."""
    return values if values.device.type == "mps" else values.double()
