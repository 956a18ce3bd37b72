"""Go on with a study where it was left, by its name alone: `resume_study("last", data)`."""

import contextlib
from dataclasses import replace
from pathlib import Path
from typing import Any

from nnlab.core.controls import Controls
from nnlab.core.data.prepare import Prepared, prepare
from nnlab.core.errors import DataError, SpecError, StoreError, did_you_mean
from nnlab.core.events import Sink
from nnlab.core.fit import Where, as_store
from nnlab.core.models.custom import Maker
from nnlab.core.options import resolve
from nnlab.core.spec import PrepareSpec, TuneSpec, from_json
from nnlab.core.store.files import read_json
from nnlab.core.store.runs import LABEL, LAST, Store
from nnlab.core.tune.header import HEADER, Header
from nnlab.core.tune.loop import Search
from nnlab.core.tune.opening import JOURNAL
from nnlab.core.tune.preparing import Preparations
from nnlab.core.tune.study import ABOUT_DATA, Study
from nnlab.core.tune.training import check_study


def resume_study(  # noqa: PLR0913 - a front door of plain Python
    word: str = LAST,
    data: Prepared | None = None,
    *,
    model: Maker = None,
    view: Sink | None = None,
    controls: Controls | None = None,
    store: Where = None,
    frame: Any = None,
    **options: Any,
) -> Study:
    """Go on with the study that word means (last, or a name): space, base and all else are its own.

    data: what it was about; None prepares its file again, if it came from one. model: the network, if it was your own.
    frame: as in `tune`. options: another number of trials, minutes and so on, as in `TuneSpec`; what is not said stays.
    """
    folder = study_to_resume(as_store(store), word)
    header = Header.read(folder)
    header = replace(header, spec=resolve(TuneSpec, options, header.spec))
    prepared = Preparations(_data_for(folder, header, data), header.space, frame)
    check_study(header, model, prepared)
    with header.written(folder):
        search = Search(header, folder, prepared, model, view, controls or Controls())
    return search.run()


def study_to_resume(store: Store, word: str) -> Path:
    """The folder of the study that is meant; StoreError with what is near."""
    found = {}
    for folder in store.root.glob("studies/*"):
        with contextlib.suppress(StoreError, KeyError, OSError):
            if (folder / HEADER).is_file():
                found[str(read_json(folder / LABEL)["name"])] = folder
    if not found:
        raise StoreError(f"there are no studies in {store.root}")
    if word == LAST:
        return max(found.values(), key=_last_write)
    if word not in found:
        raise StoreError(f"no study {word[:80]!r} in {store.root}{did_you_mean(word, [*found, LAST])}")
    return found[word]


def _last_write(folder: Path) -> float:
    return max((folder / name).stat().st_mtime for name in (HEADER, JOURNAL) if (folder / name).exists())


def _data_for(folder: Path, header: Header, data: Prepared | None) -> Prepared:
    if data is None:
        data = _prepared_again(folder, header)
    elif not isinstance(data, Prepared):
        raise DataError(f"data is a {type(data).__name__}; prepare it first: data = nnlab.prepare(frame, target=...)")
    if data.fingerprint != header.data:
        raise SpecError(
            f"study {header.name!r} is about other data ({header.source} {header.data[:8]}, not {data.name} "
            f"{data.fingerprint[:8]}); prepare it again as before"
        )
    return data


def _prepared_again(folder: Path, header: Header) -> Prepared:
    with contextlib.suppress(StoreError):
        told = read_json(folder / ABOUT_DATA)
        if told.get("source"):
            return prepare(told["source"], spec=from_json(PrepareSpec, told["spec"]))
    raise DataError(f"study {header.name!r} needs its data; prepare {header.source} again as before and give it")
