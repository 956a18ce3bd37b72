"""What a diagnosis is: one decorated function of a case, which gives a verdict or None.

Facts of an entry: needs=("looks", ...), what the case must have (`NEEDS`); explains=("underfitting", ...), what need
not be said too where this one is found; live=Live(...), from when on it is made while the run lives, without it only
afterwards. Its thresholds are its parameters; tests/benchmarks/doctor.py measures them.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from nnlab.core.registry import Registry

DIAGNOSES = Registry("diagnosis")


@dataclass(frozen=True)
class Live:
    """How many looks and epochs there must be; values: thresholds that are other ones while the run lives."""

    looks: int = 0
    epochs: int = 0
    values: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True, eq=False)
class Plot:
    """The evidence as a small picture: lines over x. log: y by ratio. level: a value to compare with, and its name;
    place: of x.

    kind: lines, or bars with a label for each.
    """

    title: str
    x: Sequence[float]
    lines: Mapping[str, Sequence[float]]
    x_label: str = "epoch"
    log: bool = False
    level: float | None = None
    level_name: str = ""
    place: float | None = None
    labels: Sequence[str] = ()


@dataclass(frozen=True, eq=False)
class Verdict:
    """name: of the diagnosis. what: it in words; evidence: the numbers. fix: options of a training that would mend it;
    prepare: options of a preparation. look: instead of these, the rows that are most wrong are to be looked at. effect:
    what the line would do. advice: what no option can do. plot: the evidence drawn."""

    name: str
    what: str
    evidence: str
    fix: Mapping[str, Any] = field(default_factory=dict)
    prepare: Mapping[str, Any] = field(default_factory=dict)
    look: bool = False
    effect: str = "mend it"
    advice: str = ""
    plot: Plot | None = None

    def __str__(self) -> str:
        return f"{self.what}: {self.evidence}"
