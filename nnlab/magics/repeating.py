"""%nn_train --replay RUN, which trains a run again, and --from RUN@12, which goes on from one of its epochs."""

import re
from collections.abc import Callable, Mapping
from functools import partial
from typing import TYPE_CHECKING, Any

from nnlab.core.errors import SpecError
from nnlab.magics import background, resuming, subjects
from nnlab.magics.body import run_body
from nnlab.magics.scan import plain, quote
from nnlab.magics.text import Call
from nnlab.magics.verbs import options_for
from nnlab.magics.work import Training, beside_stored

if TYPE_CHECKING:
    from nnlab.core.run import Run
    from nnlab.core.store.runs import Store
    from nnlab.magics import Lab

REPLAYED = ("replay", "name", "view", "model", "background", "checkpoint_seconds", "log_to", "playground")
PLACE = re.compile(r"(.+)@(\d+)")


def place(said: Call) -> tuple[str, int] | None:
    """The run and the epoch that --from names, None where it names no epoch."""
    word = said.options.get("from")
    found = PLACE.fullmatch(word) if isinstance(word, str) else None
    return (found[1], int(found[2])) if found else None


def deed(said: Call) -> Callable[["Lab", Call, Mapping[str, Any], "Store"], Any] | None:
    """What the call asks for of the two, None for neither."""
    if said.options.get("replay") is not None:
        return replay
    return branch if place(said) is not None else None


def replay(lab: "Lab", said: Call, names: Mapping[str, Any], store: "Store") -> Any:
    """Train a run again; its verdict says whether the bits are the same."""
    from nnlab.core.past import past_run
    from nnlab.core.replay import bits
    from nnlab.core.replay import replay as repeat
    from nnlab.report.blocks import Sentence
    from nnlab.report.playground import bundles_over

    for name in said.options:
        if name not in REPLAYED:
            raise SpecError(f"--{name.replace('_', '-')} cannot be given to a replay: it does what the run did")
    word = _word(said.options["replay"], names, "--replay")
    ready, own = _ready(lab, said, names, store, word)
    line = _line(said, names, {"replay": word, "name": own["name"]})
    work = partial(repeat, ready["id"], ready["data"], model=ready["model"], line=line, code=said.body, **_how(own))

    def bundles_of(run: "Run") -> Any:
        same = [Sentence(bits(run, past_run(store, ready["id"])))]
        return bundles_over(run, line, ready["data"], ready["ground"], same)

    return background.carried(lab, said, own, ("replay", line), Training(work, bundles_of, ready["told"]))


def branch(lab: "Lab", said: Call, names: Mapping[str, Any], store: "Store") -> Any:
    """Go on from an epoch of a run with other settings."""
    from nnlab.core.branch import branch as go_on
    from nnlab.magics.magics import settle
    from nnlab.report.playground import bundles_over

    found = place(said)
    assert found is not None
    word = _word(found[0], names, "--from")
    ready, own = _ready(lab, said, names, store, word)
    options, _ = settle(lab, said, based=True)
    if ready["model"] is not None:
        options.pop("model", None)
    line = _line(said, names, {"from": f"{word}@{found[1]}", **options, "name": own["name"]})
    told: dict[str, Any] = {"model": ready["model"], "line": line, "code": said.body, **_how(own), **options}
    work = partial(go_on, ready["id"], found[1], ready["data"], **told)

    def bundles_of(run: "Run") -> Any:
        return bundles_over(run, line, ready["data"], ready["ground"])

    return background.carried(lab, said, own, ("branch", line), Training(work, bundles_of, ready["told"]))


def _word(value: Any, names: Mapping[str, Any], option: str) -> str:
    held: Any = names.get(value) if isinstance(value, str) else value
    return held.id if subjects.is_a(held, ("nnlab", "Run")) else str(plain(value, option))


def _how(own: Mapping[str, Any]) -> dict[str, Any]:
    return {word: own[word] for word in ("name", "checkpoint_seconds", "log_to")}


def _ready(
    lab: "Lab", said: Call, names: Mapping[str, Any], store: "Store", word: str
) -> tuple[dict[str, Any], dict[str, Any]]:
    """The run's id, its data, the network where it is the user's own, the ground to look at it over, and what its view
    is told before; and the options of the magic."""
    from nnlab.magics.magics import network_said, settle

    run = store.find(word)
    data = resuming.data_of(said, names, run)
    _, own = settle(lab, said, based=True)
    model, _ = network_said(said, names, None)
    resuming.check_network(run, own_network=model is not None or said.body is not None)
    model = model if said.body is None else run_body(lab.ip, said.body)
    data, ground, told = beside_stored(run, data, own["playground"], again=True)
    return {"id": run.id, "data": data, "model": model, "ground": ground, "told": told}, own


def _line(said: Call, names: Mapping[str, Any], told: Mapping[str, Any]) -> str:
    """The text that repeats the call."""
    known = options_for(said.verb, said.chosen())
    words = [f"%{said.verb.name}", *(word.text for word in said.words)]
    for name, value in told.items():
        if value is not None:
            param = known[name].param if name in known else None
            shown = param.show(param.read(value)) if param is not None and not isinstance(value, str) else str(value)
            words += [f"--{name.replace('_', '-')}", quote(shown)]
    line = " ".join(words)
    return line if said.body is None else f"%{line}\n{said.body.rstrip()}"
