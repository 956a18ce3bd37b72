"""What a verdict would change, as options and as specs that can be trained."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from nnlab.core.data.prepare import Prepared
from nnlab.core.diagnose.registry import Verdict
from nnlab.core.errors import SpecError
from nnlab.core.options import resolve
from nnlab.core.params import show_value
from nnlab.core.recipe import with_its_network
from nnlab.core.run import Run
from nnlab.core.spec import PrepareSpec, TrainSpec, from_json

ASIDE = "calibrate"  # an option of a training that is no part of its spec


def mended(run: Run, verdict: Verdict) -> tuple[TrainSpec, bool]:
    """The spec that the verdict asks for, and whether the run is to be calibrated; what its parts lack is left out."""
    spec, taken = _resolved(run.spec, verdict.fix)
    return spec, bool(taken.get(ASIDE, False))


def options_that_mend(run: Run, verdict: Verdict) -> dict[str, Any]:
    """The options of a training that the verdict asks for, of those that the run's parts have."""
    return {name: value for name, value in _resolved(run.spec, verdict.fix)[1].items() if name != ASIDE}


def mending_words(run: Run, verdict: Verdict, data: Prepared | None = None) -> str:
    """The options that the verdict asks for, as they are typed; '' where no option can mend it.

    data: that of the run, for words to be added to its line: they name the network too if the data would choose another
    one beside them."""
    _, taken = _resolved(run.spec, verdict.fix)
    if data is not None and run.facts.choices.start is not None:
        taken = with_its_network(taken, run.spec, data)
    return ", ".join(
        filter(None, (_typed("%nn_preprocess", verdict.prepare), _typed("%nn_train" * bool(verdict.prepare), taken)))
    )


def _typed(verb: str, options: Mapping[str, Any]) -> str:
    words = [f"--{name.replace('_', '-')} {show_value(value)}" for name, value in options.items()]
    return " ".join(filter(None, (verb, *words))) if words else ""


def _resolved(spec: TrainSpec, fix: Mapping[str, Any]) -> tuple[TrainSpec, dict[str, Any]]:
    """The spec with the options, and those of them that its parts have."""
    wanted = {name: value for name, value in fix.items() if name != ASIDE}
    try:
        return resolve(TrainSpec, wanted, spec), dict(fix)
    except SpecError:
        taken = {name: value for name, value in fix.items() if name == ASIDE}
    for name, value in wanted.items():
        try:
            spec = resolve(TrainSpec, {name: value}, spec)
        except SpecError:
            continue
        taken[name] = value
    return spec, taken


def prepared_anew(run: Run, verdict: Verdict) -> PrepareSpec:
    """The spec of a preparation that the verdict asks for; columns to leave out are added to those that are."""
    spec = from_json(PrepareSpec, run.summary["spec"])
    changes: dict[str, Any] = dict(verdict.prepare)
    if "drop" in changes:
        spec = replace(spec, drop=tuple(dict.fromkeys((*spec.drop, *changes.pop("drop")))))
    return resolve(PrepareSpec, changes, spec) if changes else spec
