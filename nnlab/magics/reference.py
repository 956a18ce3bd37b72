"""Every option and registered entry as a Markdown table, made from the declarations: the README cannot lag behind.

python -m nnlab.magics.reference README.md     rewrites the part between the two marks
"""

import sys
from collections.abc import Iterable, Iterator
from pathlib import Path

from nnlab.core.diagnose.doctor import DIAGNOSES
from nnlab.core.params import Param, params_of, show_value
from nnlab.core.registry import Part, Registry
from nnlab.magics.verbs import VERBS

BEGIN, END = "<!-- reference: begin -->", "<!-- reference: end -->"


def reference() -> str:
    """The options of each magic, then the entries of each registry with their parameters."""
    blocks: list[str] = []
    told: set[type] = set()
    for verb in VERBS.values():
        params = [param for spec in verb.specs if spec not in told for param in params_of(spec).values()]
        told |= set(verb.specs)
        rows = [row for param in (*params, *verb.own.values()) for row in _options(param)]
        blocks.append(f"### `%{verb.name}`\n\n{_table(('option', 'default', 'allowed', 'what'), rows)}")
        blocks += [_entries(title, registry) for param in params for title, registry in _registries(param)]
        if verb.name == "nn_diagnose":
            blocks.append(_entries("diagnosis", DIAGNOSES))
    return "\n\n".join(blocks)


def _registries(param: Param) -> Iterator[tuple[str, Registry]]:
    """What there is to choose for an option, and for the options of what is chosen."""
    if isinstance(param.domain, Registry):
        yield param.name, param.domain
        yield from ((inner, one.domain) for inner, one in param.domain.nested.items())


def _entries(title: str, registry: Registry) -> str:
    rows = [_entry_row(registry, entry) for entry in registry]
    return f"**{title}**\n\n{_table(('name', 'what', 'parameters'), rows)}"


def _options(param: Param) -> list[tuple[str, ...]]:
    """One row, but for a list of parts (regularizers): a row for each, since each is an option of its own."""
    if param.kind is Part and param.many:
        firsts = [(name, next(iter(entry.params.values()))) for name, entry in param.domain.items()]
        return [(f"`--{name}`", "`0`", first.allowed, first.help) for name, first in firsts]
    brought = ", ".join(f"`{name}` {show_value(value)}" for name, value in getattr(param.default, "values", {}).items())
    default = f"`{param.shown_default}`" + (f" with {brought}" if brought else "")
    return [(f"`--{param.name}`", default, param.allowed, param.help)]


def _entry_row(registry: Registry, name: str) -> tuple[str, ...]:
    entry = registry[name]
    params = ", ".join(f"`{p.name}` {p.shown_default} ({_allowed(p)})" for p in entry.params.values())
    return f"`{name}`", entry.summary, params or "none"


def _allowed(param: Param) -> str:
    return f"see {param.name}" if isinstance(param.domain, Registry) else param.allowed


def _table(head: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> str:
    lines = [head, tuple("---" for _ in head), *(tuple(map(_cell, line)) for line in rows)]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def _cell(text: str) -> str:
    """Backticks of the declarations stay marks; what would end the cell or begin a tag does not."""
    return text.replace("|", "\\|").replace("<", "&lt;")


def inserted(text: str) -> str:
    """The text with the reference between its two marks."""
    before, _, rest = text.partition(BEGIN)
    _, _, after = rest.partition(END)
    return f"{before}{BEGIN}\n{reference()}\n{END}{after}"


if __name__ == "__main__":
    page = Path(sys.argv[1])
    page.write_text(inserted(page.read_text(encoding="utf-8")), encoding="utf-8")
