"""Whether the supernet ranks as training alone does: Kendall's tau against candidates trained alone, under its ceiling.

    python tests/benchmarks/ranking.py --data fashion-mnist --data-dir ~/data --train-samples 6000 --out DIR

Trains random candidates alone with two seeds, then a supernet for every variant, and scores the same candidates out of
it. With ``--adapt`` they are scored once more after so many epochs of training from the weights that they inherit from
the first variant. Tau between the two seeds of training alone is the ceiling that noise sets. The first table compares
every supernet with each seed and shows the mean of the two taus; the second compares it with the mean of both seeds'
figures, which have less noise than either's. Accuracy is shown on the validation split, as a search sees it, and on the
test split, which has more samples; counts are the validation split's. Lines of separability and alignment hold those of
the validation split (``evaluators.readings``) against accuracy on either. What is done is kept in ``--out`` and not
done again. Works for any space: options after ``--`` are those of ``launch.py search``, for all of it.
"""

import argparse
import json
import sys
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, wait
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from options import parse  # makes the project importable, too
from processes import processes
from torch import nn

from evaluators.building import build_alone, set_initial
from evaluators.evaluation import evaluate, recalibrate
from evaluators.few_shot import supernet_of
from evaluators.inherited import score_from_supernet
from evaluators.scores import score_of
from evaluators.setting import Setting
from evaluators.supernet import train_supernet
from evaluators.training import fit
from results.folder import match_hash
from results.trust import agreement
from search.options.config import change, matched
from search.setting import config_space, load_config_task, make_setting
from search.work.finalists import pruned_as_asked
from spaces.candidate import READINGS, Candidate, Score
from spaces.files import write_atomic
from spaces.seeds import derive, numpy_generator, torch_generator
from spaces.weights import inherit

FIGURES = ("accuracy", *READINGS, "spikes", "energy_nj")  # of a score
COLUMNS = ("accuracy", "test_accuracy", "spikes", "energy_nj")
VARIANTS: dict[str, dict[str, Any]] = {
    "default": {},
    "separate weights": {"supernet_weights": "separate"},
    "no recalibration": {"recalibration_samples": 0},
    "separate, no recalibration": {"supernet_weights": "separate", "recalibration_samples": 0},
    "full T throughout": {"time_schedule": "full"},
    "40 epochs": {"supernet_epochs": 40},
    "uniform": {"path_rule": "uniform"},
    "fair": {"path_rule": "fair"},
    "fair, 5 paths": {"path_rule": "fair", "paths": 5},
    "sandwich, 3 paths": {"path_rule": "sandwich", "paths": 3},
    "tet": {"loss": "tet"},
    "uniform init": {"kernel_init": "uniform"},
    "threshold balancing": {"threshold_balancing": True},
    "four side by side": {"supernets": 4},
}
SEEDS_ALONE = (0, 1)

Row = dict[str, Any]  # figures of one candidate, and the seconds they took


class Job(NamedTuple):
    """A supernet's training and scores, or one candidate's training: from what it inherits there, or alone."""

    kind: str  # "supernet", "adapted" or "alone"
    seed: int  # of the supernet, or of training alone
    variant: str = ""
    epochs: int = 0  # of the candidate's training
    candidate: str = ""  # its key


class Bench:
    """What the command line asks for; made once in every process."""

    def __init__(self) -> None:
        self.options, base = parse(command_line())
        self.space, self.base = config_space(base)
        self.task = load_config_task(self.base, self.space)
        self.setting = replace(make_setting(self.base, self.space, self.task), readings=READINGS)
        self.candidates = {c.key: c for c in draw(self.setting, self.options.candidates, skip=self.options.skip)}

    def jobs(self) -> list[Job]:
        """All but the adaptations; supernets first, since those wait for them."""
        supernets = [Job("supernet", seed, variant) for variant in self.options.variants for seed in self.options.seeds]
        alone = [
            Job("alone", seed, epochs=self.options.epochs, candidate=c) for c in self.candidates for seed in SEEDS_ALONE
        ]
        return supernets + alone

    def adaptations(self, supernet: Job) -> list[Job]:
        """What is trained on from a supernet of the first variant, once that is trained."""
        wanted = supernet.kind == "supernet" and supernet.variant == self.options.variants[0]
        epochs = self.options.adapt if wanted else []
        return [supernet._replace(kind="adapted", epochs=e, candidate=c) for e in epochs for c in self.candidates]

    def do(self, job: Job) -> Row:
        """The figures that a job is for: a candidate's, or under "scores" all candidates'."""
        start = time.perf_counter()
        if job.kind == "alone":
            row = train_alone(self.setting, self.candidates[job.candidate], seed=job.seed, epochs=job.epochs)
        else:
            config = change(self.base, seed=job.seed, **VARIANTS[job.variant])
            setting = replace(make_setting(config, self.space, self.task), readings=READINGS)
            place = self.options.out / f"supernet-{job.variant.replace(' ', '-')}-{job.seed}.safetensors"
            match = match_hash(matched(config))
            supernet, _ = train_supernet(setting, checkpoint=place, match=match)  # one that is trained is only read
            if job.kind == "supernet":
                row = {"scores": {key: score_both(setting, supernet, c) for key, c in self.candidates.items()}}
                recipe = setting.recipe
                share = 1 + len(recipe.families(self.space)) * recipe.few_shot_epochs / recipe.plan.epochs
                row["cost"] = recipe.plan.cost(self.space.timesteps) * recipe.paths * share * recipe.supernets
            else:
                row = adapt(setting, supernet, self.candidates[job.candidate], epochs=job.epochs)
        return row | {"seconds": time.perf_counter() - start}


