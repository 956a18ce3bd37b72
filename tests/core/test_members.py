"""Networks side by side: each is what it would be alone, and together they are one network."""

from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

import nnlab
from nnlab.core.batch import Batch
from nnlab.core.data.prepare import Prepared
from nnlab.core.inits import INITS, initialize, matrices
from nnlab.core.inputs import Inputs
from nnlab.core.learners.module import ModuleLearner
from nnlab.core.members import Joined, MemberLinear, joined
from nnlab.core.models import MODELS
from nnlab.core.options import resolve
from nnlab.core.parameter_groups import groups_of
from nnlab.core.registry import Part
from nnlab.core.spec import TrainSpec


@pytest.fixture(autouse=True)
def seeded() -> None:
    torch.manual_seed(0)


def inputs(n_in: int, **values: Any) -> Inputs:
    return Inputs(n_in, tuple(range(n_in)), **values)


def test_predictions_are_means_of_the_members() -> None:
    output = torch.randn(7, 5, 3, dtype=torch.float64)
    torch.testing.assert_close(joined(output, "probabilities").softmax(1), output.softmax(2).mean(1))
    torch.testing.assert_close(joined(output, "outputs"), output.mean(1))
    torch.testing.assert_close(joined(output, "rates").exp(), output.exp().mean(1))
    network = Joined(nn.Sequential(MemberLinear(5, 4, 3)), "probabilities")
    assert network(torch.randn(2, 4)).shape == (2, 5, 3)
    assert network.eval()(torch.randn(2, 4)).shape == (2, 3)


def test_the_loss_is_the_mean_over_members_with_weights_and_mixtures() -> None:
    output, y, other = torch.randn(9, 4, 3), torch.randint(3, (9,)), torch.randint(3, (9,))
    weight, other_weight = torch.rand(9), torch.rand(9)

    def loss(out: Tensor, y: Tensor, weight: Tensor) -> Tensor:
        return (functional.cross_entropy(out, y, reduction="none") * weight).sum() / weight.sum()

    batch = Batch(torch.randn(9, 2), y, weight, None, other, other_weight, 0.3)
    alone = torch.stack([batch.loss(output[:, member], loss) for member in range(4)])
    torch.testing.assert_close(batch.loss(output, loss), alone.mean())


@pytest.mark.parametrize("ntk", [False, True])
def test_a_layer_of_members_is_as_many_layers(ntk: bool) -> None:
    layer = MemberLinear(3, 5, 4, ntk=ntk).double()
    x = torch.randn(6, 3, 5, dtype=torch.float64)
    scale = 5**-0.5 if ntk else 1.0
    expected = torch.stack([x[:, m] @ layer.weight[m].T * scale + layer.bias[m] for m in range(3)], 1)
    torch.testing.assert_close(layer(x), expected)
    torch.testing.assert_close(layer(x[:, 0]), layer(x[:, :1].expand(-1, 3, -1)))


def test_a_packed_ensemble_learns_as_its_members_would_alone(classes: Prepared) -> None:
    """The loss is a mean, so that descent on it is descent of each member at a share of the step size."""
    plain = {"optimizer": "sgd", "weight_decay": 0, "dropout": 0, "norm": "layer", "activation": "tanh"}
    spec = resolve(TrainSpec, {"model": "packed", "members": 3, "hidden": "8,6", **plain})
    together = ModuleLearner(spec, classes, "cpu")
    alone = [ModuleLearner(resolve(TrainSpec, {"hidden": "8,6", **plain}), classes, "cpu") for _ in range(3)]
    weights = [weight for weight in together.model.parameters()]
    for member, learner in enumerate(alone):
        with torch.no_grad():
            for own, all_members in zip(learner.model.parameters(), weights, strict=True):
                own.copy_(all_members[member])
    for step in range(4):
        rows = torch.arange(step * 50, step * 50 + 50)
        together.step(rows, 0.3)
        for learner in alone:
            learner.step(rows, 0.1)
    x = torch.from_numpy(classes.valid.x)
    expected = torch.stack([learner.model.eval()(x).softmax(1) for learner in alone]).mean(0)
    torch.testing.assert_close(together.model.eval()(x).softmax(1), expected, atol=1e-5, rtol=1e-4)
    assert together.take_loss() == pytest.approx(np.mean([learner.take_loss() for learner in alone]), rel=1e-5)


