"""Edited run folders: whatever a hand leaves in a run's JSON, each command ends well or with one line."""

import json
import shutil
from copy import deepcopy
from random import Random

import pytest

import launch
from results.folder import RunFolder
from search.grid import is_grid, read_plan
from search.publish import refresh
from search.summary import summary
from search.work.finalists import check_stored
from search.work.ticket_checks import candidate_of
from spaces.checksums import without_checksum
from spaces.errors import SearchError
from spaces.find import make_space

OPTIONS = ["--width", "3", "--timesteps", "2", "--no-compile", "--supernet-epochs", "2", "--batch-size", "8"]
OPTIONS += ["--candidates", "8", "--batch", "8", "--finalists", "1", "--finalist-epochs", "2", "--threads", "1"]
OPTIONS += ["--recalibration-samples", "32", "--sampler", "evolution", "--head-gain", "4"]
OPTIONS += ["--prune", "gmp", "--sparsity", "0.5"]
DEEP = json.loads("[" * 70 + "]" * 70)
VALUES = (None, True, -1, 0, 7, 1.5, 1e308, 10**400, float("nan"), "", "x", "accuracy:max", "2026", "\ud800", "\0")
VALUES += ([], {}, [1], ["x"], [[]], [None], {"a": 1}, {"": []}, [{"name": 1}], {"find": {}}, DEEP, {"find": DEEP})


@pytest.fixture(scope="module")
def run(data, tmp_path_factory):
    """A finished run with a finalist and a ticket, and what a sweep of several runs would keep."""
    out = tmp_path_factory.mktemp("runs") / "run"
    assert launch.main(["--data", str(data), *OPTIONS, "--out", str(out)]) == 0
    plan = {"one": json.loads((out / "config.json").read_text())["config"]}
    (out / "grid").mkdir()
    (out / "grid" / "sweep.json").write_text(json.dumps(plan))
    return out


def places(value, path=()):
    """All places in plain JSON data, as paths from its root."""
    yield path
    if isinstance(value, dict | list):
        for name, inner in value.items() if isinstance(value, dict) else enumerate(value):
            yield from places(inner, (*path, name))


def edited(value, rng):
    """The same with one or two edits: a value that is another, a field that is gone, new, or bears another name."""
    value = json.loads(json.dumps(value))
    for _ in range(rng.choice((1, 1, 2))):
        *way, last = rng.choice([path for path in places(value) if path] or [(None,)])
        if last is None:
            return rng.choice(VALUES)
        holder = value
        for name in way:
            holder = holder[name]
        kind = rng.choice(("value", "value", "gone", "new", "name", "like another"))
        if kind == "value":
            holder[last] = deepcopy(rng.choice(VALUES))
        elif kind == "gone":
            del holder[last]
        elif isinstance(holder, list):
            holder.append(deepcopy(rng.choice(VALUES)))
        elif kind == "new":
            holder["strange"] = deepcopy(rng.choice(VALUES))
        elif kind == "name":
            holder["renamed"] = holder.pop(last)
        else:
            holder[last] = json.loads(json.dumps(holder[rng.choice(list(holder))]))
    return value


def damaged(content, rng):
    """A file's bytes as a hand, or chance, may leave them: mostly JSON without its checksum."""
    kind = rng.random()
    if kind < 0.03:
        return content[: rng.randrange(len(content))]
    if kind < 0.06:
        place = rng.randrange(len(content))
        return content[:place] + bytes([rng.randrange(256)]) + content[place + 1 :]
    if kind < 0.08:
        return rng.choice((b"", b"\xff", b"[" * 10**5, b"null", b"{}", b"[]", b'"', b'{"a":1,"a":2}', b"NaN"))
    value = json.loads(content) if kind < 0.15 else without_checksum(json.loads(content))
    return json.dumps(edited(value, rng)).encode()


