"""Lottery tickets against their dense twin: accuracy, spikes, energy and what finding them costs.

    python tests/benchmarks/tickets.py --out tickets.json -- --data fashion-mnist --data-dir ~/data --timesteps 4

For every seed AutoSNN's published cell is trained dense, by iterative magnitude pruning to the given sparsities, at
random, as Early-Bird and as Early-Bird with Early-Time. What is done is kept beside ``--out``, not done again. Options
after ``--`` are those of ``launch.py search``; accuracy is on the test split, in mean over seeds.
"""

import argparse
import json
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from options import parse  # makes the project importable, too
from torch import nn
from torch.nn import functional as F

from evaluators.building import build_alone, set_initial
from evaluators.energy import energy_nj
from evaluators.evaluation import evaluate
from evaluators.pruning.making import Making, dense, inside
from evaluators.pruning.masks import sparsity_of
from evaluators.pruning.methods import METHODS
from evaluators.setting import Setting
from evaluators.tasks.task import Split, Task
from search.options.config import matched
from search.setting import config_space, load_config_task, make_setting
from spaces.candidate import Candidate
from spaces.files import write_atomic
from spaces.seeds import torch_generator


def smaller(task: Task, size: int) -> Task:
    """The task with its images averaged down to ``size`` x ``size``."""

    def shrunk(split: Split) -> Split:
        images = F.interpolate(split.images.float(), (size, size), mode="area").round().to(torch.uint8)
        return Split(images.contiguous(memory_format=torch.channels_last), split.labels)

    spec = replace(task.spec, height=size, width=size)
    splits = {name: shrunk(getattr(task, name)) for name in ("train", "validation", "test")}
    return replace(task, spec=spec, **splits)


def measured(setting: Setting, network: nn.Module) -> dict[str, Any]:
    """Accuracy on the test split, and counts a sample."""
    found = evaluate(network, setting.task, setting.task.test, device=setting.device)
    counts = found.counts
    figures = {
        "spikes": counts.mean("spikes"),
        "sops": counts.mean("sops"),
        "energy_nj": energy_nj(counts, setting.model),
    }
    return {"test_accuracy": found.accuracy} | figures


def run(setting: Setting, options: argparse.Namespace, seed: int, home: Path) -> list[dict[str, Any]]:
    """One seed: the dense twin and every ticket, a row each."""
    candidate = Candidate(setting.space.published[options.cell])

    def build() -> nn.Module:
        network = build_alone(setting, candidate)
        set_initial(network, setting.recipe, torch_generator(seed, "tickets", "weights"))
        return network

    plan = replace(setting.recipe.plan, epochs=options.epochs, time_schedule=())
    making = Making(
        build=build,
        task=setting.task,
        plan=plan,
        seed=seed,
        folder=home,
        match=options.match,
        device=setting.device,
        rewind=options.rewind,
    )
    network, _, cost = dense(making)
    rows = [{"seed": seed, "method": "dense", "sparsity": 0.0, "train": asdict(cost)} | measured(setting, network)]
    print(json.dumps(rows[0]), flush=True)
    for method, sparsities in options.methods.items():
        mine = making if method == "imp" else inside(making, method)
        for ticket in METHODS[method](mine, sparsities):
            row = {"seed": seed, "method": method, "sparsity": sparsity_of(ticket.network), "notes": ticket.notes}
            row |= {"find": asdict(ticket.find), "train": asdict(ticket.train)} | measured(setting, ticket.network)
            print(json.dumps(row), flush=True)
            rows.append(row)
    return rows


def main() -> None:
    """Makes tickets for every seed and prints the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cell", default="AutoSNN")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--epochs", type=int, default=20)
    parser.add_argument("--rewind", type=int, default=1)
    parser.add_argument("--size", type=int, help="average images down to this many pixels a side")
    parser.add_argument("--test-samples", type=int, help="measure on the first of the test split only")
    parser.add_argument("--imp", type=float, nargs="*", default=[0.7, 0.9, 0.95])
    parser.add_argument("--random", type=float, nargs="*", default=[0.95])
    parser.add_argument("--early", type=float, nargs="*", default=[0.7], help="of early-bird and eb+et")
    parser.add_argument("--out", type=Path, required=True)
    options, config = parse(parser)
    options.methods = {
        "imp": options.imp,
        "random": options.random,
        "early-bird": options.early,
        "eb+et": options.early,
    }
    space, config = config_space(config)
    named = {name: getattr(options, name) for name in ("cell", "epochs", "rewind", "size")}
    options.match = json.dumps(named | matched(config))  # what is kept may be moved, and more asked of it later
    task = load_config_task(config, space)
    task = smaller(task, options.size) if options.size else task
    test = Split(task.test.images[: options.test_samples], task.test.labels[: options.test_samples])
    setting = make_setting(config, space, replace(task, test=test))
    rows: list[dict[str, Any]] = []
    for seed in options.seeds:
        rows += run(setting, options, seed, options.out.with_suffix("") / str(seed))
        write_atomic(options.out, json.dumps(rows, indent=1) + "\n")
    print(f"{'method':<12}{'sparsity':>9}{'test acc':>10}{'std':>7}{'spikes':>9}{'nJ':>9}{'find: B x T':>14}{'s':>7}")
    keys = list(dict.fromkeys((row["method"], round(row["sparsity"], 4)) for row in rows))
    for method, sparsity in keys:
        mine = [row for row in rows if (row["method"], round(row["sparsity"], 4)) == (method, sparsity)]
        accuracy = [row["test_accuracy"] for row in mine]
        spikes, energy = (np.mean([row[name] for row in mine]) for name in ("spikes", "energy_nj"))
        steps, seconds = (np.mean([row.get("find", {}).get(k, 0) for row in mine]) for k in ("sample_steps", "seconds"))
        print(
            f"{method:<12}{sparsity:>9.3f}{np.mean(accuracy):>10.4f}{np.std(accuracy):>7.4f}{spikes:>9.0f}{energy:>9.0f}"
            f"{steps:>14,.0f}{seconds:>7.0f}"
        )


if __name__ == "__main__":
    main()
