"""Scoring evolved candidates out of one supernet: common beginnings computed once, against one by one.

    python tests/benchmarks/scoring.py --json scoring.json -- --data cifar10 --data-dir ~/data --train-samples 6000

An evolution run decides which candidates are scored, in which order; every candidate is scored both ways in turn, and
the scores must be equal. Options after ``--`` are those of ``launch.py search``. The supernet is trained as these say,
or left at its initial weights by ``--untrained`` (which fire more than trained ones).
"""

import argparse
import json
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path

import torch
from options import parse  # makes the project importable, too

from evaluators.building import set_initial
from evaluators.inherited import score_from_supernet
from evaluators.prefix import PrefixCache
from evaluators.supernet import new_supernet, train_supernet
from results.ledger import Ledger
from search.loop.goal import make_goal
from search.loop.loop import Budget, in_process, search
from search.samplers import SAMPLERS
from search.samplers.auto import AUTO
from search.setting import config_space, load_config_task, make_setting
from spaces import lookup
from spaces.candidate import Candidate, Score
from spaces.seeds import torch_generator


def main() -> None:
    """Runs the search and prints the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--untrained", action="store_true")
    parser.add_argument("--json", type=Path)
    options, config = parse(parser)
    space, config = config_space(config)
    task = load_config_task(config, space)
    setting = make_setting(config, space, task)
    if options.untrained:
        supernet = new_supernet(setting)
        set_initial(supernet, setting.recipe, torch_generator(config.search.seed, "supernet", "weights"))
        supernet.to(setting.device, memory_format=torch.channels_last)
    else:
        supernet, _ = train_supernet(setting)
    score_from_supernet(setting, supernet, space.smallest)  # compiles what is to be compiled
    cache = PrefixCache(config.supernet.prefix_cache_mb)
    seconds: dict[str, list[float]] = {"one by one": [], "common beginnings once": []}
    held = 0

    def score(candidate: Candidate, told: None) -> Score:
        nonlocal held
        marks = [time.perf_counter()]
        for kept in (None, cache) if len(seconds["one by one"]) % 2 else (cache, None):
            found = score_from_supernet(setting, supernet, candidate, cache=kept)
            marks.append(time.perf_counter())
            seconds["one by one" if kept is None else "common beginnings once"].append(marks[-1] - marks[-2])
            scores.append(replace(found, seconds=0.0))
        if scores[-1] != scores[-2]:
            raise SystemExit(f"scores differ: {candidate}: {scores[-2]} and {scores[-1]}")
        held = max(held, cache.held)
        if (done := len(seconds["one by one"])) % 20 == 0:
            means = ", ".join(f"{sum(taken) / done:.3f} s {name}" for name, taken in seconds.items())
            print(f"{done} of {config.search.candidates}: {means}", file=sys.stderr, flush=True)
        return scores[-1]

    scores: list[Score] = []
    with tempfile.TemporaryDirectory() as folder, Ledger.open(Path(folder) / "ledger.jsonl") as ledger:
        name = "evolution" if config.search.sampler == AUTO else config.search.sampler
        sampler, budget = lookup(SAMPLERS, "sampler", name), Budget(candidates=config.search.candidates)
        search(
            space, ledger, sampler, in_process(score), goal=make_goal(config), budget=budget, seed=config.search.seed
        )
    samples, threads = len(task.validation), torch.get_num_threads()
    print(
        f"{len(seconds['one by one'])} candidates of {space.name}, C = {config.space.width}, "
        f"T = {config.space.timesteps}, on"
    )
    print(
        f"{samples} images of {task.name}, {threads} thread(s); all scores equal; at most {held / 2**20:.0f} MiB kept"
    )
    one, shared = (sum(taken) for taken in seconds.values())
    for name, taken in seconds.items():
        print(f"{name:<24}{sum(taken):>8.1f} s{sum(taken) / len(taken):>8.3f} s a candidate")
    print(f"ratio {one / shared:.2f}")
    if options.json:
        options.json.write_text(json.dumps(seconds | {"samples": samples, "threads": threads}))


if __name__ == "__main__":
    main()
