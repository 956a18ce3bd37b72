"""Where a run comes from and what it is good for: its provenance and its model card (Mitchell et al. 2019)."""

import contextlib
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from nnlab.core.errors import StoreError
from nnlab.core.scores import test_scores
from nnlab.core.store.files import read_json
from nnlab.core.store.folder import versions
from nnlab.core.wording import counted
from nnlab.report.blocks import Block
from nnlab.report.html import visible
from nnlab.report.tables import Table, number, shorten

if TYPE_CHECKING:
    from nnlab.core.run import Run

LEFT_OUT = ("id", "text", "constant", "dropped")  # roles of columns that are no features
MOST_NAMES = 12
ON_TEST = "on test rows"
WEAK = 0.5  # recall of a class below which its cell of the card names it
KEY = "nnlab"  # of an output's metadata, where the template of nbconvert looks for provenance and card
CARD = "card"  # its entry beside the provenance


def provenance(run: "Run") -> dict[str, str]:
    """What has to be known to make the run again, as words by their name."""
    about = _written(run)
    summary, finished = run.summary, run.finished
    rows = summary.get("rows", {})
    wrote = about.get("versions") or versions()
    facts = {
        "run": run.name or run.id,
        "id": run.id,
        "began": f"{run.facts.began:%Y-%m-%d %H:%M:%S} UTC",
        "took": f"{finished.seconds:,.1f} s, {counted(finished.epoch, 'epoch')}",
        "data": str(summary.get("source") or summary.get("name") or ""),
        "fingerprint of the data": run.fingerprint,
        "rows": ", ".join(f"{part} {count:,}" for part, count in rows.items()),
        "seeds": f"split {summary.get('spec', {}).get('seed', 0)}, run {run.spec.seed}",
        "computed on": f"{run.device}, {run.spec.precision}, learner {run.learner}",
        "versions": ", ".join(f"{name} {version}" for name, version in wrote.items()),
        "git commit": str(about.get("commit") or ""),
    }
    return {name: value for name, value in facts.items() if value}


def provenance_table(run: "Run") -> Table:
    """The same as a table."""
    return Table(["", "value"], list(provenance(run).items()), "Provenance", "ll")


def card_blocks(run: "Run") -> Iterator[Block]:
    """The model card: what is predicted from what, how well it does, and where it is weak."""
    yield Table(["", "what is known"], list(_card(run)), "Model card", "lw")


def carried(run: "Run") -> dict[str, Any]:
    """What an output carries along of a run: its provenance and beside it, as `card`, its model card.

    That it was never scored on test rows is not said: a later cell of the same notebook may do it.
    """
    scored = bool(test_scores(run.path))
    card = {name: visible(shorten(value)) for name, value in _card(run) if scored or name != ON_TEST}
    return {**provenance(run), CARD: card}


def _card(run: "Run") -> Iterator[tuple[str, str]]:
    summary, target = run.summary, run.summary.get("target", "")
    classes = summary.get("classes") or ()
    of = f", one of {_listed(classes)}" if classes else ""
    yield "predicts", f"{target} ({run.task}{of})"
    columns = [column for column in summary.get("columns", ()) if isinstance(column, Mapping)]
    used = [str(c["name"]) for c in columns if c.get("role") not in (*LEFT_OUT, "target")]
    yield "from", f"{counted(len(used), 'column')}: {_listed(used)}"
    if unused := [str(c["name"]) for c in columns if c.get("role") in LEFT_OUT]:
        yield "does not read", _listed(unused)
    rows = summary.get("rows", {})
    yield "learned from", f"{counted(int(rows.get('train', 0)), 'row')} of {summary.get('name') or 'a table'}"
    yield "network", f"{run.spec.model.name}, {counted(run.parameters, 'parameter')}"
    if run.metrics:
        values = ", ".join(f"{name} {number(value)}" for name, value in run.metrics.items())
        yield "on validation rows", values
    yield ON_TEST, _tested(run)
    if weak := _weak(run):
        yield "weak at", weak
    findings = [str(found.get("what", "")) for found in summary.get("audit", ()) if isinstance(found, Mapping)]
    if findings:
        yield "the audit said", "; ".join(findings[:MOST_NAMES])
    yield "do not use for", "rows of another population, unless their scores were measured; data.check(frame) compares"


def _tested(run: "Run") -> str:
    scores = test_scores(run.path)
    if not scores:
        return "never scored; run.score(data.test) does"
    metrics = scores[-1].get("metrics", {})
    values = ", ".join(f"{name} {number(float(value))}" for name, value in metrics.items())
    return f"{values}; looked at {'once' if len(scores) == 1 else f'{len(scores)} times'}"


def _weak(run: "Run") -> str:
    each = run.by_class
    if "recall" not in each:
        return ""
    low = each[each["recall"] < WEAK].sort_values("recall")
    return ", ".join(f"{name} (recall {share:.0%})" for name, share in low["recall"].items())


def _listed(names: Any) -> str:
    names = [str(name) for name in names]
    more = f", and {len(names) - MOST_NAMES:,} more" if len(names) > MOST_NAMES else ""
    return ", ".join(names[:MOST_NAMES]) + more


def _written(run: "Run") -> Mapping[str, Any]:
    """What run.json says besides; {} of a run that lies in no folder."""
    if run.path is None:
        return {}
    with contextlib.suppress(StoreError, OSError):
        return read_json(run.path / "run.json")
    return {}
