"""%nn_train --resume: which run goes on, and on what data."""

from collections.abc import Mapping
from functools import partial
from typing import TYPE_CHECKING, Any

from nnlab.core.errors import SpecError
from nnlab.core.spec import CUSTOM, PrepareSpec, from_json
from nnlab.magics import background, subjects
from nnlab.magics.body import run_body
from nnlab.magics.lines import to_line
from nnlab.magics.scan import plain
from nnlab.magics.text import Call
from nnlab.magics.work import Training, beside_stored

if TYPE_CHECKING:
    from nnlab.core.store.reading import RunInfo
    from nnlab.core.store.runs import Store
    from nnlab.magics import Lab

AGAIN = ("probe", "baseline", "calibrate")  # what the run began with, unless the line says otherwise
TAKEN = ("resume", "epochs", "checkpoint_seconds", *AGAIN, "view", "model", "background", "log_to", "playground")


def go_on(lab: "Lab", said: Call, names: Mapping[str, Any], store: "Store") -> Any:
    """Take up the run that --resume names."""
    from nnlab.magics.magics import network_said, settle

    run = meant(said, names, store)
    data = data_of(said, names, run)
    from nnlab.core.resume import resume
    from nnlab.report.playground import bundles_over

    options, own = settle(lab, said, based=True)
    model, _ = network_said(said, names, None)
    check_network(run, own_network=model is not None or said.body is not None)
    model = model if said.body is None else run_body(lab.ip, said.body)
    data, ground, told = beside_stored(run, data, own["playground"], again=False)
    how: dict[str, Any] = {"code": said.body, **{word: own[word] for word in ("checkpoint_seconds", "log_to")}}
    how |= {word: own[word] for word in AGAIN if word in said.options}
    work = partial(resume, run.id, data, model=model, epochs=options.get("epochs"), **how)

    def bundles_of(done: Any) -> Any:
        return bundles_over(done, done.line, data, ground)

    return background.carried(lab, said, own, ("resume", run.id), Training(work, bundles_of, told))


def meant(said: Call, names: Mapping[str, Any], store: "Store") -> "RunInfo":
    """The run that --resume names, by a word or a variable; an error of one line for one that cannot go on."""
    from nnlab.core.resume import resumable_run

    for name in said.options:
        if name not in TAKEN:
            shown = name.replace("_", "-")
            raise SpecError(f"--{shown} cannot be given to a run that goes on: it keeps its own; --epochs alone can")
    value = said.options["resume"]
    held: Any = names.get(value) if isinstance(value, str) else value
    word = held.id if subjects.is_a(held, ("nnlab", "Run")) else str(plain(value, "--resume"))
    return resumable_run(store, word, longer="epochs" in said.options)


def data_of(said: Call, names: Mapping[str, Any], run: "RunInfo") -> Any:
    """The data that the line names, else a variable that holds the run's; None where its file can be read again."""
    from nnlab.core.store.reading import read_beginning, understood

    if said.subject is not None:
        return subjects.prepared(said.subject, names, said.verb.name)
    with understood(run.path):
        _, facts, _ = read_beginning(run.path)
    for name in subjects.visible(names, subjects.is_prepared):
        for fold in names[name].folds or (names[name],):
            if fold.fingerprint == facts.fingerprint:
                return fold
    if facts.summary.get("source"):
        return None
    spec = from_json(PrepareSpec, facts.summary["spec"])
    line = to_line("nn_preprocess", str(facts.summary["name"]), spec)
    raise SpecError(f"run {run.name or run.id} needs its data; prepare it again and repeat:\n  data = {line}")


def check_network(run: "RunInfo", own_network: bool) -> None:
    """SpecError for a network of the user's own that is not there, or one where none belongs."""
    custom = run.spec is not None and run.spec.model.name == CUSTOM
    label = run.name or run.id
    if custom and not own_network:
        raise SpecError(
            f"run {label} trains a network of your own; give it again: --model Net, or its code as the cell's body"
        )
    if own_network and not custom:
        raise SpecError(f"run {label} trains nnlab's {run.spec and run.spec.model}; take the network away")
