"""Everything that defines a preparation, a run and a search, as frozen values; and how typed options become them."""

from collections.abc import Mapping
from dataclasses import MISSING, dataclass, fields, replace
from dataclasses import field as data_field
from typing import Annotated, Any, Literal, TypeVar

from nnlab.core import own
from nnlab.core.augments import AUGMENTS
from nnlab.core.averages import AVERAGES
from nnlab.core.data.steps import (
    BALANCES,
    CROSSES,
    ENCODERS,
    EXPANDERS,
    FLAGS,
    IMPUTERS,
    OUTLIERS,
    REDUCERS,
    SCALERS,
    SELECTORS,
    TEXTS,
)
from nnlab.core.data.synthesis import SYNTHESIZERS
from nnlab.core.embeddings import EMBEDDINGS
from nnlab.core.errors import SpecError
from nnlab.core.gradients import GRADIENTS
from nnlab.core.inits import INITS
from nnlab.core.losses import LOSSES
from nnlab.core.metrics import METRICS
from nnlab.core.models import MODELS
from nnlab.core.optimizers import OPTIMIZERS, WRAPPERS
from nnlab.core.params import Column, Param, Weights, Within, params_of
from nnlab.core.registry import Part, Registry
from nnlab.core.regularizers import REGULARIZERS
from nnlab.core.schedules import SCHEDULES
from nnlab.core.terms import TERMS
from nnlab.core.tune.strategies import PRUNERS, SAMPLERS

# The model part of a run whose network the user wrote; its code is kept as text, never executed again.
CUSTOM = "custom"
OWN = "own"  # where the JSON of a spec tells of losses and metrics that the user wrote

FEW_ROWS = 2000  # training rows below which the ranks of quantile scaling are too coarse
Share = Within(0.0, 0.9)
Factor = Within(0.0, 1000.0, search=(0.05, 10.0))
Seed = Within(0, 2**31 - 1)
Precision = Literal["float32", "float64", "bf16", "fp16"]


