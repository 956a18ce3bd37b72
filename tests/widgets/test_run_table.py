"""The table of runs in a real kernel: filter, order, curves of chosen runs, escaped names, and what closing leaves."""

import base64

from tests.widgets.live_kernel import Kernel

TRAIN = """
import os; from nnlab.core.store.runs import Store; from nnlab.core.store.marks import mark
evil = "<img src=x onerror=alert(1)>"
for rate, name in ((0.001, evil), (0.03, "quick"), (0.01, "middle")):
    line = f"data --epochs 2 --hidden 4 --lr {rate} --name '{name}' --no-baseline --view none ;"
    get_ipython().run_line_magic("nn_train", line)
mark(Store().find("quick").path, tag="good")
"""
LOOK = """
from nnlab.widgets.run_table import OPEN
table = OPEN[-1]
def names(): return [run.name for run in table._shown]
"""
CHECK = """
assert names() == ["middle", "quick", evil], names()
assert evil.replace(" ", "\\xa0") in table._list.options[2][0] and "<img" not in table._head.value
table._sort.value = "lr"
assert names() == [evil, "middle", "quick"] and table.line == "%nn_runs --sort lr"
table._turned.value = True
assert names() == ["quick", "middle", evil] and table.line == '%nn_runs --sort "-lr"'
table._where.value = "lr>0.005"
assert names() == ["quick", "middle"] and table.line == '%nn_runs --where "lr>0.005" --sort "-lr"'
same = get_ipython().run_line_magic("nn_runs", table.line.removeprefix("%nn_runs "))
assert [run.name for run in same] == names()
table._where.value = "nonsense"
assert names() == ["quick", "middle"] and "needed is" in table._said.value
table._where.value, table._sort.value, table._turned.value = "", "lr", False
left = table._bundles(table._shown, table._fitting, table._by())[-1].data["text/plain"].splitlines()
assert [line.split()[0] for line in left[3:]] == ["1", "3", "2"], left  # no tree: the order that was asked for
table._sort.value = "newest"
assert table.line == "%nn_runs" and names() == ["middle", "quick", evil]
table._where.value, table._tag.value = "", "good"
assert names() == ["quick"]
table._tag.value = ''
assert table._curves.layout.display == "none"
table._list.value = (0, 1)
assert table._curves.layout.display == "block" and bytes(table._curves.value).startswith(b"\\x89PNG")
assert table.line == f"%nn_runs {table._shown[0].id} {table._shown[1].id}"
whole = (table._shown[1].path / "run.json").read_bytes()
(table._shown[1].path / "run.json").write_text("{")
table._list.value = ()
table._list.value = (1,)
assert "run.json" in table._said.value and table._curves.layout.display == "none"
(table._shown[1].path / "run.json").write_bytes(whole)
print("held")
"""
LEFT = "table.close(); import ipywidgets; print(len(ipywidgets.widgets.widget._instances), len(OPEN))"


def test_the_table_filters_sorts_and_overlays(kernel: Kernel) -> None:
    kernel.run(TRAIN)
    kernel.run("%nn_runs --explore")
    _, note = [m for m in kernel.published if m["msg_type"] == "display_data"]  # for who reads what was saved meanwhile
    assert "middle" in note["content"]["data"]["text/plain"]
    assert kernel.run(LOOK + CHECK).split() == ["held"]
    assert any("quick" in text and "middle" not in text for text in updates(kernel))
    assert kernel.run(LEFT).split() == ["0", "0"]
    (final,) = [m for m in kernel.published if "image/png" in m["content"].get("data", {})]
    assert final["msg_type"] == "update_display_data"
    assert base64.b64decode(final["content"]["data"]["image/png"]).startswith(b"\x89PNG")


def updates(kernel: Kernel) -> list[str]:
    """The text of each output that was put in the place of another."""
    shown = [m for m in kernel.published if m["msg_type"] == "update_display_data"]
    return [m["content"]["data"].get("text/plain", "") for m in shown]


def test_another_table_closes_the_first_which_leaves_what_it_showed(kernel: Kernel) -> None:
    kernel.run("%nn_runs --explore --where lr<0.02")
    kernel.run("%nn_runs --explore")
    shown, nothing = updates(kernel)
    assert not nothing and shown.startswith("2 runs") and "middle" in shown and "quick" not in shown
    assert kernel.run(LOOK + LEFT).split() == ["0", "0"]


SORTED = """
get_ipython().run_line_magic("nn_runs", "--explore --sort lr --limit 2")
table = OPEN[-1]
assert table.line == "%nn_runs --sort lr --limit 2" and "4 of 4 runs, the first 2" in table._said.value
get_ipython().run_line_magic("nn_runs", "1 3 --explore --sort loss")
table = OPEN[-1]
ids = [run.id for run in table._runs]
assert table.line == f"%nn_runs {ids[0]} {ids[1]} --sort loss" and len(table._shown) == 2
table.close()
"""


def test_limit_order_and_named_runs_are_in_the_line_and_in_what_is_left(kernel: Kernel) -> None:
    kernel.run("%nn_train data --from quick@1 --epochs 2 --no-baseline --view none --name twig;")
    kernel.run(LOOK.replace("table = OPEN[-1]", ""))
    kernel.run(SORTED)
    first, *_ = [text for text in updates(kernel) if text.startswith("2 runs")]
    assert first.startswith("2 runs of 4, the first by lr; --limit 4 lists all") and "─" not in first


def test_curves_of_what_is_listed(kernel: Kernel) -> None:
    kernel.run("%nn_runs --where lr<0.02 --curves")
    kinds = [set(m["content"]["data"]) for m in kernel.published if m["msg_type"] == "display_data"]
    assert kinds == [{"image/png", "text/plain"}, {"text/html", "text/markdown", "text/plain"}]
