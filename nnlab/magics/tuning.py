"""Which study `%nn_tune --resume` goes on with, and on what data."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from nnlab.core.errors import SpecError
from nnlab.core.spec import CUSTOM
from nnlab.magics import subjects
from nnlab.magics.scan import plain
from nnlab.magics.text import Call

if TYPE_CHECKING:
    from pathlib import Path

    from nnlab.core.store.runs import Store

MORE = ("trials", "minutes", "until", "finalists", "seeds", "refit", "ensemble", "storage", "on")
TAKEN = ("resume", *MORE, "view", "model")


def meant(said: Call, names: Mapping[str, Any], store: "Store") -> "Path":
    """The folder of the study that --resume names, by a word or a variable."""
    from nnlab.core.tune.resuming import study_to_resume

    for name in said.options:
        if name not in TAKEN:
            more = ", ".join(f"--{word}" for word in MORE[:4])
            raise SpecError(f"--{name.replace('_', '-')}: a study that goes on keeps its own; it takes {more}, ...")
    value = said.options["resume"]
    held: Any = names.get(value) if isinstance(value, str) else value
    word = held.name if subjects.is_a(held, ("nnlab", "Study")) else str(plain(value, "--resume"))
    return study_to_resume(store, word)


def data_of(said: Call, names: Mapping[str, Any], fingerprint: str) -> Any:
    """The data that the line names, else a variable that holds the study's; None where its file can be read again."""
    if said.subject is not None:
        return subjects.prepared(said.subject, names, said.verb.name)
    for name in subjects.visible(names, subjects.is_prepared):
        if names[name].fingerprint == fingerprint:
            return names[name]
    return None


def check_network(model: str, name: str, own_network: bool) -> None:
    """SpecError for a network of the user's own that is not there, or one where none belongs."""
    if model == CUSTOM and not own_network:
        raise SpecError(
            f"study {name} trains a network of your own; give it again: --model Net, or its code as the cell's body"
        )
    if own_network and model != CUSTOM:
        raise SpecError(f"study {name} trains nnlab's {model}; take the network away")