@dataclass(frozen=True)
class PrepareSpec:
    """How a table is prepared."""

    target: Annotated[str, Column(), "column to predict"]
    task: Annotated[
        Literal["binary", "multiclass", "regression"] | None, "kind of prediction; auto reads the target"
    ] = None
    test: Annotated[float, Share, "share of rows put away for the final score"] = 0.2
    valid: Annotated[float, Share, "share of rows that choose the best epoch"] = 0.16
    split: Annotated[
        Literal["random", "stratified", "group", "time", "column"] | None,
        "how rows are parted; auto: by the group, time or part column where one is named, else stratified classes",
    ] = None
    group: Annotated[str | None, Column(), "column of groups that stay together in one part; no feature"] = None
    time: Annotated[str | None, Column(), "column of times: train on the past, validate and test on the future"] = None
    gap: Annotated[float, Within(0.0, 1e9), "days (or units of the time column) left out between the parts"] = 0.0
    part: Annotated[
        str | None, Column(), "column that says train, valid or test for each row, or with --folds its fold; no feature"
    ] = None
    folds: Annotated[int | None, Within(2, 100), "number of folds; data.folds then holds one preparation for each"] = (
        None
    )
    weight: Annotated[str | None, Column(), "column of sample weights; no feature"] = None
    drop_rows: Annotated[
        float | None, Within(0.0, 1.0), "leave out rows with a larger share of missing cells; or with a missing target"
    ] = None
    drop_columns: Annotated[
        float | None, Within(0.0, 1.0), "leave out columns with a larger share of missing training cells"
    ] = None
    outliers: Annotated[Part, OUTLIERS, "what happens to extreme numbers"] = Part("none")
    impute: Annotated[Part, IMPUTERS, "what stands in for missing numbers"] = Part("median")
    indicators: Annotated[bool, "add a 0/1 column for each column of numbers that 10 training rows or more lack"] = True
    scale: Annotated[
        Part | None, SCALERS, "how numbers are scaled; auto: robust for fewer than 2000 training rows, else quantile"
    ] = None
    expand: Annotated[Part, EXPANDERS, "several features out of one number"] = Part("none")
    encode: Annotated[Part, ENCODERS, "how categories become numbers"] = Part("one_hot")
    text: Annotated[Part, TEXTS, "how free text becomes numbers"] = Part("drop")
    cross: Annotated[Part, CROSSES, "new numbers out of several columns"] = Part("none")
    flag: Annotated[Part, FLAGS, "a feature that marks unusual rows"] = Part("none")
    select: Annotated[Part, SELECTORS, "which features are kept"] = Part("none")
    reduce: Annotated[Part, REDUCERS, "fewer features in place of many"] = Part("none")
    synthesis: Annotated[Part, SYNTHESIZERS, "more training rows, made by a model of the training rows"] = Part("none")
    balance: Annotated[Part, BALANCES, "what is done for rare classes, to training rows only"] = Part("none")
    scale_target: Annotated[Part, SCALERS, "how the target of a regression is scaled; undone at prediction"] = Part(
        "standard"
    )
    numeric: Annotated[tuple[str, ...], Column(), "columns to read as numbers"] = ()
    coerce: Annotated[
        tuple[str, ...],
        Column(),
        "columns whose text is read as numbers: currency, thousands, %, K/M/B, open ends; other cells are missing",
    ] = ()
    categorical: Annotated[tuple[str, ...], Column(), "columns to read as categories"] = ()
    date: Annotated[tuple[str, ...], Column(), "columns to read as dates"] = ()
    drop: Annotated[tuple[str, ...], Column(), "columns to leave out"] = ()
    cycles: Annotated[bool, "add sine and cosine of month, day, weekday and hour of dates"] = False
    merge_levels: Annotated[
        tuple[str, ...],
        Column(),
        "columns, the target too, whose levels are one where they differ only in case, blanks, accents or punctuation",
    ] = ()
    inf: Annotated[Literal["error", "missing"], "what becomes of infinite and too large numbers"] = "error"
    group_duplicates: Annotated[bool, "rows with equal features stay together in one part of the split"] = False
    conflicts: Annotated[
        Literal["keep", "majority", "drop"],
        "training rows with equal features and different classes: majority keeps those of the most frequent class",
    ] = "keep"
    strict: Annotated[bool, "findings of the audit are errors"] = False
    seed: Annotated[int, Seed, "seed of the split and of the noise of the fit"] = 0
    dtype: Annotated[Literal["float32", "float64"], "numbers of the features and of a scaled target"] = "float32"
    stream: Annotated[
        bool | None, "read a file in pieces, features in files that are mapped; auto: where memory is short"
    ] = None
    overrides: Mapping[str, Mapping[str, Part]] = data_field(default_factory=dict)  # field -> column or role -> part

    def __repr__(self) -> str:
        return _changed(self)

    def part_of(self, step: str, column: str, role: str) -> Part:
        """The part that a field names for a column: its own, its role's, or that of all."""
        own = self.overrides.get(step, {})
        found: Part = own.get(column) or own.get(role) or getattr(self, step)
        return found

    def settled(self, rows: int) -> "PrepareSpec":
        """The spec with what is left to the number of training rows decided, by tests/benchmarks/scaling.py."""
        return self if self.scale else replace(self, scale=Part("robust" if rows < FEW_ROWS else "quantile"))


