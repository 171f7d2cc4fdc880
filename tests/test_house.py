"""The house rules: imports run one way and in no circle, files and functions end, private parts of others are few.

Each rule is a function of files, so that what is planted in a folder shows that it finds what it should.
"""

import ast
import re
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


def upward_imports(path, room):
    """Rooms that a file of a room imports and may not."""
    return sorted(({name.split(".")[0] for name in imported(path)} & set(MAY_IMPORT)) - MAY_IMPORT[room])


def too_long(paths, most=350):
    """The files of more lines than ``most``, with their number."""
    counts = {path.name: len(path.read_text().splitlines()) for path in paths}
    return {name: count for name, count in counts.items() if count > most}


def long_functions(paths, most=80):
    """The functions of more lines than ``most``, with their number: Python by its grammar, C and JavaScript by braces.

    In C a function begins in a line at the margin that ends with ``{``, in JavaScript in one that begins with
    ``function``; it ends with the next closing brace that stands as far in.
    """
    found = {}
    for path in paths:
        text = path.read_text()
        if path.suffix == ".py":
            for node in ast.walk(ast.parse(text)):
                if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                    found[f"{path.name}:{node.name}"] = node.end_lineno - node.lineno + 1
        elif path.suffix in (".c", ".h", ".js"):
            begun, head = [], r"(\s*)(async )?function\b" if path.suffix == ".js" else r"()[A-Za-z_].*\{\s*$"
            for number, line in enumerate(text.splitlines()):
                if begun and line.startswith(f"{begun[-1][1]}}}"):
                    start, _ = begun.pop()
                    found[f"{path.name}:{start + 1}"] = number - start + 1
                elif (match := re.match(head, line)) and not line.rstrip().endswith("}"):
                    begun.append((number, match[1]))
    return {name: count for name, count in found.items() if count > most}


def private_parts(path):
    """Private modules of other libraries that a file imports, and private names that it takes of such modules."""
    tree, foreign = ast.parse(path.read_text()), set()
    for node in ast.walk(tree):
        names = [name.name for name in node.names] if isinstance(node, ast.Import | ast.ImportFrom) else []
        module = node.module if isinstance(node, ast.ImportFrom) else None
        for name in [module] if module else names:
            if name.split(".")[0] not in MAY_IMPORT:
                foreign |= {one.asname or one.name.split(".")[0] for one in node.names}
                if any(part.startswith("_") and not part.startswith("__") for part in name.split(".")):
                    yield name
        if module and module.split(".")[0] not in MAY_IMPORT:
            yield from (f"{module}.{name}" for name in names if name.startswith("_") and not name.startswith("__"))
    for node in ast.walk(tree):
        own = not (isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id in foreign)
        if not own and node.attr.startswith("_") and not node.attr.startswith("__"):
            yield f"{node.value.id}.{node.attr}"


PRIVATE = {  # what is used of other libraries without being public -> the one file that does
    "ray._private": "search/runners/private_ray.py",
    "ray._private.state": "search/runners/private_ray.py",
    "torch.nn.modules.batchnorm._BatchNorm": "evaluators/evaluation.py",  # the class of all of them, also of others
    "torch._dynamo": "spaces/neurons/scan.py",
    "torch.utils._pytree": "spaces/current.py",
    "Tensor._make_wrapper_subclass": "spaces/current.py",
    "pickle._Unpickler": "evaluators/tasks/readers/cifar.py",
}
SUFFIXES = (".py", ".js", ".css", ".html", ".c", ".h")
PRODUCT = [path for room in MAY_IMPORT for path in (ROOT / room).rglob("*") if path.suffix in SUFFIXES] + [
    ROOT / "launch.py"
]


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_imports_run_one_way(path):
    assert upward_imports(path, path.relative_to(ROOT).parts[0].removesuffix(".py")) == []


def test_files_and_functions_end():
    assert too_long(PRODUCT) == {}
    assert long_functions(PRODUCT) == {}
    assert {path.suffix for path in PRODUCT} == set(SUFFIXES)


def test_private_parts_of_others_are_in_one_file_each():
    used = {name: path.relative_to(ROOT).as_posix() for path in FILES for name in private_parts(path)}
    assert used == PRIVATE


def test_what_is_planted_is_found(tmp_path):
    """A long file of every kind, a long function, an upward import, private parts."""
    for suffix in SUFFIXES:
        (tmp_path / f"long{suffix}").write_text("\n" * 351)
        (tmp_path / f"full{suffix}").write_text("\n" * 350)
    assert too_long(sorted(tmp_path.iterdir())) == {f"long{suffix}": 351 for suffix in SUFFIXES}
    line, inner = "    pass\n", "        pass\n"
    (tmp_path / "a.py").write_text(f"def full():\n{line * 79}\n\nclass A:\n    def long(self):\n{inner * 80}")
    full, long = "static int full(int a) {\n" + "x;\n" * 78 + "}\n", "int long(void) {\n" + "x;\n" * 79 + "}\n"
    (tmp_path / "a.c").write_text(f"{full}\n{long}")
    (tmp_path / "a.js").write_text("(() => {\n  function long(a) {\n" + "    x;\n" * 79 + "  }\n})();\n")
    planted = [tmp_path / name for name in ("a.py", "a.c", "a.js")]
    assert long_functions(planted) == {"a.py:long": 81, "a.c:82": 81, "a.js:2": 81}
    (tmp_path / "b.py").write_text("def late():\n    from search.run import resume\n    import evaluators.energy\n")
    assert upward_imports(tmp_path / "b.py", "spaces") == ["evaluators", "search"]
    assert upward_imports(tmp_path / "b.py", "search") == []
    (tmp_path / "c.py").write_text(
        "import argparse\nfrom optuna.storages._rdb import models\nfrom json import _default_decoder\n"
        "argparse._HelpAction\nself._own\nimport spaces\nspaces._mine\n"
    )
    assert list(private_parts(tmp_path / "c.py")) == [
        "optuna.storages._rdb",
        "json._default_decoder",
        "argparse._HelpAction",
    ]


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
