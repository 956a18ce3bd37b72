"""A report of runs and studies as one file: HTML that needs nothing else, Markdown with its pictures beside it, PDF."""

import base64
import datetime
import itertools
import re
import urllib.parse
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nnlab.core.errors import RunError, SpecError
from nnlab.core.store.files import write_file
from nnlab.core.wording import counted
from nnlab.report.bundle import Bundle, page, run_bundles, runs_bundles, study_bundles
from nnlab.report.html import classed, esc, png_image, shown
from nnlab.report.markdown import md

if TYPE_CHECKING:
    from nnlab.core.run import Run
    from nnlab.core.tune.study import Study

POLICY = "default-src 'none'; img-src data:; style-src 'unsafe-inline'"
KINDS = (".html", ".md", ".pdf")
STYLE = "page.css"
MOST_PLACES = 100  # of files beside a Markdown report


@dataclass(frozen=True)
class Section:
    """One part of a report, under its title."""

    title: str
    bundles: Sequence[Bundle]


@dataclass(frozen=True)
class Document:
    """A report. about: one line under the title."""

    title: str
    about: str
    sections: Sequence[Section]

    def html(self) -> str:
        """One page: a strict policy, no script, nothing from the network."""
        parts = [f'<section id="part-{at}">\n{_section(part)}\n</section>' for at, part in enumerate(self.sections, 1)]
        return _PAGE.format(
            policy=POLICY, title=esc(self.title), style=style(), about=shown(self.about),
            contents=self._contents(), parts="\n".join(parts),
        )  # fmt: skip

    def _contents(self) -> str:
        if len(self.sections) < 2:
            return ""
        lines = [f'<li><a href="#part-{at}">{shown(part.title)}</a></li>' for at, part in enumerate(self.sections, 1)]
        return f'<nav aria-label="Contents"><ul>{"".join(lines)}</ul></nav>'

    def markdown(self, place: str) -> tuple[str, dict[str, bytes]]:
        """The text, and its pictures by the names under which it looks for them in the folder `place`."""
        lines, pictures = [f"# {md(self.title)}", md(self.about)], dict[str, bytes]()
        for at, part in enumerate(self.sections, 1):
            lines.append(f"## {md(part.title)}")
            for bundle in part.bundles:
                if png := bundle.data.get("image/png"):
                    name = f"{at}-{len(pictures) + 1}.png"
                    pictures[name] = base64.b64decode(png)
                    address = urllib.parse.quote(f"{place}/{name}")
                    lines.append(f"![{md(bundle.data['text/plain'][:100])}]({address})")
                else:
                    lines.append(bundle.data.get("text/markdown", bundle.data["text/plain"]))
        return "\n\n".join(lines) + "\n", pictures


def document_of(things: Sequence[Any], title: str | None = None) -> Document:
    """The report of runs and studies, in their order; several runs are compared first."""
    from nnlab.core.tune.study import Study

    runs = [thing for thing in things if not isinstance(thing, Study)]
    sections = [Section("Runs compared", runs_bundles(runs))] if len(runs) > 1 else []
    sections += [study_section(thing) if isinstance(thing, Study) else run_section(thing) for thing in things]
    now = datetime.datetime.now(datetime.UTC)
    names = [_name(thing) for thing in things]
    told = title or f"Report of {names[0] if len(names) == 1 else _count(len(runs), len(things) - len(runs))}"
    return Document(told, f"Made by nnlab on {now:%Y-%m-%d %H:%M} UTC", sections)


def run_section(run: "Run") -> Section:
    """All that is said of a run, its card and its provenance."""
    from nnlab.report.card import card_blocks, provenance, provenance_table

    more = page([*card_blocks(run), provenance_table(provenance(run))])
    return Section(f"Run {_name(run)}", [*run_bundles(run, led=True), more])


def study_section(study: "Study") -> Section:
    """All that is said of a study, the card of its winner and its provenance."""
    from nnlab.report.card import provenance_table, study_provenance, winner_blocks

    more = page([*winner_blocks(study), provenance_table(study_provenance(study))])
    return Section(f"Study {_name(study)}", [*study_bundles(study), more])


def _count(runs: int, studies: int) -> str:
    """What there is of both: 2 runs and 1 study."""
    both = (counted(runs, "run") if runs else "", counted(studies, "study", "studies") if studies else "")
    return " and ".join(filter(None, both))


def _name(thing: Any) -> str:
    return str(thing.name or getattr(thing, "id", "") or "this session")


def write_document(document: Document, path: Path) -> Path:
    """Write the report; the ending says as what. A Markdown report has its pictures in a folder beside it.

    SpecError for another ending; RunError where a PDF is wanted and no browser is found.
    """
    kind = kind_of(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    if kind == ".pdf":
        from nnlab.report.printing import print_page

        print_page(document.html(), path)
    elif kind == ".md":
        place = free_folder(path)
        text, pictures = document.markdown(place.name)
        write_pictures(place, pictures)
        write_file(path, text.encode("utf-8", "backslashreplace"))
    else:
        write_file(path, document.html().encode("utf-8", "backslashreplace"))
    return path


def write_pictures(place: Path, pictures: Mapping[str, bytes]) -> None:
    """Put the pictures into their folder, where there are any."""
    if pictures:
        place.mkdir(exist_ok=True)
    for name, data in pictures.items():
        write_file(place / name, data)


def kind_of(path: Path) -> str:
    """.html, .md or .pdf; SpecError for another ending."""
    kind = {".htm": ".html", ".markdown": ".md"}.get(path.suffix.lower(), path.suffix.lower())
    if kind not in KINDS:
        raise SpecError(f"{path}: a report is written as .html, .md or .pdf; end its name so")
    return kind


def free_folder(path: Path) -> Path:
    """The folder for the pictures of a Markdown report: its own of before, or one whose name is free."""
    names = itertools.chain([""], (f"-{at}" for at in range(2, MOST_PLACES)))
    for place in (path.with_name(f"{path.stem}_files{more}") for more in names):
        if not place.exists() or (
            place.is_dir() and not [p for p in place.iterdir() if not _PICTURE.fullmatch(p.name)]
        ):
            return place
    raise RunError(f"{path.parent} has {MOST_PLACES} folders named {path.stem}_files; give another --out")


_PICTURE = re.compile(r".+\.(png|jpe?g|svg)")


def style() -> str:
    """The style of all pages of nnlab; it ships with the template of nbconvert."""
    package = Path(__file__).parent
    places = (package, package.parents[1] / "jupyter-config" / "nbconvert" / "templates" / "nnlab")
    for place in places:
        if (place / STYLE).is_file():
            return (place / STYLE).read_text("utf-8")
    raise RunError(f"{STYLE} is not installed; reinstall nnlab")


def _section(section: Section) -> str:
    return "\n".join([f"<h2>{shown(section.title)}</h2>", *_outputs(section.bundles)])


def _outputs(bundles: Sequence[Bundle]) -> Iterator[str]:
    for bundle in bundles:
        if png := bundle.data.get("image/png"):
            size = bundle.metadata.get("image/png", {})
            picture = png_image(base64.b64decode(png), bundle.data["text/plain"], size["width"], size["height"])
            yield picture.replace("<p>", '<p class="picture">', 1)
        else:
            yield f'<div class="jp-RenderedHTML">{classed(bundle.data["text/html"])}</div>'


_PAGE = """<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="{policy}">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<meta name="generator" content="nnlab">
<title>{title}</title>
<style>
{style}
</style>
</head>
<body>
<main>
<h1>{title}</h1>
<p class="about">{about}</p>
{contents}
{parts}
</main>
</body>
</html>
"""
