"""IPython magics over nnlab.core. Only this file is imported by %load_ext; the rest comes with the first use."""

import contextlib
import weakref
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from nnlab.core.controls import Controls
    from nnlab.magics.background import Shown
    from nnlab.magics.config import NNLab
    from nnlab.magics.panel import Board
    from nnlab.magics.views import LiveView
    from nnlab.report.bundle import Bundle

    Explorer = Callable[[Any, Any, list[Bundle], bool], None]
    OpenPanel = Callable[["Lab", Board, Mapping[str, Any]], None]

SUMMARIES = {
    "nn_preprocess": "Prepare a table for training.",
    "nn_train": "Train a network on prepared data.",
    "nn_tune": "Search hyperparameters.",
    "nn_runs": "List, compare, tag or delete runs.",
    "nn_diff": "Say what differs between two runs.",
    "nn_load": "Bring a run or a study back.",
    "nn_stop": "End the run that trains in the background.",
    "nn_attach": "Show a run here: live while it trains, else its result.",
    "nn_diagnose": "Say what went wrong in a run.",
    "nn_evaluate": "Look at a run's predictions from every side.",
    "nn_report": "Write runs and studies as one HTML, Markdown or PDF file.",
    "nn_config": "Show or set defaults.",
    "nn_panel": "Set and start all of this by hand.",
}
RESULTS = (
    ("nnlab.core.data.prepare", "Prepared"),
    ("nnlab.core.run", "Run"),
    ("nnlab.core.tune.study", "Study"),
    ("nnlab.core.lr_range", "LrRange"),
    ("nnlab.core.diagnose.doctor", "Diagnosis"),
    ("nnlab.core.difference", "Difference"),
    ("nnlab.core.evaluated.evaluated", "Evaluated"),
)
LISTED = ("nnlab.magics.listing", "Listed")


class Lab:
    """The magics of one IPython session. live_view makes the view of a front end: live_view(controls, kind).

    explorer opens an evaluation to be explored, in the running cell: explorer(found, label, outputs, sliders).
    run_table does so with runs: run_table(runs, options, what gives a run its history, what makes bundles).
    panel opens a panel in it: panel(lab, board, options). working: the controls of the run that goes on now.
    bundles: what the results that are still held showed, to be shown again. later: what makes that of a muted result.
    """

    def __init__(
        self, ip: Any, live_view: "LiveView | None", settings: "NNLab", panel: "OpenPanel | None" = None
    ) -> None:
        self.ip, self.live_view, self.settings, self.panel = ip, live_view, settings, panel
        self.working: Controls | None = None
        self.bundles: weakref.WeakKeyDictionary[Any, list[Bundle]] = weakref.WeakKeyDictionary()
        self.later: weakref.WeakKeyDictionary[Any, Callable[[Any], list[Bundle]]] = weakref.WeakKeyDictionary()
        self.background: Shown | None = None  # the run that a process of its own trains, or did
        self.explorer: Explorer | None = None
        self.run_table: Callable[..., None] | None = None
        self._shown: dict[int, weakref.ref[Any]] = {}
        self._own: weakref.ref[Any] | None = None
        self._cell = ""
        self._told = False

    def keep(self, value: Any, text: str, shown: bool, muted: bool) -> None:
        """Note a new value. text: the magic that gave it; shown: this cell shows all of it already."""
        from nnlab.magics.show import ends_with

        if shown:
            self._shown[id(value)] = weakref.ref(value)
        if (shown or muted) and ends_with(self.ip, self._cell, text):
            self._own = weakref.ref(value)

    def forget(self, info: Any = None) -> None:
        """A new cell begins: from here on a value shows all of itself again."""
        self._shown.clear()
        self._own, self._cell = None, str(getattr(info, "raw_cell", ""))

    def tell_unfinished(self) -> None:
        """One line, once, for runs of the store whose process died; a store that cannot be read stops nothing."""
        from nnlab.core.store.files import store_root
        from nnlab.core.store.unfinished import told, unfinished

        if self._told or self._starting():
            return
        self._told = True
        with contextlib.suppress(Exception):
            if runs := unfinished(store_root()):
                print(told(runs))

    def _starting(self) -> bool:
        """Whether a kernel starts, so that no cell is there to print into."""
        return getattr(self.ip, "kernel", None) is not None and not self.ip.kernel.get_parent("shell")

    def display(self, value: Any) -> None:
        """Show a result: all of it, or one line if its magic, in this cell, has shown it.

        Nothing if it is the value of a magic that ends the cell, which has shown it or was muted.
        """
        from nnlab.magics.show import one_line, static
        from nnlab.magics.views import show

        ref = self._shown.get(id(value))
        if self._own is not None and self._own() is value:
            self._own = None
        elif (ref is not None and ref() is value) or not getattr(value, "ready", True):
            one_line(value)
        else:
            for bundle in self.bundles.get(value) or self.later.get(value, static)(value):
                show(bundle)