def draw(setting: Setting, count: int, *, skip: int) -> list[Candidate]:
    """Distinct random candidates; without so many that come first."""
    rng = numpy_generator(0, "ranking candidates")
    found: dict[str, Candidate] = {}
    while len(found) < skip + count:
        candidate = setting.space.sample_sound(rng)
        found.setdefault(candidate.key, candidate)
    return list(found.values())[skip:]


def score_both(setting: Setting, supernet: nn.Module, candidate: Candidate) -> Row:
    """A candidate's figures out of a supernet, its accuracy on either split."""
    on_test = replace(setting, task=replace(setting.task, validation=setting.task.test), readings=())
    tested = score_from_supernet(on_test, supernet, candidate)
    return figures(score_from_supernet(setting, supernet, candidate)) | {"test_accuracy": tested.accuracy}


def figures(score: Score) -> Row:
    """What is ranked of a score."""
    return {name: score.figure(name) for name in FIGURES}


def train_alone(setting: Setting, candidate: Candidate, *, seed: int, epochs: int) -> Row:
    """What a candidate reaches from new weights."""
    network = build_alone(setting, candidate)
    set_initial(network, setting.recipe, torch_generator(seed, "alone", "weights"))
    return train(setting, candidate, network, seed=derive(seed, "alone"), epochs=epochs)


def adapt(setting: Setting, supernet: nn.Module, candidate: Candidate, *, epochs: int) -> Row:
    """The same from inherited weights."""
    network = build_alone(setting, candidate)
    inherit(network, supernet_of(supernet, candidate))
    return train(setting, candidate, network, seed=derive(setting.seed, "adapt"), epochs=epochs)


def train(setting: Setting, candidate: Candidate, network: nn.Module, *, seed: int, epochs: int) -> Row:
    """Trains a candidate's network, and what it then reaches."""
    plan = replace(setting.recipe.plan, epochs=epochs, time_schedule=())
    rule = pruned_as_asked(network, candidate)
    fit(network, setting.task, plan, seed=seed, device=setting.device, after_step=rule)
    samples = setting.recipe.recalibration_samples
    recalibrate(network, setting.task, samples=samples, seed=setting.seed, device=setting.device)
    validation = evaluate(
        network, setting.task, setting.task.validation, device=setting.device, with_readings=bool(setting.readings)
    )
    score = score_of(setting, candidate, network, validation, fidelity="trained", seconds=0.0)
    test = evaluate(network, setting.task, setting.task.test, device=setting.device)
    return figures(score) | {"test_accuracy": test.accuracy}


def work(bench: Bench, done: dict[str, Row]) -> Iterator[tuple[Job, Row]]:
    """Does what is not done yet, in as many processes as asked for, and gives each as it ends.

    One candidate after the other, so that what was broken off has whole figures of the first ones.
    """
    numbers = {key: number for number, key in enumerate(bench.candidates)}

    def due(jobs: list[Job]) -> list[Job]:
        left = [job for job in jobs if name_of(job) not in done]
        return sorted(left, key=lambda job: numbers.get(job.candidate, -1))

    jobs = bench.jobs()
    pending = due(jobs + [one for job in jobs if name_of(job) in done for one in bench.adaptations(job)])
    with processes(bench.options.processes) as pool:
        running: dict[Future[Row], Job] = {}
        while pending or running:
            while pending and len(running) < bench.options.processes:
                job = pending.pop(0)
                running[pool.submit(do, job)] = job
            for future in wait(running, return_when=FIRST_COMPLETED).done:
                job = running.pop(future)
                yield job, future.result()
                pending = due(pending + bench.adaptations(job))


@cache
def bench() -> Bench:
    """This process's."""
    return Bench()


def do(job: Job) -> Row:
    """A job, in a process of its own."""
    return bench().do(job)


def in_words(bench: Bench, job: Job) -> str:
    """A job, for who waits for it."""
    if job.kind == "supernet":
        return f"supernet {job.variant}, seed {job.seed}"
    source = f"from {job.variant}" if job.variant else "alone"
    number = list(bench.candidates).index(job.candidate) + 1
    return f"candidate {number} of {len(bench.candidates)} {source}, seed {job.seed}, {job.epochs} epochs"


def name_of(job: Job) -> str:
    """What a job's row is kept under."""
    return json.dumps(job)


