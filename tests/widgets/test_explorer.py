"""The explorer of an evaluation in a real kernel: what a press shows, escaped, and what closing leaves."""

from tests.widgets.live_kernel import Kernel, update_of

TRAIN = """
frame["n<b>me"] = rng.choice(["<img src=x onerror=alert(1)>", "b"], len(frame))
numbers = %nn_preprocess frame --target a;
run = %nn_train numbers --epochs 2 --hidden 8 --no-baseline --view none;
"""
PRESS = """
from nnlab.widgets.explorer import OPEN
from nnlab.widgets.slot import family
marks = [w for w in family(OPEN[-1].root) if type(w).__name__ == "Scatter"]
marks[0].selected = np.array([3])
print(len(OPEN), found.index[3])
"""
FIELD = """
(field,) = [w for w in family(OPEN[-1].root) if "Slider" in type(w).__name__ or w.has_trait("step")]
table = OPEN[-1].root.children[2].children[-1].children[-1]
before, field.value = table.value, 0.9
print(type(field).__name__, table.value != before)
"""
LEFT = "OPEN[-1].close(); import ipywidgets; print(len(ipywidgets.widgets.widget._instances), len(OPEN))"


def test_a_dot_shows_its_row_and_another_explorer_closes_the_first(kernel: Kernel) -> None:
    kernel.run(TRAIN)
    kernel.run("%nn_evaluate run --explore --views residuals")
    kernel.run("found = %nn_evaluate run --explore --views residuals,losses")
    opened, row = kernel.run(PRESS).split()
    assert opened == "1"
    html = kernel.until(lambda m: next((v for v in [str(update_of(m).get("value", ""))] if "pressed" in v), ""))
    assert f"<td>{row}</td>" in html and "<img" not in html and "n&lt;b&gt;me" in html
    assert kernel.run(LEFT).split() == ["0", "0"]
    left = [m["content"]["data"] for m in kernel.published if m["msg_type"] == "update_display_data"]
    assert ["image/png" in data for data in left] == [True, False, False] * 2
    assert {data["text/plain"] for data in left if "image/png" not in data} == {""}


def test_without_sliders_the_threshold_is_a_field(kernel: Kernel) -> None:
    kernel.run("run = %nn_train data --epochs 2 --hidden 8 --no-baseline --view none;")
    kernel.run("%nn_evaluate run --explore --views curves --sliders off")
    kernel.run("from nnlab.widgets.explorer import OPEN\nfrom nnlab.widgets.slot import family")
    assert kernel.run(FIELD).split() == ["BoundedFloatText", "True"]
    kernel.run("OPEN[-1].close()")
