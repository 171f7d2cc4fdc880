"""How zero-cost proxies rank networks that others have trained: Kendall's tau with a benchmark table.

    python tests/benchmarks/proxies.py --table cifar10.csv.gz -- --space spikenas-bench --data cifar10 --width 8

Draws random candidates of a space whose blanks are the table's columns, looks at each untrained, and sets every proxy,
the counts at initialisation and the space's own features against the table's columns. With ``--supernet`` a supernet is
trained first, candidates have its weights, and their accuracy, separability and counts are those that they score out
of it; ``--keep`` keeps it, and one that is broken off goes on from there. ``--no-proxies`` spares the looks at each
candidate. Options after ``--`` are those of ``launch.py search``.
"""

import argparse
import json
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
from options import parse  # makes the project importable, too

from evaluators.proxies import PROXIES, score_by_proxies
from evaluators.supernet import score_from_supernet, train_supernet
from evaluators.table import read_table
from results.folder import match_hash
from results.trust import agreement
from search.job import config_space, load_config_task, make_setting
from spaces.candidate import SEPARABILITY
from spaces.files import write_atomic
from spaces.seeds import numpy_generator

COUNTS = ("spikes", "sops", "macs", "parameters")


def main() -> None:
    """Looks, and prints a line a figure."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--table", required=True)
    parser.add_argument("--against", default="test_acc,synops_M", help="columns of the table")
    parser.add_argument("--candidates", type=int, default=500)
    parser.add_argument("--supernet", action="store_true", help="look at weights out of a trained supernet")
    parser.add_argument("--keep", type=Path, metavar="FILE", help="keep the supernet's weights here")
    parser.add_argument(
        "--no-proxies", action="store_true", help="with --supernet: no more than what is scored out of it"
    )
    parser.add_argument("--json", type=Path)
    options, config = parse(parser)
    space, config = config_space(config)
    setting = replace(make_setting(config, space, load_config_task(config, space)), separable=True)
    if options.no_proxies and not options.supernet:
        parser.error("--no-proxies leaves nothing to look at: add --supernet")
    supernet = None
    if options.supernet:
        start = time.process_time()
        supernet, _ = train_supernet(setting, checkpoint=options.keep, match=match_hash(config.match()))
        print(f"supernet trained in {time.process_time() - start:.0f} s of processor time", flush=True)
    columns = options.against.split(",")
    table = read_table(options.table, blanks={name: space.options(name) for name in space.blanks}, objectives=columns)
    rows = {values: row for row, values in enumerate(zip(*table.blanks.values(), strict=True))}
    rng, figures, truth, seconds = numpy_generator(0, "proxies"), [], [], []
    while len(figures) < options.candidates:
        candidate = space.sample_sound(rng)
        if (row := rows.get(tuple(candidate[name] for name in table.blanks))) is None:
            continue
        start, seen = time.perf_counter(), {}
        if not options.no_proxies:
            looked = score_by_proxies(setting, candidate, supernet=supernet)
            seen |= {name: looked.figure(name) for name in (*PROXIES, *COUNTS)}
        if supernet is not None:
            scored = score_from_supernet(setting, supernet, candidate)
            columns_of = ("accuracy", SEPARABILITY, *COUNTS)
            seen |= {name: scored.figure(name) or 0.0 for name in columns_of}  # a silent one has none
        figures.append(seen | dict(space.features(candidate)))
        truth.append([table.figures[name][row] for name in columns])
        seconds.append(time.perf_counter() - start)
        if len(figures) % 50 == 0:
            print(f"{len(figures)} of {options.candidates} candidates, {time.process_time():.0f} s", flush=True)
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
