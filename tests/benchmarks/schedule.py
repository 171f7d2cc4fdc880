"""Supernet quality against training cost: time schedules and numbers of epochs.

    python tests/benchmarks/schedule.py --json schedule.json -- --data digits --timesteps 4

For every schedule, number of epochs and seed a supernet is trained and the same random candidates are scored out of it.
Cost is in epochs at full T. Options after ``--`` are those of ``launch.py search``, for all of it.
"""

import argparse
import json
from pathlib import Path

import numpy as np
from options import parse  # makes the project importable, too
from supernet import measure

from evaluators.plan import Plan
from search.options.config import change
from search.options.rules import parse_time_schedule


def main() -> None:
    """Trains, scores and prints the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--schedules", nargs="+", default=["full", "2:0.8", "1:0.5,2:0.25", "1:0.8"])
    parser.add_argument("--epochs", type=int, nargs="+", default=[4, 8])
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1])
    parser.add_argument("--candidates", type=int, default=12)
    parser.add_argument("--json", type=Path)
    options, base = parse(parser)
    rows = []
    print(f"{'schedule':<16}{'epochs':>8}{'cost':>8}{'train s':>10}{'accuracy min':>14}{'median':>9}{'max':>9}")
    for schedule in options.schedules:
        for epochs in options.epochs:
            config = change(base, time_schedule=schedule, supernet_epochs=epochs)
            found = [measure(change(config, seed=seed), options.candidates) for seed in options.seeds]
            plan = Plan(epochs=epochs, time_schedule=parse_time_schedule(schedule))
            cost = epochs * plan.cost(base.space.timesteps)
            seconds = float(np.mean([one["train_seconds"] for one in found]))
            accuracy = np.concatenate([one["accuracy"] for one in found])
            low, middle, high = accuracy.min(), np.median(accuracy), accuracy.max()
            print(
                f"{schedule:<16}{epochs:>8}{cost:>8.1f}{seconds:>10.1f}{low:>14.3f}{middle:>9.3f}{high:>9.3f}",
                flush=True,
            )
            rows.append({"schedule": schedule, "epochs": epochs, "cost": cost, "runs": found})
    if options.json:
        options.json.write_text(json.dumps(rows, indent=1))


if __name__ == "__main__":
    main()
