"""Every optimizer: torch's own where torch has it, else closed forms, published vectors and plain re-computations."""

import copy
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import nnlab
from nnlab.core.data.prepare import Prepared
from nnlab.core.optimizers import OPTIMIZERS, WRAPPERS
from nnlab.core.regularizers import l1
from nnlab.core.stepping.pid import PID, PIDAO

TORCHS: dict[str, Any] = {
    "sgd": lambda w: torch.optim.SGD(w, lr=0.1),
    "momentum": lambda w: torch.optim.SGD(w, lr=0.05, momentum=0.9),
    "nesterov": lambda w: torch.optim.SGD(w, lr=0.05, momentum=0.9, nesterov=True),
    "adam": lambda w: torch.optim.Adam(w, lr=1e-3),
    "adamw": lambda w: torch.optim.AdamW(w, lr=1e-3, weight_decay=0.01),
    "rmsprop": lambda w: torch.optim.RMSprop(w, lr=1e-3),
    "nadam": lambda w: torch.optim.NAdam(w, lr=2e-3),
    "radam": lambda w: torch.optim.RAdam(w, lr=5e-3),
    "adamax": lambda w: torch.optim.Adamax(w, lr=2e-3),
    "adagrad": lambda w: torch.optim.Adagrad(w, lr=1e-2),
    "adadelta": lambda w: torch.optim.Adadelta(w, lr=1.0),
    "adafactor": lambda w: torch.optim.Adafactor(w, lr=1e-2),
}
# In a line search all weights share one length, so that the decay of some moves the others too.
DECAYING = [name for name, entry in OPTIMIZERS.items() if "weight_decay" in entry.params and name != "lbfgs"]


def network() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(5, 8), nn.Tanh(), nn.Linear(8, 1))


def steps(model: nn.Module, optimizer: torch.optim.Optimizer, count: int = 20, first: int = 0) -> list[Tensor]:
    for number in range(first, first + count):
        x = torch.randn(16, 5, generator=torch.Generator().manual_seed(number))

        def closure(x: Tensor = x) -> Tensor:
            optimizer.zero_grad()
            loss = (model(x).squeeze(1) - x.sum(1)).square().mean()
            loss.backward()
            return loss

        optimizer.step(closure)
    return [weight.detach().clone() for weight in model.parameters()]


def made(name: str, weights: Any, **values: Any) -> torch.optim.Optimizer:
    optimizer: torch.optim.Optimizer = OPTIMIZERS[name].make([{"params": list(weights), "decays": True}], **values)
    return optimizer


