"""How the live views look: a style sheet on JupyterLab's own colours, and pieces of HTML made of escaped text."""

from collections.abc import Iterable, Sequence
from typing import Any

import ipywidgets

from nnlab.report.html import esc

# The hues of the final picture, each a little lighter or darker: they must be seen on white and on #111.
TRAIN, VALID, BEST, FAINT, CHANGE = "#8b949e", "#3b82f6", "#e8590c", "#b9a7e0", "#7c4dbd"

DOCTOR = "doctor:"  # what lines of the doctor begin with

# What ipywidgets leaves out, added in the page. For screen readers: the names of sliders and their values, which else
# are powers of ten or places in a list; the names of fields that have a tooltip alone; which buttons are pressed in.
# And the arrow keys move a slider: in Notebook 7 they are short cuts.
_HEARD = """const root = this.closest('.nnl');
const each = (what, act) => root.querySelectorAll(what).forEach(act);
const tell = () => {
  each('.widget-inline-hbox:has(.noUi-handle)', box => {
    const [name, readout, handle] = ['.widget-label', '.widget-readout', '.noUi-handle'].map(c => box.querySelector(c));
    for (const part of [readout, handle]) {
      part.setAttribute('aria-label', name.textContent);
      part.setAttribute('data-lm-suppress-shortcuts', 'true');
    }
    if (readout.isContentEditable) readout.setAttribute('role', 'textbox');
    handle.setAttribute('aria-valuetext', readout.textContent);
  });
  each('.widget-label[style*=none] ~ [title]', field => field.setAttribute('aria-label', field.title));
  each('.widget-toggle-button', one => one.setAttribute('aria-pressed', one.classList.contains('mod-active')));
};
if (root && !root.dataset.nnlHeard) {
  root.dataset.nnlHeard = 'yes';
  tell();
  new MutationObserver(tell).observe(root, {childList: true, subtree: true, attributeFilter: ['class']});
}"""
# Colours, faces and rules come from the theme (--jp-*); where there is none, the values of the light theme hold.
_SHEET = """
.nnl{--nnl-ink:var(--jp-ui-font-color1,#24292f);--nnl-dim:var(--jp-ui-font-color2,#6e7781);
 --nnl-rule:color-mix(in srgb,var(--nnl-ink) 14%,transparent);--nnl-face:var(--jp-ui-font-family,system-ui,sans-serif);
 color:var(--nnl-ink);font-family:var(--nnl-face);max-width:1180px;padding:2px 0 4px}
.nnl .widget-html,.nnl .widget-html-content,.nnl .jupyter-widgets{min-width:0}
.nnl .widget-html-content{line-height:1.35}
.nnl-facts{display:flex;flex-wrap:wrap;gap:6px 26px;align-items:flex-end;font-variant-numeric:tabular-nums}
.nnl-fact b{display:block;font-size:16px;font-weight:600;white-space:nowrap}
.nnl-fact:nth-child(2) b{font-size:21px;line-height:1.1}
.nnl-fact b small{font-size:12px;font-weight:400;color:var(--nnl-dim)}
.nnl-fact span{display:block;font-size:11px;color:var(--nnl-dim);white-space:nowrap}
.nnl-state{margin-left:auto;font-size:11px;padding:2px 10px;border-radius:10px;border:1px solid var(--nnl-rule);
 color:var(--nnl-dim)}
.nnl-state.held{color:var(--nnl-ink);border-color:currentColor}
.nnl-bar{height:4px;margin-top:8px;border-radius:2px;background:var(--nnl-rule);overflow:hidden}
.nnl-bar i{display:block;height:100%;border-radius:2px;background:#3b82f6}
.nnl-title{font-size:12px;font-weight:600;padding-left:8px}
.nnl-title span{font-weight:400;color:var(--nnl-dim);margin:0 0 0 12px;white-space:nowrap;display:inline-block}
.nnl-title i{display:inline-block;width:12px;height:3px;border-radius:2px;margin-right:5px;vertical-align:3px}
.nnl-title i.dot{width:7px;height:7px;border-radius:50%;vertical-align:1px}
.nnl-scroll{overflow-x:auto}
.nnl .widget-html-content table.nnl-table{border-collapse:collapse;border:0;margin:0;font-size:12px;
 font-family:var(--nnl-face);font-variant-numeric:tabular-nums;color:var(--nnl-ink);table-layout:auto}
.nnl-table th,.nnl-table td{text-align:right;padding:3px 14px 3px 0;border:0;border-bottom:1px solid var(--nnl-rule);
 background:transparent;white-space:nowrap}
.nnl-table th{font-weight:400;color:var(--nnl-dim)}
.nnl-table tr:last-child td,.nnl-table tr:last-child th{border-bottom:0}
.nnl-table th:first-child,.nnl-table td:first-child{text-align:left}
.nnl-notes{font-size:12px;color:var(--nnl-dim)}
.nnl-notes div{overflow-wrap:anywhere}
.nnl-scroll+.nnl-notes{margin-top:6px}
.nnl-notes .nnl-doctor{color:var(--nnl-ink)}
.nnl .bqplot,.nnl .bqplot svg,.nnl .bqplot>div{background:transparent!important}
.nnl .bqplot .plotarea_background{fill:transparent!important}
.nnl .bqplot .axis text{fill:var(--nnl-dim)!important;font:11px var(--nnl-face)!important;
 font-variant-numeric:tabular-nums!important}
.nnl .bqplot .axis path.domain{stroke:transparent!important}
.nnl .bqplot .axis .tick line,.nnl .bqplot .grid line{stroke:var(--nnl-rule)!important;stroke-dasharray:none!important}
.nnl .widget-button{height:28px;line-height:24px;font-family:var(--nnl-face);color:var(--nnl-ink);border-radius:4px;
 background:transparent;border:1px solid var(--nnl-rule);box-shadow:none}
.nnl .widget-button:hover:enabled{border-color:currentColor}
.nnl .widget-button.nnl-stop{color:color-mix(in srgb,#e5484d 85%,var(--nnl-ink))}
.nnl .nnl-tools{gap:0 2px}
.nnl .nnl-tools .widget-toggle-button{height:22px;line-height:18px;font-size:11px;padding:0 8px;color:var(--nnl-dim);
 background:transparent;border:1px solid var(--nnl-rule);border-radius:11px;box-shadow:none}
.nnl .nnl-tools .widget-toggle-button.mod-active{color:var(--nnl-ink);border-color:currentColor}
.nnl .nnl-tools .widget-toggle-button:focus-visible{outline:2px solid #3b82f6}
.nnl .nnl-tools .widget-dropdown select{height:22px;line-height:18px;font-size:11px;padding:0 20px 0 8px}
.nnl .nnl-views{margin-left:auto}
.nnl .nnl-views .widget-toggle-button{height:26px;line-height:24px;padding:0 10px;border:0;border-radius:13px;
 font:12px var(--nnl-face);color:var(--nnl-dim);background:transparent;box-shadow:none;width:auto}
.nnl .nnl-views .widget-toggle-button.mod-active{color:var(--nnl-ink);background:var(--nnl-rule)}
.nnl .widget-text input,.nnl .widget-dropdown select{height:28px;font:12px var(--nnl-face);color:var(--nnl-ink);
 background-color:transparent;border:1px solid var(--nnl-rule);border-radius:4px}
.nnl .widget-dropdown select option{color:#24292f;background:#fff}
.nnl .widget-text input::placeholder{color:var(--nnl-dim);opacity:.8}
.nnl .widget-button.nnl-right{font-weight:600}
.nnl .widget-button.nnl-wrong:enabled{color:color-mix(in srgb,#e5484d 85%,var(--nnl-ink))}
.nnl .widget-button:disabled{opacity:.45}
.nnl .widget-button:focus-visible,.nnl input:focus-visible,.nnl select:focus-visible,.nnl textarea:focus-visible,
.nnl .noUi-handle:focus-visible,.nnl .widget-readout:focus-visible,.nnl .lm-TabBar-tab:focus-visible,
.nnl .bqplot:focus-visible{
 outline:2px solid #3b82f6!important;outline-offset:-1px}
.nnl .bqplot .axis text.axislabel{font:11px var(--nnl-face)!important;fill:var(--nnl-dim)!important}
.nnl .widget-button.nnl-more{border-color:transparent;color:var(--nnl-dim);font-size:12px}
.nnl .widget-button.nnl-more:hover:enabled,.nnl .widget-button.nnl-more:focus{border-color:currentColor}
.nnl .widget-html-content pre.nnl-told{font-family:var(--jp-code-font-family,monospace);font-size:12px;line-height:1.4;
 margin:0;padding:2px 0;background:transparent;color:var(--nnl-dim);white-space:pre-wrap;
 overflow-wrap:anywhere;word-break:normal}
.nnl .widget-html-content pre.nnl-told.alert{color:color-mix(in srgb,#e5484d 85%,var(--nnl-ink))}
.nnl-panel .widget-tab .nnl-title{margin-top:6px}
.nnl .nnl-line textarea{font-family:var(--jp-code-font-family,monospace)}
.nnl .widget-readout{min-width:60px;width:60px;margin-right:0}
.nnl pre.nnl-mono,.nnl .nnl-mono select{font-family:var(--jp-code-font-family,monospace);font-size:12px;margin:0}
.nnl pre.nnl-mono{color:var(--nnl-dim);padding:0 4px;overflow:hidden;white-space:pre!important}
.nnl .widget-label,.nnl .widget-readout{font-family:var(--nnl-face);font-variant-numeric:tabular-nums}
.nnl-tip{color:#f6f8fa;background:#24292f;border-radius:4px;padding:3px 8px;font:11px system-ui,sans-serif}
.nnl-tip td{border:0!important;padding:0!important;background:transparent!important}
</style>"""
CSS = f'<style onload="{esc(_HEARD)}">{_SHEET}'


