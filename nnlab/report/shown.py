"""A report as a value: it shows itself richly in a notebook and prints as text elsewhere."""

import base64
import struct
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from nnlab.core.errors import DataError, did_you_mean
from nnlab.report.bundle import Bundle, page, prepared_bundles
from nnlab.report.drawing import SHARPNESS
from nnlab.report.html import png_image

if TYPE_CHECKING:
    from nnlab.core.data.prepare import Prepared
    from nnlab.core.data.synthesis import Quality


@dataclass(frozen=True, repr=False)
class Report:
    """html, markdown and text: of the same words. png: the picture, which html has at its head; None for none."""

    html: str
    markdown: str
    text: str
    png: bytes | None = None

    def __repr__(self) -> str:
        return self.text

    def _repr_mimebundle_(self, include: Any = None, exclude: Any = None) -> dict[str, str]:
        return {"text/html": self.html, "text/markdown": self.markdown, "text/plain": self.text}


def report(data: "Prepared | Quality", name: str | None = None) -> Report:
    """All that a cell shows of prepared data, what is known of one column, or how good synthetic rows are.

    DataError: no such column.
    """
    from nnlab.core.data.synthesis import Quality
    from nnlab.report.columns import column_blocks, column_picture
    from nnlab.report.synthetic import quality_blocks

    if isinstance(data, Quality):
        return _joined(None, "", page(quality_blocks(data)))
    if name is None:
        *pictures, text = prepared_bundles(data)
        png = base64.b64decode(pictures[0].data["image/png"]) if pictures else None
        return _joined(png, f"distribution of {data.target.name}", text)
    for column in data.columns:
        if column.name == name:
            return _joined(column_picture(column), f"values of {name}", page(column_blocks(data, column)))
    raise DataError(f"no column {name!r} in the report{did_you_mean(name, [column.name for column in data.columns])}")


def _joined(png: bytes | None, words: str, text: Bundle) -> Report:
    html = text.data["text/html"]
    if png is not None:
        width, height = struct.unpack(">II", png[16:24])
        html = f"{png_image(png, words, width // SHARPNESS, height // SHARPNESS)}\n{html}"
    return Report(html, text.data["text/markdown"], text.data["text/plain"], png)
