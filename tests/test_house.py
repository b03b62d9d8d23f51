"""The rules of the house, as failing checks: short files and functions, no clock, no pickle, arrows one way."""

from __future__ import annotations

import ast
import functools
import importlib.util
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PACKAGE = ROOT / "notif_rec"
FILES = sorted(PACKAGE.rglob("*.py"))
NAMES = [str(path.relative_to(ROOT)) for path in FILES]
MAX_LINES, MAX_FUNCTION = 300, 40
BOUNDARY = "notif_rec/cli/main.py"  # the one place that catches everything
CLOCK = "notif_rec/cli/options.py"  # the one place that reads the clock
FORBIDDEN_FILES = {"utils.py", "helpers.py", "common.py", "manager.py", "base.py"}
FORBIDDEN_IMPORTS = {"pickle", "dill", "cloudpickle", "shelve", "pandas", "polars"}
FORBIDDEN_CALLS = {"joblib.load", "joblib.dump", "eval", "exec", "np.random.seed", "numpy.random.seed", "print"}
CLOCKS = {"datetime.now", "datetime.utcnow", "datetime.today", "date.today", "time.time", "time.time_ns"}
HEAVY = {"duckdb", "pyarrow", "numpy", "scipy", "implicit", "numba", "pydantic", "yaml", "rich", "joblib", "pyspark"}
UNFINISHED = re.compile(r"TODO|FIXME|XXX|NotImplementedError|HACK\b")
MACHINE_PATH = re.compile(r"(?<![\w.])/(?:work|home|root|Users|tmp)/\w")


@functools.cache
def tree(name: str) -> ast.Module:
    return ast.parse((ROOT / name).read_text(encoding="utf-8"))


def functions(name: str) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
    return (node for node in ast.walk(tree(name)) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef))


def imported(nodes: Iterator[ast.AST]) -> set[str]:
    found = set()
    for node in nodes:
        if isinstance(node, ast.Import):
            found |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found.add(node.module.split(".")[0])
    return found


def calls(name: str) -> set[str]:
    return {ast.unparse(node.func) for node in ast.walk(tree(name)) if isinstance(node, ast.Call)}


def body_of(function: ast.FunctionDef | ast.AsyncFunctionDef) -> list[ast.stmt]:
    """The statements of a function after its docstring: the limit is on what it does, not on what it says."""
    return function.body[1:] if ast.get_docstring(function) and len(function.body) > 1 else function.body


@pytest.mark.parametrize("name", NAMES)
def test_files_and_functions_are_short(name: str) -> None:
    lines = len((ROOT / name).read_text(encoding="utf-8").splitlines())
    assert lines <= MAX_LINES, f"{name} has {lines} lines"
    for function in functions(name):
        length = (function.end_lineno or 0) - body_of(function)[0].lineno + 1
        assert length <= MAX_FUNCTION, f"{name}:{function.lineno}: {function.name} has {length} lines"


@pytest.mark.parametrize("name", NAMES)
def test_nothing_forbidden_is_imported_or_called(name: str) -> None:
    assert Path(name).name not in FORBIDDEN_FILES
    assert not imported(ast.walk(tree(name))) & FORBIDDEN_IMPORTS
    assert not calls(name) & FORBIDDEN_CALLS
    if name != CLOCK:
        assert not calls(name) & CLOCKS, f"{name} reads the clock"
    text = (ROOT / name).read_text(encoding="utf-8")
    assert "allow_pickle=True" not in text
    assert not UNFINISHED.search(text), f"{name} is unfinished: {UNFINISHED.search(text)}"
    if not name.startswith("notif_rec/cli/"):
        assert "os.environ" not in text or "environ.setdefault" in text, f"{name} reads the environment"


@pytest.mark.parametrize("name", NAMES)
def test_no_broad_except_but_at_the_boundary(name: str) -> None:
    for node in ast.walk(tree(name)):
        if isinstance(node, ast.ExceptHandler):
            caught = ast.unparse(node.type) if node.type else ""
            reraises = any(isinstance(inner, ast.Raise) and inner.exc is None for inner in ast.walk(node))
            allowed = name == BOUNDARY or caught not in ("", "Exception", "BaseException") or reraises
            assert allowed, f"{name}:{node.lineno}: except {caught}"


@pytest.mark.parametrize("name", [n for n in NAMES if n.startswith("notif_rec/cli/")])
def test_commands_import_nothing_heavy_at_the_top(name: str) -> None:
    guarded = {id(inner) for node in tree(name).body if isinstance(node, ast.If) for inner in ast.walk(node)}
    top = [node for node in tree(name).body if id(node) not in guarded]
    assert not imported(iter(top)) & HEAVY
    rooms = {node.module for node in top if isinstance(node, ast.ImportFrom) and node.module and node.module.startswith("notif_rec.")}
    assert all(room.startswith("notif_rec.cli") or room == "notif_rec.errors" for room in rooms), rooms


@pytest.mark.parametrize("name", NAMES)
def test_every_module_and_public_function_says_what_it_is_for(name: str) -> None:
    if (ROOT / name).stat().st_size == 0:
        return
    assert ast.get_docstring(tree(name)), f"{name} has no docstring"
    for node in tree(name).body:
        public = isinstance(node, ast.FunctionDef | ast.ClassDef) and not node.name.startswith("_")
        if public and (node.end_lineno or 0) - node.lineno > 6:
            assert ast.get_docstring(node), f"{name}:{node.lineno}: {node.name} has no docstring"


def written_files() -> list[Path]:
    """What people write and git holds, or would hold."""
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    names = listed.stdout.split("\0") if listed.returncode == 0 else [str(p.relative_to(ROOT)) for p in ROOT.glob("*.*")]
    skipped = {"requirements.lock", "requirements-spark.lock", "LICENSE", "tests/test_house.py"}
    kinds = {".py", ".md", ".toml", ".yml", ".sh", ".txt", ""}
    return [ROOT / n for n in names if n and n not in skipped and Path(n).suffix in kinds and (ROOT / n).is_file()]


def test_no_machine_path_is_written_down() -> None:
    for path in written_files():
        text = path.read_text(encoding="utf-8", errors="replace")
        found = MACHINE_PATH.search(text)
        assert not found or path.name == "find_python", f"{path.relative_to(ROOT)}: {found}"


def test_the_rooms_import_one_way() -> None:
    if importlib.util.find_spec("importlinter") is None:
        pytest.skip("import-linter is not installed")
    code = "from importlinter.cli import lint_imports; import sys; sys.exit(lint_imports())"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 0, done.stdout + done.stderr
