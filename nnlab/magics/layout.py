"""Where the options stand in the panel: tabs, groups, and what a newcomer sees first. The rest is one press away."""

from collections.abc import Iterator
from dataclasses import dataclass

from nnlab.core.options import Option
from nnlab.magics.form import Settled, full_name


@dataclass(frozen=True)
class Group:
    """Options under a title. first: those that all see, by short name; fields: whose other options come behind `more`.

    rest: whether what no group names stands here.
    """

    title: str
    first: tuple[str, ...]
    fields: tuple[str, ...] = ()
    rest: bool = False


@dataclass(frozen=True)
class Tab:
    """One page of the panel. deed: the word on its button; subject: what its line is about."""

    title: str
    verb: str
    deed: str
    groups: tuple[Group, ...]
    subject: str = "data"


TABS = (
    Tab(
        "Data",
        "nn_preprocess",
        "Prepare",
        (
            Group("Target", ("target", "task"), ("weight", "scale_target", "merge_levels", "conflicts")),
            Group(
                "Parts",
                ("test", "valid", "folds"),
                ("split", "group", "time", "gap", "part", "seed", "group_duplicates"),
            ),
            Group(
                "Columns",
                ("drop", "categorical"),
                ("numeric", "coerce", "date", "drop_columns", "drop_rows", "text", "cycles"),
            ),
            Group("Steps", ("impute", "scale", "encode"), rest=True),
        ),
        "table",
    ),
    Tab(
        "Model",
        "nn_train",
        "Train",
        (
            Group(
                "Network",
                ("model", "hidden", "activation", "norm", "dropout", "embed"),
                ("model", "embed", "init", "feature_dropout", "embedding_dropout", "dropout_schedule"),
            ),
            Group(
                "Against overfitting",
                ("label_smoothing", "mixup", "l1", "average"),
                ("regularizers", "augments", "terms", "class_weight", "average"),
            ),
        ),
    ),
    Tab(
        "Train",
        "nn_train",
        "Train",
        (
            Group(
                "Steps",
                ("optimizer", "lr", "weight_decay", "schedule", "batch_size"),
                (
                    "optimizer",
                    "schedule",
                    "warmup",
                    "wrappers",
                    "gradients",
                    "batch_growth",
                    "loss",
                    "layer_decay",
                    "decay_schedule",
                    "shuffle",
                    "lr_bias",
                    "lr_scale",
                    "lr_embedding",
                    "lr_activation",
                    "lr_head",
                ),
            ),
            Group("Length", ("epochs", "patience", "monitor", "metrics"), ("min_delta",)),
            Group("Run", ("seed",), rest=True),
        ),
    ),
    Tab(
        "Tune",
        "nn_tune",
        "Tune",
        (
            Group(
                "Search",
                ("trials", "minutes", "space", "sampler", "pruner"),
                ("sampler", "pruner", "until", "trial_members", "population", "objectives"),
            ),
            Group("An honest score", ("finalists", "ensemble"), ("folds", "seeds", "refit")),
            Group("Kept fixed", ("model", "epochs", "name"), rest=True),
        ),
    ),
)

_LISTED = Group("List", ("where", "sort", "limit", "tagged"), rest=True)
_OPTIONS = Group("Options", (), rest=True)
# What the page Runs can do to the runs that are chosen there: each is a page of its own magic.
RUNS = (
    Tab("Runs", "nn_runs", "List", (_LISTED,), "runs"),
    Tab("Runs", "nn_diff", "Compare", (), "runs"),
    Tab("Runs", "nn_load", "Load", (_OPTIONS,), "runs"),
    Tab("Runs", "nn_evaluate", "Evaluate", (_OPTIONS,), "runs"),
    Tab("Runs", "nn_diagnose", "Diagnose", (_OPTIONS,), "runs"),
    Tab("Runs", "nn_report", "Report", (_OPTIONS,), "runs"),
)
ALL = (*TABS, *RUNS)

Placed = list[tuple[str, Option]]


def grouped(tab: Tab, state: Settled) -> Iterator[tuple[Group, Placed, Placed]]:
    """The groups of a tab with their first options and the others, as the chosen parts have them; each option once."""
    groups = _groups(tab.verb)
    first = {full_name(option) for group in groups for option in _first(group, state)}
    others: dict[str, Placed] = {group.title: [] for group in groups}
    for name, option in state.each():
        if name not in first:
            others[_home(groups, option).title].append((name, option))
    for group in tab.groups:
        shown = [(full_name(option), option) for option in _first(group, state)]
        yield group, shown, others[group.title]


def _groups(verb: str) -> list[Group]:
    return [group for tab in ALL if tab.verb == verb for group in tab.groups]


def _first(group: Group, state: Settled) -> list[Option]:
    return [state.known[name] for name in group.first if name in state.known]


def _home(groups: list[Group], option: Option) -> Group:
    """The group of an option: the one that names its field, else the one for the rest."""
    named = next((group for group in groups if (option.field or option.name) in group.fields), None)
    return named or next(group for group in groups if group.rest)
