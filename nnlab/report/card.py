"""Where a run or a study comes from and what its network is good for: provenance, model card (Mitchell et al. 2019)."""

import contextlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nnlab.core.errors import NNLabError, StoreError
from nnlab.core.scores import test_scores
from nnlab.core.store.files import read_json
from nnlab.core.store.folder import versions
from nnlab.core.tune.header import HEADER
from nnlab.core.wording import counted
from nnlab.report.blocks import Block, Sentence
from nnlab.report.html import visible
from nnlab.report.tables import Table, number, shorten

if TYPE_CHECKING:
    from nnlab.core.run import Run
    from nnlab.core.tune.study import Study

LEFT_OUT = ("id", "text", "constant", "dropped")  # roles of columns that are no features
MOST_NAMES = 12
ON_TEST = "on test rows"
WEAK = 0.5  # recall of a class below which its cell of the card names it
KEY = "nnlab"  # of an output's metadata, where the template of nbconvert looks for provenance and card
CARD = "card"  # its entry beside the provenance
RUN = "run.json"  # what a run's folder says of it


def provenance(run: "Run") -> dict[str, str]:
    """What has to be known to make the run again, as words by their name."""
    about = _written(run.path, RUN)
    summary, finished = run.summary, run.finished
    rows = summary.get("rows", {})
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
        **_environment(about),
    }
    return {name: value for name, value in facts.items() if value}


def study_provenance(study: "Study") -> dict[str, str]:
    """What has to be known to search again, as words by their name; of its winner what a run says besides."""
    header, trials = study.header, study.trials
    winner, _ = _winner(study)
    of_run = _environment(_written(study.path, HEADER)) | ({} if winner is None else provenance(winner))
    split = f"split {header.prepare.seed}, " if header.prepare is not None else ""
    facts = {
        "study": study.name,
        "began": f"{study.began:%Y-%m-%d %H:%M:%S} UTC" if study.began is not None else "",
        "took": f"{trials['seconds'].sum():,.1f} s of work, {counted(len(trials), 'trial')}",
        "winner": "" if study.best_trial is None else f"trial {study.best_trial}",
        "data": header.source,
        "fingerprint of the data": header.data,
        "seeds": f"{split}search and runs {header.base.seed}",
    }
    facts |= {name: value for name, value in of_run.items() if name not in (*facts, "run", "id")}
    return {name: value for name, value in facts.items() if value}


def provenance_table(facts: Mapping[str, str]) -> Table:
    """What `provenance` or `study_provenance` found, as a table."""
    return Table(["", "value"], list(facts.items()), "Provenance", "ll")


def card_blocks(run: "Run", title: str = "Model card") -> Iterator[Block]:
    """The model card: what is predicted from what, how well it does, and where it is weak."""
    yield Table(["", "what is known"], list(_card(run)), title, "lw")


def winner_blocks(study: "Study") -> Iterator[Block]:
    """The model card of the winner, or why there is none; nothing of a study without a complete trial."""
    winner, why = _winner(study)
    if winner is not None:
        yield from card_blocks(winner, f"Model card of the winner, trial {study.best_trial}")
    elif study.best_trial is not None:
        yield Sentence("no model card:", why)


def carried(run: "Run") -> dict[str, Any]:
    """What an output carries along of a run: its provenance and beside it, as `card`, its model card.

    That it was never scored on test rows is not said: a later cell of the same notebook may do it.
    """
    return {**provenance(run), CARD: _carried_card(run)}


def carried_of(study: "Study") -> dict[str, Any]:
    """The same of a study; the card is its winner's."""
    winner, _ = _winner(study)
    return study_provenance(study) | ({} if winner is None else {CARD: _carried_card(winner)})


def _carried_card(run: "Run") -> dict[str, str]:
    scored = bool(test_scores(run.path))
    return {name: visible(shorten(value)) for name, value in _card(run) if scored or name != ON_TEST}


def _winner(study: "Study") -> "tuple[Run | None, str]":
    """The run of the winner, or None and why it cannot be had."""
    try:
        return study.best_run, ""
    except NNLabError as error:  # no trial is complete, the run is not kept, or its network is the user's own
        return None, str(error)


def _environment(about: Mapping[str, Any]) -> dict[str, str]:
    """Of what a file says besides: versions, those of now where it says none, and the commit."""
    wrote = about.get("versions") or versions()
    return {
        "versions": ", ".join(f"{name} {version}" for name, version in wrote.items()),
        "git commit": str(about.get("commit") or ""),
    }


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


def _written(folder: Path | None, name: str) -> Mapping[str, Any]:
    """What the file of this name says; {} of a run or a study that lies in no folder."""
    if folder is None:
        return {}
    with contextlib.suppress(StoreError, OSError):
        return read_json(folder / name)
    return {}
