"""What the magics take besides the options that the specs declare: one function a group, its arguments are options."""

from typing import Annotated, Literal

from nnlab.core.params import Column, Within

ViewWord = Literal["auto", "live", "fields", "text", "none"]
EvaluationView = Literal[
    "curves", "confusion", "thresholds", "residuals", "losses", "slices", "importance", "dependence"
]


def view(
    view: Annotated[
        ViewWord,
        "how it is shown while it works; auto: what the front end can do; fields: live, with fields for sliders, which "
        "every screen reader names",
    ] = "auto",
) -> None:
    """Options of every magic that works for a while."""


def checkpoints(
    checkpoint_seconds: Annotated[
        float, Within(0.0, 1e6), "seconds between two checkpoints inside an epoch; each epoch has one; 0: none at all"
    ] = 30.0,
) -> None:
    """Options of what a killed run leaves behind."""


def train(
    name: Annotated[str | None, "name of the run, to load it by"] = None,
    from_: Annotated[
        str | None,
        "study, run or spec to start from: a variable, or a run of the store; with RUN@12 the run's state after epoch "
        "12 is taken over",
    ] = None,
    resume: Annotated[
        str | None, "run to go on with where it was cut: last, a number, an id or a name; alone: last"
    ] = None,
    replay: Annotated[
        str | None,
        "run to train again, with its changes at the same steps: last, a number, an id or a name; alone: last",
    ] = None,
    background: Annotated[bool, "train in a process of its own and give the cell back at once"] = False,
) -> None:
    """Options of %nn_train."""


def ahead(
    find_lr: Annotated[
        bool, "only test which learning rates learn, on a copy; --lr find trains with the result"
    ] = False,
    preview: Annotated[bool, "only draw the course of learning rate, dropout, decay and batch size"] = False,
) -> None:
    """Options of %nn_train for what is looked at before."""


def looks(
    probe: Annotated[bool, "look at the layers now and then, for %nn_diagnose; changes no bit of the training"] = True,
    baseline: Annotated[
        bool, "fit a linear model and boosted trees beside it, for at most a tenth of the run's time"
    ] = True,
    calibrate: Annotated[bool, "fit the temperature of predict_proba on the validation rows"] = False,
) -> None:
    """Options of %nn_train for what is looked at and what is fitted after it."""


def playing(
    playground: Annotated[
        tuple[str, ...], "what the net gives is drawn as it learns: over one feature, two, or pca, two components"
    ] = (),
) -> None:
    """Options of %nn_train for what is drawn beside the curves."""


def told(
    log_to: Annotated[
        tuple[str, ...], "programs that are told of the run, too: tensorboard:FOLDER, mlflow:URI, wandb:PROJECT"
    ] = (),
) -> None:
    """Options of %nn_train for who else follows."""


def tune(
    resume: Annotated[str | None, "study to go on with where it was left: a name, or last; alone: last"] = None,
    from_: Annotated[str | None, "study, run or spec whose values are kept: a variable, or a run of the store"] = None,
    frame: Annotated[
        str | None,
        "table that data was prepared from, where steps of the preparation are searched; auto: the variable of its "
        "name, or its file",
    ] = None,
) -> None:
    """Options of %nn_tune."""


def runs(
    limit: Annotated[int, Within(1, 100_000), "newest runs that are listed, or first ones where they are sorted"] = 20,
    tagged: Annotated[str | None, "only runs with this tag"] = None,
    where: Annotated[str | None, 'only runs for which this holds, as in "accuracy>0.9 and optimizer=sgd"'] = None,
    sort: Annotated[str | None, "metric, the best first, or option to sort by; -name reverses it"] = None,
    curves: Annotated[bool, "lay the curves of the runs that are listed over one another"] = False,
    explore: Annotated[
        bool, "filter, sort and choose runs for their curves, where there are widgets; Close leaves the table"
    ] = False,
) -> None:
    """Options of %nn_runs for what is listed."""


def marks(
    tag: Annotated[str | None, "tag to give to the runs that are named"] = None,
    untag: Annotated[str | None, "tag to take from them"] = None,
    note: Annotated[str | None, "note to put to them; none takes it away"] = None,
    delete: Annotated[bool, "move the runs that are named into the trash of the store"] = False,
    undo: Annotated[bool, "bring back what was deleted last"] = False,
) -> None:
    """Options of %nn_runs for what is done to runs."""


def load(
    model: Annotated[str | None, "variable with the network of a run whose model was your own code"] = None,
) -> None:
    """Options of %nn_load."""


def diagnose(
    data: Annotated[str | None, "variable with what the run was trained on; none: the one that fits"] = None,
    learning_curve: Annotated[bool, "train on parts of the rows too, and say whether more rows would help"] = False,
    model: Annotated[str | None, "variable with the network of a stored run whose model was your own code"] = None,
) -> None:
    """Options of %nn_diagnose."""


def evaluate(
    on: Annotated[
        str, "rows to look at: valid, test, train, or a table with its target: a variable or a file"
    ] = "valid",
    views: Annotated[tuple[EvaluationView, ...], "what is shown; none: all"] = (),
    label: Annotated[str | None, "class whose curves and thresholds are shown; auto: the second of two"] = None,
    slices: Annotated[tuple[str, ...], Column(), "columns by whose values rows are parted; none: the weakest"] = (),
    dependence: Annotated[
        tuple[str, ...], "columns to vary, as in age,height, or two at once, age:height; none: the most important"
    ] = (),
    repeats: Annotated[int, Within(2, 1000), "times that each column is shuffled for its importance"] = 5,
) -> None:
    """Options of %nn_evaluate for what is looked at."""


def evaluated(
    explore: Annotated[
        bool, "press a count or a dot for its rows, move the threshold, where there are widgets; Close leaves a picture"
    ] = False,
    data: Annotated[str | None, "variable with what the run was trained on; none: the one that fits"] = None,
    frame: Annotated[
        str | None, "table that data was prepared from; auto: the variable of its name, or its file"
    ] = None,
    model: Annotated[str | None, "variable with the network of a stored run whose model was your own code"] = None,
) -> None:
    """Options of %nn_evaluate for where and how it looks."""


def report(
    out: Annotated[str | None, "file to write: .html, .md or .pdf; auto: nnlab-report-NAME.html"] = None,
    title: Annotated[str | None, "title of the report"] = None,
    limit: Annotated[int, Within(1, 1000), "newest runs that `all` takes"] = 20,
) -> None:
    """Options of %nn_report."""


def panel(
    tab: Annotated[Literal["data", "model", "train", "tune", "runs"], "page that is open at first"] = "train",
    preset: Annotated[Literal["small", "default", "strong"], "settings to begin with"] = "default",
) -> None:
    """Options of %nn_panel."""


def touched(
    sliders: Annotated[bool, "sliders for numbers; off: fields, which every screen reader names"] = True,
) -> None:
    """Options of what is set by hand."""


def config(reset: Annotated[bool, "forget the defaults of this session"] = False) -> None:
    """Options of %nn_config."""
