"""What is said of the difference of two runs."""

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from nnlab.core.metrics import main_metric
from nnlab.core.noise import Judged
from nnlab.core.wording import agreeing
from nnlab.report.blocks import Block, Code, Sentence
from nnlab.report.bundle import Bundle, page
from nnlab.report.specs import rounded
from nnlab.report.tables import Table, number, shorten

if TYPE_CHECKING:
    from nnlab.core.difference import Change, Difference

MOST_OF_SECTION = 30
MOST_LINES = 60  # of the difference of two cells
BY_ROWS = "validation rows"  # how the source of such a noise begins
SEEDS_HELP = (
    "noise of validation rows leaves out the luck of the seed; three runs of one spec, each with a --seed of its own, "
    "tell that"
)
SECTIONS = ("spec", "data", "environment", "course")


def difference_bundles(found: "Difference") -> list[Bundle]:
    """The judgement first, then metrics, what differs, and the lines of code."""
    return [page(difference_blocks(found))]


def difference_blocks(found: "Difference") -> Iterator[Block]:
    """All that is said of a difference."""
    judged = {one.name: one for one in found.metrics}
    main = main_metric({name: one.b for name, one in judged.items()})
    if main is None:
        yield Sentence("not judged", ": the runs have measured no metric that both have")
    else:
        yield _headline(judged[main], found)
        order = sorted(found.metrics, key=lambda one: (one.name != main, one.name == "loss"))
        rows = [(o.name, o.a, o.b, o.change, _noise(o), o.verdict, o.source) for o in order]
        columns = ["metric", found.a, found.b, "difference", "noise", "judgement", "noise known from"]
        yield Table(columns, rows, "Metrics of the validation rows", "lrrrrll")
        if not found.same_rows:
            yield Sentence(
                "note:", "the runs were measured on other validation rows, or on rows that cannot be matched"
            )
        if any(one.noise is not None and one.source.startswith(BY_ROWS) for one in found.metrics):
            yield Sentence("note:", SEEDS_HELP)
    if found.changes:
        yield Table(["in", "what", found.a, found.b], list(_rows(found.changes)), "What differs", "llll")
    if found.code:
        more = [f"... {len(found.code) - MOST_LINES} more"] if len(found.code) > MOST_LINES else []
        yield Code("Code cells", "\n".join([*map(shorten, found.code[:MOST_LINES]), *more]))
    unchanged = [name for name in SECTIONS[:3] if all(change.section != name for change in found.changes)]
    unchanged += [] if found.code else ["code"]
    if unchanged:
        yield Sentence("no difference in", ", ".join(unchanged))


def _headline(judged: Judged, found: "Difference") -> Sentence:
    values = f"{judged.name} {number(judged.a)} → {number(judged.b)}"
    words = {
        "better": f"{found.b} is better",
        "worse": f"{found.b} is worse",
        "within noise": "within noise, so neither is known to be better",
        "equal": "equal",
        "not judged": f"not judged; it {judged.source}",
    }[judged.verdict]
    known = f" (noise {_noise(judged)}, from {judged.source})" if judged.noise is not None else ""
    return Sentence(values, f": {words}{known}")


def _noise(judged: Judged) -> str | None:
    return f"± {number(judged.noise, 2)}" if judged.noise is not None else None


def _rows(changes: "tuple[Change, ...]") -> Iterator[tuple[Any, ...]]:
    for section in SECTIONS:
        mine = [change for change in changes if change.section == section]
        for change in mine[:MOST_OF_SECTION]:
            yield section, change.name, *(None if v is None else shorten(rounded(v)) for v in (change.a, change.b))
        if (rest := len(mine) - MOST_OF_SECTION) > 0:
            yield section, f"{rest} more {agreeing(rest, 'difference', 'differences')}", None, None
