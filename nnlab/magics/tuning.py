"""Which study `%nn_tune --resume` goes on with, and on what data."""

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from nnlab.core.controls import Controls
from nnlab.core.errors import SpecError
from nnlab.core.spec import CUSTOM
from nnlab.magics import subjects
from nnlab.magics.scan import plain
from nnlab.magics.text import Call
from nnlab.magics.views import View

if TYPE_CHECKING:
    from nnlab.core.store.runs import Store
    from nnlab.core.tune.header import Header

MORE = ("trials", "minutes", "until", "finalists", "seeds", "refit", "ensemble", "storage", "on")
TAKEN = ("resume", *MORE, "view", "model", "frame")


def meant(said: Call, names: Mapping[str, Any], store: "Store") -> "Header":
    """The study that --resume names, by a word or a variable."""
    from nnlab.core.tune.header import Header
    from nnlab.core.tune.resuming import study_to_resume

    for name in said.options:
        if name not in TAKEN:
            more = ", ".join(f"--{word}" for word in MORE[:4])
            raise SpecError(f"--{name.replace('_', '-')}: a study that goes on keeps its own; it takes {more}, ...")
    value = said.options["resume"]
    held: Any = names.get(value) if isinstance(value, str) else value
    word = held.name if subjects.is_a(held, ("nnlab", "Study")) else str(plain(value, "--resume"))
    return Header.read(study_to_resume(store, word))


def work(said: Call, names: Mapping[str, Any], header: "Header", model: Any) -> Callable[[View, Controls], Any]:
    """What goes on with the study, on data that the line or a variable holds, or that is read again."""
    data = data_of(said, names, header.data)
    options = {name: said.options[name] for name in MORE if name in said.options}
    frame = None if data is None else subjects.frame_of(data, said.options.get("frame"), names)

    def go_on(view: View, controls: Controls) -> Any:
        from nnlab.core.tune.resuming import resume_study

        return resume_study(header.name, data, model=model, view=view, controls=controls, frame=frame, **options)

    return go_on


def data_of(said: Call, names: Mapping[str, Any], fingerprint: str) -> Any:
    """The data that the line names, else a variable that holds the study's; None where its file can be read again."""
    if said.subject is not None:
        return subjects.prepared(said.subject, names, said.verb.name)
    variable = variable_of(fingerprint, names)
    return None if variable is None else names[variable]


def variable_of(fingerprint: str, names: Mapping[str, Any]) -> str | None:
    """The variable that holds the data of this fingerprint."""
    held = subjects.visible(names, subjects.is_prepared)
    return next((name for name in held if names[name].fingerprint == fingerprint), None)


def check_network(header: "Header", own_network: bool) -> None:
    """SpecError for a network of the user's own that is not there, or one where none belongs."""
    model, name = header.base.model.name, header.name
    if model == CUSTOM and not own_network:
        raise SpecError(
            f"study {name} trains a network of your own; give it again: --model Net, or its code as the cell's body"
        )
    if own_network and model != CUSTOM:
        raise SpecError(f"study {name} trains nnlab's {model}; take the network away")
