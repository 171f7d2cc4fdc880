"""How zero-cost proxies rank networks that others have trained: Kendall's tau with a benchmark table.

    python tests/benchmarks/proxies.py --table cifar10.csv.gz -- --space spikenas-bench --data cifar10 --width 8

Draws random candidates of a space whose blanks are the table's columns, looks at each untrained, and sets every proxy,
the counts at initialisation and the space's own features against the table's columns. With ``--supernet`` a supernet is
trained first, candidates have its weights, and their accuracy, separability, alignment and counts are those that they
score out of it; ``--keep`` keeps it, and one that is broken off goes on from there. ``--no-proxies`` spares the looks
at each candidate, and ``--processes`` share the candidates. Options after ``--`` are those of ``launch.py search``;
``--train-parts 2 --threads 2`` among them train by two threads.
"""

import argparse
import json
import tempfile
import time
from collections.abc import Iterator, Mapping
from dataclasses import replace
from functools import cache, partial
from itertools import islice
from multiprocessing import parent_process
from pathlib import Path

import numpy as np
import torch
from options import parse  # makes the project importable, too
from processes import processes
from torch import nn

from evaluators.checkpoint import drop, load_weights, own_tensors, read_tensors, save_tensors
from evaluators.inherited import score_from_supernet
from evaluators.proxies import PROXIES, score_by_proxies
from evaluators.supernet import checkpoints, new_supernet, train_supernet
from evaluators.table import read_table
from evaluators.workers import Workers, in_parts
from results.folder import match_hash
from results.trust import agreement
from search.options.config import matched
from search.setting import config_space, load_config_task, make_setting
from spaces.candidate import READINGS, Candidate
from spaces.files import write_atomic
from spaces.seeds import numpy_generator

COUNTS = ("spikes", "sops", "macs", "parameters")
SCORED = ("accuracy", *READINGS, *COUNTS)


class Bench:
    """What the command line asks for; made once in every process."""

    def __init__(self) -> None:
        self.options, config = parse(command_line())
        if parent_process() is not None:  # of several, which share the cores
            torch.set_num_threads(max(1, torch.get_num_threads() // self.options.processes))
        space, self.config = config_space(config)
        self.setting = replace(
            make_setting(self.config, space, load_config_task(self.config, space)), readings=READINGS
        )
        self.columns = self.options.against.split(",")
        options = {name: space.options(name) for name in space.blanks}
        self.table = read_table(self.options.table, blanks=options, objectives=self.columns)

    def candidates(self) -> Iterator[tuple[Candidate, int]]:
        """Random candidates that the table holds, and their rows."""
        rows = {values: row for row, values in enumerate(zip(*self.table.blanks.values(), strict=True))}
        rng = numpy_generator(0, "proxies")
        while True:
            candidate = self.setting.space.sample_sound(rng)
            if (row := rows.get(tuple(candidate[name] for name in self.table.blanks))) is not None:
                yield candidate, row

    def train(self, place: Path) -> nn.Module:
        """The supernet; one that is trained is only read."""
        match, training = match_hash(matched(self.config)), place.with_name(f"{place.name}-training")
        if (kept := read_tensors(place, match=match)) is not None:
            supernet = new_supernet(self.setting)
            load_weights(supernet, kept[0])
            return supernet.to(self.setting.device, memory_format=torch.channels_last)

        def part(workers: Workers) -> nn.Module:
            return train_supernet(self.setting, checkpoint=training, match=match, workers=workers)[0]

        supernet = in_parts(part, self.config.workers.train_parts or 1)
        save_tensors(place, own_tensors(supernet), {"match": match})
        for one in checkpoints(training, self.setting):
            drop(one)
        return supernet


@cache
def bench() -> Bench:
    """The one of this process."""
    return Bench()


@cache
def supernet_at(place: Path) -> nn.Module:
    """The supernet that was trained, in this process."""
    return bench().train(place)


def look(candidate: Candidate, *, place: Path | None) -> tuple[Mapping[str, float], float]:
    """A candidate's figures, with weights of the supernet at ``place`` or new ones, and the seconds that they took."""
    here = bench()
    supernet = None if place is None else supernet_at(place)
    start, seen = time.perf_counter(), {}
    if not here.options.no_proxies:
        looked = score_by_proxies(here.setting, candidate, supernet=supernet)
        seen |= {name: looked.figure(name) for name in (*PROXIES, *COUNTS)}
    if supernet is not None:
        score = score_from_supernet(here.setting, supernet, candidate)
        seen |= {name: score.figure(name) or 0.0 for name in SCORED}  # a silent one has none
    return seen | dict(here.setting.space.features(candidate)), time.perf_counter() - start


def command_line() -> argparse.ArgumentParser:
    """The benchmark's own options."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--table", required=True)
    parser.add_argument("--against", default="test_acc,synops_M", help="columns of the table")
    parser.add_argument("--candidates", type=int, default=500)
    parser.add_argument("--supernet", action="store_true", help="look at weights out of a trained supernet")
    parser.add_argument("--keep", type=Path, metavar="FILE", help="keep the supernet's weights here")
    parser.add_argument(
        "--no-proxies", action="store_true", help="with --supernet: no more than what is scored out of it"
    )
    parser.add_argument("--processes", type=int, default=1, help="that share the candidates, and the threads")
    parser.add_argument("--json", type=Path)
    return parser


def main() -> None:
    """Looks, and prints a line a figure."""
    here, start = bench(), time.perf_counter()
    options, columns = here.options, here.columns
    if options.no_proxies and not options.supernet:
        command_line().error("--no-proxies leaves nothing to look at: add --supernet")
    drawn = list(islice(here.candidates(), options.candidates))
    truth = [[here.table.figures[name][row] for name in columns] for _, row in drawn]
    figures, seconds = [], []
    with tempfile.TemporaryDirectory() as folder:
        place = (options.keep or Path(folder) / "supernet.safetensors") if options.supernet else None
        if place is not None:
            supernet_at(place)
            print(f"supernet trained in {time.perf_counter() - start:.0f} s", flush=True)
        with processes(options.processes) as pool:
            spread = pool.map if options.processes > 1 else map
            for seen, taken in spread(partial(look, place=place), [candidate for candidate, _ in drawn]):
                figures.append(seen)
                seconds.append(taken)
                if len(figures) % 50 == 0:
                    since = time.perf_counter() - start
                    print(f"{len(figures)} of {options.candidates} candidates, {since:.0f} s", flush=True)
    print(f"{len(figures)} candidates, {1e3 * np.median(seconds):.0f} ms each (median)")
    print(f"{'tau with':<24}" + "".join(f"{name:>24}" for name in columns))
    found: dict[str, dict[str, list[float]]] = {}
    for name in figures[0]:
        ours, cells = [seen[name] for seen in figures], []
        for index, column in enumerate(columns):
            tau = agreement(ours, [row[index] for row in truth])
            found.setdefault(name, {})[column] = [tau.tau, tau.low, tau.high]
            cells.append(f"{f'{tau.tau:.3f} ({tau.low:.2f} to {tau.high:.2f})':>24}")
        print(f"{name:<24}{''.join(cells)}")
    if options.json:
        write_atomic(
            options.json,
            json.dumps({"options": vars(options), "tau": found, "figures": figures, "truth": truth}, default=str)
            + "\n",
        )


if __name__ == "__main__":
    main()
