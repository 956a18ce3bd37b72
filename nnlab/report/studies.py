"""What is said of a search."""

from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np

from nnlab.core.network import member_count
from nnlab.core.spec import CUSTOM
from nnlab.core.tune.after import FIRST
from nnlab.core.tune.objectives import LATENCY
from nnlab.core.tune.study import fact
from nnlab.core.wording import counted
from nnlab.report import charts
from nnlab.report.blocks import Block, Code, Sentence
from nnlab.report.runs import warning_blocks
from nnlab.report.specs import magic_options, python_call
from nnlab.report.tables import Table, number

if TYPE_CHECKING:
    from nnlab.core.tune.study import Study

TOP = 10


def study_verdict(study: "Study") -> Sentence:
    """The best score, its trial, and how many there were."""
    states = study.trials["state"].value_counts()
    counts = ", ".join(f"{count} {state}" for state, count in states.items()) or "none yet"
    total = f"study {study.name}, {counted(len(study.trials), 'trial')} ({counts})"
    if study.best_trial is None or study.best_score is None:
        return Sentence("no complete trial", f"in {total}")
    about = _members(study, study.best_trial)
    about += (cut := study.cut_after(study.best_trial)) and f", {cut},"
    return Sentence(
        f"best {study.metric} {number(study.best_score)}",
        f"on the validation rows, trial {study.best_trial}{about} of {total}",
    )


def _members(study: "Study", trial: int) -> str:
    """With how many members a trial came to its score, where trials have fewer than their runs."""
    if study.header.members is None or study.header.is_whole(spec := study.spec_of(trial)):
        return ""
    whole = study.whole_score(trial) is not None
    return f" with all {member_count(spec)} members" if whole else f" with {study.header.members} of its members"


def study_head(study: "Study", line: str | None, best_line: str | None) -> Iterator[Block]:
    """What matters most: verdict, what it is worth on new rows, the best spec as a line to run."""
    yield study_verdict(study)
    yield from _expected(study)
    if study.best_trial is not None:
        yield Code("The best spec, to train again", best_line or _again(study, line))


def study_blocks(study: "Study", line: str | None) -> Iterator[Block]:
    """The top trials, what followed them, what was searched."""
    yield from _after(study)
    if study.best_trial is not None:
        yield _front(study) if study.header.several else _top(study)
    steps = study.steering
    if len(steps):
        rows = [[f"{when:%Y-%m-%d %H:%M:%S}", *rest] for when, *rest in steps.itertuples(index=False)]
        yield Table(["when (UTC)", "from trial", "what", "values"], rows, "Steered by hand", "lrll")
    yield from (Sentence("warm start:", note) for note in study.learnt)
    yield from warning_blocks([f"trial {at}: {text}" for at, text in study.messages.items()])
    importance, variance = study.importance, study.variance
    searched = [
        (name, str(allowed), _share(importance.get(name)), _share(variance.get(name)))
        for name, allowed in study.space.items()
    ]
    searched.sort(key=lambda row: -importance.get(row[0], 0.0))
    if importance:
        yield Table(["searched", "range", "importance", "of variance (fANOVA)"], searched, "Space", "llrr")
    else:
        yield Table(["searched", "range"], [row[:2] for row in searched], "Space", "ll")
    if line:
        yield Code("This study again", line)


def _expected(study: "Study") -> Iterator[Block]:
    """What the winner is worth on new rows, without the luck in its value."""
    expected, best = study.expected_score, study.best_score
    if expected is not None and best is not None and not study.first_stays:
        luck = (best - expected) if study.maximize else (expected - best)
        values = f"the best {study.metric} flatters itself by about {number(luck)}"
        yield Sentence(f"expect {number(expected)}", f"on new rows: chosen among so many trials, {values} (bootstrap)")


def _after(study: "Study") -> Iterator[Block]:
    """The winner with all its members, its mean over fresh seeds, and the ensemble beside it."""
    if study.header.members is not None and len(whole := study.whole):
        rows = [
            [f"{n} (the run without a search)" if n == 0 else str(n), score, full]
            for n, score, full in whole.itertuples(index=False)
        ]
        heads = ["trial", f"{study.metric} as a trial", "with all members"]
        yield Table(
            heads, rows, f"Trials have {counted(study.header.members or 0, 'member')}; the best with all", "lrr"
        )
        if study.first_stays and (ahead := int(whole["trial"][0])) != FIRST:
            gain = number(abs(whole["whole"][0] - (study.best_score or 0.0)))
            why = f"trial {ahead} is better by {gain}, no more than the luck of a choice among so many trials"
            yield Sentence("the run without a search stays the best:", why)
    finalists = study.finalists
    if len(finalists):
        rows = [
            [int(row["trial"]), *(float(row[n]) for n in ("score", "mean", "std")), int(row["seeds"])]
            for _, row in finalists.iterrows()
        ]
        yield Table(["trial", study.metric, "mean", "std", "seeds"], rows, "Finalists from fresh seeds", "rrrrr")
    if study.after.ensemble_of is not None:
        ensemble = study.ensemble
        shares = ", ".join(f"trial {at} x{weight}" for at, weight in ensemble.weights.items())
        better = f"{number(ensemble.valid['ensemble'])}, the best alone {number(ensemble.valid['best'])}"
        yield Sentence("study.ensemble", f"{shares}; {study.metric} of its mean prediction {better}")