@dataclass(frozen=True)
class TrainSpec:
    """Everything that defines a run but the data."""

    model: Annotated[
        Part, MODELS, "network; where its design and its optimizer are left open, by the data: see %nn_config"
    ] = Part("mlp")
    optimizer: Annotated[Part, OPTIMIZERS, "rule that turns gradients into steps"] = Part(
        "adamw", {"lr": 0.01, "weight_decay": 0.1}
    )
    embed: Annotated[Part, EMBEDDINGS, "how numbers become vectors in front of the network"] = Part("none")
    feature_dropout: Annotated[
        float, Within(0.0, 0.95, search=(0.0, 0.3)), "share of features that are 0 in a row, with all of their values"
    ] = 0.0
    embedding_dropout: Annotated[
        float, Within(0.0, 0.95, search=(0.0, 0.3)), "share of levels of embedded categories that are 0 in a step"
    ] = 0.0
    wrappers: Annotated[tuple[Part, ...], WRAPPERS, "what is put around the optimizer"] = ()
    schedule: Annotated[Part, SCHEDULES, "course of the step size over the run"] = Part("cosine")
    warmup: Annotated[float, Within(0.0, 0.9, search=(0.0, 0.2)), "share of the run with a rising step size"] = 0.05
    loss: Annotated[Part | None, LOSSES, "what training makes small; auto: by task"] = None
    class_weight: Annotated[
        tuple[str, ...], Weights("balanced"), "how much the rows of each class count in the loss; others count 1"
    ] = ()
    init: Annotated[Part | None, INITS, "first weights; auto: by the activation"] = None
    regularizers: Annotated[tuple[Part, ...], REGULARIZERS, "penalties and limits on the weights"] = ()
    gradients: Annotated[tuple[Part, ...], GRADIENTS, "what happens to gradients before a step"] = ()
    augments: Annotated[tuple[Part, ...], AUGMENTS, "changes of training rows"] = ()
    terms: Annotated[tuple[Part, ...], TERMS, "further terms of the loss"] = ()
    average: Annotated[Part, AVERAGES, "average of the weights that is validated and kept"] = Part("none")
    dropout_schedule: Annotated[Part, SCHEDULES, "course of the dropout, by epochs"] = Part("constant")
    decay_schedule: Annotated[Part, SCHEDULES, "course of the weight decay, by epochs"] = Part("constant")
    layer_decay: Annotated[
        float, Within(0.01, 1.0, search=(0.5, 1.0)), "step size of each layer, times that of the next one"
    ] = 1.0
    lr_bias: Annotated[float, Factor, "step size of biases, times that of the run; 0: they stay"] = 1.0
    lr_scale: Annotated[float, Factor, "step size of learned scales of the inputs, times that of the run"] = 1.0
    lr_embedding: Annotated[float, Factor, "step size of embeddings, times that of the run"] = 1.0
    lr_activation: Annotated[float, Factor, "step size of learned activations, times that of the run"] = 1.0
    lr_head: Annotated[float, Factor, "step size of the last layer's weights, times that of the run"] = 1.0
    epochs: Annotated[int, Within(1, 1_000_000, log=True, search=(10, 200)), "passes over the training rows"] = 60
    batch_size: Annotated[
        int | None, Within(1, 1_048_576, log=True, search=(32, 512)), "rows per step; auto: by number of rows"
    ] = None
    batch_growth: Annotated[
        float, Within(1.0, 1000.0, log=True, search=(1.0, 16.0)), "rows per step in the last epoch for one in the first"
    ] = 1.0
    shuffle: Annotated[bool, "training rows in a new random order each epoch; off: always in their own order"] = True
    patience: Annotated[
        int | None, Within(1, 1_000_000, search=(5, 50)), "epochs without improvement before the run stops"
    ] = 20
    bagging: Annotated[
        float | None,
        Within(0.01, 1.0, search=(0.5, 1.0)),
        "share of the training rows that each member of an ensemble learns from, drawn for it; none: all of them",
    ] = None
    bootstrap: Annotated[bool, "rows of members are drawn with replacement, so that some count twice"] = False
    own_order: Annotated[bool, "each member of an ensemble takes the training rows in an order of its own"] = False
    own_best: Annotated[
        bool, "members of an ensemble keep the weights of their own best epoch each, and stop each by its own patience"
    ] = False
    min_delta: Annotated[
        float, Within(0.0, 1e9), "how much the monitored value must improve for patience to begin anew"
    ] = 0.0
    monitor: Annotated[str, "loss or a metric of the validation rows that chooses the best epoch"] = "loss"
    metrics: Annotated[
        tuple[str, ...],
        METRICS,
        "what is measured each epoch, top_7, pinball_0.25 and other numbers too; none: the usual ones of the task",
    ] = ()
    seed: Annotated[int, Seed, "seed of weights, row order and dropout"] = 0
    device: Annotated[Literal["auto", "cpu", "cuda", "mps"], "where the tensors live"] = "auto"
    precision: Annotated[Precision, "numbers that the network computes with; bf16, fp16: weights stay float32"] = (
        "float32"
    )
    tf32: Annotated[bool, "products of float32 matrices in the shorter numbers of CUDA's tensor cores"] = False
    accumulate: Annotated[
        int, Within(1, 65_536, log=True), "parts that a step's rows are taken in: less memory, the same gradient"
    ] = 1
    checkpoint_activations: Annotated[bool, "compute activations twice instead of keeping them: less memory"] = False
    channels_last: Annotated[bool, "images of nn.Conv2d with their channels last in memory: often faster"] = False
    cuda_graphs: Annotated[bool, "passes of the network recorded once and replayed: for small networks on CUDA"] = False
    compile: Annotated[bool, "the network through torch.compile; pays for large networks on CUDA"] = False
    threads: Annotated[
        int | None, Within(1, 1024), "CPU threads; auto: one, or all where a trial of some steps is faster so"
    ] = None

    def __repr__(self) -> str:
        return _changed(self)


