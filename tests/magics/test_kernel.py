"""The magics in a real kernel: messages as a front end sends them."""

import os
import queue
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from jupyter_client.manager import start_new_kernel

SETUP = """
%load_ext nnlab
import numpy as np, pandas as pd
x = np.random.default_rng(0).normal(size=(90, 3))
df = pd.DataFrame(x, columns=["age", "my col", "height"]).assign(label=np.where(x[:, 0] > 0, "yes", "no"))
data = %nn_preprocess df --target label;
"""


class Front:
    """A front end without a screen."""

    def __init__(self, client: Any) -> None:
        self.client = client

    def run(self, code: str, stdin: bool = False) -> tuple[dict[str, Any], list[dict[str, Any]]]:
        """The reply and the outputs of a cell."""
        outputs: list[dict[str, Any]] = []
        reply = self.client.execute_interactive(
            code, allow_stdin=stdin, timeout=120, output_hook=lambda message: outputs.append(message),
            stdin_hook=lambda message: None,
        )  # fmt: skip
        kinds = ("stream", "display_data", "execute_result", "update_display_data", "error")
        return reply["content"], [m["content"] | {"type": m["msg_type"]} for m in outputs if m["msg_type"] in kinds]

    def complete(self, text: str) -> list[str]:
        """What Tab at the end of text (or at its |) offers, put in place of what it replaces."""
        before, _, after = text.partition("|")
        self.client.complete(before + after, len(before))
        content = self.client.get_shell_msg(timeout=60)["content"]
        assert content["cursor_end"] >= len(before)
        return [before[: content["cursor_start"]] + word for word in content["matches"]]


@pytest.fixture(scope="module")
def front(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Front]:
    home = tmp_path_factory.mktemp("kernel")
    env = os.environ | {"NNLAB_HOME": str(home / "store"), "IPYTHONDIR": str(home / "ipython"), "HOME": str(home)}
    manager, client = start_new_kernel(kernel_name="python3", env=env, cwd=str(home))
    try:
        front = Front(client)
        reply, outputs = front.run(SETUP)
        assert reply["status"] == "ok", outputs
        yield front
    finally:
        client.stop_channels()
        manager.shutdown_kernel(now=True)
        manager.cleanup_resources()


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("%nn_", ["%nn_train", "%nn_preprocess", "%nn_load"]),
        ("%%nn_tr", ["%%nn_train"]),
        ("run = %nn_tr", ["run = %nn_train"]),
        ("%nn_train data --", ["%nn_train data --lr", "%nn_train data --weight-decay"]),
        ("run = %nn_train data --we", ["run = %nn_train data --weight-decay"]),
        ("%nn_train data --optimizer ", ["%nn_train data --optimizer adamw"]),
        ("%nn_train data --optimizer=ad", ["%nn_train data --optimizer=adam", "%nn_train data --optimizer=adamw"]),
        ("%nn_train da", ["%nn_train data"]),
        ("%nn_preprocess df --target ", ["%nn_preprocess df --target age", "%nn_preprocess df --target 'my col'"]),
        ("%nn_preprocess d", ["%nn_preprocess df"]),
        ("%nn_preprocess df --drop age,he", ["%nn_preprocess df --drop age,height"]),
        ("%%nn_train data --norm |\nlr: 3", ["%%nn_train data --norm batch"]),
        ("%%nn_train data\noptimizer: ad", ["%%nn_train data\noptimizer: adam"]),
        ("x = 1\nrun = %nn_train data --opt", ["x = 1\nrun = %nn_train data --optimizer"]),
        ("%nn_load ", ["%nn_load last"]),
    ],
)
def test_tab(front: Front, text: str, words: list[str]) -> None:
    offered = front.complete(text)
    assert set(words) <= set(offered)
    before = text.partition("|")[0]
    assert all(word.startswith(before[:3]) for word in offered)


def test_no_python_names_among_the_options(front: Front) -> None:
    assert all(word.startswith("%nn_train data --") for word in front.complete("%nn_train data --"))
    assert "--abs" not in " ".join(front.complete("%nn_train data --"))


def test_question_mark_shows_help(front: Front) -> None:
    reply, _ = front.run("%nn_train?")
    text = reply["payload"][0]["data"]["text/plain"]
    assert "Examples" in text
    assert "--weight-decay" in text
    front.client.inspect("%nn_train", 5)
    content = front.client.get_shell_msg(timeout=60)["content"]
    assert "--weight-decay" in content["data"]["text/plain"]
    _, outputs = front.run("%nn_train --help optimizer")
    assert "adamw" in outputs[0]["text"]


