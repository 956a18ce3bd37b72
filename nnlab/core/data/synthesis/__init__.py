"""More training rows for a table: made by a model of the training rows, and how good they are.

Importing this package fills SYNTHESIZERS.
"""

import nnlab.core.data.synthesis.copula
import nnlab.core.data.synthesis.ctgan
import nnlab.core.data.synthesis.tvae  # noqa: F401
from nnlab.core.data.steps.registries import SYNTHESIZERS
from nnlab.core.data.synthesis.quality import ColumnDistance, Quality, quality
from nnlab.core.data.synthesis.sample import Sample

__all__ = ["SYNTHESIZERS", "ColumnDistance", "Quality", "Sample", "quality"]
