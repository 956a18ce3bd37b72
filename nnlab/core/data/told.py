"""What is told of prepared data: worked out when it is first asked for, from cells taken while the table was there."""

from collections.abc import Callable
from typing import Generic, TypeVar

from nnlab.core.data.audit import Finding
from nnlab.core.data.columns import shown
from nnlab.core.data.reports import ColumnReport
from nnlab.core.data.roles import SET_ASIDE, Role, Typed, to_keep

T = TypeVar("T")
MOST_CELLS = 1 << 22  # that may wait; of more the answer is worked out at once


class Later(Generic[T]):
    """A value that is made at the first call; what it is made of is kept until then."""

    def __init__(self, make: Callable[[], T], cells: int = 0) -> None:
        self._make: Callable[[], T] | None = make
        self._value: T
        if cells > MOST_CELLS:
            self()

    def __call__(self) -> T:
        if make := self._make:  # two threads may both make it, which gives the same
            self._value = make()
            self._make = None
        return self._value


class Told:
    """columns: a report of each; audit: findings; warnings: they and what there is to say before and after them."""

    def __init__(
        self,
        columns: Later[tuple[ColumnReport, ...]],
        audit: Later[tuple[Finding, ...]],
        before: tuple[str, ...] = (),
        after: tuple[str, ...] = (),
    ) -> None:
        self._columns, self._audit, self._before, self._after = columns, audit, before, after

    @property
    def columns(self) -> tuple[ColumnReport, ...]:
        return self._columns()

    @property
    def audit(self) -> tuple[Finding, ...]:
        return self._audit()

    @property
    def warnings(self) -> tuple[str, ...]:
        return (*self._before, *(str(finding) for finding in self.audit), *self._after)


NOTHING_TOLD = Told(Later(tuple), Later(tuple))


def read_as(typed: list[Typed]) -> list[str]:
    """One warning for each column whose dates or numbers could have been read otherwise."""
    return [f"column {column.name!r}: {column.why}" for column in typed if column.column is not None and column.why]


def aside(typed: list[Typed]) -> list[str]:
    """One warning for each reason to set columns aside, with the option that keeps them."""
    reasons: dict[tuple[Role, str], list[Typed]] = {}
    for column in typed:
        if column.role in SET_ASIDE and column.column is None:
            reasons.setdefault((column.role, column.why), []).append(column)
    notes = []
    for (role, why), found in reasons.items():
        names = shown(column.name for column in found)
        notes.append(f"set aside as {role}: {names} ({why}); {to_keep(found[0])} keeps {found[0].name!r}")
    return notes