# The fields of PrepareSpec that can be said for one column or role, as in --impute.age knn.
PER_COLUMN = ("outliers", "impute", "scale", "expand", "encode", "text")


# Networks of the user's own start from the optimizer's usual values; the default run's were measured with the mlp.
OWN_NETWORK = TrainSpec(model=Part(CUSTOM), optimizer=Part("adamw"))


def _changed(spec: Any) -> str:
    """The spec as Python, without what is at its default.

    >>> PrepareSpec("y", scale=Part("robust"), drop=("name",))
    PrepareSpec('y', scale=Part('robust'), drop=('name',))
    """
    words: list[str] = []
    for field in fields(spec):
        value = getattr(spec, field.name)
        usual = field.default if field.default_factory is MISSING else field.default_factory()
        if usual is MISSING:
            words.insert(0, repr(value))
        elif value != usual:
            words.append(f"{field.name}={value!r}")
    return f"{type(spec).__name__}({', '.join(words)})"


def defaults_for(spec: Any) -> dict[str, Any]:
    """What the fields of such a spec are where nobody says anything; a network has starting values of its own."""
    return usual(type(spec), getattr(getattr(spec, "model", None), "name", None))


def usual(spec: type[Any], model: str | None = None) -> dict[str, Any]:
    """The defaults of a spec class, with those that the chosen model brings along; the default of model is the mlp."""
    found = {name: param.default for name, param in params_of(spec).items()}
    if spec is not TrainSpec or model is None:
        return found
    if model == CUSTOM:
        return {f.name: getattr(OWN_NETWORK, f.name) for f in fields(OWN_NETWORK)}
    return found | dict(MODELS[model].facts.get("defaults", {}) if model in MODELS else {})


def usual_params(spec: type[Any], model: str | None = None) -> dict[str, Param]:
    """The declarations of a spec class, with the defaults and the ranges that the chosen model brings along."""
    own = params_of(spec)
    if spec is not TrainSpec or model is None or model not in MODELS:
        return own
    brought, ranges = (MODELS[model].facts.get(name, {}) for name in ("defaults", "searched"))
    own |= {name: replace(own[name], default=value) for name, value in brought.items()}
    ranged = {name: ends for name, ends in ranges.items() if name in own}
    return own | {n: replace(own[n], domain=replace(own[n].domain, search=ends)) for n, ends in ranged.items()}


