"""The package itself: light, typed, and sure that the rooms it stands on are its own."""

import subprocess
import sys
from pathlib import Path

import pytest

import spikefront

ROOT = Path(__file__).parents[2]


def python(code, *, path=()):
    environment = {"PYTHONPATH": ":".join(map(str, (*path, ROOT)))}
    return subprocess.run(
        [sys.executable, "-c", code], cwd="/", env=environment, capture_output=True, text=True, check=False
    )


def test_the_import_loads_nothing_heavy():
    done = python(
        "import sys; before = set(sys.modules); import spikefront;"
        "new = {name.split('.')[0] for name in sys.modules} - before;"
        "assert not {'torch', 'numpy', 'pandas', 'optuna', 'rich', 'spaces', 'search'} & new, new;"
        "print(spikefront.__version__)"
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == spikefront.__version__


def test_every_name_is_there_and_told_to_type_checkers():
    for name in spikefront.__all__:
        assert getattr(spikefront, name) is not None
    assert set(dir(spikefront)) == set(spikefront.__all__)
    assert (ROOT / "spikefront" / "py.typed").exists()
    with pytest.raises(AttributeError, match="has no attribute 'serch'"):
        _ = spikefront.serch


@pytest.mark.parametrize("room", ["search", "results"])
def test_a_foreign_module_in_the_place_of_a_room_is_named(tmp_path, room):
    (tmp_path / f"{room}.py").write_text("")
    done = python("import spikefront; spikefront.search", path=[tmp_path])
    assert done.returncode == 1
    last = done.stderr.strip().splitlines()[-1]
    assert last.startswith(f"ImportError: module '{room}' at '{tmp_path / room}.py' is not that of spikefront")
    done = python("import sys; from spikefront.cli import main; sys.exit(main())", path=[tmp_path])
    assert done.returncode == 2
    assert done.stderr.startswith(f"error: module '{room}' at")
    assert len(done.stderr.splitlines()) == 1


def test_the_console_script_tells_its_own_name():
    done = python("import sys; sys.argv = ['spikefront', '--help']; from spikefront.cli import main; sys.exit(main())")
    assert done.returncode == 0
    assert "spikefront resume runs/NAME" in done.stdout
    assert "launch.py" not in done.stdout
    done = python("import sys; sys.argv = ['x', '--version']; from spikefront.cli import main; sys.exit(main())")
    assert done.stdout == f"spikefront {spikefront.__version__}\n"
