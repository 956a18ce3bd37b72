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
from nnlab.core.metrics import check_monitor, metrics_for
from nnlab.core.models.custom import Maker
from nnlab.core.options import options_of, resolve
from nnlab.core.registry import Part
from nnlab.core.spec import OWN_NETWORK, TrainSpec, TuneSpec
from nnlab.core.store.files import make_folder
from nnlab.core.store.runs import Store
from nnlab.core.tune.loop import Search
from nnlab.core.tune.preparing import Preparations
from nnlab.core.tune.ranges import Space
from nnlab.core.tune.space import chosen_parts, parse
from nnlab.core.tune.study import HEADER, Header, Study
from nnlab.core.tune.trials import Trials
from nnlab.core.tune.usual import default_space


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

    base: the run to start from. options: those of `TuneSpec`, and of `TrainSpec`, which are then kept fixed. model,
    code and store are as in `fit`. frame: the table that data was prepared from, where steps of the preparation are
    searched and it is no file. Stopping or interrupting ends the running trial and gives the study.
    """
    if not isinstance(data, Prepared):
        raise DataError(f"data is a {type(data).__name__}; prepare it first: data = nnlab.prepare(frame, target=...)")
    if not len(data.valid.y):
        raise DataError(
            "a study compares trials on validation rows and there are none; prepare the data with --valid 0.16"
        )
    if isinstance(model, (str, Part)):
        options["model"], model = model, None
    spec, base, fixed = _specs(spec or TuneSpec(), base if base or model is None else OWN_NETWORK, options)
    if model is not None:
        base = replace(base, model=own_part(model, code))
    space = parse(spec.space, base) if spec.space else default_space(base, fixed, len(data.train.y))
    prepared = Preparations(data, space, frame)
    header = _header(spec, base, space, data)
    folder = None if store is False else _folder_for(as_store(store), header)
    search = Search(header, folder, prepared, model, view, controls or Controls())
    return search.run()


def _specs(spec: TuneSpec, base: TrainSpec | None, options: Mapping[str, Any]) -> tuple[TuneSpec, TrainSpec, list[str]]:
    """The options given to the two specs; and the names of those for the run."""
    words = {name.replace("-", "_"): value for name, value in options.items()}
    if "space" in words:
        words["space"] = _lines(words["space"])
    chosen = {name: words.get(name, getattr(spec, name)) for name in ("sampler", "pruner")}
    own = options_of(TuneSpec, chosen)
    for_run = {name: value for name, value in words.items() if name not in own}
    known = options_of(TrainSpec, chosen_parts(base or TrainSpec(), for_run))
    for name in for_run:
        if name not in known and (near := did_you_mean(name, own)):
            raise SpecError(f"no option {name!r}{near}")
    spec = resolve(TuneSpec, {name: value for name, value in words.items() if name in own}, spec)
    return spec, resolve(TrainSpec, for_run, base), list(for_run)


def _lines(space: Any) -> list[str]:
    """A space as Python users write it: lines, one text of lines, or a mapping of names to ranges."""
    if isinstance(space, Mapping):
        return [f"{name}={allowed}" for name, allowed in space.items()]
    return space.splitlines() if isinstance(space, str) else list(space)


def _header(spec: TuneSpec, base: TrainSpec, space: Space, data: Prepared) -> Header:
    """The study's header; without a name it is called after what it is about, so that the same cell finds it again."""
    maximize = check_monitor(base.monitor, metrics_for(data.task, base.metrics))
    if not space:
        raise SpecError('nothing is left to search: give a space, as in --space "lr=1e-4..1e-1 log"')
    about = (data.fingerprint, str(data.name), base.monitor, maximize, data.spec)
    header = Header(spec.name or "", spec, base, space, *about)
    return header if spec.name else replace(header, name=f"study-{header.fingerprint[:8]}")


def _folder_for(store: Store, header: Header) -> Path:
    """The study's folder with this header in it; fresh moves an old study to the trash first."""
    folder = store.study_folder(header.name)
    if header.spec.fresh and (folder / HEADER).exists():
        _set_aside(folder, header.name, store.root / "trash")
        folder = store.study_folder(header.name)
    _write_header(folder, header)
    return folder


def _write_header(folder: Path, header: Header) -> None:
    """Put the header into the study's folder; SpecError if another study is in it."""
    if (folder / HEADER).exists() and (different := header.differences(Header.read(folder))):
        more = f" and {len(different) - 3} more" if len(different) > 3 else ""
        raise SpecError(
            f"study {header.name!r} is about something else: {'; '.join(different[:3])}{more}\n"
            "give another --name, or --fresh to start anew"
        )
    try:
        header.write(folder)
    except OSError as error:
        raise StoreError(
            f"the study cannot be kept in {folder}: {error.strerror or error}; give another store"
        ) from error


def _set_aside(folder: Path, name: str, trash: Path) -> None:
    with contextlib.suppress(StoreError):  # a damaged study has no living owner that could be asked
        for owner in Trials(Header.read(folder), folder, lambda message: None).owned():
            raise RunError(f"study {name!r} is running in process {owner['pid']} on {owner['host']}; stop it first")
    make_folder(trash)
    os.replace(folder, trash / f"{folder.name}-{time.strftime('%Y%m%dT%H%M%S', time.gmtime())}-{secrets.token_hex(2)}")
