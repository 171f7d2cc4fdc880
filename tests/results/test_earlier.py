"""Earlier results: a run's folder and its table say the same, and what is of another search is named."""

import csv
import io
from dataclasses import replace

import numpy as np
import pytest
from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

from results.earlier import read_earlier, to_lines
from results.folder import RunFolder, create_or_open
from results.ledger import Ledger, Outcome, read
from results.table import write_tables
from spaces.candidate import Candidate, Score
from spaces.errors import LedgerError, OptionError, RunError, SpaceError
from spaces.space import Space

SPACE = Space(
    name="test",
    about="",
    blanks={
        "op": CategoricalDistribution(("a", "b", "c")),
        "skip": CategoricalDistribution((True, False)),
        "kernel": CategoricalDistribution((1, 3)),
        "depth": IntDistribution(1, 9, step=2),
        "tau": FloatDistribution(1.0, 100.0, log=True),
    },
    timesteps=1,
    build=None,
)
OBJECTIVES = ("accuracy", "spikes")


@pytest.fixture
def run(tmp_path):
    """A folder with ten searched outcomes, one of them failed, and two finalists."""
    folder = create_or_open(tmp_path / "run", config={"match": {"a": 1}})
    rng = np.random.default_rng(0)
    with Ledger.open(folder.ledger) as ledger:
        for number in range(12):
            candidate = SPACE.sample(rng) if number < 10 else ledger.outcomes[number - 10].candidate
            fidelity = "supernet" if number < 10 else "trained"
            numbers = {"accuracy": float(rng.random()), "spikes": 10.0 * number, "parameters": 7, "seconds": 0.1}
            score = Score(state="ok", fidelity=fidelity, columns={"size, MB": float(rng.random())}, **numbers)
            if number == 5:
                score = Score(state="failed", fidelity="supernet", error='odd, "quoted"')
            ledger.append(Outcome(number, number // 4 if number < 10 else -1, candidate, score))
        write_tables(folder, ledger.outcomes, OBJECTIVES, (1, -1), list(SPACE.blanks))
    return folder


def test_folder_and_table_say_the_same(run):
    expected = [replace(outcome, batch=0) for outcome in read(run.ledger)[0][:10]]
    assert read_earlier(run.path, SPACE, OBJECTIVES) == expected
    assert read_earlier(run.candidates_csv, SPACE, (*OBJECTIVES, "size, MB")) == expected


def test_a_table_with_guarded_cells_says_the_same(tmp_path):
    space = replace(SPACE, blanks={"op": CategoricalDistribution(("=a", "-1", "'=", "@b", "plain"))})
    score = Score(state="ok", fidelity="trained", accuracy=0.5, columns={"=loss": -2.0}, error="-1 of 2")
    outcomes = [Outcome(k, 0, Candidate({"op": op}), score) for k, op in enumerate(space.blanks["op"].choices)]
    write_tables(RunFolder(tmp_path), outcomes, ("accuracy",), (1,), list(space.blanks))
    assert ",'=a\n" in (tmp_path / "candidates.csv").read_text()
    assert read_earlier(tmp_path / "candidates.csv", space, ("accuracy", "=loss")) == outcomes


def test_lines_are_a_ledger(run, tmp_path):
    earlier = read_earlier(run.path, SPACE, OBJECTIVES)
    (tmp_path / "lines").write_bytes(to_lines(earlier))
    assert read(tmp_path / "lines")[0] == earlier
    folder = create_or_open(tmp_path / "new", config={"match": {}}, warm_start=to_lines(earlier))
    assert read(folder.warm_start)[0] == earlier
    folder.config.unlink()  # killed between the two
    again = create_or_open(tmp_path / "new", config={"match": {}}, warm_start=to_lines(earlier[:3]))
    assert read(again.warm_start)[0] == earlier[:3]
    kept = create_or_open(tmp_path / "new", config={"match": {}}, warm_start=b"")
    assert read(kept.warm_start)[0] == earlier[:3]
    assert not create_or_open(tmp_path / "plain", config={"match": {}}).warm_start.exists()


@pytest.mark.parametrize("kind", ["folder", "table"])
def test_another_space_names_every_blank_that_differs(run, kind):
    source = run.path if kind == "folder" else run.candidates_csv
    other = dict(SPACE.blanks) | {
        "op": CategoricalDistribution(("a", "b")),
        "tau": FloatDistribution(90.0, 100.0),
        "more": IntDistribution(1, 2),
    }
    del other["skip"]
    with pytest.raises(SpaceError) as error:
        read_earlier(source, replace(SPACE, blanks=other), OBJECTIVES)
    message = str(error.value)
    for words in ("'more' is missing", "'skip' is unknown", "'op' cannot be 'c'", "'tau' cannot be"):
        assert words in message
    assert "depth" not in message
    assert "kernel" not in message


@pytest.mark.parametrize("kind", ["folder", "table"])
def test_objectives_that_are_missing_are_named(run, kind):
    source = run.path if kind == "folder" else run.candidates_csv
    with pytest.raises(OptionError, match="lacks the objectives energy_nj, val_acc: give"):
        read_earlier(source, SPACE, ("accuracy", "energy_nj", "val_acc"))


def rewritten(path, change):
    rows = list(csv.DictReader(io.StringIO(path.read_text())))
    change(rows)
    text = io.StringIO()
    writer = csv.DictWriter(text, rows[0])
    writer.writeheader()
    writer.writerows(rows)
    path.write_text(text.getvalue())
    return path


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("accuracy", "1.5", "row 3: field 'accuracy' is 1.5, must be null or a number from 0 to 1"),
        ("spikes", "many", "row 3: column 'spikes' holds 'many', which is no number"),
        ("spikes", "nan", "row 3"),
        ("state", "fine", "row 3: state 'fine' is not one of"),
        ("parameters", "1.5", "row 3: column 'parameters'"),
    ],
)
def test_a_bad_cell_is_named(run, name, value, words):
    path = rewritten(run.candidates_csv, lambda rows: rows[2].update({name: value}))
    with pytest.raises(OptionError) as error:
        read_earlier(path, SPACE, OBJECTIVES)
    assert words in str(error.value)


