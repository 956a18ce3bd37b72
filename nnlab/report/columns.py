"""What is said of the columns of a prepared table: one row each, or by role where there are many; and of one alone."""

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from nnlab.core.wording import counted
from nnlab.report import column_charts
from nnlab.report.blocks import Block, Sentence
from nnlab.report.sparks import date_text, ends, share, spark
from nnlab.report.tables import Table, number, shorten

if TYPE_CHECKING:
    from nnlab.core.data.prepare import Prepared
    from nnlab.core.data.reports import ColumnReport

MOST_COLUMNS = 200  # beyond, the table is by role, and only the columns that need a look are named
LONGEST_NAME = 60
LONGEST_LEVELS = 24  # characters of the first levels, side by side
SHOWN_LEVELS = 3
MOST_FEATURES = 12  # that are named of one column
NO_BREAK = "\xa0"
DAY = 86_400_000_000.0  # microseconds
HEAD = ["column", "role", "missing", "before", "after", "steps", "features", "relation"]
ALIGN = "wlrllwrr"
LEGEND = "training rows in their own units; after: what the network gets; relation: with the target alone, 0 to 1"


def columns_blocks(data: "Prepared", most: int = MOST_COLUMNS) -> Iterator[Block]:
    """A row for each of at most `most` columns; else the roles, and the columns that need a look."""
    columns = data.columns
    if len(columns) <= most:
        yield Table(HEAD, [_row(column) for column in columns], "Columns", ALIGN)
        yield Sentence("before:", LEGEND)
        return
    yield _by_role(columns)
    groups = _need_a_look(data)
    each = max(1, min(most // 4, 12))
    wanted = {id(column) for group in groups for column in group.columns[:each]}
    named = [column for column in columns if id(column) in wanted]
    if named:
        title = f"{counted(len(named), 'column')} of {len(columns):,} to look at"
        yield Table(HEAD, [_row(column) for column in named], title, ALIGN)
        yield Sentence("before:", LEGEND)
        words = [f"{min(each, len(g.columns))} of {len(g.columns):,} {g.words}" for g in groups if g.columns]
        yield Sentence("named:", f"{'; '.join(words)}. data.report(column) tells more of any column")


def _row(column: "ColumnReport") -> tuple[Any, ...]:
    relation = None if column.relation is None else f"{column.relation:.2f}"
    missing = share(column.missing, column.rows) if column.missing else None
    steps = column.done
    if column.missing and column.detail and not column.levels:
        steps += f"; {column.detail}"
    return _short(column.name), column.role, missing, _before(column), _after(column), steps, column.features, relation


def _before(column: "ColumnReport") -> str | None:
    """The small histogram, then from where to where it goes, or its first levels."""
    words = ""
    if column.levels:
        words = _first_levels(column.levels)
    elif column.before:
        words = ends(column.before, _words_of(column))
        words = words.replace(" to ", " to\n") if column.role == "date" else words  # a browser breaks at hyphens
    return _drawn(column.shape, words)


def _first_levels(levels: Sequence[str]) -> str:
    """As many of the first levels as there is room for, at least one."""
    found = shorten(levels[0], LONGEST_LEVELS - 3)
    for level in levels[1:SHOWN_LEVELS]:
        if len(found) + len(level) + 5 > LONGEST_LEVELS:
            return f"{found}, …"
        found += f", {level}"
    return found + (", …" if len(levels) > SHOWN_LEVELS else "")


def _after(column: "ColumnReport") -> str | None:
    if column.after is None:
        return None
    bars = () if column.levels else column.after.bars  # of levels there are too few to draw
    return _drawn(bars, ends(column.after))


def _drawn(bars: Sequence[int], words: str) -> str | None:
    """The small histogram, and its words on a line of their own where there are lines in a cell."""
    return f"{spark(bars)}\n{words.replace(' ', NO_BREAK)}".strip() or None


def _words_of(column: "ColumnReport") -> Callable[[float], str]:
    """How a value of the column is written, in its own units."""
    if column.role == "date" and column.before:
        span = column.before.high - column.before.low
        return lambda value: date_text(value, span)
    return lambda value: number(value, 3)


@dataclass(frozen=True)
class _Group:
    """Columns for one reason, those first that need it most."""

    words: str
    columns: Sequence["ColumnReport"]


def _need_a_look(data: "Prepared") -> list[_Group]:
    by_name = {column.name: column for column in data.columns}
    names = dict.fromkeys(name for finding in data.audit for name in finding.columns)
    found = [by_name[name] for name in names if name in by_name]
    missing = sorted((c for c in data.columns if c.missing), key=lambda c: -c.missing)
    aside = [c for c in data.columns if not c.features and c.role != "target"]
    related = sorted((c for c in data.columns if c.relation is not None), key=lambda c: -(c.relation or 0.0))
    return [
        _Group("in the audit", found),
        _Group("with missing values (the most missing)", missing),
        _Group("set aside", aside),
        _Group("with a known relation to the target (the strongest)", related),
    ]


def _by_role(columns: Sequence["ColumnReport"]) -> Table:
    roles = Counter(column.role for column in columns)
    rows = []
    for role, count in roles.most_common():
        own = [column for column in columns if column.role == role]
        examples = ", ".join(str(_short(column.name, 24)) for column in own[:3]) + (", …" if count > 3 else "")
        rows.append((role, count, sum(1 for c in own if c.missing), sum(c.features for c in own), examples))
    columns_of = ["role", "columns", "with missing values", "features", "such as"]
    return Table(columns_of, rows, f"{len(columns):,} columns by role", "lrrrl")


def _short(name: object, longest: int = LONGEST_NAME) -> str:
    text = str(name)
    return text if len(text) <= longest else text[: longest - 1] + "…"


def column_blocks(data: "Prepared", column: "ColumnReport") -> Iterator[Block]:
    """All that is known of one column."""
    facts = [f"{column.role} column of {data.name}", column.done]
    facts += [column.detail] if column.detail and not column.levels else []
    facts += [f"{share(column.missing, column.rows)} missing ({column.missing:,} of {column.rows:,} rows)"]
    facts += [f"relation with the target {column.relation:.2f}"] if column.relation is not None else []
    yield Sentence(_short(column.name), "; ".join(shorten(fact, 400) for fact in facts))
    if column.before:
        yield _spread_table(column)
    if column.levels:
        rows = zip((shorten(level) for level in column.levels), column.shape, strict=True)
        yield Table(["level", "training rows"], list(rows), "Most frequent levels", "lr")
    for feature in data.pipeline.features:
        if feature.name == column.name:
            labels = [_short(label) for label in feature.labels[:MOST_FEATURES]]
            more = f" and {len(feature.labels) - MOST_FEATURES} more" if len(feature.labels) > MOST_FEATURES else ""
            yield Sentence(f"{counted(len(feature.labels), 'feature')}:", ", ".join(labels) + more)
    for finding in data.audit:
        if column.name in finding.columns:
            yield Sentence(f"{finding.kind}:", shorten(finding, 600))


def _spread_table(column: "ColumnReport") -> Table:
    """Ends, mean and standard deviation, before and after."""
    before, after, words = column.before, column.after, _words_of(column)
    assert before is not None
    rows: list[list[str | None]] = [
        [word, words(getattr(before, key)), number(getattr(after, key), 3) if after else None]
        for word, key in (("least", "low"), ("mean", "mean"), ("greatest", "high"))
    ]
    sd = f"{number(before.sd / DAY, 3)} days" if column.role == "date" else number(before.sd, 3)
    rows.append(["standard deviation", sd, number(after.sd, 3) if after else None])
    return Table(["", "before", "after"], rows, "Training rows, before and after", "lrr")


def column_picture(column: "ColumnReport") -> bytes | None:
    """Its histogram before and after, or its levels; None where it has no values."""
    if column.levels:
        return column_charts.levels(column.name, column.levels, column.shape)
    if column.before is None:
        return None
    return column_charts.before_after(
        column.name, column.before, column.after, _words_of(column), column.role == "date"
    )
