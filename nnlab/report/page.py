"""An executed notebook as one file. In HTML: no script, nothing from the network, hostile outputs made harmless."""

import re
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nnlab.core.errors import RunError
from nnlab.core.store.files import write_file
from nnlab.report.document import free_folder, kind_of, write_pictures
from nnlab.report.html import classed
from nnlab.report.printing import print_page

if TYPE_CHECKING:
    from nbformat import NotebookNode

TEMPLATE = "nnlab"
# What text reports, Markdown and pandas need. No style, no form, no frame, no svg.
INLINE = {"a", "abbr", "b", "br", "code", "del", "em", "i", "img", "kbd", "nobr", "q", "s", "samp"}
INLINE |= {"small", "span", "strong", "wbr"}
BLOCKS = {"blockquote", "dd", "div", "dl", "dt", "h1", "h2", "h3", "h4", "h5", "h6", "hr", "li", "ol", "p", "pre", "ul"}
TABLES = {"caption", "col", "colgroup", "sub", "sup", "table", "tbody", "td", "tfoot", "th", "thead", "tr", "u"}
ATTRIBUTES = {"a": ("href", "title"), "td": ("colspan", "rowspan"), "th": ("colspan", "rowspan")}
EVERYWHERE = ("class", "id")
SIDES = ("left", "right", "center", "justify")
PICTURES = ("data:image/png;", "data:image/jpeg;", "data:image/gif;", "data:image/webp;")
PICTURE_FACTS = ("alt", "width", "height", "title")
_HEADING = re.compile(r'(<h[1-6] id=")([^"]*)"')
_NOT_TEXT = re.compile(r"<(script|style)\b.*?</\1\s*>", re.IGNORECASE | re.DOTALL)  # else their source would be shown
PRIORITY = ("text/html", "text/markdown", "image/svg+xml", "image/png", "image/jpeg", "text/latex", "text/plain")


def write_page(notebook: str | Path, target: str | Path | None = None) -> Path:
    """Write the notebook's report beside it, or to target as its ending says; gives the path.

    RunError names what is missing; SpecError for an ending that is not .html, .md or .pdf.
    """
    source = Path(notebook)
    path = Path(target) if target else source.with_suffix(".html")
    kind, cells = kind_of(path), _read(source)
    path.parent.mkdir(parents=True, exist_ok=True)
    if kind == ".md":
        _write_markdown(cells, path)
    elif kind == ".pdf":
        print_page(page_of(cells, source.stem), path)
    else:
        write_file(path, page_of(cells, source.stem).encode("utf-8"))
    return path


def _write_markdown(notebook: "NotebookNode", path: Path) -> None:
    """The notebook as Markdown; its pictures lie in a folder beside it."""
    from nbconvert import MarkdownExporter

    place = free_folder(path)
    exporter: Any = MarkdownExporter(  # type: ignore[no-untyped-call]
        config={"NbConvertBase": {"display_data_priority": ["text/markdown", *PRIORITY]}}
    )
    resources = {"output_files_dir": place.name, "unique_key": path.stem}
    text, found = exporter.from_notebook_node(notebook, resources)
    write_pictures(place, {Path(name).name: data for name, data in found.get("outputs", {}).items()})
    write_file(path, text.encode("utf-8", "backslashreplace"))


def page_of(notebook: "NotebookNode", title: str) -> str:
    """The notebook as HTML text; title: of the page, where the notebook's metadata has none."""
    from nbconvert import HTMLExporter

    exporter: Any = HTMLExporter(  # type: ignore[no-untyped-call]
        template_name=TEMPLATE,
        extra_template_basedirs=[str(folder) for folder in _development_templates()],
        sanitize_html=True,
        config={"NbConvertBase": {"display_data_priority": list(PRIORITY)}},
    )
    exporter.register_filter("clean_html", _clean)
    html, _ = exporter.from_notebook_node(notebook, {"metadata": {"name": title}})
    return _with_own_ids(str(html))


def _with_own_ids(html: str) -> str:
    """Headings of the same words get ids of their own; links lead to the first."""
    seen: Counter[str] = Counter()

    def own(found: re.Match[str]) -> str:
        seen[found[2]] += 1
        return f'{found[1]}{found[2]}{f"-{seen[found[2]]}" if seen[found[2]] > 1 else ""}"'

    return _HEADING.sub(own, html)


def _read(path: Path) -> "NotebookNode":
    import nbformat

    try:
        return nbformat.read(path, as_version=4)  # type: ignore[no-untyped-call]
    except OSError as error:
        raise RunError(f"{path} cannot be read: {error.strerror or error}") from error
    except (ValueError, TypeError, KeyError, AttributeError, nbformat.ValidationError) as error:
        raise RunError(f"{path} is not a notebook: {str(error).partition(chr(10))[0]}") from error


def _development_templates() -> list[Path]:
    """The template where the package runs from its repository; the wheel puts it where Jupyter looks by itself."""
    folder = Path(__file__).parents[2] / "jupyter-config" / "nbconvert" / "templates"
    return [folder] if folder.is_dir() else []


def _clean(element: Any) -> str:
    """Stands in for nbconvert's own filter, which would also take tables and paragraphs apart."""
    import bleach

    text = _NOT_TEXT.sub("", element.decode() if isinstance(element, bytes) else str(element))
    protocols = {"http", "https", "mailto", "data"}
    tags = INLINE | BLOCKS | TABLES
    return classed(bleach.clean(text, tags=tags, attributes=_allowed, protocols=protocols, strip=True))


def _allowed(tag: str, name: str, value: str) -> bool:
    if tag == "img":
        return name in PICTURE_FACTS or (name == "src" and value.strip().lower().startswith(PICTURES))
    if tag == "a" and name == "href":
        return not value.strip().lower().startswith("data:")
    if name == "align" or tag == "nobr":
        return name == "align" and tag != "nobr" and value in SIDES
    return name in EVERYWHERE or name in ATTRIBUTES.get(tag, ())
