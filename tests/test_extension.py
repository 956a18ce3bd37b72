"""One decorated function is an optimizer everywhere: option, help, completion, slider, search space, training."""

from collections.abc import Iterator
from typing import Annotated, Any

import pytest
import torch
from ipywidgets import FloatLogSlider

from nnlab import fit, prepare
from nnlab.core.optimizers import OPTIMIZERS
from nnlab.core.options import options_of, resolve
from nnlab.core.params import Within
from nnlab.core.spec import TrainSpec
from nnlab.core.tune.space import parse
from nnlab.core.tune.usual import default_space
from nnlab.magics.reference import reference
from nnlab.widgets.controls import control


@pytest.fixture
def planted() -> Iterator[None]:
    @OPTIMIZERS.add
    def signum(
        groups: list[dict[str, Any]],
        lr: Annotated[float, Within(1e-6, 1.0, log=True, search=(1e-4, 1e-1)), "step size"] = 0.01,
        weight_decay: Annotated[float, Within(0.0, 1.0), "L2 penalty"] = 0.0,
        cooling: Annotated[float, Within(1e-3, 1.0, log=True), "how fast it cools"] = 0.1,
    ) -> torch.optim.Optimizer:
        """Steps of one size along the sign (planted by a test)."""
        return torch.optim.SGD(groups, lr=lr, weight_decay=weight_decay)

    yield
    del OPTIMIZERS["signum"]


@pytest.fixture
def shell(monkeypatch: pytest.MonkeyPatch, tmp_path: Any) -> Iterator[Any]:
    from IPython.core.interactiveshell import InteractiveShell
    from traitlets.config import Config

    monkeypatch.setenv("IPYTHONDIR", str(tmp_path / "ipython"))
    InteractiveShell.clear_instance()
    config = Config()
    config.HistoryManager.enabled = False
    shell = InteractiveShell.instance(config=config)
    shell.run_line_magic("load_ext", "nnlab")
    yield shell
    InteractiveShell.clear_instance()


def completions(shell: Any, line: str) -> set[str]:
    from IPython.core.completer import provisionalcompleter

    with provisionalcompleter():
        return {completion.text for completion in shell.Completer.completions(line, len(line))}


def test_a_registered_optimizer_is_found_by_every_face(
    planted: None, shell: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    option = options_of(TrainSpec, {"optimizer": "signum"})["cooling"]
    assert option.param.help == "how fast it cools"

    slider = control(option.param)
    assert isinstance(slider, FloatLogSlider) and slider.value == pytest.approx(0.1)
    slider.close()

    base = resolve(TrainSpec, {"optimizer": "signum"})
    assert "cooling" in default_space(base)
    assert parse(["cooling=0.01..0.5 log"], base)["cooling"].low == 0.01

    assert "signum" in completions(shell, "run = %nn_train data --optimizer si")
    assert "--cooling" in completions(shell, "run = %nn_train data --optimizer signum --coo")

    shell.run_line_magic("nn_train", "--help optimizer")
    assert "planted by a test" in capsys.readouterr().out
    shell.run_line_magic("nn_train", "--optimizer signum --help")
    assert "how fast it cools" in capsys.readouterr().out
    assert "`signum`" in reference()

    rows = torch.randn(200, 3).numpy()
    data = prepare((rows, (rows[:, 0] > 0).astype(int)))
    run = fit(data, optimizer="signum", cooling="0.2", epochs=2, store=False)
    assert run.spec.optimizer.values == {"cooling": 0.2}
    assert run.finished.reason == "completed"
