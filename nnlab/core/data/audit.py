"""What is suspicious in a table before anything is learnt from it: leaks, drift, and columns that cannot help."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace

import numpy as np

from nnlab.core.data.audit_rows import (
    TEST,
    TRAIN,
    VALID,
    Answer,
    Measures,
    later_rows,
    measure,
    ranks,
    shared_groups,
)
from nnlab.core.data.columns import option, shown
from nnlab.core.data.equal_rows import equal_rows
from nnlab.core.data.evidence import Evidence, gather
from nnlab.core.data.roles import FEWEST_FOR_ID, Typed
from nnlab.core.data.spelling import plain_level
from nnlab.core.data.split import Split
from nnlab.core.data.target import Target
from nnlab.core.wording import agreeing, counted

RISK = 1e-4  # of a finding in a table without fault, for each kind that is a test, all columns together
SHIFT = 0.1  # smaller differences between the parts do not matter, however sure they are
COPY = 0.999
SCORE = 0.97
GAP = 0.1
TIMES = 3  # as many errors as a copy has the best of the other columns, where no wide gap tells them apart
SURE = 2.5  # standard errors
NEAR_CONSTANT = 0.995
ONE_CLASS = 0.97
MOST_TELLING = 3  # one column in so many may nearly tell the target
UNSEEN = 0.5
FEWEST_CELLS = 10
MOST_EACH = 10  # findings of one kind; further columns share the last one
MOST_LEVELS = 20_000
LONGEST = 300  # characters of an option in a sentence
TWINS = "category_twins"
SPELLING = "differ only in case, blanks, accents or punctuation"


@dataclass(frozen=True)
class Finding:
    """kind: one word for it. what: in words. evidence: the numbers. option: what resolves it, as typed."""

    kind: str
    columns: tuple[str, ...]
    what: str
    evidence: str
    option: str

    def __str__(self) -> str:
        option = self.option if len(self.option) <= LONGEST else f"{self.option[:LONGEST]}… (whole in data.audit)"
        return f"{self.what}: {self.evidence}; {option} resolves it"


def evidence_of(
    typed: list[Typed],
    target: Target,
    numbers: np.ndarray,
    split: Split,
    groups: np.ndarray | None = None,
    times: np.ndarray | None = None,
) -> Evidence:
    """What `findings_of` needs: copies of some cells, and what only the whole table tells.

    numbers: codes or float values of all rows; groups, times: one for each row. At most 10,000 rows are looked at
    (50,000 for equal rows), drawn by a fixed seed. Free text is only compared.
    """
    found = gather([item for item in typed if item.column is not None], numbers, split)
    if not found.kept or not len(found.sample.rows):
        return found
    plain = [item for item in typed if item.column is not None and item.role != "text"]
    whole = (*_across(groups, times, split), *_class_twins(target), *_folded(_twins(plain)))
    return replace(found, whole=whole)


def findings_of(evidence: Evidence, target: Target) -> tuple[Finding, ...]:
    """Findings, the gravest kind first."""
    kept, sample, y = list(evidence.kept), evidence.sample, evidence.y
    if not kept or not len(sample.rows):
        return ()
    columns = [item.column for item in kept if item.column is not None]
    answer = Answer(y.astype(np.int64), len(target.classes)) if target.classes else Answer(ranks(y), 0)
    levels = np.array([column.kind in ("text", "bool") for column in columns])
    found = measure(columns, levels, sample, answer)
    plain = np.array([item.role != "text" for item in kept])
    copies = _copied(found, plain, target)
    across = [finding for finding in evidence.whole if finding.kind != TWINS]
    twins = [finding for finding in evidence.whole if finding.kind == TWINS]
    return (
        *_folded(_copies(kept, copies, found, target)),
        *_folded(_near_copies(kept, plain & ~copies, found, target)),
        *_folded(_unknown(kept, found)),
        *_folded(_one_class(kept, plain & ~copies, found, target)),
        *_folded(_unseen(kept, plain & levels, found)),
        *_folded(_identifiers(kept, plain, found, evidence.naming)),
        *_duplicates(evidence, bool(target.classes), found),
        *across,
        *_folded(_drifting(kept, plain, levels, found)),
        *_folded(_near_constant(kept, plain, found)),
        *twins,
    )


def _folded(findings: Iterable[Finding]) -> Iterator[Finding]:
    """The first findings of a kind one by one, all further columns in one more."""
    every = list(findings)
    yield from every[:MOST_EACH]
    if rest := every[MOST_EACH:]:
        names = tuple(name for finding in rest for name in finding.columns)
        what = f"{counted(len(names), 'more column')} {'has' if len(names) == 1 else 'have'} a finding {rest[0].kind!r}"
        word = rest[0].option.partition(" ")[0].removeprefix("--")
        yield Finding(rest[0].kind, names, what, shown(names), option(word, *names))


def _dropping(kind: str, item: Typed, what: str, evidence: str) -> Finding:
    return Finding(kind, (item.name,), f"column {item.name!r} {what}", evidence, option("drop", item.name))


def _copied(found: Measures, plain: np.ndarray, target: Target) -> np.ndarray:
    """Agreement that chance cannot give in so few rows."""
    rows = found.rows.sum(1)
    enough = rows >= FEWEST_CELLS + np.log2(len(rows))
    return plain & enough & (np.abs(found.copy) > (0.5 if target.classes else COPY))


def _copies(kept: list[Typed], copies: np.ndarray, found: Measures, target: Target) -> Iterator[Finding]:
    for i in np.flatnonzero(copies):
        if target.classes:
            evidence = f"its values and the {len(target.classes)} classes go together one to one"
        else:
            evidence = f"rank correlation {found.copy[i]:.4f}"
        evidence += f" in {found.rows[i].sum()} rows"
        yield _dropping("target_copy", kept[i], f"is the target {target.name!r} in other words", evidence)


def _near_copies(kept: list[Typed], looked: np.ndarray, found: Measures, target: Target) -> Iterator[Finding]:
    """Columns that score far above the rest, at most one in three: where many columns score high, the task is easy."""
    most = max(1, int(np.count_nonzero(looked)) // MOST_TELLING)
    ways = (way(found, looked) for way in (_far_above, _fewer_errors))
    apart = next((columns for columns in ways if 0 < len(columns) <= most), np.empty(0, np.int64))
    measure_of = {"binary": "AUC", "multiclass": "mean recall", "regression": "R2 of the ranks"}[target.task]
    rest = np.setdiff1d(np.flatnonzero(looked), apart)
    for i in apart:
        beside = found.score[rest].max()
        evidence = f"{measure_of} {found.score[i]:.3f} on validation rows, the next column has {beside:.3f}"
        yield _dropping("near_copy", kept[i], f"alone nearly tells the target {target.name!r}", evidence)


def _far_above(found: Measures, looked: np.ndarray) -> np.ndarray:
    """Columns above a wide gap in the scores, the best first.

    Few validation rows ask for a wider gap: 1 / sqrt(rows) is at least two standard errors of a share.
    """
    order = np.flatnonzero(looked)[np.argsort(-found.score[looked], kind="stable")]
    scores = found.score[order]
    held = found.rows[0, VALID] + found.missing[0, VALID]
    gap = GAP + 1 / np.sqrt(max(held, 1))
    ends = np.flatnonzero((scores[:-1] > SCORE) & (scores[:-1] - scores[1:] > gap))
    return order[: ends[0] + 1] if len(ends) else order[:0]


def _fewer_errors(found: Measures, looked: np.ndarray) -> np.ndarray:
    """Columns that err several times less than the next one, the best first: a copy beside a strong honest column.

    Errors are what a score lacks to 1, of training and validation rows together: the rule is fitted on most of them,
    which flatters a column with many levels, so that a copy must do as well on the validation rows alone. Differences
    that chance gives are left out: a mean of k shares, each of n rows, has the variance e (1 - e) sum(1 / n) / k^2.
    """
    order = np.flatnonzero(looked)[np.argsort(-found.fit[looked], kind="stable")]
    errors = 1 - np.minimum(found.fit, found.score)[order]
    rest = 1 - found.fit[order]
    worst = np.maximum.accumulate(errors)[:-1]
    both = (found.rows + found.missing)[0, [TRAIN, VALID]].sum()
    sizes = (found.present + found.absent)[0].astype(float)
    sizes = sizes[sizes > 0] * both / max(sizes.sum(), 1) if len(sizes) else np.array([float(both)])
    middle = np.clip((worst + rest[1:]) / 2, 0, 1)
    chance = np.sqrt(2 * middle * (1 - middle) * (1 / sizes).sum()) / len(sizes)
    ends = np.flatnonzero((worst < 1 - SCORE) & (rest[1:] > TIMES * worst) & (rest[1:] - worst > SURE * chance))
    return order[: ends[0] + 1] if len(ends) else order[:0]


def _unknown(kept: list[Typed], found: Measures) -> Iterator[Finding]:
    """Missing cells in validation or test rows that the training share cannot explain, by a binomial test."""
    size = (found.rows + found.missing).astype(float)
    share = found.missing / np.maximum(size, 1)
    for part, name in ((TEST, "test"), (VALID, "validation")):
        far = np.abs(share[:, part] - share[:, TRAIN]) > SHIFT
        if not far.any():
            continue
        from scipy.special import bdtr, bdtrc  # 10 MB and a tenth of a second, which most tables need not spend

        both = found.missing[:, TRAIN] + found.missing[:, part]
        pooled = both / np.maximum(size[:, TRAIN] + size[:, part], 1)
        n, k = size[:, part], found.missing[:, part].astype(float)
        upper = np.where(k > 0, bdtrc(np.maximum(k - 1, 0), n.astype(np.int64), pooled), 1.0)
        p = np.minimum(bdtr(k, n.astype(np.int64), pooled), upper)
        for i in np.flatnonzero(far & (p < RISK / (4 * len(kept)))):
            evidence = f"{share[i, part]:.0%} of {name} rows and {share[i, TRAIN]:.0%} of training rows have no value"
            yield _dropping("unknown_at_prediction", kept[i], "is not equally known in all parts", evidence)


def _one_class(kept: list[Typed], looked: np.ndarray, found: Measures, target: Target) -> Iterator[Finding]:
    """Columns with a value in nearly one class only, or without: often known only when the outcome is."""
    if not target.classes:
        return
    base = (found.present + found.absent).astype(float)
    base /= np.maximum(base.sum(1, keepdims=True), 1)
    for words, counts in (("a value", found.present), ("no value", found.absent)):
        rows, best = counts.sum(1), counts.argmax(1)
        share = counts.max(1) / np.maximum(rows, 1)
        usual = np.take_along_axis(base, best[:, None], 1)[:, 0]
        chance = np.minimum(len(base[0]) * usual ** np.minimum(rows, 1000), 1.0)
        mixed = (found.present.sum(1) > 0) & (found.absent.sum(1) > 0) & looked
        sure = (rows >= FEWEST_CELLS) & (chance < RISK / (2 * len(kept)))
        for i in np.flatnonzero(mixed & sure & (share > ONE_CLASS) & (1 - share < (1 - usual) / 5)):
            evidence = (
                f"{share[i]:.1%} of the {rows[i]} training rows with {words} are {target.labels[best[i]]!r}, "
                f"of all rows {usual[i]:.1%}"
            )
            what = f"has {words} in nearly one class only; is it known when predicting?"
            yield _dropping("unknown_at_prediction", kept[i], what, evidence)


def _unseen(kept: list[Typed], looked: np.ndarray, found: Measures) -> Iterator[Finding]:
    strange = (found.unseen > UNSEEN) & (found.unseen > found.expected_unseen + 0.3)
    for i in np.flatnonzero(looked & strange & (found.rows[:, TEST] >= FEWEST_CELLS)):
        evidence = f"{found.unseen[i]:.0%} of test cells hold a level that no training row has"
        yield _dropping("unknown_at_prediction", kept[i], "has other levels in the test rows", evidence)


def _identifiers(
    kept: list[Typed], looked: np.ndarray, found: Measures, naming: Mapping[int, int]
) -> Iterator[Finding]:
    """Whole numbers that count, rise with the rows or are named as an id, and levels, if all of them differ."""
    rows = found.rows.sum(1)
    maybe = looked & (rows >= FEWEST_FOR_ID) & (found.different == rows) & found.whole
    for i in np.flatnonzero(maybe).tolist():
        if i in naming:
            evidence = f"all its {naming[i]} values differ"
            yield _dropping("identifier", kept[i], "names rows and does not describe them", evidence)


def _duplicates(evidence: Evidence, classes: bool, found: Measures) -> Iterator[Finding]:
    """More equal rows than independent columns with the same values would have."""
    held, twins, train, unlike = equal_rows(list(evidence.compared), evidence.answers, evidence.parts)
    with np.errstate(divide="ignore"):
        alike = float(np.exp(np.log(found.equal).sum()))
    seen = evidence.seen
    counts = (np.bincount(seen) if classes else np.unique(seen, return_counts=True)[1]) / len(seen)
    same = float(counts @ counts)
    expected = held * _once(alike * same, train)
    if twins > 3 * (expected + np.sqrt(expected)):
        what = "rows are in two parts of the split"
        equal = agreeing(twins, "equals", "equal")
        evidence_text = f"{twins} of {held} validation and test rows {equal} a row of an earlier part, target included"
        yield Finding("duplicates", (), what, evidence_text, "--group_duplicates on")
    expected = train * _once(alike * (1 - same), train)
    if classes and unlike > max(3 * (expected + np.sqrt(expected)), 0.01 * train):
        what = "rows with equal features have different targets"
        yield Finding("duplicates", (), what, f"{unlike} of {train} training rows", "--conflicts majority")


def _once(chance: float, tries: int) -> float:
    """The chance that at least one of the tries succeeds."""
    return float(-np.expm1(tries * np.log1p(-min(chance, 1 - 1e-12))))


def _across(groups: np.ndarray | None, times: np.ndarray | None, split: Split) -> Iterator[Finding]:
    if groups is not None:
        n, shared = shared_groups(groups, split)
        if shared:
            evidence = f"{shared} of {n} groups"
            yield Finding("groups_across", (), "groups have rows in more than one part", evidence, "--split group")
    if times is not None and (later := later_rows(times, split)):
        evidence = f"{later} of {len(split.train)} training rows"
        what = "training rows are later than the first test row"
        yield Finding("times_across", (), what, evidence, "--split time")


def _drifting(kept: list[Typed], plain: np.ndarray, levels: np.ndarray, found: Measures) -> Iterator[Finding]:
    """Dates are left out: a split by time parts them, any other split cannot."""
    dated = np.array([item.role == "date" for item in kept])
    far = plain & ~dated & (found.drift > SHIFT) & (found.p < RISK / len(kept))
    for i in np.flatnonzero(far):
        name = "total variation" if levels[i] else "Kolmogorov-Smirnov distance"
        evidence = f"{name} {found.drift[i]:.2f}, p {found.p[i]:.0e}"
        yield _dropping("drift", kept[i], "is distributed otherwise in test rows than in training rows", evidence)


def _near_constant(kept: list[Typed], looked: np.ndarray, found: Measures) -> Iterator[Finding]:
    for i in np.flatnonzero(looked & (found.top > NEAR_CONSTANT)):
        evidence = f"{found.top[i]:.2%} of training rows have one value, or none"
        yield _dropping("near_constant", kept[i], "is nearly constant", evidence)


def _class_twins(target: Target) -> Iterator[Finding]:
    if evidence := _alike([label for label in target.classes if isinstance(label, str)]):
        what = f"target {target.name!r} has classes that {SPELLING}"
        yield Finding(TWINS, (target.name,), what, evidence, option("merge_levels", target.name))


def _alike(levels: Iterable[str]) -> str:
    """Levels of one plain form, in words; "" where there are none."""
    groups: dict[str, list[str]] = {}
    for level in levels:
        groups.setdefault(plain_level(level), []).append(level)
    pairs = [" = ".join(map(repr, group)) for key, group in groups.items() if key and len(group) > 1]
    return "; ".join(pairs[:5]) + ("; …" if len(pairs) > 5 else "")


def _twins(kept: list[Typed]) -> Iterator[Finding]:
    for item in kept:
        column = item.column
        if column is None or column.kind not in ("text", "bool") or len(column.levels) > MOST_LEVELS:
            continue
        if not _alike(column.levels):
            continue
        used = np.bincount(column.data[column.data >= 0], minlength=len(column.levels)) > 0
        if evidence := _alike(column.levels[used]):
            what = f"column {column.name!r} has levels that {SPELLING}"
            yield Finding(TWINS, (column.name,), what, evidence, option("merge_levels", column.name))
