"""What shows the outputs of this session, judged by what it can do, not by its name where that can be helped."""

import sys
from dataclasses import dataclass
from typing import Any, Literal

VS_CODE = "VS Code"
COLAB_ON = "from google.colab import output; output.enable_custom_widget_manager()"


@dataclass(frozen=True)
class FrontEnd:
    """name: for people. view: what `--view auto` means here. why: the reason where that is not the live view.

    widgets: whether a live view may be tried; advice: what the user can do to have one.
    """

    name: str
    view: Literal["live", "text", "none"]
    why: str = ""
    widgets: bool = False
    advice: str = ""


def front_end(ip: Any) -> FrontEnd:
    """The front end of an IPython shell. Whether it then draws widgets, only its answer tells: nnlab.widgets.live."""
    kernel = getattr(ip, "kernel", None)
    if kernel is None:
        return FrontEnd("a terminal", "text", "a terminal shows no widgets")
    if not getattr(kernel, "_allow_stdin", True):  # only front ends with a person can answer input()
        return FrontEnd("no front end", "none", "nobody is there: nbclient, papermill or nbconvert runs the notebook")
    if "google.colab" in sys.modules:
        if getattr(sys.modules.get("google.colab.output._widgets"), "_installed_url", None):
            return FrontEnd("Colab", "live", widgets=True)
        why = "Colab shows bqplot's charts only once third-party widgets are allowed"
        return FrontEnd("Colab", "text", why, widgets=True, advice=COLAB_ON)
    if "__vsc_ipynb_file__" in getattr(ip, "user_ns", {}):
        return FrontEnd(VS_CODE, "live", widgets=True)
    return FrontEnd("Jupyter", "live", widgets=True)


def touchable(lab: Any, view: Any) -> bool:
    """Whether a view that a session may have can be shown as widgets; a line says why not, or not all of it."""
    front = front_end(lab.ip)
    if view is not None and front.advice:
        print(f"nnlab: {front.why}:  {front.advice}")
    elif view is not None and not front.widgets:
        print(f"nnlab: nothing to touch: {front.why}")
    return view is not None and front.widgets
