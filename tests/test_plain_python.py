"""The core is a library of its own: everything works in a process where the faces' packages cannot be imported."""

import subprocess
import sys
from pathlib import Path

PROGRAM = """
import sys

class Refuse:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in ("IPython", "ipywidgets", "bqplot", "matplotlib"):
            raise ImportError(f"{name} is not there")

sys.meta_path.insert(0, Refuse())
import nnlab
from sklearn.datasets import load_breast_cancer

frame = load_breast_cancer(as_frame=True).frame
data = nnlab.prepare(frame, target="target")
run = nnlab.fit(data, optimizer="adamw", dropout=0.2, epochs=8, name="plain")
assert run.score(data)["accuracy"] > 0.9, run.score(data)
study = nnlab.tune(data, trials=3, epochs=3)
assert len(study.trials) == 3 and isinstance(study.best, nnlab.TrainSpec)
again = nnlab.fit(data, spec=study.best)
loaded = nnlab.load("plain")
assert (loaded.predict_proba(frame) == run.predict_proba(frame)).all()
try:
    nnlab.fit(data, optimiser="sgd")
except nnlab.SpecError as error:
    assert "did you mean 'optimizer'" in str(error)
else:
    raise AssertionError("a wrong option must be refused")
print("done")
"""


def test_prepare_fit_tune_and_load_need_no_notebook(tmp_path: Path) -> None:
    program = tmp_path / "program.py"
    program.write_text(PROGRAM)
    ran = subprocess.run(
        [sys.executable, "-W", "error::RuntimeWarning", program], capture_output=True, text=True, cwd=tmp_path
    )
    assert ran.returncode == 0, ran.stderr
    assert ran.stdout.strip() == "done"
