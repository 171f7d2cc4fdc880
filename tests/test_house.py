"""The house rules: imports run one way, nothing heavy is imported early, every folder has its place."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
MAY_IMPORT = {
    "spaces": {"spaces"},
    "evaluators": {"evaluators", "spaces"},
    "results": {"results", "spaces"},
    "search": {"search", "evaluators", "results", "spaces"},
    "launch": {"search", "spaces"},
}
FILES = [path for house in MAY_IMPORT if house != "launch" for path in (ROOT / house).rglob("*.py")] + [
    ROOT / "launch.py"
]


def module_name(path):
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


MODULES = {module_name(path) for path in FILES}
PACKAGES = {module_name(path) for path in FILES if path.name == "__init__.py"}


def imported(path):
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (name.name for name in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            yield node.module


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_imports_run_one_way(path):
    house = path.relative_to(ROOT).parts[0].removesuffix(".py")
    ours = {name.split(".")[0] for name in imported(path)} & set(MAY_IMPORT)
    assert ours <= MAY_IMPORT[house]


def test_modules_have_no_circles():
    graph = {}
    for path in FILES:
        name = module_name(path)
        top = [node for node in ast.parse(path.read_text()).body if isinstance(node, ast.ImportFrom)]
        graph[name] = {node.module for node in top}
        submodules = {f"{node.module}.{alias.name}" for node in top for alias in node.names}
        if submodules & MODULES:  # ``from package import module``
            graph[name] = {node.module for node in top if node.module not in PACKAGES} | (submodules & MODULES)
    done, path_now = set(), []

    def visit(name):
        assert name not in path_now, f"circle: {' -> '.join([*path_now, name])}"
        if name in done or name not in graph:
            return
        path_now.append(name)
        for other in graph[name]:
            visit(other)
        path_now.pop()
        done.add(name)

    for name in graph:
        visit(name)


def test_help_imports_nothing_heavy():
    code = (
        "import sys, launch; launch.main(['--help']); launch.main(['search', '--help']);"
        "heavy = {'torch', 'optuna', 'pandas', 'plotly', 'sklearn', 'torchvision', 'numpy', 'ray'} & set(sys.modules);"
        "assert not heavy, heavy"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "--space NAME" in done.stdout
