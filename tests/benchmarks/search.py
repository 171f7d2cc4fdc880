"""Samplers against each other on a benchmark table: hypervolume against evaluations, best accuracy, time a suggestion.

    python tests/benchmarks/search.py --table cifar10.csv.gz --seeds 20 --plot search.html

With the defaults: SpikeNAS-Bench's table, its own space, validation accuracy against synaptic operations. Shares are
of the exact hypervolume of the whole table. ``--space table --blanks a,b,c`` takes the columns as a flat space.
``--chosen`` is the column that says how good the network was that ``--by`` would choose among those evaluated.
"""

import argparse
import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np
from processes import processes
from walk import paid, reached, volumes, walk  # makes the project importable, too

from evaluators.ladder import parse_ladder
from evaluators.table import Table, flat_space, read_table, scorer
from results.front import hypervolume
from results.ledger import Outcome
from search.loop.goal import Goal
from search.samplers import SAMPLERS
from spaces.find import make_space


@dataclass(frozen=True, kw_only=True)
class Trial:
    """What one search is: see the options of the command line."""

    table: str
    space: str
    blanks: tuple[str, ...]
    objectives: tuple[str, ...]
    reference: tuple[float, ...]
    fidelities: tuple[str, ...]
    candidates: int
    batch: int
    by: str
    chosen: str


def one_search(trial: Trial, sampler: str, seed: int) -> dict[str, object]:
    """Share of the exact hypervolume after each evaluation [candidates], the choice, seconds a suggestion."""
    goal = Goal(objectives=trial.objectives)
    if trial.reference:
        goal = Goal(objectives=trial.objectives, reference=dict(zip(goal.objectives, trial.reference, strict=True)))
    goal = replace(goal, ladder=parse_ladder(trial.fidelities, goal.objectives))
    readings = [column for rung in goal.ladder for column in rung.readings.values()]
    space = None if trial.space == "table" else make_space(trial.space)[0]
    options = {name: space.options(name) for name in space.blanks} if space else dict.fromkeys(trial.blanks)
    further = {"constraints": [trial.by, trial.chosen], "readings": readings}
    table = read_table(trial.table, blanks=options, objectives=goal.objectives, **further)
    space = space or flat_space(table)
    score = scorer(table, space, goal.objectives, goal.ladder)
    history, spent = walk(space, score, goal, sampler, seed=seed, candidates=trial.candidates, batch=trial.batch)
    ok = [outcome.score for outcome in history if outcome.score.state == "ok"]
    best = max(ok, key=lambda score: score.figure(trial.by))
    return {
        "shares": paid(history, shares(goal, history, table)),
        "chosen": best.figure(trial.chosen),
        "seconds": spent / len(history),
    }


def shares(goal: Goal, history: Sequence[Outcome], table: Table) -> list[float]:
    """Share of the table's hypervolume after each outcome; without a reference point, from its worst row."""
    rows = np.stack([table.figures[name] for name in goal.objectives], axis=1)
    rows = rows[np.isfinite(rows).all(axis=1)]
    worst = (rows * goal.senses).min(axis=0) * goal.senses
    reference = [goal.reference[name] for name in goal.objectives] if goal.reference else worst
    exact = hypervolume(rows, goal.senses, reference)
    return [volume / exact for volume in volumes(goal, history, reference)]


def main() -> None:
    """Searches, prints the table, and writes what was asked for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--table", required=True)
    parser.add_argument("--space", default="spikenas-bench")
    parser.add_argument("--blanks", default="", help="of a flat space: --space table")
    parser.add_argument("--objectives", default="val_acc_last:max,synops_M:min")
    parser.add_argument("--reference", default="80,1000", help="of the hypervolume, one number an objective; or empty")
    parser.add_argument("--fidelities", default="", help="as in `launch.py search`; evaluations are then paid in parts")
    parser.add_argument("--samplers", default=",".join(SAMPLERS))
    parser.add_argument("--candidates", type=int, default=200)
    parser.add_argument("--batch", type=int, default=5)
    parser.add_argument("--seeds", type=int, default=20)
    parser.add_argument("--first-seed", type=int, default=0)
    parser.add_argument("--by", default="val_acc_last")
    parser.add_argument("--chosen", default="test_acc")
    parser.add_argument("--processes", type=int, default=1)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--plot", type=Path, help="an HTML page of hypervolume against evaluations")
    options = parser.parse_args()
    trial = Trial(
        table=options.table,
        space=options.space,
        blanks=tuple(filter(None, options.blanks.split(","))),
        objectives=tuple(options.objectives.split(",")),
        reference=tuple(float(x) for x in options.reference.split(",") if x),
        fidelities=tuple(filter(None, options.fidelities.split(","))),
        candidates=options.candidates,
        batch=options.batch,
        by=options.by,
        chosen=options.chosen,
    )
    marks = [n for n in (20, 50, 100, 120, 200, 400, 1000) if n <= options.candidates]
    seeds = range(options.first_seed, options.first_seed + options.seeds)
    print(f"{'sampler':<11}" + "".join(f"{f'share at {n}':>19}" for n in marks), end="")
    print(f"{trial.chosen[:12] + ' by ' + trial.by[:12]:>30}{'ms a suggestion':>18}")
    found = {}
    with processes(options.processes) as pool:
        for sampler in options.samplers.split(","):
            runs = list(pool.map(partial(one_search, trial, sampler), seeds))
            found[sampler] = runs
            cells = []
            for n in marks:
                at = [run["shares"][min(n, len(run["shares"])) - 1] for run in runs]
                cells.append(f"{f'{np.mean(at):.4f} ({np.std(at):.4f})':>19}")
            chosen, seconds = [run["chosen"] for run in runs], np.mean([run["seconds"] for run in runs])
            print(f"{sampler:<11}{''.join(cells)}{f'{np.mean(chosen):.3f} ({np.std(chosen):.3f})':>30}", end="")
            print(f"{1e3 * seconds:>18.1f}", flush=True)
    say_when(found, marks)
    if options.json:
        options.json.write_text(json.dumps({"options": vars(options), "runs": found}, default=str))
    if options.plot:
        plot(found, options.plot)


def say_when(found: dict[str, list[dict]], marks: Sequence[int]) -> None:
    """Prints after how many evaluations each sampler's mean has what TPE's has at the end."""
    if "tpe" not in found:
        return
    target = np.mean([run["shares"][-1] for run in found["tpe"]])
    print(f"\nevaluations to tpe's {target:.4f} at {marks[-1]} (mean curve)")
    for sampler, runs in found.items():
        shortest = min(len(run["shares"]) for run in runs)
        curve = np.mean([run["shares"][:shortest] for run in runs], axis=0)
        print(f"{sampler:<11}{reached(curve, target) or 'not reached':>12}")


def plot(found: dict[str, list[dict]], path: Path) -> None:
    """Mean and standard error of the shares against evaluations."""
    import plotly.graph_objects as go

    figure = go.Figure()
    for sampler, runs in found.items():
        shortest = min(len(run["shares"]) for run in runs)
        curves = np.array([run["shares"][:shortest] for run in runs])
        mean, error = curves.mean(axis=0), curves.std(axis=0) / np.sqrt(len(curves))
        x = np.arange(1, shortest + 1)
        figure.add_trace(go.Scatter(x=x, y=mean, name=sampler, error_y={"array": error, "thickness": 0.4, "width": 0}))
    figure.update_layout(
        xaxis_title="evaluations", yaxis_title="share of the exact hypervolume", yaxis_range=[0.7, 1], template="none"
    )
    figure.write_html(path, include_plotlyjs=True)


if __name__ == "__main__":
    main()
