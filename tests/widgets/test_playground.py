"""The playground in a real kernel: its picture is sent anew, the button asks for the layers, nothing is left behind."""

from typing import Any

from tests.widgets.live_kernel import ENDLESS, Kernel, update_of


def test_the_picture_moves_and_the_layers_are_told(kernel: Kernel) -> None:
    request = kernel.send(ENDLESS + " --playground b,c")
    pictures: list[bytes] = []

    def drawn(message: dict[str, Any]) -> bool:
        if message["buffers"] and bytes(message["buffers"][0][:4]) == b"\x89PNG":
            pictures.append(bytes(message["buffers"][0]))
        return len(set(pictures)) > 1

    kernel.until(drawn)
    kernel.click("Layers")
    table = kernel.until(lambda m: next((v for v in [str(update_of(m).get("value", ""))] if "activations" in v), ""))
    assert table.count("<tr>") > 2 and "█" in table
    kernel.click("Stop")
    assert kernel.reply(request)["status"] == "ok"
    assert kernel.run("import ipywidgets; print(len(ipywidgets.widgets.widget._instances))").strip() == "0"
    pictures_left = [m for m in kernel.published if m["msg_type"] in ("update_display_data", "display_data")]
    assert "y over b and c" in pictures_left[-1]["content"]["data"]["text/plain"]
