"""Candidates that a person gives, in a file: read as the space has them, or refused in one line with what is near."""

import json

import pytest

import launch
from results.given import read_candidates
from results.ledger import Ledger, read
from search.loop.goal import Goal
from search.loop.loop import Budget, in_process, search
from spaces.candidate import Candidate, Score
from spaces.errors import OptionError, SpaceError
from spaces.find import make_space

ONE = {"slot1": "SRB_k5", "slot2": "skip", "slot3": "SCB_k3", "slot4": "skip", "slot5": "SRB_k3"}
OTHER = {**ONE, "slot5": "SCB_k5"}
SMALL = "--width 3 --timesteps 2 --supernet-epochs 1 --candidates 5 --batch 2 --finalists 0 --train-samples 60"
QUICK = [*SMALL.split(), "--val-samples", "40", "--threads", "1", "--no-compile"]


@pytest.fixture(scope="module")
def space():
    return make_space("autosnn", options={"width": 3, "timesteps": 2}, compiled=False)[0]


def written(tmp_path, name, text):
    (tmp_path / name).write_text(text)
    return tmp_path / name


def test_all_forms_give_the_same_candidates(space, tmp_path):
    names, rows = list(ONE), [ONE, OTHER, ONE]
    table = "\n".join(",".join(row[name] for name in names) for row in rows)
    for name, text in (
        ("a.json", json.dumps(rows)),
        ("a.csv", ",".join(names) + "\n" + table),
        ("b.csv", ",".join(f"param.{name}" for name in names) + "\n" + table),
        ("c.csv", "\ufeff" + ",".join(names) + "\r\n" + table.replace("\n", "\r\n")),
        (
            "d.csv",
            "number," + ",".join(f"param.{n}" for n in names) + "\n" + "\n".join(f"3,{r}" for r in table.split()),
        ),
    ):
        assert read_candidates(written(tmp_path, name, text), space) == [Candidate(ONE), Candidate(OTHER)]
    assert read_candidates(written(tmp_path, "e.json", json.dumps(ONE)), space) == [Candidate(ONE)]


def test_numbers_are_those_of_the_space(tmp_path):
    space = make_space("dualspace", options={"width": 3, "timesteps": 2}, compiled=False)[0]
    drawn = space.smallest
    text = ",".join(drawn) + "\n" + ",".join(map(str, drawn.values()))
    assert read_candidates(written(tmp_path, "a.csv", text), space) == [drawn]
    assert read_candidates(written(tmp_path, "a.json", json.dumps(dict(drawn))), space) == [drawn]


@pytest.mark.parametrize(
    ("name", "text", "said"),
    [
        ("a.json", json.dumps([ONE, {**ONE, "slot1": "SRB_5"}]), "row 2: unknown value of slot1 'SRB_5' (did you mean"),
        ("a.json", json.dumps([{**ONE, "slot9": "skip"}]), "row 1: unknown choice of space 'autosnn' 'slot9' (did you"),
        ("a.json", json.dumps([{"slot1": "skip"}]), "row 1: candidate leaves choice 'slot2'"),
        ("a.json", json.dumps([{**ONE, "slot1": 3}]), "row 1: choice 'slot1' of space 'autosnn' cannot be 3"),
        ("a.json", json.dumps([{**ONE, "slot1": ["skip"]}]), "cannot be ['skip']"),
        ("a.json", "[1]", "is no list of objects"),
        ("a.json", "[{", "cannot be read"),
        ("a.json", "[]", "holds no candidate"),
        ("a.csv", "", "holds no candidate"),
        ("a.csv", "slot1,slot2\nskip", "row 1: unknown value of slot2 ''"),
        ("a.csv", "slot1\nskip", "row 1: candidate leaves choice 'slot2'"),
        ("a.json", "[" * 100_000, "cannot be read"),
    ],
)
def test_what_cannot_be_taken_is_one_line(name, text, said, space, tmp_path):
    with pytest.raises((SpaceError, OptionError)) as error:
        read_candidates(written(tmp_path, name, text), space)
    assert said in str(error.value)
    assert f"--try {str(tmp_path / name)!r}" in str(error.value)
    assert "\n" not in str(error.value)


def test_they_are_scored_first_in_batches_whatever_the_sampler_says(space, tmp_path):
    def sampler(space, history, n, seed, goal):
        assert len(history) >= 3
        return [Candidate({**ONE, "slot1": "SCB_k3"})][:n] if len(history) == 3 else []

    first = [Candidate(ONE), Candidate(OTHER), Candidate({**ONE, "slot1": "skip"})]
    runner = in_process(lambda candidate, told: Score(state="ok", fidelity="proxy", accuracy=0.5, spikes=1.0))
    options = {"goal": Goal(objectives=("accuracy", "spikes")), "seed": 0, "first": first}
    for limit, batches in ((2, [0, 0]), (10, [0, 0, 1, 2])):
        with Ledger.open(tmp_path / "ledger.jsonl") as ledger:
            search(space, ledger, sampler, runner, budget=Budget(candidates=limit, minutes=None, batch=2), **options)
            assert [one.batch for one in ledger.outcomes] == batches
            assert {one.candidate for one in ledger.outcomes[:3]} <= set(first)


def test_a_run_scores_them_first_and_a_resume_needs_no_file(tmp_path, capsys):
    path, out = written(tmp_path, "mine.json", json.dumps([ONE, OTHER])), tmp_path / "run"
    args = [*QUICK, "--try", str(path), "--out", str(out)]
    assert launch.main(args) == 0
    outcomes = read(out / "ledger.jsonl")[0]
    assert {one.candidate for one in outcomes[:2]} == {Candidate(ONE), Candidate(OTHER)}
    assert len(outcomes) == 5
    ledger = (out / "ledger.jsonl").read_bytes()
    (out / "ledger.jsonl").write_bytes(b"".join(ledger.splitlines(keepends=True)[:1]))
    path.unlink()
    assert launch.main(["resume", str(out)]) == 0
    again = read(out / "ledger.jsonl")[0]
    assert [one.candidate for one in again] == [one.candidate for one in outcomes]
    written(tmp_path, "mine.json", json.dumps([ONE]))
    capsys.readouterr()
    assert launch.main(args) == 2
    assert "tried: run has" in capsys.readouterr().err
