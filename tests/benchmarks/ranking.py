"""Whether the supernet ranks as training alone does: Kendall's tau against candidates trained alone, under its ceiling.

    python tests/benchmarks/ranking.py --data fashion-mnist --data-dir ~/data --train-samples 6000 --out ranking.json

Trains random candidates alone with two seeds, then a supernet for every variant, and scores the same candidates out of
it. Tau between the two seeds of training alone is the ceiling that noise sets; a supernet is compared with each seed
and the mean of the two taus is shown. With ``--adapt`` candidates are scored once more after so many epochs of training
from the weights they inherit. What is done is kept in ``--out`` and not done again. Works for any space: options after
``--`` are those of ``launch.py search``, for all of it.
"""

import argparse
import json
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from options import parse  # makes the project importable, too
from torch import nn

from evaluators.evaluation import evaluate
from evaluators.setting import Setting
from evaluators.supernet import build_alone, score_from_supernet, score_of, set_initial, train_supernet
from evaluators.training import fit
from results.trust import agreement
from search.finalists import pruned_as_asked
from search.job import config_space, load_config_task, make_setting
from spaces.candidate import Candidate
from spaces.files import write_atomic
from spaces.seeds import derive, numpy_generator, torch_generator
from spaces.weights import inherit

FIGURES = ("accuracy", "spikes", "energy_nj")
VARIANTS = {
    "default": {},
    "separate weights": {"supernet_weights": "separate"},
    "no recalibration": {"recalibration_samples": 0},
    "separate, no recalibration": {"supernet_weights": "separate", "recalibration_samples": 0},
    "full T throughout": {"time_schedule": "full"},
    "uniform": {"path_rule": "uniform"},
    "fair": {"path_rule": "fair"},
    "fair, 5 paths": {"path_rule": "fair", "paths": 5},
    "sandwich, 3 paths": {"path_rule": "sandwich", "paths": 3},
    "tet": {"loss": "tet"},
    "uniform init": {"kernel_init": "uniform"},
}


def draw(setting: Setting, count: int) -> list[Candidate]:
    """Distinct random candidates."""
    rng = numpy_generator(0, "ranking candidates")
    found: dict[str, Candidate] = {}
    while len(found) < count:
        candidate = setting.space.sample(rng)
        found.setdefault(candidate.key, candidate)
    return list(found.values())


def train_alone(setting: Setting, candidate: Candidate, *, seed: int, epochs: int) -> dict[str, Any]:
    """What a candidate reaches from new weights, on the validation split and, with more samples, on the test split."""
    network = build_alone(setting, candidate)
    set_initial(network, setting.recipe, torch_generator(seed, "alone", "weights"))
    return train(setting, candidate, network, seed=derive(seed, "alone"), epochs=epochs)


def adapt(setting: Setting, supernet: nn.Module, candidate: Candidate, *, epochs: int) -> dict[str, Any]:
    """The same from inherited weights."""
    network = build_alone(setting, candidate)
    inherit(network, supernet)
    return train(setting, candidate, network, seed=derive(setting.seed, "adapt"), epochs=epochs)


def train(setting: Setting, candidate: Candidate, network: nn.Module, *, seed: int, epochs: int) -> dict[str, Any]:
    """Trains a candidate's network, and what it then scores."""
    start = time.perf_counter()
    plan = replace(setting.recipe.plan, epochs=epochs, time_schedule=())
    rule = pruned_as_asked(network, candidate)
    fit(network, setting.task, plan, seed=seed, device=setting.device, after_step=rule)
    seconds = time.perf_counter() - start
    validation = evaluate(network, setting.task, setting.task.validation, device=setting.device)
    score = score_of(setting, candidate, network, validation, fidelity="trained", seconds=seconds)
    test = evaluate(network, setting.task, setting.task.test, device=setting.device)
    row = {name: getattr(score, name) for name in FIGURES}
    return row | {"test_accuracy": test.accuracy, "seconds": seconds}


def score_all(setting: Setting, candidates: Sequence[Candidate], adapted: Sequence[int]) -> dict[str, Any]:
    """Scores of candidates out of one new supernet, adapted ones too, and what it cost."""
    start = time.perf_counter()
    supernet, _ = train_supernet(setting)
    seconds = time.perf_counter() - start
    scores = {c.key: score_from_supernet(setting, supernet, c) for c in candidates}
    rows = {key: {name: getattr(score, name) for name in FIGURES} for key, score in scores.items()}
    plan = setting.recipe.plan
    return {
        "scores": rows,
        "adapted": {str(e): {c.key: adapt(setting, supernet, c, epochs=e) for c in candidates} for e in adapted},
        "seconds": seconds,
        "cost": plan.cost(setting.space.timesteps) * setting.recipe.paths,
        "epochs": plan.epochs,
    }


