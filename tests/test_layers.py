"""The house rules that a reader of the code cannot see at a glance: import direction, sizes, forbidden doors."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

import nnlab

PACKAGE = Path(nnlab.__file__).parent
FILES = sorted(path for path in PACKAGE.rglob("*.py") if "examples" not in path.parts)
ORDER = ["core", "report", "magics", "widgets"]  # each may import itself and what stands left of it
HEAVY_FACES = ("IPython", "ipywidgets", "bqplot", "matplotlib")
FORBIDDEN_MODULES = ("pickle", "joblib", "dill", "marshal", "cloudpickle", "shelve", "yaml")
BETWEEN_OUR_OWN_PROCESSES = {"core/background/wire.py": "cloudpickle"}  # through pipes, never a file
USER_CODE_RUNS_HERE = ("magics/body.py",)  # the one file that may execute what the user typed into a cell


def _name(path: Path) -> str:
    return path.relative_to(PACKAGE).as_posix()


def _imports(tree: ast.AST) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "imports are absolute"
            yield node.module or ""


@pytest.mark.parametrize("path", FILES, ids=_name)
def test_imports_run_one_way(path: Path) -> None:
    layer = path.relative_to(PACKAGE).parts[0]
    for module in _imports(ast.parse(path.read_text())):
        top, _, rest = module.partition(".")
        if layer in ORDER and top == "nnlab":
            other = rest.partition(".")[0]
            assert other in ORDER[: ORDER.index(layer) + 1], f"{layer} must not import {module}"
        if layer == "core":
            assert top not in HEAVY_FACES, f"core must not import {module}"
        allowed = BETWEEN_OUR_OWN_PROCESSES.get(_name(path)) == top
        assert allowed or top not in FORBIDDEN_MODULES, f"nothing executes from a file: {module}"


@pytest.mark.parametrize("path", FILES, ids=_name)
def test_nothing_is_executed_from_a_file(path: Path) -> None:
    if _name(path) in USER_CODE_RUNS_HERE:
        return
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Call):
            called = ast.unparse(node.func)
            assert called not in ("eval", "exec", "torch.load", "compile", "__import__"), (
                f"line {node.lineno}: {called}"
            )
            assert not any(keyword.arg == "allow_pickle" for keyword in node.keywords), f"line {node.lineno}"


@pytest.mark.parametrize("path", FILES, ids=_name)
def test_files_and_functions_stay_small(path: Path) -> None:
    text = path.read_text()
    assert text.count("\n") <= 400
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            body = node.body[1:] if ast.get_docstring(node) else node.body
            size = (body[-1].end_lineno or 0) - body[0].lineno + 1 if body else 0
            assert size <= 40, f"{node.name} has {size} lines"


def test_pyplot_is_never_imported() -> None:
    for path in FILES:
        assert not any("pyplot" in module for module in _imports(ast.parse(path.read_text()))), path


def test_modules_do_not_import_each_other_in_a_circle() -> None:
    graph = {}
    for path in FILES:
        tree = ast.parse(path.read_text())
        top_level = ast.Module([node for node in tree.body if isinstance(node, (ast.Import, ast.ImportFrom))], [])
        name = "nnlab." + _name(path).removesuffix(".py").removesuffix("/__init__").replace("/", ".")
        graph[name] = {module for module in _imports(top_level) if module.startswith("nnlab")}
    done: set[str] = set()

    def visit(module: str, path: tuple[str, ...]) -> None:
        assert module not in path, " -> ".join((*path, module))
        if module not in done:
            for other in graph.get(module, ()):
                visit(other, (*path, module))
            done.add(module)

    for module in graph:
        visit(module, ())


def test_html_widgets_are_made_in_one_place_and_no_other_html_is_trusted() -> None:
    """Text reaches HTML through one helper only; what is built past it would not be escaped."""
    for path in FILES:
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call):
                called = ast.unparse(node.func).rpartition(".")[2]
                assert called not in ("HTMLMath", "Styler", "to_html", "Javascript"), f"{_name(path)}:{node.lineno}"
                assert called != "HTML" or _name(path) == "widgets/look.py", f"{_name(path)}:{node.lineno}"
