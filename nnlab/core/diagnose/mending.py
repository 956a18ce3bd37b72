"""What a verdict would change, as specs that can be trained."""

from dataclasses import replace
from typing import Any

from nnlab.core.diagnose.registry import Verdict
from nnlab.core.errors import SpecError
from nnlab.core.options import resolve
from nnlab.core.run import Run
from nnlab.core.spec import PrepareSpec, TrainSpec, from_json

ASIDE = "calibrate"  # an option of a training that is no part of its spec


def mended(run: Run, verdict: Verdict) -> tuple[TrainSpec, bool]:
    """The spec that the verdict asks for, and whether the run is to be calibrated; what its parts lack is left out."""
    fix = dict(verdict.fix)
    calibrate = bool(fix.pop(ASIDE, False))
    try:
        return resolve(TrainSpec, fix, run.spec), calibrate
    except SpecError:
        spec = run.spec
    for name, value in fix.items():
        try:
            spec = resolve(TrainSpec, {name: value}, spec)
        except SpecError:
            continue
    return spec, calibrate


def prepared_anew(run: Run, verdict: Verdict) -> PrepareSpec:
    """The spec of a preparation that the verdict asks for; columns to leave out are added to those that are."""
    spec = from_json(PrepareSpec, run.summary["spec"])
    changes: dict[str, Any] = dict(verdict.prepare)
    if "drop" in changes:
        spec = replace(spec, drop=tuple(dict.fromkeys((*spec.drop, *changes.pop("drop")))))
    return resolve(PrepareSpec, changes, spec) if changes else spec
