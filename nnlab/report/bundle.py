"""What stays in a cell: static outputs that every notebook renderer shows, without a script, a style or a widget."""

import base64
import json
import struct
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from nnlab.core.wording import counted
from nnlab.report.blocks import Block, render
from nnlab.report.drawing import SHARPNESS
from nnlab.report.html import visible

if TYPE_CHECKING:
    from nnlab.core.data.prepare import Prepared
    from nnlab.core.run import Run
    from nnlab.core.store.reading import RunInfo
    from nnlab.core.tune.study import Study

LARGEST_CELL = 190_000  # bytes of a cell's outputs; some are left for what else it says
LARGEST = 150_000  # of what is shown of prepared data with many columns
# Columns that are named, and the bytes for it: fewer where their names are so long that the output grows too large.
MOST_COLUMNS = {200: LARGEST_CELL, 48: LARGEST, 24: LARGEST, 8: LARGEST}
MOST_TRIALS = (60, 30, 12)  # that are drawn as lines: fewer where a picture would grow too large
LONGEST_WORDS = 100  # that stand for a picture
DEPTH = 3  # blanks before a line of JSON: as many as in a notebook's file, where outputs lie deep inside
MOST_RUNS = 600  # rows of a list; more never fit


@dataclass(frozen=True)
class Bundle:
    """One output: data and metadata by MIME type, as IPython's display takes them."""

    data: dict[str, Any]
    metadata: dict[str, Any] = field(default_factory=dict)

    @property
    def size(self) -> int:
        """Bytes that it takes in a notebook's file, which has a string for each line of text."""
        lines = {kind: str(value).splitlines(keepends=True) for kind, value in self.data.items()}
        return len(json.dumps([lines, self.metadata], ensure_ascii=False, indent=DEPTH).encode())


def picture(png: bytes, text: str) -> Bundle:
    """A picture that is shown at the size it was drawn for; text stands in where there are no pictures."""
    text = visible(text)
    width, height = struct.unpack(">II", png[16:24])
    size = {"width": width // SHARPNESS, "height": height // SHARPNESS, "needs_background": "light", "alt": text}
    return Bundle({"image/png": base64.b64encode(png).decode("ascii"), "text/plain": text}, {"image/png": size})


def page(blocks: Iterable[Block]) -> Bundle:
    """Text and tables as bare HTML, Markdown and plain text."""
    return Bundle(dict(render(blocks)))


def run_bundles(
    run: "Run",
    line: str | None = None,
    data: "Prepared | None" = None,
    before: Iterable[Block] = (),
    led: bool = False,
) -> list[Bundle]:
    """The curves, then verdict, metrics, confusion matrix, options and the line that repeats the run.

    line: as typed; without it the run's own. data: what the run was trained on; then training rows are measured too.
    before: what is said first. led: the verdict goes above the curves, as on a page; in a cell they stand where the
    live ones stood, and have its number at their head.
    """
    from nnlab.core.metrics import main_metric
    from nnlab.report.card import KEY, carried
    from nnlab.report.charts import curves
    from nnlab.report.runs import run_blocks, verdict

    said = [*before, *run_blocks(run, line, data)]
    head = said[:1] if led else []
    blocks = replace(page(said[len(head) :]), metadata={KEY: carried(run)})
    pictures = []
    if len(run.history):
        shown = main_metric(run.metrics, run.spec.monitor)
        png = curves(run.history, shown, run.best_epoch, run.changes, run.resumptions)
        pictures = [picture(png, f"curves of the run: {verdict(run).text()}")]
    return [*([page(head)] if head else []), *pictures, blocks]


def prepared_bundles(data: "Prepared") -> list[Bundle]:
    """The target, then split sizes, warnings and the table of columns."""
    from nnlab.report.prepared import prepared_blocks, target_picture

    png = target_picture(data)
    pictures = [picture(png, f"distribution of {data.target.name}"[:LONGEST_WORDS])] if png else []
    for most, largest in MOST_COLUMNS.items():
        text = page(prepared_blocks(data, most))
        if sum(bundle.size for bundle in (*pictures, text)) <= (largest if len(data.columns) <= most else LARGEST):
            break
    return [*pictures, text]


def study_bundles(study: "Study", line: str | None = None, best_line: str | None = None) -> list[Bundle]:
    """The best score and its spec, the course of the study, then its trials. best_line: trains the best spec again."""
    from nnlab.report.card import KEY, carried_of
    from nnlab.report.studies import front_picture, study_blocks, study_head, study_picture
    from nnlab.report.study_pictures import overview

    png = study_picture(study)
    pictures = [picture(png, f"{study.metric} of each trial of the study, and the best so far")] if png else []
    if front := front_picture(study):
        pictures.append(picture(front, "objectives of the study against each other"))
    blocks = replace(page(study_blocks(study, line)), metadata={KEY: carried_of(study)})
    before, after = [page(study_head(study, line, best_line)), *pictures], [blocks]
    for lines in MOST_TRIALS:
        if (png := overview(study, lines)) is None:
            return before + after
        trials = [picture(png, "values, scores and courses of the trials")]
        if sum(bundle.size for bundle in before + trials + after) <= LARGEST_CELL:
            break
    return before + trials + after


def runs_bundles(runs: "Sequence[RunInfo | Run]", total: int = 0, by: str | None = None) -> list[Bundle]:
    """A list of runs, the first of total; of loaded runs their curves too. by: what they are sorted by."""
    from nnlab.report.runs import overlay

    loaded: list[Any] = [run for run in runs if len(getattr(run, "history", ()))]
    pictures = [picture(overlay(loaded), f"curves of {counted(len(loaded), 'run')}")] if loaded else []
    room = LARGEST_CELL - sum(bundle.size for bundle in pictures)
    return [*pictures, page(fitting_runs(runs, total, by, room))]


def fitting_runs(runs: "Sequence[RunInfo | Run]", total: int, by: str | None, room: int = LARGEST_CELL) -> list[Block]:
    """The same list in so many rows that it takes no more than room bytes, and how many runs there are more."""
    from nnlab.report.runs import runs_blocks

    most = min(len(runs), MOST_RUNS)
    while (size := page(blocks := list(runs_blocks(runs, total, by, most))).size) > room and most > 1:
        most = max(1, min(most - 1, most * room // size))
    return blocks