def once(kept: dict[str, Any], path: Path, name: str, work: Callable[[], Any]) -> Any:
    """What ``work`` gives, from the file if it stands there."""
    if name not in kept:
        kept[name] = work()
        write_atomic(path, json.dumps(kept))
        print(f"done: {name}, {kept[name]['seconds']:.0f} s", file=sys.stderr, flush=True)
    return kept[name]


def column(rows: list[dict[str, Any]], name: str) -> np.ndarray:
    """A figure of all candidates; one that is missing counts as the worst. A supernet is seen on one split alone."""
    found = [row.get(name, row[name.removeprefix("test_")]) for row in rows]
    return np.array([0.0 if value is None else value for value in found])


def table(alone: list[list[dict[str, Any]]], variants: dict[str, list[dict[str, Any]]]) -> str:
    """Taus with 95 % intervals: the ceiling, then each variant against each seed of training alone."""
    names = ("accuracy", "test_accuracy", "spikes", "energy_nj")
    lines = [f"{'':<34}{'cost':>6}{'mean acc':>10}" + "".join(f"{name:>28}" for name in names)]

    def line(title: str, cost: str, mean: float, pairs: dict[str, list[tuple[np.ndarray, np.ndarray]]]) -> str:
        cells = ""
        for name in names:
            found = [agreement(one, other) for one, other in pairs[name]]
            tau, low, high = (np.mean([getattr(f, field) for f in found]) for field in ("tau", "low", "high"))
            cells += f"{tau:>10.2f} ({low:>5.2f} to {high:>5.2f})"
        return f"{title:<34}{cost:>6}{mean:>10.3f}{cells}"

    ceiling = {name: [(column(alone[0], name), column(alone[1], name))] for name in names}
    mean = float(np.mean([column(rows, "accuracy").mean() for rows in alone]))
    lines.append(line("alone, seed 0 against seed 1", "", mean, ceiling))
    for title, runs in variants.items():
        pairs = {
            name: [(column(run["rows"], name), column(rows, name)) for run in runs for rows in alone] for name in names
        }
        mean = float(np.mean([column(run["rows"], "accuracy").mean() for run in runs]))
        lines.append(line(title, f"{np.mean([run['cost'] for run in runs]):.2f}", mean, pairs))
    return "\n".join(lines)


def main() -> None:
    """Does what is not done yet, and prints the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--epochs", type=int, default=8, help="of training alone")
    parser.add_argument("--candidates", type=int, default=20)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0], help="of supernets")
    parser.add_argument(
        "--adapt", type=int, nargs="*", default=[], metavar="EPOCHS", help="train these from the supernet"
    )
    parser.add_argument("--variants", nargs="*", default=list(VARIANTS), choices=list(VARIANTS), metavar="NAME")
    parser.add_argument("--out", type=Path, required=True, help="JSON; gone on with if it is there")
    options, base = parse(parser)
    space, base = config_space(base)
    task = load_config_task(base, space)
    setting = make_setting(base, space, task)
    candidates = draw(setting, options.candidates)
    kept = json.loads(options.out.read_text()) if options.out.exists() else {}
    variants: dict[str, list[dict[str, Any]]] = {}
    for title in options.variants:
        for seed in options.seeds:
            changed = make_setting(replace(base, seed=seed, **VARIANTS[title]), space, task)
            name = json.dumps([title, seed, changed.recipe.plan.epochs, *options.adapt])
            run = once(kept, options.out, name, lambda changed=changed: score_all(changed, candidates, options.adapt))
            found = {title: run["scores"]}
            found |= {f"{title}, adapted {epochs}": run["adapted"][str(epochs)] for epochs in options.adapt}
            for words, scores in found.items():
                rows = [scores[candidate.key] for candidate in candidates]
                variants.setdefault(words, []).append(run | {"rows": rows})
    alone: list[list[dict[str, Any]]] = [[], []]
    for candidate in candidates:
        for seed, rows in enumerate(alone):
            name = json.dumps(["alone", seed, options.epochs, candidate.key])
            rows.append(
                once(
                    kept,
                    options.out,
                    name,
                    lambda c=candidate, s=seed: train_alone(setting, c, seed=s, epochs=options.epochs),
                )
            )
    print(f"{options.candidates} candidates of {space.name} on {task.name}, {options.epochs} epochs alone")
    print(table(alone, variants))


if __name__ == "__main__":
    main()
