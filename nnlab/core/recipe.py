"""What a run is where its network and its steps are left open: chosen by the task, the training rows and the columns.

The figures behind it are those of validation rows (tests/benchmarks/recipes.py). Small tables get many small networks
whose mean is taken: one alone is mostly noise there. Periodic embeddings of the numbers matter more than all else, on
few rows too (Gorishniy et al. 2022; Holzmüller et al. 2024).

Members keep the epoch in which they are best together: three seeds of pima, titanic and abalone differed by no more
than noise with --own-best, and wine had 2% more error (4% with --bagging 0.8 too), for each member stops where it
begins to learn noise by heart, before the mean of all does. Orders of their own changed nothing. Muon was no better for
the mlp on wine and abalone (one seed, two step sizes), in three to four times the CPU time.

Where numbers are too many to embed (350 to 784 columns), the mlp had at least a tenth more loss than the same members
without embeddings, and up to twice as much (made tables, digits with noise, fashion_mnist; 200 to 13,000 rows).
"""

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from nnlab.core.models import MODELS
from nnlab.core.network import numbers_of
from nnlab.core.options import resolve
from nnlab.core.spec import CUSTOM, TrainSpec

if TYPE_CHECKING:
    from nnlab.core.data.prepare import Prepared

# Training rows from which on: fewer and wider networks; still wider ones; one plain network, on rows that are many.
SOME, WIDE, MANY = 1_000, 8_000, 50_000
MANY_NUMBERS = 300  # columns of numbers above which they are not embedded: that would be most of the network
FIND = "find"  # the value of --lr that asks for a test of step sizes
# Whoever says one of these, or a value of the network but its dropout, means a network of their own design.
DESIGN = {"model", "optimizer", "lr", "optimizer.lr", "init", "embed", "average", "wrappers", "precision"}


def asks_for_lr(name: str, value: Any) -> bool:
    """Whether an option asks to find the step size by a test (lr=find), and says nothing of what it shall be."""
    return str(name) in ("lr", "optimizer.lr") and isinstance(value, str) and value.lower() == FIND


def recipe_for(data: "Prepared", options: Mapping[str, Any]) -> TrainSpec | None:
    """The spec that a run on the data starts from; None where the options choose a network or its steps themselves."""
    if not left_open(options):
        return None
    return resolve(TrainSpec, _options(data))


def _options(data: "Prepared") -> dict[str, Any]:
    return recipe(data.task, len(data.train), len(numbers_of(data.pipeline)))


def with_its_network(options: Mapping[str, Any], spec: TrainSpec, data: "Prepared") -> dict[str, Any]:
    """Options to be typed for a run whose spec the data chose, and where they would take that back, the spec's too."""
    if left_open(options):
        return dict(options)
    chosen = {"model": spec.model.name} | _options(data)
    kept = {name: value for name, value in chosen.items() if resolve(TrainSpec, {name: value}, spec) == spec}
    return kept | dict(options)


def left_open(options: Mapping[str, Any]) -> bool:
    """Whether the options leave the choice to the data."""
    words = {str(name).replace("-", "_") for name, value in options.items() if not asks_for_lr(name, value)}
    values = {name for name in MODELS["mlp"].params if name != "dropout"}
    return not words & (DESIGN | values | {f"model.{name}" for name in values})


def must_name_network(spec: TrainSpec, said: Iterable[str]) -> bool:
    """Whether options that give the spec must name its network too, as the data would choose another one else."""
    return spec.model.name != CUSTOM and left_open(dict.fromkeys(said))


def recipe(task: str, rows: int, numbers: int) -> dict[str, Any]:
    """The options for so many training rows and columns of numbers, as they could be typed."""
    if rows > MANY:
        return {}
    classes = task != "regression"
    found: dict[str, Any] = {"model": "realmlp", "members": 4 if classes else 8, "dropout": 0.25, "epochs": 32}
    if rows < SOME:
        found |= {"hidden": (64, 64), "members": 16}
    elif rows < WIDE:
        found |= {"hidden": (128, 128)}
    else:
        found |= {"hidden": (256, 256, 256), "sigma": 5.0, "lr": 0.2}
        found |= {} if classes else {"dropout": 0.05}
    if numbers > MANY_NUMBERS:
        found.pop("sigma", None)
        found["embed"] = "none"
    return found


def words_of_recipe() -> str:
    """The networks by training rows, for %nn_config."""
    return (
        f"by training rows: realmlp to {MANY:,} (16 small ones below {SOME:,}, wide ones from {WIDE:,}; without "
        f"embeddings of more than {MANY_NUMBERS} columns of numbers), mlp beyond; "
        "mlp where a run says how its network or its optimizer shall be"
    )
