"""The live view on several ipykernels: python -m tests.browser.matrix 6.31.0 7.1.0 7.3.0 newest

Each version lives in a small environment of its own, which takes all else from this one; the tests' kernels run in it,
servers and pages stay those of this environment. Words that pytest knows, such as -x, go to it. Prints a table for the
README and ends with 1 if a test failed.
"""

import argparse
import json
import os
import subprocess
import sys
import sysconfig
import tempfile
import venv
import xml.etree.ElementTree as ElementTree
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
VERSIONS = ("6.31.0", "7.1.0", "7.3.0", "newest")
TESTS = ("tests/widgets/test_in_kernel.py", "tests/browser/test_live.py")
LIVE = "test_in_kernel or ((JupyterLab or Notebook) and not legible)"
COLUMNS = ("kernel alone", "JupyterLab", "Notebook 7")


@dataclass(frozen=True)
class Outcome:
    """One test: the column that it belongs to, and passed, failed or skipped."""

    column: str
    name: str
    result: str


def environment(folder: Path, version: str) -> str:
    """Make an environment whose kernel python3 has this ipykernel; gives its version."""
    venv.create(folder, with_pip=False)
    python = folder / ("Scripts" if os.name == "nt" else "bin") / "python"
    asked = "ipykernel" if version == "newest" else f"ipykernel=={version}"
    pip = [sys.executable, "-m", "pip", "--python", str(python), "install", "--quiet", "--no-deps", asked]
    subprocess.run(pip, check=True)
    packages = Path(_said(python, "import sysconfig; print(sysconfig.get_path('purelib'))"))
    (packages / "rest.pth").write_text(f"import site; site.addsitedir({sysconfig.get_path('purelib')!r})\n")
    kernel = folder / "share" / "jupyter" / "kernels" / "python3" / "kernel.json"
    kernel.write_text(kernel.read_text().replace('"python"', json.dumps(str(python)), 1))
    return _said(python, "import ipykernel; print(ipykernel.__version__)")


def _said(python: Path, code: str) -> str:
    return subprocess.check_output([python, "-c", code], text=True).strip()


def outcomes(folder: Path, words: Sequence[str]) -> Iterator[Outcome]:
    """Run the tests with the kernels of an environment."""
    report = folder / "outcome.xml"
    paths = {
        "JUPYTER_PATH": str(folder / "share" / "jupyter"),  # where python3 is looked for first
        "PYTHONPATH": os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")])),
        "NNLAB_REQUIRE_BROWSER": "1",
    }
    command = [sys.executable, "-m", "pytest", *TESTS, "-k", LIVE, "-q", "-p", "no:cacheprovider", *words]
    subprocess.run([*command, f"--junitxml={report}"], cwd=ROOT, env=os.environ | paths, check=False)
    for case in ElementTree.parse(report).getroot().iter("testcase"):
        name, kinds = str(case.get("name")), {child.tag for child in case}
        column = next((column for column in COLUMNS if f"[{column}]" in name), COLUMNS[0])
        yield Outcome(column, name, "failed" if kinds & {"failure", "error"} else "skipped" if kinds else "passed")


def row(version: str, found: Sequence[Outcome]) -> str:
    """One line of the table: passed of run, for each column."""
    cells = []
    for column in COLUMNS:
        counts = Counter(outcome.result for outcome in found if outcome.column == column)
        cells.append(f"{counts['passed']} of {counts['passed'] + counts['failed']}")
    return f"| {version} | " + " | ".join(cells) + " |"


def main() -> int:
    """Run all that is asked for; words behind -- go to pytest."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("versions", nargs="*", default=VERSIONS, help="of ipykernel; newest: what pip gives")
    options, words = parser.parse_known_args()
    lines, failed = ["| ipykernel | " + " | ".join(COLUMNS) + " |", "|---" * (len(COLUMNS) + 1) + "|"], []
    for version in options.versions:
        with tempfile.TemporaryDirectory() as folder:
            told = environment(Path(folder), version)
            found = list(outcomes(Path(folder), words))
        lines.append(row(told, found))
        failed += [f"{told}: {outcome.name} ({outcome.column})" for outcome in found if outcome.result == "failed"]
        print(*lines, *failed, sep="\n", flush=True)
    return bool(failed)


if __name__ == "__main__":
    sys.exit(main())
