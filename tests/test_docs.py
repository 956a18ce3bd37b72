"""What the documents say must be so."""

import json
import re
from difflib import unified_diff
from pathlib import Path

from nnlab.core.diagnose.doctor import DIAGNOSES
from nnlab.magics.reference import inserted
from nnlab.magics.verbs import VERBS

REPOSITORY = Path(__file__).parent.parent


def test_the_readme_lists_what_is_registered() -> None:
    text = (REPOSITORY / "README.md").read_text(encoding="utf-8")
    differing = list(
        unified_diff(text.splitlines(), inserted(text).splitlines(), "README", "registered", "", "", 0, "")
    )
    assert not differing, "run: python -m nnlab.magics.reference README.md"


def test_the_reference_holds_every_option_and_every_diagnosis() -> None:
    text = (REPOSITORY / "README.md").read_text(encoding="utf-8")
    for verb in VERBS.values():
        section = text.partition(f"### `%{verb.name}`\n")[2].partition("\n### ")[0]
        missing = [name for name in verb.own if f"| `--{name}` |" not in section]
        assert not missing, f"%{verb.name}: {missing}"
    doctor = text.partition("**diagnosis**")[2]
    assert all(f"| `{name}` |" in doctor for name in DIAGNOSES)


def test_examples_keep_no_outputs() -> None:
    notebooks = sorted((REPOSITORY / "examples").glob("*.ipynb"))
    assert len(notebooks) >= 3
    for path in notebooks:
        for cell in json.loads(path.read_text(encoding="utf-8"))["cells"]:
            assert not cell.get("outputs") and not cell.get("execution_count"), path.name


def test_the_readmes_optimizer_trains() -> None:
    from sklearn.datasets import load_iris

    from nnlab import fit, prepare
    from nnlab.core.optimizers import OPTIMIZERS

    text = (REPOSITORY / "README.md").read_text(encoding="utf-8")
    code = next(block for block in re.findall(r"```python\n(.*?)```", text, re.DOTALL) if "@OPTIMIZERS.add" in block)
    exec(code, {})
    try:
        run = fit(prepare(load_iris(return_X_y=True)), optimizer="asgd", lr=0.3, epochs=40, store=False)
        assert run.metrics["accuracy"] > 0.6
    finally:
        del OPTIMIZERS["asgd"]
