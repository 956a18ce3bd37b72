"""The columns that an option can name whose line names no table: a run is evaluated, or trained on prepared data."""

from collections.abc import Mapping, Sequence
from typing import Any

from nnlab.magics.evaluating import PARTS
from nnlab.magics.scan import Word
from nnlab.magics.subjects import columns, is_frame, is_prepared, visible

PAIR = ":"  # between two columns that are varied at once


def column_words(
    option: str, typed: str, words: Sequence[Word], options: Mapping[str, str], names: Mapping[str, Any]
) -> list[str]:
    """What can be said for --playground, --slices, --dependence and --label; [] for all other options.

    typed: the beginning of the word. words: the subjects of the line; options: those said already.
    """
    subject = words[0].text if words else ""
    if option == "playground":
        data = names.get(subject)
        return _of_playground(data) if is_prepared(data) else []
    if option not in ("slices", "dependence", "label"):
        return []
    data = _prepared_for(names.get(subject), options.get("data"), names)
    if option == "label":
        return [str(label) for label in data.target.classes] if data is not None else []
    found = _columns_of(data, options, names)
    first, pair, _ = typed.partition(PAIR)
    if option == "dependence" and pair and first in found:
        return [f"{first}{PAIR}{second}" for second in found if second != first]
    return found


def _of_playground(data: Any) -> list[str]:
    """The features that have an order, and the word for two components."""
    from nnlab.core.playground import PCA

    return [*(str(name) for at, name in enumerate(data.feature_names) if at not in data.pipeline.codes), PCA]


def _prepared_for(run: Any, named: str | None, names: Mapping[str, Any]) -> Any:
    """The prepared data that is named, else what the run was trained on, else the newest; None where there is none."""
    known = visible(names, is_prepared)
    if named in known:
        return names[named]
    fitting = [name for name in known if names[name].fingerprint == getattr(run, "fingerprint", None)]
    return names[[*known, *fitting][-1]] if known else None


def _columns_of(data: Any, options: Mapping[str, str], names: Mapping[str, Any]) -> list[str]:
    """The columns of the rows that are looked at: of the table that is named, else of what was prepared."""
    for option in ("on", "frame"):
        table = options.get(option)
        if table and table not in PARTS:
            return columns(Word(((table, ""),)), names)
    if data is None:
        return []
    if is_frame(names.get(data.name)):
        return columns(Word(((data.name, ""),)), names)
    return [str(column.name) for column in data.columns]