class Texts:
    """Makes the HTML widgets of a panel; they share one layout and one style, as each model costs a message."""

    def __init__(self) -> None:
        self._common: dict[str, Any] = {}

    def __call__(self, html: str = "") -> Any:
        made = ipywidgets.HTML(html, **self._common)
        self._common = {"layout": made.layout, "style": made.style}
        return made


def facts(items: Iterable[tuple[str, str, str]], state: str, held: bool = False) -> str:
    """A row of (value, small addition, label), and the state at its right end."""
    cells = "".join(
        f'<div class="nnl-fact"><b>{esc(value)}<small>{esc(more)}</small></b><span>{esc(label)}</span></div>'
        for value, more, label in items
    )
    kind = "nnl-state held" if held else "nnl-state"
    return f'<div class="nnl-facts">{cells}<div class="{kind}" role="status">{esc(state)}</div></div>'


def bar(share: float) -> str:
    """A thin progress bar; share: 0 to 1."""
    percent = 100 * min(max(share, 0.0), 1.0)
    return (
        f'<div class="nnl-bar" role="progressbar" aria-label="epochs" aria-valuemin="0" aria-valuemax="100" '
        f'aria-valuenow="{percent:.0f}"><i style="width:{percent:.1f}%"></i></div>'
    )


def title(text: str, legend: Iterable[tuple[str, str, bool]] = ()) -> str:
    """The heading of a chart with its legend; legend: (name, colour, whether it is a dot)."""
    names = "".join(
        f'<span><i{" class=dot" if dot else ""} style="background:{esc(colour)}"></i>{esc(name)}</span>'
        for name, colour, dot in legend
    )
    return f'<div class="nnl-title">{esc(text)}{names}</div>'


