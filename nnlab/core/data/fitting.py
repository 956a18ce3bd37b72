"""The pipeline fitted on training rows: columns, then imputers of the whole table, crosses, steps on the matrix."""

import numpy as np

from nnlab.core.data.features import Feature, fit_feature
from nnlab.core.data.numbers import Number, Step, fit_number
from nnlab.core.data.pipeline import FINISH, NOTHING_GIVEN, Cross, Fill, Given, Pipeline, finish_step
from nnlab.core.data.place import MEMORY, Place
from nnlab.core.data.roles import Typed, to_keep
from nnlab.core.data.steps import CROSSES, IMPUTERS
from nnlab.core.data.target import Target
from nnlab.core.errors import DataError, SpecError
from nnlab.core.registry import Part
from nnlab.core.spec import PrepareSpec, make


def fit_pipeline(  # noqa: PLR0913 (a table, its target and rows, and where matrices are put)
    typed: list[Typed],
    target: Target,
    numbers: np.ndarray,
    train: np.ndarray,
    spec: PrepareSpec,
    given: Given = NOTHING_GIVEN,
    place: Place = MEMORY,
) -> Pipeline:
    """Everything fitted. numbers: the target of all rows; train: positions of the training rows, which alone count.

    given: columns of numbers and dates whose gaps are filled along an order of the rows.
    """
    spec = spec.settled(len(train))
    fitted = target.fitted(numbers[train], spec.scale_target)
    y = numbers[train] if fitted.classes else fitted.scaled(numbers[train])
    features = [
        fit_feature(column, train, spec, i, y, len(fitted.classes))
        for i, column in enumerate(typed)
        if column.column is not None
    ]
    if not features:
        why = "; ".join(f"{column.name!r} is {column.role} ({column.why})" for column in typed[:5])
        raise DataError(f"no column is left to learn from: {why}; {_ways(typed)}")
    pipeline = Pipeline(features, fitted)
    pipeline.rows, pipeline.inf_missing = len(train), spec.inf == "missing"
    if not pipeline.raw_names:
        raise DataError(f"no column gives a feature: {'; '.join(pipeline.notes)}; give more rows or other columns")
    by_name = {column.name: column.column for column in typed if column.column is not None}
    columns = {name: given.get(name, column.data) for name, column in by_name.items()}
    values = [columns[feature.name] for feature in features if isinstance(feature, Number)]
    pipeline.fills = _fills(features, values, train, typed, spec)
    if spec.cross.name != "none":
        pipeline.cross = _cross(pipeline, [column[train] for column in values], spec)
    if any(getattr(spec, kind).name != "none" for kind in FINISH):
        raw = [place.values(feature, by_name[feature.name]) for feature in features]
        _finish(pipeline, pipeline.raw_training_matrix(raw, train, given, place), numbers[train], spec)
    return pipeline


def _ways(typed: list[Typed]) -> str:
    """What keeps a column; texts come first, since more than a number is to be learned from them."""
    kept = sorted((c for c in typed if c.role in ("text", "id")), key=lambda column: column.role != "text")
    return f"{to_keep(kept[0])} keeps {kept[0].name!r}" if kept else "give other columns"


def _fills(
    features: list[Feature], values: list[np.ndarray], train: np.ndarray, typed: list[Typed], spec: PrepareSpec
) -> tuple[Fill, ...]:
    """One for each imputer of the whole table that some columns ask for; columns of like values make one group."""
    roles = {column.name: column.role for column in typed}
    numbers = [feature for feature in features if isinstance(feature, Number)]
    groups: dict[str, tuple[Part, list[int]]] = {}
    for i, feature in enumerate(numbers):
        part = spec.part_of("impute", feature.name, roles[feature.name])
        if IMPUTERS[part.name].facts.get("scope") == "table":
            groups.setdefault(f"{part.name}{sorted(part.values.items())}", (part, []))[1].append(i)
    fills = []
    for part, wanted in groups.values():
        rest = [i for i in range(len(numbers)) if i not in wanted]  # they tell something of the gaps, too
        order = wanted + rest
        table = np.stack([_clipped(numbers[i], values[i][train]) for i in order], axis=1)
        state = make(IMPUTERS, part, table, np.random.default_rng([spec.seed, len(numbers)]))
        fills.append(Fill(tuple(numbers[i].name for i in order), Step(part.name, state), len(wanted)))
    return tuple(fills)


def _clipped(feature: Number, rows: np.ndarray) -> np.ndarray:
    filled, gaps = feature.filled(rows)
    return np.where(gaps, np.nan, filled)


def _cross(pipeline: Pipeline, rows: list[np.ndarray], spec: PrepareSpec) -> Cross | None:
    numbers = [feature for feature in pipeline.features if isinstance(feature, Number)]
    if not numbers:
        return None
    filled = pipeline.filled(_columns(pipeline, rows))
    names = tuple(feature.name for feature in numbers)
    rng = np.random.default_rng([spec.seed, len(names), 1])
    state = make(CROSSES, spec.cross, names, np.stack([filled[name] for name in names], axis=1), rng)
    step = Step(spec.cross.name, state)
    facts = CROSSES[spec.cross.name].facts
    found = facts["apply"](filled, state)
    plain = PrepareSpec(spec.target, scale=spec.scale, indicators=False)
    labels = facts["labels"](state)
    return Cross(names, step, tuple(fit_number(label, found[:, i], plain, rng) for i, label in enumerate(labels)))


def _columns(pipeline: Pipeline, rows: list[np.ndarray]) -> list[np.ndarray]:
    """The number columns at the places that they have among all; others are not looked at."""
    numbers = iter(rows)
    return [next(numbers) if isinstance(feature, Number) else rows[0] for feature in pipeline.features]


def _finish(pipeline: Pipeline, x: np.ndarray, y: np.ndarray, spec: PrepareSpec) -> None:
    """The steps on the whole matrix x of the training rows, each fitted on what the one before gives."""
    classes = len(pipeline.target.classes)
    for i, (kind, registry) in enumerate(FINISH.items()):
        part = getattr(spec, kind)
        if part.name == "none":
            continue
        if pipeline.codes and kind != "flag":
            raise SpecError(f"{kind}={part.name} does not work on encode=codes; take another of the two")
        step = Step(part.name, make(registry, part, x, y, classes, np.random.default_rng([spec.seed, i])))
        pipeline.finish = (*pipeline.finish, (kind, step))
        x = finish_step(kind, step, x)
