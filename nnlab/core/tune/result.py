"""How a trial ended."""

from dataclasses import asdict, dataclass, field
from typing import Any, Literal

from nnlab.core.tune.pbt import Inherited

State = Literal["complete", "pruned", "failed", "stopped"]


@dataclass(frozen=True)
class Result:
    """How a trial ended. cut: from outside, so it does not count, though its best epoch so far is a result. error: the
    exception that ended it.

    folds_left: that a trial which was cut has no score of. best_epoch: of several folds the mean. scores: of each fold,
    where there are several. parts: the score as `luck.parts_of_score` gives it.
    """

    state: State
    score: float | None = None
    epochs: int = 0
    seconds: float = 0.0
    message: str = ""
    cut: bool = False
    folds_left: int = 0
    best_epoch: int = 0
    scores: tuple[float, ...] = ()
    parts: tuple[float, ...] = field(default=(), repr=False)
    objectives: tuple[float, ...] = ()
    inherited: tuple[Inherited, ...] = ()
    error: Exception | None = field(default=None, repr=False, compare=False)

    @property
    def is_result(self) -> bool:
        """Whether it can be the best: complete, or cut when an epoch had been validated."""
        return self.state == "complete" or (self.cut and self.score is not None)

    @property
    def values(self) -> tuple[float, ...]:
        """Of each objective, () where there is no score."""
        return self.objectives or (() if self.score is None else (self.score,))

    def to_json(self) -> dict[str, Any]:
        """What is kept with the trial."""
        return {name: value for name, value in asdict(self).items() if name != "error"}