def tried(path, space):
    """All that reads a run's JSON without training anything; gives the one line of each error."""
    said, folder = [], RunFolder(path)
    for attempt in (
        lambda: refresh(path, str(path / "studies.db")),
        lambda: summary(folder),
        lambda: [candidate_of(folder, space, number) for number in folder.finalist_numbers()],
        lambda: [check_stored(folder, number) for number in folder.finalist_numbers()],
        lambda: is_grid(path / "grid") and read_plan(path / "grid"),
    ):
        try:
            attempt()
        except SearchError as error:
            said.append(str(error))
    return said


def fuzz(run, home, number, seed):
    """So many edits of a run's files, each on its own; what was said of each that was not read."""
    space = make_space("autosnn", options={"width": 3, "timesteps": 2, "neuron": None}, compiled=False)[0]
    shutil.copytree(run, home)
    files = sorted([*home.rglob("*.json"), home / "ledger.jsonl"])
    said = {}
    for draw in range(number):
        rng = Random(f"{seed} {draw}")
        path = rng.choice(files)
        before = path.read_bytes()
        lines = before.splitlines(keepends=True)
        place = rng.randrange(len(lines)) if path.suffix == ".jsonl" else 0
        if path.suffix == ".jsonl":
            after = b"".join([*lines[:place], damaged(lines[place].rstrip(), rng), b"\n", *lines[place + 1 :]])
        else:
            after = damaged(before, rng)
        path.write_bytes(after)
        said[draw] = tried(home, space)
        path.write_bytes(before)
        (home / "studies.db").unlink(missing_ok=True)
    assert tried(home, space) == []
    return said


def test_every_edit_is_read_or_refused_in_one_line(run, tmp_path, monkeypatch):
    monkeypatch.setattr("plotly.offline.get_plotlyjs", str)  # megabytes that every page holds
    said = fuzz(run, tmp_path / "run", 40, "edits")
    for lines in said.values():
        for line in lines:
            assert "\n" not in line
            assert len(line) < 1500
    assert 20 < sum(bool(lines) for lines in said.values()) < 40


@pytest.mark.parametrize(
    ("file", "edit", "words"),
    [
        ("config.json", lambda value: value.pop("space"), "space.blanks is missing"),
        ("config.json", lambda value: value.update(created=7), "field 'created' is 7, must be a text"),
        ("config.json", lambda value: value.update(config=[]), "field 'config' is [], must be an object"),
        ("config.json", lambda value: value.update(deep=DEEP), "nested deeper than 60 levels"),
        ("config.json", lambda value: value["task"].update(per_class={"train": {"max": "x"}}), "field 'per_class'"),
        ("finalists/*/metrics.json", lambda value: value.update(layers=[1]), "field 'layers' is [1], must be a list"),
        ("finalists/*/metrics.json", lambda value: value.update(curve={"a": 1}), "field 'curve'"),
        ("finalists/*/metrics.json", lambda value: value.update(val_accuracy="0.9"), "field 'val_accuracy' is"),
        ("finalists/*/architecture.json", lambda value: value["nodes"][0].pop("id"), "field 'nodes'"),
        ("finalists/*/tickets/*/metrics.json", lambda value: value.pop("cost"), "field 'cost' is missing"),
        ("finalists/*/tickets/*/metrics.json", lambda value: value["dense"].pop("bytes"), "field 'dense'"),
        ("finalists/*/tickets/*/metrics.json", lambda value: value.update(bytes={"../x": 1}), "field 'bytes'"),
        ("predictor.json", lambda value: value.update(forecasts=3), "predictor.json' is damaged"),
    ],
)
def test_an_edit_is_named_with_the_way_out(run, tmp_path, file, edit, words):
    home = tmp_path / "run"
    shutil.copytree(run, home)
    (path,) = home.glob(file)
    value = without_checksum(json.loads(path.read_bytes()))
    edit(value)
    path.write_text(json.dumps(value))
    with pytest.raises(SearchError) as caught:
        refresh(home)
    assert words in str(caught.value)
    assert path.name in str(caught.value)
    assert "\n" not in str(caught.value)