# Ends when two requests have come that were sent after it had begun.
TWO_WAIT = """
import time
from nnlab.widgets.pump import Pump
pump = Pump()
print("begun", flush=True)
while len(pump._held) < 2:
    pump()
    time.sleep(0.01)
pump.close()"""


def test_error_is_short_and_aborts_the_queue(front: Front) -> None:
    front.client.execute(TWO_WAIT)
    while front.client.get_iopub_msg(timeout=60)["msg_type"] != "stream":
        pass
    first = front.client.execute("%nn_train data --dropuot 0.5", store_history=True, stop_on_error=True)
    second = front.client.execute("must_not_be_set = 1", store_history=True)
    replies: dict[str, Any] = {}
    while len(replies) < 3:
        message = front.client.get_shell_msg(timeout=60)
        replies[message["parent_header"]["msg_id"]] = message["content"]
    error, later = replies[first], replies[second]
    assert (error["status"], error["ename"]) == ("error", "SpecError")
    assert "did you mean 'dropout'" in error["evalue"]
    assert len(error["traceback"]) <= 3
    assert error["traceback"][0].startswith("nnlab: ")
    assert later["status"] in ("aborted", "error")
    _drain(front)
    reply, _ = front.run("must_not_be_set")
    assert reply["ename"] == "NameError"


def _drain(front: Front) -> None:
    while True:
        try:
            front.client.get_iopub_msg(timeout=0.5)
        except queue.Empty:
            return


def test_headless_run_leaves_static_outputs_only(front: Front) -> None:
    reply, outputs = front.run("run = %nn_train data --epochs 2 --hidden 8\nrun")
    assert reply["status"] == "ok", outputs
    assert [sorted(output["data"]) for output in outputs] == [
        ["image/png", "text/plain"], ["text/html", "text/markdown", "text/plain"], ["text/plain"],
    ]  # fmt: skip
    _, outputs = front.run("run")
    assert [sorted(output["data"])[0] for output in outputs] == ["image/png", "text/html"]
    _, outputs = front.run("import sys\nprint([name for name in ('ipywidgets', 'bqplot') if name in sys.modules])")
    assert outputs[0]["text"].strip() == "[]"


def test_mute_shows_nothing(front: Front) -> None:
    reply, outputs = front.run("%nn_train data --epochs 1 --hidden 8;")
    assert (reply["status"], outputs) == ("ok", [])
    _, outputs = front.run("_.spec.epochs")
    assert outputs[0]["data"]["text/plain"] == "1"


def test_text_view_in_a_kernel(front: Front) -> None:
    _, outputs = front.run("%nn_train data --epochs 2 --hidden 8 --view text --name shown")
    text = "".join(output.get("text", "") for output in outputs)
    assert "epoch 2/2" in text.split("\r")[-1]
    assert front.complete("%nn_load sho") == ["%nn_load shown"]


def test_live_view_where_there_is_a_front_end(front: Front) -> None:
    pytest.importorskip("nnlab.widgets.live")
    at_once = "import nnlab.widgets.live\nnnlab.widgets.live.OPEN_AFTER = 0.0\n"
    reply, outputs = front.run(f"{at_once}run = %nn_train data --epochs 3 --hidden 8", stdin=True)
    assert reply["status"] == "ok", outputs
    kinds = [set(output["data"]) for output in outputs if output["type"] != "stream"]
    assert any("application/vnd.jupyter.widget-view+json" in kind for kind in kinds)
    # what came in place of the widget, and of its note
    curves, tables = [o["data"] for o in outputs if o["type"] == "update_display_data"][-2:]
    assert "image/png" in curves and "text/html" in tables
    assert all("application/vnd.jupyter.widget-view+json" not in left for left in (curves, tables))


def test_error_in_a_body_names_the_cell_line(front: Front, tmp_path: Path) -> None:
    reply, _ = front.run("%%nn_train data\nx = 1\ny = x / 0\ny")
    assert reply["ename"] == "ZeroDivisionError"
    text = "\n".join(reply["traceback"])
    assert "line 3" in text
    assert "nnlab/magics" not in text