def register(
    ip: Any,
    live_view: "LiveView | None" = None,
    panel: "OpenPanel | None" = None,
    explorer: "Explorer | None" = None,
    run_table: "Callable[..., None] | None" = None,
) -> None:
    """Give an IPython shell the magics, their completion, their settings and the display of their results."""
    from nnlab.magics.config import NNLab

    unregister(ip)
    settings = NNLab(parent=ip)
    lab = Lab(ip, live_view, settings, panel)
    lab.explorer, lab.run_table = explorer, run_table
    for name in SUMMARIES:
        ip.register_magic_function(_magic(lab, name), magic_kind="line_cell", magic_name=name)
    ip.configurables.append(settings)
    for module, kind in (*RESULTS, LISTED):
        ip.display_formatter.ipython_display_formatter.for_type_by_name(module, kind, lab.display)
    ip.Completer.custom_matchers.append(_matcher(ip))
    ip.events.register("pre_run_cell", lab.forget)
    lab.tell_unfinished()


def unregister(ip: Any) -> None:
    """Take away everything that `register` gave; nothing happens if nothing is there."""
    for name in SUMMARIES:
        for kind in ("line", "cell"):
            ip.magics_manager.magics[kind].pop(name, None)
        if hasattr(ip.magics_manager.user_magics, name):
            delattr(ip.magics_manager.user_magics, name)
    ip.configurables[:] = [item for item in ip.configurables if type(item).__name__ != "NNLab"]
    for module, kind in (*RESULTS, LISTED):
        ip.display_formatter.ipython_display_formatter.pop(f"{module}.{kind}", None)
    matchers = ip.Completer.custom_matchers
    matchers[:] = [matcher for matcher in matchers if getattr(matcher, "__name__", "") != "nnlab_matcher"]
    for callback in list(ip.events.callbacks["pre_run_cell"]):
        if isinstance(getattr(callback, "__self__", None), Lab):
            ip.events.unregister("pre_run_cell", callback)


def _magic(lab: Lab, name: str) -> Callable[..., Any]:
    from IPython.core.magic import needs_local_scope, no_var_expand

    @no_var_expand
    @needs_local_scope
    def magic(line: str, cell: str | None = None, local_ns: dict[str, Any] | None = None) -> Any:
        from nnlab.magics.magics import call

        lab.tell_unfinished()
        return call(lab, name, line, cell, local_ns)

    def getdoc() -> str:
        from nnlab.magics.options import help_text
        from nnlab.magics.verbs import VERBS

        return help_text(VERBS[name])

    magic.__name__ = magic.__qualname__ = name
    magic.__doc__ = f"{SUMMARIES[name]} See %{name}? or %{name} --help."
    magic.getdoc = getdoc  # type: ignore[attr-defined]  # IPython's %name? asks for it, so the text is made when wanted
    return magic


class _Nothing(list[Any]):
    """No completions, and none wanted from others: IPython lets only a matcher that is not empty suppress the rest."""

    def __len__(self) -> int:
        return 1


def _matcher(ip: Any) -> Any:
    from IPython.core.completer import SimpleCompletion, SimpleMatcherResult, context_matcher

    @context_matcher()  # type: ignore[untyped-decorator]
    def nnlab_matcher(context: Any) -> Any:
        if "nn_" not in context.full_text:
            return SimpleMatcherResult(completions=[])
        from nnlab.magics.complete import complete, stored_names

        lines = [*context.full_text.split("\n")[: context.cursor_line], context.text_until_cursor]
        after = context.line_with_cursor[context.cursor_position :]
        found = complete("\n".join(lines), after, ip.user_ns, stored_names)
        if found is None:
            return SimpleMatcherResult(completions=[])
        if found.alone and not found.candidates:
            return SimpleMatcherResult(completions=_Nothing(), suppress=True)
        listed = [SimpleCompletion(text, type=kind) for text, kind in found.candidates]
        return SimpleMatcherResult(completions=listed, matched_fragment=found.fragment, suppress=found.alone)

    nnlab_matcher.__name__ = "nnlab_matcher"
    nnlab_matcher.matcher_priority = 200
    return nnlab_matcher