def table(columns: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Rows of text under column names; the first column is the row's name."""
    head = "".join(f"<th>{esc(name)}</th>" for name in columns)
    body = "".join("<tr>" + "".join(f"<td>{esc(cell)}</td>" for cell in row) + "</tr>" for row in rows)
    return f'<div class="nnl-scroll"><table class="nnl-table"><tr>{head}</tr>{body}</table></div>'


def notes(lines: Iterable[str]) -> str:
    """One line each; what the doctor says stands out."""
    return '<div class="nnl-notes">' + "".join(map(_note, lines)) + "</div>"


def _note(line: str) -> str:
    if not line.startswith(DOCTOR):
        return f"<div>{esc(line)}</div>"
    return f'<div class="nnl-doctor"><b>{DOCTOR}</b>{esc(line.removeprefix(DOCTOR))}</div>'


COPIED, SELECTED = "copied", "selected: press Ctrl+C to copy it, or ⌘C on a Mac"


def copier(field: str, hint: str) -> str:
    """A button that copies what stands in a field of its panel; field: its CSS class. What came of it is `told`.

    It is done by the page itself, at once: only a press may write to the clipboard, and the kernel may be busy. The old
    command, unlike navigator.clipboard, also works where the page comes over plain http.
    """
    act = (
        f"const p=this.closest('.nnl-panel'),f=p.querySelector('.{field} textarea'),t=p.querySelector('.nnl-told'),"
        "w=t.was??=t.textContent;f.select();const d=document.execCommand('copy');if(d)this.focus();"
        f"t.textContent=d?'{COPIED}':'{SELECTED}';clearTimeout(t.later);"
        "t.later=setTimeout(()=>{t.textContent=w;t.was=null},5000)"
    )
    looks = f'class="jupyter-button widget-button" style="width:96px" title="{esc(hint)}"'
    return f'<button {looks} onclick="{act}"><i class="fa fa-copy" aria-hidden="true"></i> Copy</button>'


def told(text: str, wrong: bool = False) -> str:
    """What a press led to, read aloud by screen readers; wrong: an error, whose lines stand as they are."""
    kind = "alert" if wrong else "status"
    return f'<pre class="nnl-told {kind}" role="{kind}">{esc(text)}</pre>'


def number(value: float | None) -> str:
    """A fixed number of decimals, so that columns stand still: 0.2840, 12.30, 1.20e-07; an en dash for None."""
    if value is None:
        return "–"
    if value != value or value in (float("inf"), float("-inf")):
        return str(value)
    if value == 0 or 1e-4 <= abs(value) < 1e6:
        digits = 4 if abs(value) < 10 else 2 if abs(value) < 1000 else 0
        return f"{value:,.{digits}f}"
    return f"{value:.2e}"


def clock(seconds: float) -> str:
    """0:07, 12:30, 1:02:03."""
    whole = max(0, round(seconds))
    minutes, rest = divmod(whole, 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes}:{rest:02d}"