def _again(study: "Study", line: str | None) -> str:
    """The cell that trains the best spec, with the code of an own network; the call of Python where there is none."""
    code = (
        str(study.best.model.values.get("code") or "").strip("\n").rstrip() if study.best.model.name == CUSTOM else ""
    )
    words = (line or "").partition("\n")[0].split()[1:2]
    subject = words[0] if words and words[0].isidentifier() else "data"
    if not code:
        return _prepared_again(study, subject) + python_call("fit", study.best, subject)
    return f"%%nn_train {subject} {magic_options(study.best)}".rstrip() + f"\n{code}"


def _prepared_again(study: "Study", subject: str) -> str:
    """The call that prepares the data as the winner had them, where steps of the preparation were searched."""
    spec = study.best_prepare
    if spec is None or spec == study.header.prepare:
        return ""
    table = study.header.source if study.header.source.isidentifier() else "frame"
    return f"{subject} = {python_call('prepare', spec, f'{table}, target={spec.target!r}')}\n"


def _front(study: "Study") -> Table:
    """The trials that no other dominates, evenly some of them where they are many."""
    front = study.front
    places = np.unique(np.linspace(0, len(front) - 1, min(len(front), TOP)).round().astype(int))
    names = list(study.space)
    objectives = ["score", *(fact(name, names) for name in study.spec.objectives[1:])]
    rows = [
        [int(row["number"]), *(float(row[name]) for name in objectives), *(_value(row[name]) for name in names)]
        for _, row in front.iloc[places].iterrows()
    ]
    units = {LATENCY: "latency (ms)", "score": study.metric}
    heads = ["trial", *(units.get(name, name) for name in objectives), *names]
    caption = f"The front of Pareto: {counted(len(front), 'trial')} that no other is better than in all"
    caption += "; finalists by their means over fresh seeds" * bool(len(study.finalists))
    return Table(heads, rows, caption, "r" * len(heads))


def front_picture(study: "Study") -> bytes | None:
    """Two objectives against each other, the front as a line; None for one objective, or before there are trials."""
    done = study.rows_of(study.ranking())
    if not study.header.several or done.empty:
        return None
    second = study.spec.objectives[1]
    values = fact(second, study.space)
    others = [np.column_stack([one["score"], one[values]]).astype(float) for one in (done, study.front)]
    names = (study.metric, "latency (ms for 1,000 rows)" if second == LATENCY else second)
    return charts.front(names, others[0], others[1], study.front["number"].to_numpy(int))


def _top(study: "Study") -> Table:
    best = study.rows_of(study.ranking()[:TOP])
    names = list(study.space)
    epochs = fact("epochs", names)
    rows = [
        [
            int(row["number"]),
            float(row["score"]),
            _epochs(row["state"], row[epochs]),
            *(_value(row[name]) for name in names),
        ]
        for _, row in best.iterrows()
    ]
    return Table(["trial", study.metric, epochs, *names], rows, "Best trials", "r" * (3 + len(names)))


def _epochs(state: str, count: int) -> object:
    """How many a trial had; of one that was cut it says so."""
    return f"{count} (cut)" if state == "stopped" else int(count)


def _value(value: object) -> object:
    """pandas writes what a trial did not search as nan."""
    return None if value is None or (isinstance(value, float) and np.isnan(value)) else value


def _share(share: float | None) -> str | None:
    return None if share is None else f"{share:.0%}"


def study_picture(study: "Study") -> bytes | None:
    """The course of the search; None before any trial has a score."""
    trials = study.trials
    if not np.isfinite(trials["score"].to_numpy(float)).any():
        return None
    course = charts.Course(
        study.metric,
        study.maximize,
        trials["number"].to_numpy(int),
        trials["score"].to_numpy(float),
        (trials["state"] == "complete").to_numpy(),
    )
    return charts.study_history(course, study.importance)
