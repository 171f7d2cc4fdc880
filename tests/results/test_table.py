import io
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from results.cells import plain
from results.folder import RunFolder
from results.ledger import Outcome
from results.table import COLUMNS, front_numbers, write_tables
from spaces.candidate import Candidate, Score

BLANKS = ["slot1", "decay", "T"]


def make(number, accuracy, spikes, *, state="ok", fidelity="supernet", error="", **values):
    filling = Candidate({"slot1": "SCB_k3", "decay": 1 / 3, "T": 4} | values)
    return Outcome(
        number, 0, filling, Score(state=state, fidelity=fidelity, accuracy=accuracy, spikes=spikes, error=error)
    )


def rows(path):
    return pd.read_csv(path, keep_default_na=False, na_values={column: [""] for column in COLUMNS[3:11]})


def test_columns_and_values_come_back_exactly(tmp_path):
    folder = RunFolder(tmp_path)
    rng = np.random.default_rng(0)
    hard = ['=1+1,"quoted"', "+x", "-y", "@z", "None", "größer\u2028", "a, comma", " padded"]
    outcomes = []
    for number, text in enumerate(hard):
        accuracy, spikes, decay = rng.random(3).tolist()
        outcomes.append(make(number, accuracy, spikes * 1e6, slot1=text, decay=decay, error=text))
    write_tables(folder, outcomes, ["accuracy", "spikes"], [1, -1], BLANKS)
    table = rows(folder.candidates_csv)
    assert list(table.columns) == [*COLUMNS, "param.slot1", "param.decay", "param.T"]
    assert ",".join(COLUMNS) == (
        "number,state,fidelity,accuracy,spikes,energy_nj,sops,macs,parameters,timesteps,seconds,error"
    )
    texts = pd.read_csv(folder.candidates_csv, dtype=str)
    for column, wanted in {
        "accuracy": [o.score.accuracy for o in outcomes],
        "spikes": [o.score.spikes for o in outcomes],
        "param.decay": [o.candidate["decay"] for o in outcomes],
    }.items():
        assert texts[column].map(float).tolist() == wanted
        assert table[column].tolist() == pytest.approx(wanted, rel=1e-15)
    assert table["param.slot1"].map(plain).tolist() == [o.candidate["slot1"] for o in outcomes]
    assert table["error"].map(plain).tolist() == [o.score.error.strip() for o in outcomes]
    for column in ("param.slot1", "error"):
        assert table[column].tolist()[:4] == ['\'=1+1,"quoted"', "'+x", "'-y", "'@z"]
    assert table["energy_nj"].isna().all()


def test_names_of_further_figures_are_guarded_and_numbers_are_not(tmp_path):
    outcome = make(0, 0.5, 1.0, decay=-0.25)
    outcome = replace(outcome, score=replace(outcome.score, columns={"=loss": -1.5, "-gain": 2.0}))
    write_tables(RunFolder(tmp_path), [outcome], ["accuracy"], [1], BLANKS)
    names, cells = (tmp_path / "pareto.csv").read_text().splitlines()
    assert ",error,'=loss,'-gain,param." in names
    assert cells.endswith(",-1.5,2.0,SCB_k3,-0.25,4")


def test_an_error_stays_one_line(tmp_path):
    write_tables(RunFolder(tmp_path), [make(0, 0.5, 1.0, error="two\nlines\0\rthree")], ["accuracy"], [1], BLANKS)
    assert rows(tmp_path / "candidates.csv")["error"].tolist() == ["two lines three"]


def test_the_front_is_taken_of_ok_rows_within_each_fidelity(tmp_path):
    outcomes = [
        make(0, 0.9, 100.0),
        make(1, 0.8, 200.0),
        make(2, 0.7, 50.0),
        make(3, 0.99, 1.0, state="infeasible"),
        make(4, None, None, state="failed", error="boom"),
        make(5, 0.95, 90.0, fidelity="trained"),
        make(6, 0.9, 100.0),
        make(7, 0.99, None),
    ]
    write_tables(RunFolder(tmp_path), outcomes, ["accuracy", "spikes"], [1, -1], BLANKS)
    assert front_numbers(outcomes, ["accuracy", "spikes"], [1, -1]) == {0, 2, 5, 6}
    candidates, pareto = rows(tmp_path / "candidates.csv"), rows(tmp_path / "pareto.csv")
    assert pareto["number"].tolist() == [0, 2, 5, 6]
    assert candidates["number"].tolist() == list(range(8))
    pd.testing.assert_frame_equal(
        pareto, candidates[candidates["number"].isin([0, 2, 5, 6])].reset_index(drop=True), check_dtype=False
    )


def test_equal_ledgers_give_equal_bytes_and_an_empty_one_the_headers(tmp_path):
    outcomes = [make(n, n / 10, float(n)) for n in range(5)]
    texts = []
    for name in ("a", "b"):
        folder = RunFolder(tmp_path / name)
        folder.path.mkdir()
        write_tables(folder, outcomes, ["accuracy"], [1], BLANKS)
        texts.append((folder.candidates_csv.read_bytes(), folder.pareto_csv.read_bytes()))
    assert texts[0] == texts[1]
    write_tables(folder, [], ["accuracy"], [1], BLANKS)
    assert pd.read_csv(io.BytesIO(folder.candidates_csv.read_bytes())).empty


def test_a_blank_a_candidate_does_not_have_is_an_empty_cell(tmp_path):
    write_tables(RunFolder(tmp_path), [make(0, 0.5, 1.0)], ["accuracy"], [1], [*BLANKS, "extra"])
    assert rows(tmp_path / "candidates.csv")["param.extra"].tolist() == [""]


def test_further_columns_stand_between_the_fixed_ones_and_the_blanks_and_may_be_objectives(tmp_path):
    outcomes = [make(n, None, None, fidelity="trained") for n in range(4)]
    for n, columns in enumerate(
        [{"val": 80.0, "synops": 9.0}, {"val": 85.5, "synops": 9.0}, {"synops": 1.0, "x": 1.0}]
    ):
        outcomes[n] = replace(outcomes[n], score=replace(outcomes[n].score, columns=columns))
    write_tables(RunFolder(tmp_path), outcomes, ["val", "synops"], [1, -1], BLANKS)
    table, pareto = (pd.read_csv(tmp_path / name) for name in ("candidates.csv", "pareto.csv"))
    assert list(table.columns) == [*COLUMNS, "val", "synops", "x", *(f"param.{blank}" for blank in BLANKS)]
    assert table["val"].fillna(-1).tolist() == [80.0, 85.5, -1, -1]
    assert pareto["number"].tolist() == [1]  # the third has no val, and no place on the front
    assert list(pareto.columns) == list(table.columns)