def test_sources_that_are_none(run, tmp_path):
    with pytest.raises(OptionError, match="cannot be read"):
        read_earlier(tmp_path / "nowhere.csv", SPACE, OBJECTIVES)
    with pytest.raises(RunError, match="not a run"):
        read_earlier(tmp_path, SPACE, OBJECTIVES)
    (tmp_path / "other.csv").write_text("x,y\n1,2\n")
    with pytest.raises(OptionError, match="no column state and no fidelity"):
        read_earlier(tmp_path / "other.csv", SPACE, OBJECTIVES)
    for content in ("", "state,fidelity\n"):
        (tmp_path / "empty.csv").write_text(content)
        with pytest.raises(OptionError, match="holds no outcome that is ok"):
            read_earlier(tmp_path / "empty.csv", SPACE, OBJECTIVES)
    (tmp_path / "bytes.csv").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(OptionError, match="cannot be read"):
        read_earlier(tmp_path / "bytes.csv", SPACE, OBJECTIVES)
    rewritten(run.candidates_csv, lambda rows: [row.update({"state": "failed"}) for row in rows])
    with pytest.raises(OptionError, match="holds no outcome that is ok"):
        read_earlier(run.candidates_csv, SPACE, OBJECTIVES)
    run.ledger.write_bytes(b"{}\n")
    with pytest.raises(LedgerError, match="line 1"):
        read_earlier(run.path, SPACE, OBJECTIVES)


def test_a_candidate_that_stands_twice_counts_once(run):
    path = rewritten(run.candidates_csv, lambda rows: rows.extend(dict(row) for row in rows[:3]))
    assert len(read_earlier(path, SPACE, OBJECTIVES)) == 10
    assert read_earlier(path, SPACE, OBJECTIVES)[0].candidate == Candidate(dict(read(run.ledger)[0][0].candidate))
