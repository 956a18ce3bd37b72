"""Search for good hyperparameters: `tune(data, trials=30)`. A trial is an ordinary run, watched through its events."""

import contextlib
import os
import secrets
import time
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from nnlab.core.controls import Controls
from nnlab.core.data.prepare import Prepared
from nnlab.core.errors import DataError, RunError, SpecError, StoreError, did_you_mean
from nnlab.core.events import Sink
from nnlab.core.fit import Where, as_store, own_part
from nnlab.core.foreign import hint_for_search
from nnlab.core.metrics import check_monitor, metrics_for
from nnlab.core.models.custom import Maker
from nnlab.core.network import numbers_of
from nnlab.core.options import options_of, resolve
from nnlab.core.params import show_value
from nnlab.core.recipe import recipe_for
from nnlab.core.registry import Part
from nnlab.core.spec import OWN_NETWORK, TrainSpec, TuneSpec
from nnlab.core.store.facts import summarize
from nnlab.core.store.files import make_folder, write_json
from nnlab.core.store.runs import Store
from nnlab.core.tune.grammar import plain
from nnlab.core.tune.header import HEADER, Header
from nnlab.core.tune.light import members_of_trials
from nnlab.core.tune.loop import Search
from nnlab.core.tune.objectives import OF_NETWORK, check_objectives
from nnlab.core.tune.preparing import Preparations
from nnlab.core.tune.ranges import Space
from nnlab.core.tune.space import asks_for_usual, chosen_parts, names_model, parse
from nnlab.core.tune.strategies import PRUNERS, SAMPLERS
from nnlab.core.tune.study import ABOUT_DATA, Study
from nnlab.core.tune.training import check_study
from nnlab.core.tune.trials import Trials
from nnlab.core.tune.usual import About, default_space, space_around, usual_space


def tune(  # noqa: PLR0913 - the arguments are what a user may choose
    data: Prepared,
    *,
    spec: TuneSpec | None = None,
    base: TrainSpec | None = None,
    model: Maker = None,
    view: Sink | None = None,
    controls: Controls | None = None,
    store: Where = None,
    code: str | None = None,
    frame: Any = None,
    **options: Any,
) -> Study:
    """Search on prepared data and give the study; the same call again continues it, also after a killed kernel.

    base: the run to start from, and the first trial; none: what `fit` would train. options: those of `TuneSpec`, and of
    `TrainSpec`, which are then kept fixed. model, code and store are as in `fit`. frame: the table that data was
    prepared from, where steps of the preparation are searched and it is no file. Stopping or interrupting ends the
    running trial and gives the study.
    """
    if not isinstance(data, Prepared):
        raise DataError(f"data is a {type(data).__name__}; prepare it first: data = nnlab.prepare(frame, target=...)")
    if not len(data.valid.y):
        raise DataError(
            "a study compares trials on validation rows and there are none; prepare the data with --valid 0.16"
        )
    if isinstance(model, (str, Part)):
        options["model"], model = model, None
    given, around = base, False
    spec, for_run = _divided(spec or TuneSpec(), base, options)
    for_run |= _monitor(spec, for_run)
    first = base = resolve(TrainSpec, for_run, base if base or model is None else OWN_NETWORK)
    if model is not None:
        first = base = replace(base, model=own_part(model, code))
    elif given is None and (recipe := recipe_for(data, for_run)):
        first = resolve(TrainSpec, for_run, recipe)
        base = base if names_model(spec.space) else first
        around = recipe != TrainSpec() and not spec.space
    space = _space(spec, base, list(for_run), data, frame, around)
    prepared = Preparations(data, space, frame)
    header = _header(spec, base, space, data, first)
    check_study(header, model, prepared)
    folder = None if store is False else _folder_for(as_store(store), header)
    with contextlib.nullcontext() if folder is None else header.written(folder):
        if folder is not None and not (folder / ABOUT_DATA).exists():
            write_json(folder / ABOUT_DATA, summarize(data))
        search = Search(header, folder, prepared, model, view, controls or Controls())
    return search.run()


def _divided(spec: TuneSpec, base: TrainSpec | None, options: Mapping[str, Any]) -> tuple[TuneSpec, dict[str, Any]]:
    """The spec of the search with the options for it, and those for the run."""
    words = {name.replace("-", "_"): value for name, value in options.items()}
    if "space" in words:
        words["space"] = _lines(words["space"])
    chosen = {name: words.get(name, getattr(spec, name)) for name in ("sampler", "pruner")}
    own = options_of(TuneSpec, chosen)
    for_run = {name: value for name, value in words.items() if name not in own}
    known = options_of(TrainSpec, chosen_parts(base or TrainSpec(), for_run))
    for name in for_run:
        if name not in known and (hint := hint_for_search(name)):
            raise SpecError(f"no option {name!r}: {hint}")
        if name not in known and (near := did_you_mean(name, own)):
            raise SpecError(f"no option {name!r}{near}")
    spec = resolve(TuneSpec, {name: value for name, value in words.items() if name in own}, spec)
    names = tuple(one.strip() for item in spec.objectives for one in item.split(",") if one.strip())
    return replace(spec, objectives=names), for_run