def column(rows: Sequence[Row], name: str) -> np.ndarray:
    """A figure of all candidates; one that is missing counts as the worst."""
    return np.array([row[name] or 0.0 for row in rows])


def row_of(title: str, cost: str, mean: float, pairs: list[tuple[list[Row], list[Row]]]) -> str:
    """A line of a table: taus of pairs of rankings in mean, with their 95 % intervals."""
    cells = ""
    for name in COLUMNS:
        each = [agreement(column(one, name), column(other, name)) for one, other in pairs]
        tau, low, high = (np.mean([getattr(a, field) for a in each]) for field in ("tau", "low", "high"))
        cells += f"{tau:>10.2f} ({low:>5.2f} to {high:>5.2f})"
    return f"{title:<40}{cost:>6}{mean:>10.3f}{cells}"


def tables(bench: Bench, done: dict[str, Row]) -> Iterator[str]:
    """Lines: the ceiling, then every variant against each seed of training alone, then against their mean."""
    keys, jobs = list(bench.candidates), bench.jobs()
    alone = [[done[name_of(j)] for j in jobs if j.kind == "alone" and j.seed == seed] for seed in SEEDS_ALONE]
    both = [
        {name: np.mean([row[name] or 0.0 for row in rows]) for name in COLUMNS} for rows in zip(*alone, strict=True)
    ]
    found: dict[str, list[list[Row]]] = {}
    costs: dict[str, float] = {}
    for job in jobs:
        if job.kind == "supernet":
            costs[job.variant] = done[name_of(job)]["cost"]
            found.setdefault(job.variant, []).append([done[name_of(job)]["scores"][key] for key in keys])
            for one in bench.adaptations(job)[:: len(keys)]:
                rows = [done[name_of(one._replace(candidate=key))] for key in keys]
                found.setdefault(f"{job.variant}, adapted {one.epochs}", []).append(rows)
    yield f"{'':<40}{'cost':>6}{'test acc':>10}" + "".join(f"{name:>28}" for name in COLUMNS)
    yield row_of("alone, seed 0 against seed 1", "", accuracy_of(both), [(alone[0], alone[1])])
    for words, truths in (("each seed", alone), ("the mean of both", [both])):
        yield f"against {words}"
        for title, runs in found.items():
            cost = f"{costs[title]:.2f}" if title in costs else ""
            mean = float(np.mean([accuracy_of(rows) for rows in runs]))
            yield row_of(title, cost, mean, [(rows, truth) for rows in runs for truth in truths])
            for reading in READINGS:
                if all(reading in row for rows in runs for row in rows):
                    pairs = [(told_by(reading, rows), truth) for rows in runs for truth in truths]
                    yield row_of(f"{title}, {reading}", cost, mean, pairs)


def told_by(reading: str, rows: Sequence[Row]) -> list[Row]:
    """The rows with a reading in place of accuracy."""
    return [row | dict.fromkeys(("accuracy", "test_accuracy"), row[reading]) for row in rows]


def accuracy_of(rows: Sequence[Row]) -> float:
    """Mean test accuracy."""
    return float(column(rows, "test_accuracy").mean())


def main() -> None:
    """Does what is not done yet, and prints the tables."""
    here = bench()
    out = here.options.out
    out.mkdir(parents=True, exist_ok=True)
    path, asked = out / "ranking.json", matched(here.base)
    kept = json.loads(path.read_text()) if path.exists() else {"options": asked, "done": {}}
    if kept["options"] != asked:
        sys.exit(f"{path} holds another experiment: its options behind -- were different. Give another --out.")
    for name, row in list(kept["done"].items()):
        if not here.candidates.keys() <= row.get("scores", here.candidates).keys():
            del kept["done"][name]  # more candidates are asked for than were scored out of that supernet
    for job, row in work(here, kept["done"]):
        kept["done"][name_of(job)] = row
        write_atomic(path, json.dumps(kept))
        print(f"done: {in_words(here, job)}, {row['seconds']:.0f} s", file=sys.stderr, flush=True)
    what = f"{len(here.candidates)} candidates of {here.space.name} on {here.task.name}"
    print(f"{what}, {here.options.epochs} epochs alone")
    print("\n".join(tables(here, kept["done"])))


def command_line() -> argparse.ArgumentParser:
    """The benchmark's own options."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--epochs", type=int, default=8, help="of training alone")
    parser.add_argument("--candidates", type=int, default=20)
    parser.add_argument(
        "--skip", type=int, default=0, help="candidates of the same draw that come before, to see others"
    )
    parser.add_argument("--seeds", type=int, nargs="+", default=[0], help="of supernets")
    parser.add_argument(
        "--adapt", type=int, nargs="*", default=[], metavar="EPOCHS", help="train these from the first variant"
    )
    parser.add_argument("--variants", nargs="*", default=list(VARIANTS), choices=list(VARIANTS), metavar="NAME")
    parser.add_argument("--processes", type=int, default=1, help="that share the work")
    parser.add_argument("--out", type=Path, required=True, help="folder of what is done; gone on with if it is there")
    return parser


if __name__ == "__main__":
    main()