def test_members_of_a_packed_ensemble_have_embeddings_of_their_own() -> None:
    columns = Inputs(4, (0, 3), {1: (6, 2), 2: (5, 3)}, Part("pbld"))
    front = columns.front(members=3)
    x = torch.tensor([[0.3, 4, 2, -1.0], [1.3, 2, 4, 0.5]])
    out = front(x)
    assert out.shape == (2, 3, front.n_out) == (2, 3, 2 * 4 + 2 + 3)
    narrow, wide = (table.weight.transpose(0, 1) for table in front.codes.tables)
    assert narrow.shape[1:] == (3, 2) and wide.shape[1:] == (3, 3)
    for row in range(2):
        for member in range(3):
            codes = torch.cat([narrow[int(x[row, 1]), member], wide[int(x[row, 2]), member]])
            assert torch.equal(out[row, member, -5:], codes)
    assert len({tuple(out[0, member].tolist()) for member in range(3)}) == 3


# TabM


def test_tabm_is_the_papers() -> None:
    """h = act(s * (W (r * x)) + b) for each member, then a head of its own (Gorishniy et al. 2025, equation 5)."""
    network = MODELS["tabm"].make(inputs(5), 2, members=3, hidden=(8, 6), dropout=0.0)
    with torch.no_grad():
        for weight in network.parameters():
            weight.normal_()
    w = network.state_dict()
    x = torch.randn(7, 5)
    expected = []
    for member in range(3):
        h = x
        for at in ("2", "5"):
            h = (h * w[f"{at}.r"][member]) @ w[f"{at}.weight"].T * w[f"{at}.s"][member] + w[f"{at}.bias"][member]
            h = h.clamp(min=0)
        expected.append(h @ w["8.weight"][member].T + w["8.bias"][member])
    torch.testing.assert_close(network(x), torch.stack(expected, 1), atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("sharing", ["full", "mini"])
def test_members_of_tabm_begin_alike_but_for_the_first_scales(sharing: str) -> None:
    network = MODELS["tabm"].make(inputs(5), 2, members=6, hidden=(8,), dropout=0.0, sharing=sharing)
    first = network[2].r if sharing == "full" else network[2].weight
    assert set(first.detach().unique().tolist()) == {-1.0, 1.0}
    if sharing == "full":
        assert all(torch.equal(network[2].bias[0], row) for row in network[2].bias)
        assert network[2].s.detach().unique().tolist() == [1.0]
    embedded = MODELS["tabm"].make(inputs(5, embed=Part("plr", {"size": 3})), 2, members=6, hidden=(8,))
    drawn = embedded[2].r.detach().view(6, 5, 3)
    assert torch.equal(drawn, drawn[:, :, :1].expand(-1, -1, 3)), "one factor for all values of a number"
    assert drawn.unique().numel() == 30


# RealMLP


def test_realmlp_is_the_papers() -> None:
    """NTK layers, scaled inputs, x + a (mish(x) - x) (Holzmüller et al. 2024, section 3)."""
    network = MODELS["realmlp"].make(inputs(5), 1, hidden=(8, 6), dropout=0.0)
    with torch.no_grad():
        for weight in network.parameters():
            weight.normal_()
    w = network.state_dict()
    x = torch.randn(7, 5)
    h = x * w["2.weight"][0]
    for at, share in (("3", "4"), ("6", "7")):
        h = h @ w[f"{at}.weight"][0].T / h.shape[1] ** 0.5 + w[f"{at}.bias"][0]
        h = h + w[f"{share}.weight"][0] * (functional.mish(h) - h)
    expected = h @ w["9.weight"][0].T / 6**0.5 + w["9.bias"][0]
    torch.testing.assert_close(network(x)[:, 0], expected, atol=1e-4, rtol=1e-4)


def test_realmlp_brings_its_schedules_groups_and_first_weights(numbers: Prepared) -> None:
    spec = resolve(TrainSpec, {"model": "realmlp", "hidden": "16,16"})
    assert (spec.schedule.name, spec.dropout_schedule.name, spec.decay_schedule.name) == (
        "coslog4",
        "flat_cosine",
        "flat_cosine",
    )
    learner = ModuleLearner(spec, numbers, "cpu")
    factors = {group["factor"]: group for group in groups_of(learner.model, spec)}
    assert set(factors) == {1.0, 0.1, 6.0}
    assert len(factors[6.0]["params"]) == 1, "the scale of the inputs"
    network = learner.model.network  # type: ignore[union-attr]
    x = torch.from_numpy(numbers.train.x[:1024])
    outputs = network[:4](x)  # type: ignore[index]
    torch.testing.assert_close(outputs.std(0), torch.ones(1, 16), atol=1e-3, rtol=0)
    above = (outputs > 0).float().mean(0)
    assert float(above.std().detach()) > 0.05, "kinks lie at different places of the data"
    assert ((above > 0) & (above < 1)).all()


@pytest.mark.parametrize("name", [name for name in INITS if name not in ("identity", "sparse", "heavy_tailed")])
def test_first_weights_of_members_are_those_of_single_layers(name: str) -> None:
    """With NTK scaling the function of a layer is the same, so its weights are sqrt(inputs) times as large."""
    plain, ntk = (nn.Sequential(MemberLinear(3, 40, 30, ntk), nn.ReLU(), MemberLinear(3, 30, 2, ntk)) for ntk in (0, 1))
    single = nn.Sequential(nn.Linear(40, 30), nn.ReLU(), nn.Linear(30, 2))
    x = torch.randn(400, 40)
    spread = []
    for network in (plain, ntk, single):
        initialize(network, Part(name), None, x)
        outputs = network[0](x).detach().flatten(1)
        spread.append(float(outputs.std()))
    if name != "torch_default":
        assert spread[1] == pytest.approx(spread[0], rel=0.12)
        assert spread[2] == pytest.approx(spread[0], rel=0.2)
    assert [tuple(matrix.shape) for matrix in matrices(plain[0])] == [(30, 40)] * 3


def test_limits_hold_for_each_member(classes: Prepared) -> None:
    options = {"model": "packed", "members": 3, "hidden": "8", "max_norm": 0.2, "spectral_norm": 0.3, "l1": 1e-3}
    run = nnlab.fit(classes, epochs=2, store=False, **options)
    first = next(layer for layer in run.model.modules() if isinstance(layer, MemberLinear)).weight.detach()
    assert first.norm(dim=-1).max() <= 0.2 + 1e-5
    assert torch.linalg.matrix_norm(first, 2).max() <= 0.3 + 1e-4


@pytest.mark.parametrize(
    "word", [{"mixup": 0.3}, {"r_drop": 1.0}, {"vat": 0.5}, {"confidence_penalty": 0.1}, {"fgsm": 0.3}]
)
@pytest.mark.parametrize("data", ["classes", "numbers"])
def test_techniques_work_for_members(word: dict[str, float], data: str, request: pytest.FixtureRequest) -> None:
    prepared: Prepared = request.getfixturevalue(data)
    run = nnlab.fit(prepared, model="tabm", members=3, hidden="12", epochs=3, store=False, **word)
    assert run.history["train_loss"].iloc[-1] < run.history["train_loss"].iloc[0]


def test_several_outputs_and_weights_of_rows() -> None:
    draw = np.random.default_rng(0)
    frame = {"x": draw.normal(size=300), "w": draw.random(300), "y": draw.normal(size=300)}
    data = nnlab.prepare(frame, target="y", weight="w")
    for loss in ("quantile", "gaussian_nll"):
        run = nnlab.fit(data, model="packed", members=2, hidden="8", loss=loss, epochs=2, store=False)
        assert np.isfinite(run.predict({"x": [0.0, 1.0]})).all()
