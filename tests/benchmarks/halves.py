"""Whether searching the two halves in turn pays: dual against joint and others on real supernet scores.

    python tests/benchmarks/halves.py --seeds 10 --candidates 150 -- --space dualspace --data digits

One supernet is trained; every sampler and seed then searches with scores out of it. Prints the hypervolume (counts on a
log scale, from the worst that any search saw, and accuracy from the floor, below which none of them was to search) and
after what share of its evaluations ``dual`` has what each rival has at its end, seed by seed. Options after ``--`` are
those of ``launch.py search``.
"""

import argparse
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
from options import parse  # makes the project importable, too
from walk import reached, volumes, walk

from evaluators.inherited import score_from_supernet
from evaluators.prefix import PrefixCache
from evaluators.supernet import train_supernet
from search.loop.goal import Goal
from search.work.prepare import prepare_setting
from spaces.candidate import Candidate, Score


def main() -> None:
    """Trains, searches and prints."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--samplers", default="dual,joint,tpe,nsga2,random")
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--candidates", type=int, default=150)
    parser.add_argument("--batch", type=int, default=10)
    parser.add_argument("--json", type=Path)
    options, config = parse(parser)
    config, setting, goal = prepare_setting(config)
    space = setting.space
    supernet, _ = train_supernet(setting)
    print("supernet trained", flush=True)
    known: dict[Candidate, Score] = {}
    cache = PrefixCache(config.supernet.prefix_cache_mb)

    def score(candidate: Candidate) -> Score:
        if candidate not in known:
            known[candidate] = replace(score_from_supernet(setting, supernet, candidate, cache=cache), seconds=0.0)
        return known[candidate]

    runs = {}
    for seed in range(options.seeds):
        for sampler in options.samplers.split(","):
            history, seconds = walk(
                space, score, goal, sampler, seed=seed, candidates=options.candidates, batch=options.batch
            )
            runs[sampler, seed] = history
            best = max((o.score.accuracy for o in history if o.score.state == "ok"), default=0)
            rate = 1e3 * seconds / len(history)
            print(f"seed {seed} {sampler:<10} best accuracy {best:.4f}, {rate:.0f} ms a suggestion", flush=True)
        report(runs, goal, options.samplers.split(","), seed + 1)
        if options.json:
            curves = curves_of(runs, goal)
            options.json.write_text(json.dumps([[*key, curve] for key, curve in curves.items()]))


def curves_of(runs: dict, goal: Goal) -> dict:
    """Hypervolume after each evaluation of every search."""
    ok = [o.score for history in runs.values() for o in history if o.score.state == "ok"]
    worst = (goal.values(ok) * goal.senses).min(axis=0) * goal.senses
    least = {bound.metric: bound.bound for bound in goal.floored(ok).constraints}
    reference = [least.get(name, value) for name, value in zip(goal.objectives, worst, strict=True)]
    return {key: volumes(goal, history, reference, log=True) for key, history in runs.items()}


def report(runs: dict, goal: Goal, samplers: list[str], seeds: int) -> None:
    """Prints how the samplers stand after so many seeds."""
    curves = curves_of(runs, goal)
    full = max(curve[-1] for curve in curves.values())
    for sampler in samplers:
        own = [curves[sampler, seed] for seed in range(seeds)]
        marks = [n for n in (20, 50, 100, 150, 200) if n <= len(own[0])]
        cells = "".join(f"{np.mean([curve[n - 1] for curve in own]) / full:>10.4f}" for n in marks)
        shares = (
            [reached(curves["dual", s], curves[sampler, s][-1]) for s in range(seeds)] if "dual" in samplers else []
        )
        text = [f"{n / len(own[0]):.2f}" if n else "never" for n in shares]
        middle = np.median([n / len(own[0]) if n else 9.0 for n in shares]) if shares else float("nan")
        print(
            f"  {sampler:<10}{cells}   dual there after a share of {middle:.2f} (median): {' '.join(text)}", flush=True
        )


if __name__ == "__main__":
    main()
