"""The body of %%nn_train that is Python: run in the user's namespace, its last expression is the network."""

import ast
import contextlib
import os
import sysconfig
from pathlib import Path
from types import TracebackType
from typing import Any

from nnlab.core.errors import SpecError
from nnlab.magics.scan import with_article
from nnlab.magics.subjects import described, is_network

WANTED = "end it with an nn.Module, a class of it, or a function(n_in, n_out) that makes one"

HERE = str(Path(__file__).parent.parent) + os.sep
LIBRARIES = (*{sysconfig.get_path(kind) + os.sep for kind in ("stdlib", "purelib", "platlib")}, "<frozen ")


class BodySyntaxError(SpecError):
    """A syntax error of the body, shown as one of a cell: IPython shows its own kind with all the calls above it."""

    def __init__(self, ip: Any, error: SyntaxError) -> None:
        super().__init__(str(error))
        self._ip, self._error = ip, error

    def _render_traceback_(self) -> list[str]:
        return list(self._ip.SyntaxTB.structured_traceback(type(self._error), self._error, []))


def run_body(ip: Any, source: str) -> Any:
    """Run the cell body and give the network or its maker; what the user's code raises comes out as it is."""
    text = "\n" + ip.transform_cell(source)  # the magic's line counts: a traceback then names the lines of the cell
    name = ip.compile.cache(text, ip.execution_count, raw_code=text)
    statements, last = _parts(ip, text, name)
    try:
        if statements is not None:
            ip.ex(statements)
        value = ip.ev(last) if not isinstance(last, str) else ip.user_ns[last]
    except BaseException as error:
        trace = error.__traceback__
        while trace is not None and trace.tb_frame.f_code.co_filename != name:
            trace = trace.tb_next
        _show_from(ip, error, trace)
        raise
    if is_network(value) or callable(value):
        return value
    raise SpecError(f"the body ends with {with_article(described(value))}; {WANTED}")


def _parts(ip: Any, text: str, name: str) -> tuple[Any, Any]:
    """Code of all but the last expression, and code of that; for a body that ends in a class or def, its name."""
    try:
        tree = ip.compile.ast_parse(text, filename=name)
    except SyntaxError as error:
        raise BodySyntaxError(ip, error) from error
    except ValueError as error:  # a NUL in the text
        raise SpecError(f"the body cannot be read: {error}; {WANTED}") from error
    end = tree.body[-1] if tree.body else None
    last: Any
    if isinstance(end, ast.Expr):
        tree.body.pop()
        last = compile(ast.Expression(end.value), name, "eval")
    elif isinstance(end, (ast.ClassDef, ast.FunctionDef)):
        last = end.name
    elif isinstance(end, ast.Assign) and isinstance(end.targets[0], ast.Name):
        last = end.targets[0].id
    else:
        raise SpecError(f"the body does not say which network to train; {WANTED}")
    return (compile(tree, name, "exec") if tree.body else None), last


def begin_at_user(ip: Any, error: BaseException) -> None:
    """Let the traceback of an error in the user's network begin at their code; errors elsewhere stay as they are."""
    trace, start = error.__traceback__, None
    called = False
    while trace is not None:
        path = trace.tb_frame.f_code.co_filename
        if path.startswith(HERE):
            called, start = True, None
        elif called and start is None and not path.startswith(LIBRARIES):
            start = trace
        trace = trace.tb_next
    _show_from(ip, error, start)


def _show_from(ip: Any, error: BaseException, trace: TracebackType | None) -> None:
    """Let the traceback begin at the user's line: IPython asks the exception itself for it."""
    if trace is None or isinstance(error, SyntaxError) or hasattr(error, "_render_traceback_"):
        return

    def render(start: TracebackType = trace) -> Any:
        return ip.InteractiveTB.structured_traceback(type(error), error, start, tb_offset=0)

    with contextlib.suppress(AttributeError):  # exceptions with __slots__ get the long traceback
        error._render_traceback_ = render  # type: ignore[attr-defined]
