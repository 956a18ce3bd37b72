"""A look at a network that learns: what it sees is right, and the training does not feel it."""

from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch

from nnlab import Prepared, SpecError, fit, prepare
from nnlab.core import playground
from nnlab.core.controls import Controls
from nnlab.core.events import Event, Finished, Lookable, Looked
from nnlab.core.playground import Ground, asked_ground, layers_of
from nnlab.core.spec import TrainSpec


@pytest.fixture(scope="module")
def data() -> Prepared:
    rng = np.random.default_rng(0)
    frame = pd.DataFrame(rng.normal(50.0, 10.0, size=(400, 3)), columns=["a", "b", "c"])
    frame["city"] = rng.choice(["rome", "oslo"], 400)
    frame["y"] = np.where(frame.a + frame.b + rng.normal(size=400) > 100, "yes", "no")
    return prepare(frame, target="y")


class Looker:
    """A view that looks whenever it can."""

    def __init__(self, ground: Ground, controls: Controls) -> None:
        self.ground, self.seen, self.layers = ground, list[np.ndarray](), list[Any]()
        controls.looking = True

    def __call__(self, event: Event) -> None:
        if isinstance(event, Lookable):
            self.seen.append(event.look(self.ground.values))
            self.layers.append(event.look(lambda model, device: layers_of(model, self.ground.rows, device)))


def own_net(n_in: int, n_out: int) -> torch.nn.Module:
    """Autograd's learner, with all that a look could disturb: running means, dropout, numbers drawn when it looks."""

    class Drawing(torch.nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return x + 0.0 * torch.randn_like(x)

    layers = [torch.nn.Linear(n_in, 8), torch.nn.BatchNorm1d(8), torch.nn.Dropout(0.3), Drawing()]
    return torch.nn.Sequential(*layers, torch.nn.ReLU(), torch.nn.Linear(8, n_out))


@pytest.mark.parametrize("model", [None, own_net], ids=["stack", "module"])
def test_the_training_does_not_feel_it(data: Prepared, model: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("nnlab.core.train.TICK", 0.0)  # a look after each step
    options: dict[str, Any] = {"epochs": 3, "store": False, "baseline": False, "probe": False, "model": model}
    options |= {} if model else {"hidden": (8,), "dropout": 0.3, "model": "mlp"}
    plain = fit(data, **options)
    ground = asked_ground(data, ["a", "b"], TrainSpec())
    assert ground is not None
    controls = Controls()
    looker = Looker(ground, controls)
    watched = fit(data, view=looker, controls=controls, **options)
    assert watched.learner.split(":")[0] == ("module" if model else "stack") and len(looker.seen) > 5
    assert not np.allclose(looker.seen[0], looker.seen[-1])
    pairs = zip(plain.model.state_dict().values(), watched.model.state_dict().values(), strict=True)
    assert all(torch.equal(a, b) for a, b in pairs)
    drop = ["seconds"]
    pd.testing.assert_frame_equal(plain.history.drop(columns=drop), watched.history.drop(columns=drop))
    assert looker.layers[-1][0].weights and sum(looker.layers[-1][0].given) > 0


def test_nobody_who_looks_is_told_nothing(data: Prepared) -> None:
    events: list[Event] = []
    fit(data, view=events.append, epochs=2, store=False, baseline=False)
    assert isinstance(events[-1], Finished) and not any(isinstance(event, Lookable) for event in events)


def test_a_surface_is_what_the_run_predicts_of_typical_rows(data: Prepared) -> None:
    run = fit(data, epochs=2, hidden=(8,), store=False, baseline=False)
    ground = asked_ground(data, ["b,a"], run.spec)
    assert ground is not None and ground.shape == (28, 28)
    values = ground.values(run.model, run.device).reshape(28, 28, 2)
    x = np.median(data.train.x, axis=0)
    names = list(data.feature_names)
    x[names.index("b")], x[names.index("a")] = ground.axes[0][7], ground.axes[1][21]
    wanted = run.outputs(x[None].astype(np.float32)).double().softmax(1).numpy()[0]
    np.testing.assert_allclose(values[7, 21], wanted, atol=1e-6)
    back = data.inverse(ground.x)
    np.testing.assert_allclose(ground.units[0], back["b"].to_numpy().reshape(28, 28)[:, 0], rtol=1e-5)
    assert 20 < ground.units[0][0] < 40 < 60 < ground.units[0][-1] < 80  # years, euros: not what the network sees


def test_components_are_the_directions_of_most_spread(data: Prepared) -> None:
    from sklearn.decomposition import PCA

    ground = asked_ground(data, ["pca"], TrainSpec())
    assert ground is not None and ground.names == ("first component", "second component")
    wanted = PCA(2).fit(data.train.x)
    placed = wanted.transform(data.train.x[::1][: len(ground.dots)])
    step = max(1, -(-len(data.train.x) // 300))
    placed = wanted.transform(data.train.x[::step])
    np.testing.assert_allclose(np.abs(ground.dots), np.abs(placed), atol=1e-4)
    flat = (ground.x - data.train.x.mean(0)) @ wanted.components_.T @ wanted.components_
    np.testing.assert_allclose(flat, ground.x - data.train.x.mean(0), atol=1e-3)  # all points lie in the plane


@pytest.mark.parametrize(
    ("words", "told"), [(["q"], "no such feature"), (["a", "b", "c"], "one feature, two, or pca"), (["aa"], "or pca")]
)
def test_what_cannot_be_looked_at_is_refused(data: Prepared, words: list[str], told: str) -> None:
    with pytest.raises(SpecError, match=told):
        asked_ground(data, words, TrainSpec())


@pytest.mark.parametrize(
    ("first", "later", "least"), [(0.03, 0.007, 70), (0.15, 0.007, 60), (0.002, 0.0005, 120), (0.3, 0.3, 3)]
)
def test_looks_and_their_drawing_take_two_percent_of_the_time(
    first: float, later: float, least: int, data: Prepared, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = SimpleNamespace(now=0.0)
    clock.perf_counter = clock.thread_time = lambda: clock.now
    monkeypatch.setattr(playground, "time", clock)
    controls, begun = Controls(), list[float]()
    controls.look_at(asked_ground(data, ["a"], TrainSpec()))
    looker = playground.Looker(controls)

    def drawn(seen: Looked) -> None:
        spent = first * bool(begun) + later * max(0, len(begun) - 1)
        assert spent <= 0.02 * clock.now
        begun.append(clock.now)
        clock.now += later if len(begun) > 1 else first

    while clock.now < 60.0:
        clock.now += 0.01  # of steps
        looker(Lookable(lambda ask: np.zeros((100, 2))), drawn)
    assert len(begun) >= least and begun[0] < 2.1
