"""The magics by name: what each takes besides the options that the specs declare."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from nnlab.core.options import Option, options_of
from nnlab.core.params import Param, params_of, show_value
from nnlab.core.registry import Part, until_registered
from nnlab.core.spec import PrepareSpec, TrainSpec, TuneSpec
from nnlab.magics import own_options


def _own(*declared: Any) -> dict[str, Param]:
    found = {name.rstrip("_"): param for make in declared for name, param in params_of(make).items()}
    return {name: replace(param, name=name) for name, param in found.items()}


@dataclass(frozen=True)
class Verb:
    """One magic. subject: what its first word names; words: how many words it takes (0: none needed, none taken).

    first: the options that most people need, by group; the help begins with them. None: all.
    """

    name: str
    summary: str
    subject: str = ""
    words: int = 0
    specs: tuple[type[Any], ...] = ()
    own: Mapping[str, Param] = field(default_factory=dict)
    examples: tuple[str, ...] = ()
    body: str = ""
    first: Mapping[str, tuple[str, ...]] = field(default_factory=dict)


_TABLE = {
    "What is predicted": ("target", "task"),
    "Parts of the table": ("test", "valid", "group", "time", "folds", "seed"),
    "Columns": ("drop", "categorical", "date", "coerce", "text"),
    "Steps": ("impute", "scale", "encode", "outliers", "balance"),
    "Care": ("strict", "group_duplicates", "conflicts"),
}
_RUN = {
    "Network": ("model", "hidden", "activation", "dropout"),
    "Steps": ("optimizer", "lr", "weight_decay", "schedule", "batch_size", "loss"),
    "Length": ("epochs", "patience", "monitor", "metrics"),
    "Run": ("seed", "device", "precision", "name", "from", "resume", "find_lr", "view"),
}
_SEARCH = {
    "Search": ("trials", "minutes", "space", "sampler", "pruner", "objectives", "name", "fresh"),
    "An honest score": ("folds", "finalists", "refit", "ensemble"),
    "Kept fixed": ("model", "epochs", "batch_size", "lr", "monitor"),
    "Lasting": ("until", "resume", "storage"),
    "Run": ("from", "view"),
}

_ALL = (
    Verb(
        "nn_preprocess",
        "Split a table, learn its preparation on the training rows, and look for trouble.",
        "table: a DataFrame variable, a file, book.xlsx::sheet, sklearn:name, sqlite:///file.db::table, "
        "or two variables X,y",
        1,
        (PrepareSpec,),
        {},
        (
            "data = %nn_preprocess df --target income",
            "data = %nn_preprocess titanic.csv --target Survived --drop PassengerId,Name",
            "data = %nn_preprocess shop.parquet --target sold --impute.age knn --text tfidf --group customer",
            "data = %nn_preprocess sklearn:breast_cancer --folds 5",
            "data = %nn_preprocess X,y --test 0.25 --scale standard",
        ),
        first=_TABLE,
    ),
    Verb(
        "nn_train",
        "Train a network on prepared data.",
        "prepared data: a variable that %nn_preprocess gave",
        1,
        (TrainSpec,),
        _own(
            own_options.view,
            own_options.checkpoints,
            own_options.train,
            own_options.told,
            own_options.ahead,
            own_options.looks,
            own_options.playing,
        ),
        (
            "run = %nn_train data",
            "run = %nn_train data --hidden 128,64 --dropout 0.2 --optimizer sgd --lr 0.1",
            "run = %nn_train data --lr find --schedule one_cycle",
            "run = %nn_train data --loss my_loss --metrics accuracy,my_metric",
            "run = %nn_train data --from study --epochs 200",
            "run = %nn_train data --resume last",
            "run = %nn_train data --replay last",
            "run = %nn_train data --from last@12 --lr 1e-4",
            "run = %nn_train data --epochs 500 --background",
            "%%nn_train data --epochs 20\nfrom torch import nn\n"
            "nn.Sequential(nn.LazyLinear(64), nn.ReLU(), nn.Linear(64, 2))",
        ),
        "body of the cell: Python whose last line is an nn.Module or a function(n_in, n_out) that makes one,\n"
        "or options, one a line, such as  lr: 1e-3;\n"
        "IPython has no  run = %%nn_train:  write  run = _  in the next cell",
        _RUN,
    ),
    Verb(
        "nn_tune",
        "Search hyperparameters; the study is on disk and goes on under the same name.",
        "prepared data: a variable that %nn_preprocess gave",
        1,
        (TuneSpec, TrainSpec),
        _own(own_options.view, own_options.tune),
        (
            "study = %nn_tune data --trials 30",
            'study = %nn_tune data --space "lr=1e-4..1e-1 log" dropout=0..0.5 --epochs 20',
            "study = %nn_tune data --finalists 3 --ensemble 10",
            "study = %nn_tune --resume --trials 60",
            "study = %nn_tune data --space model={mlp,resnet} mlp.hidden=[64..512]x1..4 resnet.depth=1..6",
            "%%nn_tune data --trials 50\nlr: 1e-4..1e-1 log\noptimizer: {adamw, sgd}\nhidden: [64..512]x1..4\n"
            "scale: {standard, quantile}\nepochs: 20",
        ),
        "body of the cell: ranges, one a line, such as  lr: 1e-4..1e-1 log,  optimizer: {adamw, sgd},\n"
        "epochs: 10..100 step 10,  hidden: [64..512]x1..4  (lists of one to four numbers),\n"
        "resnet.depth: 1..4  (where the model is resnet),  scale: {standard, quantile}  (a step of the preparation);\n"
        "a line with one value, such as  epochs: 20, keeps it fixed",
        _SEARCH,
    ),
    Verb(
        "nn_runs",
        "List the runs of the store, lay the curves of some over one another, tag, annotate or delete them.",
        "runs: numbers, ids, names, variables, or last",
        1000,
        (),
        _own(own_options.runs, own_options.marks),
        (
            "%nn_runs",
            "%nn_runs last baseline",
            "%nn_runs 3 5 7",
            "%nn_runs --explore",
            '%nn_runs --where "accuracy>0.9 and optimizer=sgd" --sort accuracy --curves',
            "%nn_runs --tag good 3f2a91aa",
            "%nn_runs --tagged good",
            '%nn_runs --note "more rows next time" last',
            "%nn_runs --delete 3f2a91aa",
            "%nn_runs --undo",
        ),
    ),
    Verb(
        "nn_diff",
        "Say what differs between two runs: options, data, code, environment, and metrics, judged against noise.",
        "two runs: variables, last, numbers, ids or names",
        2,
        examples=("%nn_diff baseline last", "%nn_diff 3 7", "%nn_diff run 3f2a91aa"),
    ),
    Verb(
        "nn_load",
        "Bring a run back with its model and its preparation, or a study with its trials.",
        "run: last, a number, an id, a name, or its folder; study: its name",
        1,
        (),
        _own(own_options.load),
        ("run = %nn_load last", "run = %nn_load baseline", "run = %nn_load last --model Net"),
    ),
    Verb(
        "nn_stop",
        "End the run that trains in the background after its step, keep its best epoch, and wait for that.",
        "run: its variable, number, id or name; the one that trains, if none is named",
        1,
        examples=("%nn_stop", "%nn_stop run"),
    ),
    Verb(
        "nn_attach",
        "Show a run in this cell: its panel while it trains in the background, else its result.",
        "run: a variable, last, a number, an id or a name; the newest in the background, if none is named",
        1,
        (),
        _own(own_options.view),
        ("%nn_attach", "run = %nn_attach last", "%nn_attach --view text"),
    ),
    Verb(
        "nn_diagnose",
        "Say what went wrong in a run, with the evidence, the line that would mend it, and its layers over time.",
        "run: a variable, last, a number, an id, a name, or its folder",
        1,
        (),
        _own(own_options.diagnose),
        ("%nn_diagnose run", "%nn_diagnose last --data data", "%nn_diagnose run --learning-curve"),
    ),
    Verb(
        "nn_evaluate",
        "Look at a run's predictions: curves, thresholds, the rows that are most wrong, slices, what the columns do.",
        "run: a variable, last, a number, an id, a name, or its folder",
        1,
        (),
        _own(own_options.evaluate, own_options.evaluated, own_options.touched),
        (
            "%nn_evaluate run",
            "%nn_evaluate run --on test",
            "%nn_evaluate run --explore",
            "%nn_evaluate last --on new_rows --slices city,age",
            "%nn_evaluate run --views importance,dependence --dependence age,age:height --repeats 20",
        ),
    ),
    Verb(
        "nn_report",
        "Write runs and studies as one file that anybody can read: HTML, Markdown or PDF.",
        "runs and studies: variables, last, numbers, ids, names, or all",
        1000,
        (),
        _own(own_options.report),
        ("%nn_report run", "%nn_report run study --out report.pdf", "%nn_report all --limit 10 --title 'Week 3'"),
    ),
    Verb(
        "nn_panel",
        "Open a panel of controls that write the line of a magic, show it, and run it.",
        "data: a variable that %nn_preprocess gave, or a table to prepare; the newest one where none is named",
        1,
        (),
        _own(own_options.panel, own_options.touched),
        ("%nn_panel", "%nn_panel data", "%nn_panel df --tab data", "%nn_panel data --preset strong"),
    ),
    Verb(
        "nn_config",
        "Show each default with its source, or set defaults for this session.",
        specs=(PrepareSpec, TrainSpec, TuneSpec),
        own=_own(own_options.view, own_options.checkpoints, own_options.looks, own_options.config),
        examples=("%nn_config", "%nn_config --epochs 20 --optimizer sgd", "%nn_config --reset"),
    ),
)
VERBS = {verb.name: verb for verb in _ALL}


def options_for(verb: Verb, chosen: Mapping[str, Any] | None = None) -> dict[str, Option]:
    """The options of a magic by the word to type, given the chosen parts; on a shared name the first owner wins."""
    found: dict[str, Option] = {}
    for spec in verb.specs:
        found |= {name: option for name, option in options_of(spec, chosen).items() if name not in found}
    return found | {name: Option(name, param, "") for name, param in verb.own.items()}


def default_of(option: Option) -> Any:
    """What holds where the option is not given: a part of a list (l1) is off."""
    return 0 if option.value and option.name == option.part else option.param.default


def any_option(verb: Verb) -> dict[str, Option]:
    """The options of a magic whichever parts are chosen."""
    return dict(_any_option(verb.name))


@until_registered
def _any_option(name: str) -> dict[str, Option]:
    verb = VERBS[name]
    found: dict[str, Option] = {}
    for spec in verb.specs:
        for field_name, param in params_of(spec).items():
            if param.kind is Part and not param.many:
                for part in param.domain:
                    found = options_of(spec, {field_name: part}) | found
    return options_for(verb) | found


def canonical(verb: Verb, name: str, chosen: Mapping[str, Any]) -> str:
    """The one name of an option: lr and optimizer.lr are both optimizer.lr."""
    option = options_for(verb, chosen).get(name)
    return f"{option.field}.{option.name}" if option and option.part else name


def shown_value(name: str, value: Any) -> str:
    """A value of a searched name as it is typed; numbers to three digits."""
    option = any_option(VERBS["nn_train"]).get(name)
    if isinstance(value, float):
        return f"{value:.3g}"
    return option.param.show(value) if option else show_value(value)
