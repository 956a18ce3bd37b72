"""What is known of the columns that a network reads: which hold numbers, which codes; and the layers in front of it."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from nnlab.core.embeddings import EMBEDDINGS
from nnlab.core.registry import Part

if TYPE_CHECKING:
    from nnlab.core.front import Front, Tokens
    from nnlab.core.numeric import NumericEmbedding


@dataclass(frozen=True)
class Inputs:
    """Columns of a matrix (rows, n_in). numbers: positions of measured numbers, which embed is for. codes: position ->
    (cardinality, width) of codes of categories; all else are flags and shares, taken as they are.

    feature_dropout: share of columns that are 0 in a row, in training. embedding_dropout: share of levels that are.
    """

    n_in: int
    numbers: tuple[int, ...] = ()
    codes: Mapping[int, tuple[int, int]] = field(default_factory=dict)
    embed: Part = Part("none")
    feature_dropout: float = 0.0
    embedding_dropout: float = 0.0

    @property
    def plain(self) -> bool:
        """Whether a network can read the columns as they are."""
        return not self.codes and not self.embedded and not self.feature_dropout

    @property
    def embedded(self) -> bool:
        """Whether numbers become vectors."""
        return self.embed.name != "none" and bool(self.numbers)

    @property
    def others(self) -> tuple[int, ...]:
        """Positions that are taken as they are."""
        taken = {*self.codes, *(self.numbers if self.embedded else ())}
        return tuple(place for place in range(self.n_in) if place not in taken)

    def embedding(self, members: int | None = None) -> "NumericEmbedding":
        """The layer that embeds the numbers."""
        entry = EMBEDDINGS[self.embed.name]
        lead = (len(self.numbers),) if members is None else (members, len(self.numbers))
        layer: NumericEmbedding = entry.make(lead, **entry.read(self.embed.values))
        return layer

    def front(self, members: int | None = None) -> "Front":
        """Layers that make (rows, n_out) of the columns, or (rows, members, n_out)."""
        from nnlab.core.front import Front

        return Front(self, members)

    def tokens(self, width: int) -> "Tokens":
        """Layers that make (rows, columns, width) of the columns."""
        from nnlab.core.front import Tokens

        return Tokens(self, width)
