"""The run that a line means: a variable, or one of the store."""

import os
from collections.abc import Callable, Mapping
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

from nnlab.core.errors import NNLabError, SpecError
from nnlab.magics import subjects
from nnlab.magics.scan import Word, plain, value_of, with_article
from nnlab.magics.text import Call

if TYPE_CHECKING:
    from nnlab.core.run import Run
    from nnlab.core.store.reading import RunInfo
    from nnlab.core.store.runs import Store
    from nnlab.core.tune.study import Study


def any_run(said: Call, model: str | None, names: Mapping[str, Any]) -> "Run":
    """The run of a variable, or one of the store. model: the variable with the network of a run of the user's own."""
    value = value_of(said.subject, names) if said.subject is not None else None
    held = names.get(value) if isinstance(value, str) else value
    if held is not None and subjects.is_a(held, ("nnlab", "Run")):
        found: Run = held
        return found
    try:
        return stored_run(said, model, names)
    except NNLabError as error:
        if model is None and (same := _in_session(value, names)) is not None:
            return same  # whose network of the user's own no file holds
        if held is None or isinstance(held, str):
            raise
        raise SpecError(f"{value!r} is {with_article(subjects.described(held))}; needed is a run") from error


def _in_session(word: Any, names: Mapping[str, Any]) -> "Run | None":
    """The run of the store that the word means where a variable, or IPython's Out, still holds it."""
    from nnlab.core.store.runs import Store

    try:
        run_id = Store().find(str(word)).id
    except NNLabError:
        return None
    values = [*names.values(), *(names.get("Out") or {}).values()]
    runs = (value for value in values if subjects.is_a(value, ("nnlab", "Run")))
    return next((run for run in runs if run.id == run_id), None)


def stored_run(said: Call, model: str | None, names: Mapping[str, Any]) -> "Run":
    """The run of the store, or of a folder, that the call names."""
    from nnlab.core.store.runs import Store

    run: Run = _stored(said, model, names, lambda word, network: Store().load(word, network))
    return run


def stored_run_or_study(said: Call, model: str | None, names: Mapping[str, Any]) -> "Run | Study":
    """The same, or the study of the store that is called so."""
    from nnlab.core.tune.loading import run_or_study

    found: Run | Study = _stored(said, model, names, run_or_study)
    return found


def _stored(said: Call, model: str | None, names: Mapping[str, Any], load: Callable[[str, Any], Any]) -> Any:
    from nnlab.core.run import Run

    if said.subject is None:
        raise SpecError(
            f"%{said.verb.name} needs a run: last, a number, an id, a name, or a folder; %nn_runs lists them"
        )
    network = network_of(model, names)
    word = str(plain(value_of(said.subject, names), said.subject.text))
    if any(mark in word for mark in "/\\") or os.path.isfile(os.path.join(word, "run.json")):
        return Run.load(word, network)
    return load(word, network)


def network_of(name: str | None, names: Mapping[str, Any]) -> Any:
    """The network, or what makes one, of a variable; None where none is named."""
    if not name:
        return None
    return subjects.variable(name, names, callable, "an nn.Module or what makes one", "%%nn_train data ...")


def run_or_found(word: Word, names: Mapping[str, Any], store: "Store") -> "Run | RunInfo":
    """A run of a variable, or one of the store as the list shows it."""
    value = value_of(word, names)
    held = names.get(value) if isinstance(value, str) else value
    if subjects.is_a(held, ("nnlab", "Run")):
        run: Run = held  # type: ignore[assignment]
        return run
    return store.find(str(plain(value, word.text)))


def run_or_info(word: Word, names: Mapping[str, Any], store: "Store") -> Any:
    """A run of a variable, or one of the store with its history but without its weights."""
    return with_history(run_or_found(word, names, store))


def with_history(found: "Run | RunInfo") -> Any:
    """A run as it is; one that a list shows, with its history."""
    from nnlab.core.store.reading import RunInfo, read_run

    if not isinstance(found, RunInfo):
        return found
    return SimpleNamespace(**vars(found), history=read_run(found.path).record.history)
