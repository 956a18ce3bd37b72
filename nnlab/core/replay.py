"""Do a run again with its changes at the same steps: `replay("last", data)`. It ends with the same bits."""

from collections.abc import Sequence
from dataclasses import asdict, replace
from functools import partial

from nnlab.core.branch import Branching, branch_off
from nnlab.core.controls import Controls
from nnlab.core.data.prepare import Prepared
from nnlab.core.events import EpochDone, Sink
from nnlab.core.fit import Order, Where, as_store, carry_out
from nnlab.core.models.custom import Maker
from nnlab.core.past import Past, its_data, past_run, trunk_of
from nnlab.core.run import Run
from nnlab.core.sinks import checked_logs
from nnlab.core.store.checkpoint import SECONDS
from nnlab.core.store.facts import Origin, new_facts
from nnlab.core.store.reading import best_weights
from nnlab.core.store.runs import LAST


def replay(  # noqa: PLR0913 (the front door of plain Python)
    word: str = LAST,
    data: Prepared | None = None,
    *,
    model: Maker = None,
    name: str | None = None,
    view: Sink | None = None,
    controls: Controls | None = None,
    store: Where = None,
    checkpoint_seconds: float = SECONDS,
    line: str | None = None,
    code: str | None = None,
    background: bool = False,
    log_to: str | Sequence[str] = (),
) -> Run:
    """Train a run of the store again: its spec, its threads, its changes at the same steps, stopped where it was.

    Of a branch, the epochs that it took over from another run are taken over again, and not trained.

    word: last, a number, an id or a name. data: as the run was prepared; None reads and prepares its file again, if it
    came from one. model: the network, if it was your own. The result is a run of its own, whose facts name the other;
    how it compares with it, `bits` says. Errors as for `resume`; RunError for a run that is alive.
    """
    place = as_store(store)
    past = past_run(place, word)
    data = its_data(past, data, model)
    trunk = trunk_of(place, past)
    shared = trunk[1] if trunk is not None else 0
    facts = new_facts(data, name, line, code or past.facts.code, past.facts.choices)
    facts = replace(facts, origin=Origin("replay", past.facts.id, shared))
    again, said, logs = past.again(shared), past.notes(code), checked_logs(log_to)
    if trunk is None:
        order = Order(data, past.spec, model, facts, said, place, checkpoint_seconds, again, logs)
        work = partial(carry_out, order)
    else:
        leaving = Branching(*trunk, data, past.spec, model, facts, place, checkpoint_seconds, again, said, logs)
        work = partial(branch_off, leaving)
    if background:
        from nnlab.core.background.run import begun

        return begun(facts, past.spec, work, view)
    return work(view, controls or Controls())


def bits(run: Run, past: Past) -> str:
    """How a replay compares with the run that it repeats: in a sentence."""
    import torch

    mine, theirs = ({done.epoch: _numbers(done) for done in one.epochs} for one in (run.record, past.record))
    label = past.facts.name or past.facts.id
    for epoch, numbers in theirs.items():
        if repr(mine.get(epoch)) != repr(numbers):
            return f"differs from run {label} from epoch {epoch} on"
    if len(mine) != len(theirs):
        return f"has {len(mine)} epochs, run {label} has {len(theirs)}"
    weights, own = best_weights(past.path), run.model.state_dict()
    same = all(torch.equal(value, own[name].cpu()) for name, value in weights.items())
    return f"{'same losses, metrics and weights' if same else 'same losses and metrics, other weights'} as run {label}"


def _numbers(done: EpochDone) -> dict[str, object]:
    found = asdict(done.light())
    return {name: found[name] for name in ("train", "valid", "lr", "best")}
