"""What the documents say must be so."""

import json
from pathlib import Path

from nnlab.report.reference import inserted

REPOSITORY = Path(__file__).parent.parent


def test_the_readme_lists_what_is_registered() -> None:
    text = (REPOSITORY / "README.md").read_text(encoding="utf-8")
    assert text == inserted(text), "run: python -m nnlab.report.reference README.md"


def test_examples_keep_no_outputs() -> None:
    notebooks = sorted((REPOSITORY / "examples").glob("*.ipynb"))
    assert len(notebooks) >= 3
    for path in notebooks:
        for cell in json.loads(path.read_text(encoding="utf-8"))["cells"]:
            assert not cell.get("outputs") and not cell.get("execution_count"), path.name
