"""Seconds a suggestion: every sampler on a large history of a large space, one thread.

    python tests/benchmarks/suggest.py --candidates 1000 --batches 1 20

The space has 60 blanks, half of them categorical, a third floats, the rest integers; the history is random, with three
objectives, of which accuracy is noisy, and failures. Each sampler is asked three times, in turn with the others; the
median counts. The first ask of all, which imports what is needed, does not.
"""

import argparse
import json
import sys
import time
from pathlib import Path

import numpy as np
import torch
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution

sys.path.insert(0, str(Path(__file__).parents[2]))

from results.ledger import Outcome
from search.loop.goal import Goal
from search.samplers import SAMPLERS
from spaces import lookup
from spaces.candidate import Candidate, Score
from spaces.space import Space


def large_space(blanks: int) -> Space:
    """So many blanks: of six, three categorical, two floats, one integer."""
    kinds: list[BaseDistribution] = [
        CategoricalDistribution(("a", "b", "c", "d", "e")),
        FloatDistribution(0.5, 2.0),
        CategoricalDistribution(("a", "b", "c", "d", "e")),
        IntDistribution(1, 8),
        CategoricalDistribution(("none", "concat")),
        FloatDistribution(1.0, 100.0, log=True),
    ]
    made = {f"blank{i}": kinds[i % len(kinds)] for i in range(blanks)}
    return Space(name="large", about="", blanks=made, timesteps=1, build=None)


def history_of(space: Space, n: int, batch: int) -> list[Outcome]:
    """A random history with one failure in twenty."""
    rng = np.random.default_rng(0)

    def score(candidate: Candidate) -> Score:
        if rng.random() < 0.05:
            return Score(state="failed", fidelity="supernet", error="made to fail")
        weight = sum(len(v) if isinstance(v, str) else float(v) for v in candidate.values())
        accuracy = 1 / (1 + np.exp(-weight / 100)) - 0.05 * rng.random()
        return Score(
            state="ok", fidelity="supernet", accuracy=accuracy, spikes=weight * 10, energy_nj=weight**1.2 + rng.random()
        )

    drawn = [space.sample(rng) for _ in range(n)]
    return [Outcome(i, i // batch, candidate, score(candidate)) for i, candidate in enumerate(drawn)]


def main() -> None:
    """Asks all samplers and prints the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--samplers", default=",".join(SAMPLERS))
    parser.add_argument("--candidates", type=int, default=1000)
    parser.add_argument("--blanks", type=int, default=60)
    parser.add_argument("--batches", type=int, nargs="+", default=[1, 20])
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    torch.set_num_threads(1)
    space = large_space(options.blanks)
    history = history_of(space, options.candidates, 20)
    goal = Goal(objectives=("accuracy", "spikes", "energy_nj"))
    samplers = {name: lookup(SAMPLERS, "sampler", name) for name in options.samplers.split(",")}
    seconds: dict[str, list[float]] = {f"{name} {batch}": [] for name in samplers for batch in options.batches}
    for sampler in samplers.values():
        sampler(space, history[:40], 1, 0, goal)
    for repeat in range(options.repeats):
        for name, sampler in samplers.items():
            for batch in options.batches:
                start = time.perf_counter()
                asked = sampler(space, history, batch, repeat, goal)
                seconds[f"{name} {batch}"].append((time.perf_counter() - start) / len(asked))
    print(f"{'sampler':<12}" + "".join(f"{f'ms, batch {batch}':>16}" for batch in options.batches))
    for name in samplers:
        cells = (f"{1e3 * np.median(seconds[f'{name} {batch}']):>16.1f}" for batch in options.batches)
        print(f"{name:<12}{''.join(cells)}")
    if options.json:
        options.json.write_text(json.dumps(seconds))


if __name__ == "__main__":
    main()
