r"""Two kinds of search against each other, by the fronts of their trained finalists: hypervolume, and who leads where.

    python tests/benchmarks/fronts.py --out DIR --seeds 0 1 2 --reference accuracy=0.8,energy_nj=6000 \
        --one "" --other "--search-sparsity 0.95" -- --objectives accuracy,energy_nj --finalists 6

Each seed is searched with the options after ``--`` and those of ``--one``, then with those of ``--other``; every run is
kept below DIR, and one that is there is not run again. Hypervolumes are taken from the reference point, counts on a log
scale, with accuracy on the validation split (which was searched) and on the test split (read once). Where it leads: for
each network on the one's front, how much more accurate the best of the other's is at no more of the second objective.
"""

import argparse
import json
import shlex
from pathlib import Path

import numpy as np
from options import parse, split_at_dashes  # makes the project importable, too
from rich.console import Console
from walk import as_measured

from results.folder import RunFolder
from results.front import hypervolume, pareto_mask
from search.loop.goal import Goal, parse_reference
from search.options.commands import parse_search
from search.run import run_search

SPLITS = {"validation": "val_accuracy", "test": "test_accuracy"}


def main() -> None:
    """Searches, and prints a line a seed and split."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--one", default="", help="options of the one, in quotation marks")
    parser.add_argument("--other", required=True, help="options of the other")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--reference", required=True, help="NAME=X,NAME=X: each objective's worst of interest")
    parser.add_argument("--out", type=Path, required=True)
    (options, config), (_, rest) = parse(parser), split_at_dashes()
    if len(config.goal.objectives) < 2 or config.goal.objectives[0] != "accuracy":
        parser.error("--objectives behind -- must be accuracy and one or more others")
    goal = Goal(objectives=config.goal.objectives, reference=parse_reference(options.reference.split(",")))
    ratios: dict[str, list[float]] = {split: [] for split in SPLITS}
    for seed in options.seeds:
        runs = []
        for kind, own in (("one", options.one), ("other", options.other)):
            out = ["--out", str(options.out / f"{kind}-{seed}")]
            asked = parse_search([*rest, *shlex.split(own), "--seed", str(seed), *out])
            runs.append(run_search(asked, console=Console(stderr=True)))
        for split in SPLITS:
            fronts = [front_of(run, goal, split) for run in runs]
            volumes = [volume_of(front, goal) for front in fronts]
            ratios[split].append(volumes[1] / volumes[0] if volumes[0] else float("inf"))
            print(
                f"seed {seed} {split:<10} hypervolume {volumes[0]:.4f} and {volumes[1]:.4f}: {ratios[split][-1]:.2f} x"
            )
            print("  one:  ", shown(fronts[0]))
            print("  other:", shown(fronts[1]))
            print("  lead: ", leads(*fronts), flush=True)
    for split, found in ratios.items():
        print(f"{split}: {', '.join(f'{ratio:.2f}' for ratio in found)} x, mean {np.mean(found):.2f}")


def front_of(run: RunFolder, goal: Goal, split: str) -> np.ndarray:
    """Objectives of the trained finalists that no other finalist dominates, the cheapest first, [n, objectives]."""
    rows = []
    for path in run.finalists.glob("*/metrics.json"):
        metrics = json.loads(path.read_text())
        rows.append([metrics[SPLITS[split] if name == "accuracy" else name] for name in goal.objectives])
    values = np.array(rows, dtype=float).reshape(len(rows), len(goal.objectives))
    front = values[pareto_mask(values, goal.senses)]
    return front[np.argsort(front[:, 1])]


def volume_of(front: np.ndarray, goal: Goal) -> float:
    """Hypervolume from the goal's reference point, counts as natural logarithms."""
    reference = np.array([[goal.reference[name] for name in goal.objectives]])
    values, (worst,) = as_measured(goal, front, log=True), as_measured(goal, reference, log=True)
    return hypervolume(values, goal.senses, worst)


def shown(front: np.ndarray) -> str:
    """A front in a line."""
    return ", ".join(" @ ".join([f"{row[0]:.4f}", *(f"{value:,.0f}" for value in row[1:])]) for row in front)


def leads(one: np.ndarray, other: np.ndarray) -> str:
    """Of the other over the one, in points of accuracy, at each point of the one's."""
    texts = []
    for accuracy, cost, *_ in one:
        within = other[other[:, 1] <= cost]
        texts.append(f"{100 * (within[:, 0].max() - accuracy):+.1f}" if len(within) else "none so cheap")
    return ", ".join(texts)


if __name__ == "__main__":
    main()