@pytest.mark.parametrize("name", TORCHS)
def test_defaults_are_torchs_algorithm(name: str) -> None:
    model, twin = network(), network()
    ours, theirs = steps(model, made(name, model.parameters())), steps(twin, TORCHS[name](list(twin.parameters())))
    for a, b in zip(ours, theirs, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_each_learns_and_goes_on_from_its_state_to_the_same_bits(name: str) -> None:
    model = network()
    optimizer = made(name, model.parameters())
    x = torch.randn(200, 5)
    before = (model(x).squeeze(1) - x.sum(1)).square().mean()
    steps(model, optimizer, 60)
    saved = copy.deepcopy((model.state_dict(), optimizer.state_dict()))
    straight = steps(model, optimizer, 7, first=60)
    twin = network()
    twin.load_state_dict(saved[0])
    again = made(name, twin.parameters())
    again.load_state_dict(saved[1])
    resumed = steps(twin, again, 7, first=60)
    assert all(torch.equal(a, b) for a, b in zip(straight, resumed, strict=True))
    assert (model(x).squeeze(1) - x.sum(1)).square().mean() < before


@pytest.mark.parametrize("name", DECAYING)
def test_decay_spares_the_group_that_must_not_decay(name: str) -> None:
    def moved(decay: float) -> tuple[Tensor, Tensor]:
        weights = [nn.Parameter(torch.full((3, 3), 2.0)), nn.Parameter(torch.full((3, 3), 2.0))]
        free = {"params": weights[1:], "decays": False, "weight_decay": 0.0}
        optimizer = OPTIMIZERS[name].make([{"params": weights[:1], "decays": True}, free], weight_decay=decay)

        def closure() -> Tensor:
            for weight in weights:
                weight.grad = torch.eye(3)
            return torch.zeros(())

        for _ in range(3):
            optimizer.step(closure)
        return weights[0].detach(), weights[1].detach()

    decayed, free = moved(0.3)
    plain, plain_free = moved(0.0)
    assert torch.equal(free, plain_free)
    assert not torch.equal(decayed, plain)


@pytest.mark.parametrize("name", WRAPPERS)
@pytest.mark.parametrize("inner", ["adamw", "muon", "schedule_free_adamw"])
def test_wrappers_go_on_from_their_state_to_the_same_bits(name: str, inner: str) -> None:
    model = network()
    optimizer = WRAPPERS[name].make(made(inner, model.parameters()))
    steps(model, optimizer, 13)
    saved = copy.deepcopy((model.state_dict(), optimizer.state_dict()))
    straight = steps(model, optimizer, 7, first=13)
    twin = network()
    twin.load_state_dict(saved[0])
    again = WRAPPERS[name].make(made(inner, twin.parameters()))
    again.load_state_dict(saved[1])
    resumed = steps(twin, again, 7, first=13)
    assert all(torch.equal(a, b) for a, b in zip(straight, resumed, strict=True))


# PID family: vectors of the published programs.


def quadratic(x: Tensor) -> Tensor:
    return x[0] ** 2 / 20 + 2 * x[1] ** 2


def rosenbrock(x: Tensor) -> Tensor:
    return (x[0] - 1) ** 2 + 20 * (x[0] ** 2 - x[1]) ** 2


def course(make: Callable[[list[Tensor]], torch.optim.Optimizer], f: Callable[[Tensor], Tensor]) -> dict[int, Tensor]:
    x = torch.tensor([-2.0, 2.0], dtype=torch.float64, requires_grad=True)
    optimizer, found = make([x]), {}
    for step in range(1, 1001):
        optimizer.zero_grad()
        f(x).backward()
        optimizer.step()
        if step in (1, 3, 100):
            found[step] = x.detach().clone()
    return found | {1000: f(x).detach()}


def pidao(lr: float, ki: float, kd: float, kp: float, a: float, **more: Any) -> Callable[..., PIDAO]:
    mu = 1 / (1 + a * lr)
    return lambda w: PIDAO(w, lr, mu, mu * lr**2 * ki, kd, 0.0, gain=mu * lr * kp, **more)


A, KP = 100 / 9, 1000 / 9
PUBLISHED: list[tuple[Any, Any, dict[int, Any]]] = [
    (
        pidao(0.01, 60, 2.5, KP, A),
        quadratic,
        {1: (-1.993489, 1.739568), 3: (-1.976555, 1.170890), 100: (-0.468277, -0.015718), 1000: 1.502e-05},
    ),
    (
        pidao(0.01, 0, 2.5, KP, A),
        quadratic,
        {1: (-1.993500, 1.740000), 3: (-1.976657, 1.174446), 100: (-0.736416, 0.000047), 1000: 8.506e-11},
    ),
    (
        pidao(0.01, 60, 2.5, KP, A, rule="trapezoid"),
        quadratic,
        {1: (-1.995000, 1.800000), 3: (-1.980681, 1.312918), 100: (-0.480869, -0.014287), 1000: 1.549e-05},
    ),
    (
        pidao(0.01, 0, 1.0, KP, A, rule="adaptive", counted=False),
        quadratic,
        {1: (-1.973137, 1.973137), 3: (-1.909174, 1.909174), 100: (-0.249446, 0.249446), 1000: 9.280e-21},
    ),
    (
        pidao(0.01, 0, 1.0, KP, A, rule="adaptive"),
        quadratic,
        {1: (-1.981000, 1.981000), 3: (-1.919874, 1.919874), 100: (-0.003603, 0.003603), 1000: 2.3e-61},
    ),
    (
        pidao(0.001, 0.2, 2.5, 4000 / 3, 1000 / 9),
        rosenbrock,
        {1: (-0.875300, 2.276000), 100: (0.251576, 0.033060), 1000: 9.374e-06},
    ),
    (
        lambda w: PID(w, 1e-3, 0.9, 3.0, 100.0, 0.0, quirk=True),
        quadratic,
        {1: (-1.999200, 1.968000), 3: (-1.992241, 1.700543), 100: (-1.484931, -0.000460), 1000: 3.731e-04},
    ),
]


@pytest.mark.parametrize(("make", "f", "expected"), PUBLISHED)
def test_pid_optimizers_follow_the_published_programs(make: Any, f: Any, expected: dict[int, Any]) -> None:
    found = course(make, f)
    for step in expected.keys() - {1000}:
        torch.testing.assert_close(found[step], torch.tensor(expected[step], dtype=torch.float64), rtol=0, atol=6e-7)
    assert float(found[1000]) == pytest.approx(expected[1000], rel=2e-2 if expected[1000] < 1e-50 else 1e-3)


def test_semi_implicit_pidao_is_the_published_recursion() -> None:
    lr, a, kp, ki, kd = 0.01, A, KP, 60.0, 2.5
    x, y, z = (torch.tensor(v, dtype=torch.float64) for v in ([-2.0, 2.0], [0.0, 0.0], [0.0, 0.0]))
    scale = torch.tensor([0.1, 4.0], dtype=torch.float64)
    w = torch.tensor([-2.0, 2.0], dtype=torch.float64, requires_grad=True)
    optimizer = pidao(lr, ki, kd, kp, a)([w])
    for _ in range(500):
        g = scale * x
        z = z + lr * g
        y = (y - lr * (kp - a * kd) * g - lr * ki * z) / (1 + a * lr)
        x = x + lr * y - lr * kd * g
        optimizer.zero_grad()
        quadratic(w).backward()
        optimizer.step()
        torch.testing.assert_close(w.detach(), x, rtol=0, atol=1e-12)


def test_pidao_without_integral_and_derivative_is_momentum() -> None:
    model, twin = network().double(), network().double()
    ours = made("pidao_si", model.parameters(), lr=0.02, momentum=0.8, kappa=0.0, kd=0.0)
    theirs = torch.optim.SGD(twin.parameters(), lr=0.02, momentum=0.8)
    x = torch.randn(64, 5, dtype=torch.float64)
    for _ in range(1000):
        for one, optimizer in ((model, ours), (twin, theirs)):
            optimizer.zero_grad()
            (one(x).squeeze(1) - x.sum(1)).square().mean().backward()
            optimizer.step()
    for a, b in zip(model.parameters(), twin.parameters(), strict=True):
        torch.testing.assert_close(a, b, rtol=0, atol=1e-12)


# Methods without a class in torch, against their papers' equations written down plainly.


def gradients(count: int, *shape: int) -> list[Tensor]:
    draw = torch.Generator().manual_seed(5)
    return [torch.randn(*shape, generator=draw, dtype=torch.float64) for _ in range(count)]


def driven(name: str, start: Tensor, grads: list[Tensor], **values: Any) -> tuple[Tensor, torch.optim.Optimizer]:
    weight = nn.Parameter(start.clone())
    optimizer = made(name, [weight], **values)
    for gradient in grads:
        weight.grad = gradient.clone()
        optimizer.step()
    return weight.detach(), optimizer


def test_lion_is_algorithm_two_of_the_paper() -> None:
    start, grads = torch.ones(4, 3, dtype=torch.float64), gradients(9, 4, 3)
    w, m = start.clone(), torch.zeros_like(start)
    for g in grads:
        update = torch.sign(0.9 * m + 0.1 * g)
        m = 0.99 * m + 0.01 * g
        w = w - 0.01 * (update + 0.2 * w)
    torch.testing.assert_close(driven("lion", start, grads, lr=0.01, weight_decay=0.2)[0], w, rtol=0, atol=1e-12)


@pytest.mark.parametrize("adaptive", [True, False])
def test_schedule_free_is_the_papers_three_sequences(adaptive: bool) -> None:
    start, grads = torch.ones(3, dtype=torch.float64), gradients(9, 3)
    x, y, z, v, total = start, start, start, torch.zeros_like(start), 0.0
    lrs = [0.02, 0.05, 0.1, 0.1, 0.1, 0.1, 0.1, 0.1, 0.1]
    weight = nn.Parameter(start.clone())
    name = "schedule_free_adamw" if adaptive else "schedule_free_sgd"
    optimizer: Any = made(name, [weight], weight_decay=0.1)
    for t, (g, lr) in enumerate(zip(grads, lrs, strict=True), 1):
        v = 0.999 * v + 0.001 * g**2
        d = g / ((v / (1 - 0.999**t)).sqrt() + 1e-8) if adaptive else g
        z = z - lr * (d + 0.1 * y)
        total += lr**2
        x = x + lr**2 / total * (z - x)
        y = 0.1 * z + 0.9 * x
        optimizer.param_groups[0]["lr"] = lr
        weight.grad = g.clone()
        optimizer.step()
        torch.testing.assert_close(weight.detach(), y, rtol=0, atol=1e-12)
    optimizer.eval()
    torch.testing.assert_close(weight.detach(), x, rtol=0, atol=1e-12)
    optimizer.eval()
    optimizer.train()
    torch.testing.assert_close(weight.detach(), y, rtol=0, atol=1e-12)


def test_soap_without_a_basis_is_adamw() -> None:
    start, grads = torch.ones(4, 3, dtype=torch.float64), gradients(9, 4, 3)
    values = {"lr": 0.01, "beta1": 0.9, "beta2": 0.99, "weight_decay": 0.1}
    ours, _ = driven("soap", start, grads, largest=0, **values)
    twin, _ = driven("adamw", start, grads, **values)
    torch.testing.assert_close(ours, twin, rtol=0, atol=1e-8)


def test_soap_is_adam_in_the_eigenbasis() -> None:
    """One step after the basis was made of the first gradient, by the paper's formulas."""
    start, (first, second) = torch.ones(4, 3, dtype=torch.float64), gradients(2, 4, 3)
    left, right = (torch.linalg.eigh(m)[1] for m in (first @ first.T, first.T @ first))
    rotated = left.T @ second @ right
    mean, square = 0.1 * rotated, 0.01 * rotated**2
    adam = (mean / 0.1) / ((square / 0.01).sqrt() + 1e-8 / 0.01**0.5)
    expected = start - 0.01 * left @ adam @ right.T
    ours, optimizer = driven(
        "soap", start, [first, second], lr=0.01, beta1=0.9, beta2=0.99, weight_decay=0.0, eps=1e-8, every=100
    )
    torch.testing.assert_close(ours, expected, rtol=0, atol=1e-7)
    basis = next(iter(optimizer.state.values()))["basis0"]
    torch.testing.assert_close(basis.T @ basis, torch.eye(4, dtype=torch.float64))


def test_muon_steps_hidden_matrices_by_orthogonal_matrices() -> None:
    model = nn.Sequential(nn.Linear(6, 6, bias=False), nn.Linear(6, 2))
    before = [weight.detach().clone() for weight in model.parameters()]
    optimizer = made("muon", model.parameters(), lr=0.1, weight_decay=0.0)
    for weight in model.parameters():
        weight.grad = torch.eye(*weight.shape) + 0.3 * torch.randn(weight.shape) if weight.ndim > 1 else torch.ones(2)
    optimizer.step()
    moved = [weight.detach() - old for weight, old in zip(model.parameters(), before, strict=True)]
    values = torch.linalg.svdvals(moved[0])
    assert values.max() / values.min() < 2.5, "five Newton-Schulz steps bring all singular values near to one"
    assert torch.allclose(moved[1].abs(), torch.full_like(moved[1], 0.1), atol=1e-3), "the last layer is AdamW's"


def test_lbfgs_solves_a_penalized_least_squares_problem() -> None:
    torch.manual_seed(0)
    x = torch.randn(50, 4, dtype=torch.float64)
    y = x @ torch.tensor([1.0, -2.0, 0.5, 3.0], dtype=torch.float64) + 0.1 * torch.randn(50, dtype=torch.float64)
    weight = nn.Parameter(torch.zeros(4, dtype=torch.float64))
    optimizer = made("lbfgs", [weight], weight_decay=0.3, iterations=50)

    def closure() -> Tensor:
        optimizer.zero_grad()
        loss = (x @ weight - y).square().mean()
        loss.backward()
        return loss

    optimizer.step(closure)
    exact = torch.linalg.solve(2 / 50 * x.T @ x + 0.3 * torch.eye(4, dtype=torch.float64), 2 / 50 * x.T @ y)
    torch.testing.assert_close(weight.detach(), exact, rtol=0, atol=1e-5)


def test_sam_takes_the_gradient_uphill() -> None:
    weight = nn.Parameter(torch.tensor([3.0, 4.0], dtype=torch.float64))
    optimizer = WRAPPERS["sam"].make(made("sgd", [weight], lr=0.1), rho=0.5)

    def closure() -> Tensor:
        optimizer.zero_grad()
        loss = weight.square().sum() / 2
        loss.backward()
        return loss

    assert optimizer.step(closure).item() == 12.5
    torch.testing.assert_close(weight.detach(), torch.tensor([3.0, 4.0], dtype=torch.float64) * (1 - 0.1 * 1.1))


def test_lookahead_moves_slow_weights_half_the_way() -> None:
    weight = nn.Parameter(torch.tensor([1.0]))
    optimizer = WRAPPERS["lookahead"].make(made("sgd", [weight], lr=0.1), every=2, share=0.5)
    seen = []
    for _ in range(4):
        weight.grad = torch.ones(1)
        optimizer.step()
        seen.append(round(weight.item(), 6))
    assert seen == [0.9, 0.9, 0.8, 0.8]


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_each_trains_a_run_and_the_same_seed_gives_the_same_bits(name: str, classes: Prepared) -> None:
    runs = [nnlab.fit(classes, optimizer=name, epochs=2, hidden="8", store=False, seed=3) for _ in range(2)]
    assert runs[0].finished.reason == "completed"
    assert runs[0].history.drop(columns="seconds").equals(runs[1].history.drop(columns="seconds"))


@pytest.mark.parametrize(
    "options", [{"sam": 0.05}, {"lookahead": 3, "lookahead.share": 0.8}, {"sam": 0.1, "lookahead": 2}]
)
def test_wrappers_are_words_of_the_line(options: dict[str, Any], classes: Prepared) -> None:
    plain = nnlab.fit(classes, epochs=2, hidden="8", norm="batch", store=False)
    run = nnlab.fit(classes, epochs=2, hidden="8", norm="batch", store=False, **options)
    assert run.metrics["loss"] != plain.metrics["loss"]
    assert [part.name for part in run.spec.wrappers] == [name for name in options if "." not in name]


def test_sam_cannot_be_put_around_a_search(classes: Prepared) -> None:
    with pytest.raises(nnlab.SpecError, match="sam cannot be put around lbfgs"):
        nnlab.fit(classes, optimizer="lbfgs", sam=0.05, store=False)


def test_l1_is_the_proximal_step() -> None:
    weights = [torch.tensor([[0.5, -0.3, 0.01, -0.02]]), torch.tensor([[2.0]])]
    l1(weights, lr=0.1, strength=0.5)
    torch.testing.assert_close(weights[0], torch.tensor([[0.45, -0.25, 0.0, 0.0]]))
    torch.testing.assert_close(weights[1], torch.tensor([[1.95]]))
    assert (weights[0] == 0).sum() == 2
