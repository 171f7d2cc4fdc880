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
    "spikefront": {"spikefront", "launch", "search", "evaluators", "results", "spaces"},
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


def modules_of(path, known):
    """Modules of ours that a file imports, inside functions, too, but for what only a type checker reads."""
    tree = ast.parse(path.read_text())
    typing = [node for node in ast.walk(tree) if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test)]
    unread = {id(inner) for node in typing for inner in ast.walk(node)}
    for node in ast.walk(tree):
        if isinstance(node, ast.Import) and id(node) not in unread:
            yield from (name.name for name in node.names if name.name in known)
        elif isinstance(node, ast.ImportFrom) and id(node) not in unread:
            for name in node.names:  # ``from package import module`` needs the module, not all of the package
                whole = f"{node.module}.{name.name}"
                yield from {whole if whole in known else node.module} & known


def circle_of(files):
    """The names of modules that import each other in a circle, the first one again at the end; empty if none do.

    ``files`` has the path of each by its module's name.
    """
    graph = {name: set(modules_of(path, set(files))) for name, path in files.items()}
    done, path_now = set(), []

    def visit(name):
        if name in path_now:
            return [*path_now[path_now.index(name) :], name]
        if name in done:
            return []
        path_now.append(name)
        found = next((found for other in sorted(graph[name]) if (found := visit(other))), [])
        path_now.pop()
        done.add(name)
        return found

    return next((found for name in sorted(graph) if (found := visit(name))), [])


def test_modules_have_no_circles():
    assert circle_of({module_name(path): path for path in FILES}) == []


def test_a_circle_is_found_through_an_import_inside_a_function(tmp_path):
    files = {
        "house.a": "from house import b\n",
        "house.b": "def late():\n    from house.c import one\n",
        "house.c": "import house.a\n",
        "house.d": "from house.a import b\n",
    }
    for name, text in files.items():
        (tmp_path / name).write_text(text)
    assert circle_of({name: tmp_path / name for name in files}) == ["house.a", "house.b", "house.c", "house.a"]
    (tmp_path / "house.c").write_text("")
    assert circle_of({name: tmp_path / name for name in files}) == []


def test_help_imports_nothing_heavy():
    code = (
        "import sys, launch; launch.main(['--help']); launch.main(['search', '--help']);"
        "heavy = {'torch', 'optuna', 'pandas', 'plotly', 'sklearn', 'torchvision', 'numpy', 'ray'} & set(sys.modules);"
        "assert not heavy, heavy"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "--space NAME" in done.stdout