def _monitor(spec: TuneSpec, for_run: Mapping[str, Any]) -> dict[str, Any]:
    """The first objective is what the best epoch is chosen by."""
    if not spec.objectives:
        return {}
    first, said = spec.objectives[0], for_run.get("monitor", spec.objectives[0])
    if said != first:
        raise SpecError(f"--monitor {said} and --objectives {first},...: the first objective is what is monitored")
    return {} if first in OF_NETWORK else {"monitor": first}


def _space(spec: TuneSpec, base: TrainSpec, fixed: list[str], data: Prepared, frame: Any, around: bool) -> Space:
    """What is searched: what was given, the usual ranges, or both. around: what is near to the base, a recipe."""
    about = About(len(data.train), len(numbers_of(data.pipeline)), data.task, None if frame is None else data.spec)
    if around:
        return space_around(base, fixed, about)
    if not spec.space:
        return default_space(base, fixed, about)
    given = parse(spec.space, base)
    return usual_space(given, base, fixed, about) if asks_for_usual(spec.space) else given


def _lines(space: Any) -> list[str]:
    """A space as Python users write it: lines, one text of lines, a mapping of names to ranges or lists of choices."""
    if isinstance(space, Mapping):
        return [f"{name}={_choices(one) if isinstance(one, list) else one}" for name, one in space.items()]
    return space.splitlines() if isinstance(space, str) else list(space)


def _choices(values: list[Any]) -> str:
    return "{" + ",".join(show_value(plain(tuple(one) if isinstance(one, list) else one)) for one in values) + "}"


def _header(spec: TuneSpec, base: TrainSpec, space: Space, data: Prepared, first: TrainSpec) -> Header:
    """The study's header; without a name it is called after what it is about, so that the same cell finds it again."""
    metrics = metrics_for(data.task, base.metrics)
    directions = check_objectives(spec.objectives, metrics)
    maximize = check_monitor(base.monitor, metrics)
    if PRUNERS[spec.pruner.name].facts.get("folds") and spec.folds is None:
        raise SpecError(f"pruner {spec.pruner} compares trials fold by fold; give --folds 5")
    if len(directions) > 1 and not SAMPLERS[spec.sampler.name].facts.get("several"):
        able = ", ".join(name for name, entry in SAMPLERS.items() if entry.facts.get("several"))
        raise SpecError(f"sampler {spec.sampler} is for one objective; for several there are {able}")
    if not space:
        raise SpecError('nothing is left to search: give a space, as in --space "lr=1e-4..1e-1 log"')
    about = (data.fingerprint, str(data.name), base.monitor, maximize, data.spec)
    members = members_of_trials(spec, base, first, space, len(directions) > 1)
    more = (None if first == base else first, directions, members)
    header = Header(spec.name or "", spec, base, space, *about, *more)
    return header if spec.name else replace(header, name=f"study-{header.fingerprint[:8]}")


def _folder_for(store: Store, header: Header) -> Path:
    """The study's folder; fresh moves an old study to the trash first. SpecError if another study is in it."""
    folder = store.study_folder(header.name)
    if header.spec.fresh and header.spec.storage is not None:
        raise SpecError("--fresh would delete what others hold in the database; give another --name")
    if header.spec.fresh and (folder / HEADER).exists():
        _set_aside(folder, header.name, store.root / "trash")
        folder = store.study_folder(header.name)
    if (folder / HEADER).exists() and (different := header.differences(Header.read(folder))):
        more = f" and {len(different) - 3} more" if len(different) > 3 else ""
        raise SpecError(
            f"study {header.name!r} is about something else: {'; '.join(different[:3])}{more}\n"
            "give another --name, or --fresh to start anew"
        )
    return folder


def _set_aside(folder: Path, name: str, trash: Path) -> None:
    with contextlib.suppress(StoreError):  # a damaged study has no living owner that could be asked
        for owner in Trials(Header.read(folder), folder, lambda message: None).owned():
            raise RunError(f"study {name!r} is running in process {owner['pid']} on {owner['host']}; stop it first")
    make_folder(trash)
    os.replace(folder, trash / f"{folder.name}-{time.strftime('%Y%m%dT%H%M%S', time.gmtime())}-{secrets.token_hex(2)}")