@dataclass(frozen=True)
class TuneSpec:
    """How a search is run; what it searches and what it keeps fixed is a space and a TrainSpec."""

    trials: Annotated[int, Within(1, 1_000_000, log=True), "runs that the study shall hold in the end"] = 30
    sampler: Annotated[Part, SAMPLERS, "how the next trial is chosen"] = Part("tpe")
    pruner: Annotated[Part, PRUNERS, "how hopeless trials are ended early"] = Part("median")
    minutes: Annotated[float | None, Within(0.001, 1e6), "stop after this time"] = None
    until: Annotated[
        int | None, Within(2, 100_000, log=True), "stop after so many trials without a gain beyond chance; none: never"
    ] = None
    population: Annotated[
        int | None,
        Within(1, 64, log=True),
        "trials asked for at once, trained side by side where they share a shape; auto: by trials and space",
    ] = None
    trial_members: Annotated[
        int | None, Within(1, 64), "members of a trial's network; the best trials are then trained with all; auto: 1"
    ] = None
    objectives: Annotated[
        tuple[str, ...],
        "what trials are compared by, as in loss,latency,parameters: first loss or a metric, which counts first; "
        "latency: ms for 1,000 rows on one thread; of several objectives no trial is pruned; none: the monitored value",
    ] = ()
    folds: Annotated[
        int | None,
        Within(2, 100),
        "folds of the data (%nn_preprocess --folds) that a score is the mean of; auto: its validation rows alone",
    ] = None
    finalists: Annotated[int | None, Within(1, 100), "best trials to train again from fresh seeds; none: none"] = None
    seeds: Annotated[int, Within(1, 100), "fresh seeds of each finalist; the best mean wins"] = 5
    refit: Annotated[
        bool | None,
        "train the winner on training and validation rows together: study.refit; auto: where there are folds",
    ] = None
    ensemble: Annotated[
        int | None, Within(2, 100), "best trials of which an ensemble is chosen: study.ensemble; none: none"
    ] = None
    space: Annotated[tuple[str, ...], 'ranges such as "lr=1e-4..1e-1 log"; none: those of the declarations'] = ()
    name: Annotated[str | None, "name of the study; the same name continues it"] = None
    warm: Annotated[bool, "earlier runs on the same data in the store are known to a new study"] = True
    like: Annotated[bool, "try first what was good on similar data in the store"] = False
    storage: Annotated[
        str | None, "database that machines share the study by, as in sqlite:///study.db; none: a journal in the store"
    ] = None
    on: Annotated[str | None, "cluster that trains the trials: ray, or ray://host:port; none: this machine"] = None
    fresh: Annotated[bool, "start anew though a study of that name is there"] = False

    def __repr__(self) -> str:
        return _changed(self)


S = TypeVar("S", PrepareSpec, TrainSpec, TuneSpec)


def to_json(spec: Any) -> dict[str, Any]:
    """A spec as plain JSON values; `from_json` takes it back."""
    plain = {f.name: _plain(getattr(spec, f.name)) for f in fields(spec)}
    if isinstance(spec, TrainSpec):
        functions = own.described(spec.loss.name if spec.loss else None, spec.metrics)
        return plain | {OWN: functions} if functions else plain
    return plain


def _plain(value: Any) -> Any:
    if isinstance(value, Part):
        return {"name": value.name, "values": {k: _plain(v) for k, v in value.values.items()}}
    if isinstance(value, Mapping):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, tuple):
        return [_plain(item) for item in value]
    return value


def from_json(spec: type[S], plain: Mapping[str, Any]) -> S:
    """The spec that `to_json` wrote, every value checked again."""
    known = params_of(spec)
    values: dict[str, Any] = {}
    own.stand_in(plain.get(OWN, {}))
    for name, value in plain.items():
        if name == OWN:
            continue
        if name == "overrides":
            values[name] = {
                step: {column: _part_from(known[step].domain, part) for column, part in parts.items()}
                for step, parts in value.items()
            }
            continue
        if name not in known:
            raise SpecError(f"{spec.__name__} has no field {name!r}")
        values[name] = _from_plain(known[name], value)
    return spec(**values)


def _from_plain(param: Param, value: Any) -> Any:
    if value is None or param.kind is not Part:
        return param.read(value)
    if param.many:
        return tuple(_part_from(param.domain, item) for item in value)
    return _part_from(param.domain, value)


def _part_from(registry: Registry, plain: Mapping[str, Any]) -> Part:
    name, values = plain["name"], plain["values"]
    return Part(name, dict(values) if name == CUSTOM else registry[name].read(values))


def part_values(registry: Registry, part: Part) -> dict[str, Any]:
    """All values of a part, the defaults filled in."""
    entry = registry[part.name]
    return {name: param.default for name, param in entry.params.items()} | entry.read(part.values)


def make(registry: Registry, part: Part, *args: Any) -> Any:
    """What the part's function makes of args and the part's values, checked."""
    entry = registry[part.name]
    return entry.make(*args, **entry.read(part.values))
