"""A table as an evaluator: what it looks up is what stands in the file, and what is wrong with a file is named."""

import csv
import gzip
import hashlib

import numpy as np
import pytest
from optuna.distributions import CategoricalDistribution, FloatDistribution

from evaluators.table import flat_space, numeric_columns, read_table, scorer, table_columns
from spaces.candidate import Candidate, Score
from spaces.errors import OptionError, SpaceError, TaskError
from spaces.space import Space
from spaces.spec import TaskSpec

BLANKS = {"op": None, "k": None}
ROWS = [
    {"op": op, "k": k, "val": 54 + 10 * k, "cost": 1.5 * k + (op == "conv")} for op in ("None", "conv") for k in (1, 3)
]
SPEC = TaskSpec(channels=3, height=8, width=8, classes=2)


def written(path, rows, opener=open):
    with opener(path, "wt", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    return path


def changed(*changes, rows=ROWS):
    """Rows with cells changed: (row, column, cell)."""
    rows = [dict(row) for row in rows]
    for row, column, cell in changes:
        rows[row][column] = cell
    return rows


def read(path, objectives=("val", "cost"), **options):
    return read_table(path, **({"blanks": BLANKS, "objectives": objectives} | options))


@pytest.mark.parametrize(("name", "opener"), [("t.csv", open), ("t.csv.gz", gzip.open)])
def test_every_candidate_is_scored_by_its_row(tmp_path, name, opener):
    table = read(written(tmp_path / name, ROWS, opener))
    assert table.sha256 == hashlib.sha256((tmp_path / name).read_bytes()).hexdigest()
    space = flat_space(table)
    assert {name: list(d.choices) for name, d in space.blanks.items()} == {"op": ["None", "conv"], "k": [1, 3]}
    score = scorer(table, space, ["val", "cost"])
    found = {candidate: score(candidate) for candidate in space.all()}
    assert found == {
        Candidate({"op": row["op"], "k": row["k"]}): Score(
            state="ok", fidelity="trained", columns={"val": row["val"], "cost": row["cost"]}
        )
        for row in ROWS
    }


def test_values_are_read_as_what_they_all_are(tmp_path):
    cells = {"int": ["-1", "20", "3"], "float": ["1", ".5", "1e-3"], "code": ["007", "1", "2"], "bool": ["True"] * 3}
    cells |= {"text": ["nan", "1", "-"], "y": ["1", "2", "3"]}
    rows = [dict(zip(cells, row, strict=True)) for row in zip(*cells.values(), strict=True)]
    table = read_table(written(tmp_path / "t.csv", rows), blanks=dict.fromkeys([*cells][:-1]), objectives=["y"])
    choices = {name: d.choices for name, d in flat_space(table).blanks.items()}
    assert choices["int"] == (-1, 3, 20)
    assert choices["float"] == (0.001, 0.5, 1.0)
    assert choices["code"] == ("007", "1", "2")
    assert choices["bool"] == (True,)
    assert choices["text"] == ("-", "1", "nan")
    assert {type(value) for name in ("int", "float", "bool") for value in choices[name]} == {int, float, bool}


def test_a_flat_space_has_no_networks(tmp_path):
    space = flat_space(read(written(tmp_path / "t.csv", ROWS)))
    for candidate in (None, space.smallest):
        with pytest.raises(SpaceError, match="have no networks"):
            space.network(SPEC, candidate)


def test_a_candidate_without_a_row_is_infeasible_and_one_without_an_objective_has_failed(tmp_path):
    rows = changed((0, "cost", ""), (1, "val", "nan"), (2, "val", "inf"))[:3]
    table = read(written(tmp_path / "t.csv", [*rows, ROWS[3] | {"k": 9}, ROWS[3] | {"k": 11, "val": 1}]))
    score = scorer(table, flat_space(table), ["val", "cost"])
    outcomes = [score(Candidate({"op": op, "k": k})) for op, k in (("None", 1), ("None", 3), ("conv", 1), ("conv", 3))]
    assert [one.state for one in outcomes] == ["failed", "failed", "failed", "infeasible"]
    assert [one.error for one in outcomes] == [
        "row 1 of the table has no cost",
        "row 2 of the table has no val",
        "row 3 of the table has no val",
        "the table has no row of this candidate",
    ]
    assert outcomes[0].columns == {"val": 64.0}


def test_columns_that_are_metrics_fill_their_fields_if_they_are_valid(tmp_path):
    extra = {"accuracy": 0.5, "spikes": 1e3, "parameters": "12.0", "timesteps": 2.5, "sops": "many", "macs": -1}
    rows = [row | extra for row in ROWS]
    table = read(written(tmp_path / "t.csv", rows))
    found = scorer(table, flat_space(table), ["val"])(Candidate({"op": "conv", "k": 3}))
    assert (found.accuracy, found.spikes, found.parameters) == (0.5, 1000.0, 12)
    assert isinstance(found.parameters, int)
    assert (found.timesteps, found.sops, found.macs) == (None, None, None)
    assert set(found.columns) == {"val", "cost"}
    for name, rule in (("timesteps", "a whole number"), ("sops", "no number"), ("macs", "a number from 0")):
        with pytest.raises(OptionError, match=rule):
            read(tmp_path / "t.csv", objectives=("val", name))
    written(tmp_path / "percent.csv", changed(rows=[row | {"accuracy": 60 + i} for i, row in enumerate(ROWS)]))
    with pytest.raises(OptionError, match=r"holds 60 in row 1 .* a share from 0 to 1: rename"):
        read(tmp_path / "percent.csv", objectives=("accuracy",))


def space_of(infeasible=lambda candidate: "", **blanks):
    return Space(name="own", about="", blanks=blanks, timesteps=1, build=None, infeasible=infeasible)


def test_a_space_of_its_own_reads_the_table_in_its_own_values(tmp_path):
    """Its choices of k are texts, those of op include one that the table lacks, and one candidate is flawed."""
    space = space_of(
        op=CategoricalDistribution(["conv", "skip"]),
        k=CategoricalDistribution(["1", "3"]),
        infeasible=lambda candidate: "too big" if candidate["k"] == "3" else "",
    )
    options = {name: space.options(name) for name in space.blanks}
    table = read(written(tmp_path / "t.csv", ROWS), blanks=options)
    score = scorer(table, space, ["val"])
    assert score(Candidate({"op": "conv", "k": "1"})).columns["val"] == 64.0
    assert score(Candidate({"op": "skip", "k": "1"})).error == "the table has no row of this candidate"
    assert score(Candidate({"op": "conv", "k": "3"})) == Score(state="infeasible", fidelity="trained", error="too big")


@pytest.mark.parametrize("op", [CategoricalDistribution(["a", "b"]), FloatDistribution(0, 1)])
def test_a_table_of_another_space_is_refused(tmp_path, op):
    space = space_of(op=op, k=CategoricalDistribution([1, 3]))
    table = read(written(tmp_path / "t.csv", ROWS), blanks={name: space.options(name) for name in space.blanks})
    with pytest.raises(OptionError, match=r"no row of table .* is a candidate of space 'own'"):
        scorer(table, space, ["val"])


def test_columns_are_listed(tmp_path):
    path = written(tmp_path / "t.csv", [row | {"empty": "", "some": "" if i else 1} for i, row in enumerate(ROWS)])
    assert table_columns(path) == ["op", "k", "val", "cost", "empty", "some"]
    assert numeric_columns(path) == ["k", "val", "cost", "some"]


def test_rows_that_stand_twice_must_agree(tmp_path):
    again = [*ROWS, dict(ROWS[1])]
    table = read(written(tmp_path / "t.csv", again))
    assert table.rows == 5
    assert scorer(table, flat_space(table), ["val"])(Candidate({"op": "None", "k": 3})).columns["val"] == 84.0
    for cell, words in (("85", "84 and 85"), ("", "84 and nan")):
        written(tmp_path / "t.csv", changed((4, "val", cell), rows=again))
        with pytest.raises(TaskError, match=rf"rows 2 and 5 .*\(op=None, k=3\) but differ in val: {words}"):
            read(tmp_path / "t.csv")
    read(written(tmp_path / "t.csv", changed((1, "val", ""), (4, "val", ""), rows=again)))


@pytest.mark.parametrize(
    ("rows", "options", "words"),
    [
        (ROWS, {"blanks": {"op": None, "kk": None, "x": None}}, "choice 'kk' is no column of table"),
        (ROWS, {"blanks": {"op": None, "kk": None, "x": None}}, "(nor is x): unknown column 'kk'"),
        (ROWS, {"objectives": ("vall",)}, "did you mean 'val'?"),
        (ROWS, {"constraints": ("costs",)}, "did you mean 'cost'?"),
        (ROWS, {"objectives": ("k",)}, "is a choice and an objective"),
        (changed((2, "val", "high")), {}, "column 'val' holds 'high' in row 3"),
        (changed((2, "cost", "?")), {"objectives": ("val",), "constraints": ("cost",)}, "holds '?' in row 3"),
        (changed(*((i, "val", 7) for i in range(4))), {}, "objective 'val' is the same in all rows"),
        (changed(*((i, "val", "") for i in range(4))), {}, "objective 'val' is the same in all rows"),
        (changed((3, "op", "")), {}, "row 4"),
        ([row | {"seconds": i} for i, row in enumerate(ROWS)], {"objectives": ("seconds",)}, "rename it"),
    ],
)  # fmt: skip
def test_bad_columns_are_named(tmp_path, rows, options, words):
    with pytest.raises((OptionError, TaskError)) as error:
        read(written(tmp_path / "t.csv", rows), **options)
    assert words in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (None, "is not there"),
        (b"", "cannot be read"),
        (b"op,k,val,cost\n", "has a header but no row"),
        (b"op,k,val,val\na,1,2,3\n", "two columns 'val'"),
        (b"op,k,val,cost\na,1,2,3\nb,1,2,3,4,5\n", "cannot be read"),
        (b"op,k,val,cost\na,1,2,3,9\nb,1,2,4,9\n", "cannot be read"),
        (b"\x1f\x8b\x00\xff\xfe", "cannot be read"),
    ],
    ids=str,
)
def test_bad_files_are_named(tmp_path, content, words):
    path = tmp_path / "t.csv"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(TaskError) as error:
        read(path)
    assert words in str(error.value)
    assert "\n" not in str(error.value)


def test_a_torn_archive_at_any_length_is_named(tmp_path):
    whole = written(tmp_path / "whole.csv.gz", ROWS, gzip.open).read_bytes()
    path = tmp_path / "t.csv.gz"
    for length in np.linspace(0, len(whole) - 1, 9).astype(int):
        path.write_bytes(whole[:length])
        with pytest.raises(TaskError, match=r"t\.csv\.gz' cannot be read"):
            read(path)
    path.write_bytes(b"op,k,val,cost\n")  # not compressed at all
    with pytest.raises(TaskError, match="cannot be read"):
        read(path)
    (tmp_path / "folder.csv").mkdir()
    with pytest.raises(TaskError, match="cannot be read"):
        read(tmp_path / "folder.csv")
