"""What is said of synthetic training rows: what can be learnt from them, whether they are copies, how they spread."""

from collections.abc import Iterator
from typing import TYPE_CHECKING

from nnlab.report.blocks import Block
from nnlab.report.tables import Table

if TYPE_CHECKING:
    from nnlab.core.data.prepare import Prepared
    from nnlab.core.data.synthesis import Quality

MOST_COLUMNS = 30
KINDS = {"ks": "Kolmogorov-Smirnov", "tv": "total variation"}


def synthetic_blocks(data: "Prepared") -> Iterator[Block]:
    """The quality of synthetic rows; nothing where there are none."""
    if data.synthesis is not None:
        yield from quality_blocks(data.synthesis)


def quality_blocks(found: "Quality") -> Iterator[Block]:
    """Scores beside those of real rows, then the columns."""
    yield _scores(found)
    yield _distances(found)


def _scores(found: "Quality") -> Table:
    """The synthetic rows beside real ones."""
    rows = []
    if found.score:
        what = f"{found.score} on the validation rows after learning from synthetic or from training rows"
        rows.append((what, found.synthetic_score, found.real_score))
    nearest = "median distance to the closest training row; of synthetic and of validation rows"
    rows.append((nearest, found.synthetic_to_train, found.valid_to_train))
    rows.append(
        ("share of copies of training rows; of synthetic and of validation rows", found.copies, found.valid_copies)
    )
    return Table(["measure", "synthetic", "real"], rows, "Quality of the synthetic rows", "lrr")


def _distances(found: "Quality") -> Table:
    """Columns whose synthetic values are spread least like those of the training rows, the worst first."""
    worst = sorted(found.columns, key=lambda column: -max(column.distance, column.missing))
    rows = [(column.name, KINDS[column.kind], column.distance, column.missing) for column in worst[:MOST_COLUMNS]]
    title = "Synthetic and training rows by column, 0 (alike) to 1"
    if len(worst) > MOST_COLUMNS:
        title += f"; the worst {MOST_COLUMNS} of {len(worst):,}"
    return Table(["column", "measure", "distance", "difference in missing"], rows, title, "llrr")
