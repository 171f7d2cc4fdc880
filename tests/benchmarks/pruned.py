"""How much faster a network is without half of its channels, taken out for real: images a second at inference.

    python tests/benchmarks/pruned.py -- --width 32 --timesteps 4

Dense, half of the channels zero but there, half of them taken out, and 90 % of single weights zero, in turn in one
process: the median of what each takes for a batch. Options after ``--`` are those of ``launch.py search``.
"""

import argparse
import copy
import json
import statistics
import time
from pathlib import Path

import torch
from options import parse  # makes the project importable, too

from evaluators.pruning.channels import shrink
from evaluators.pruning.masks import attach, prunable
from evaluators.pruning.one_shot import one_shot
from evaluators.pruning.pattern import Pruning
from search.setting import config_space
from spaces.candidate import Candidate
from spaces.spec import TaskSpec
from spaces.weights import count_parameters, initialise


def main() -> None:
    """Times the networks and prints the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cell", default="AutoSNN")
    parser.add_argument("--sparsity", type=float, default=0.5)
    parser.add_argument("--size", type=int, default=32)
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--repeats", type=int, default=15)
    parser.add_argument("--json", type=Path)
    options, config = parse(parser)
    space, config = config_space(config)
    spec = TaskSpec(channels=3, height=options.size, width=options.size, classes=10)
    dense = space.network(spec, Candidate(space.published[options.cell])).to(memory_format=torch.channels_last)
    generator = torch.Generator().manual_seed(0)
    initialise(dense, generator, norm_scale=2.0, identity=True)
    images = torch.randn(options.batch, 3, options.size, options.size, generator=generator)
    images = images.contiguous(memory_format=torch.channels_last)
    zeros, single = copy.deepcopy(dense), copy.deepcopy(dense)
    pruning = Pruning(pattern="channels", budget="layer", spec=spec)
    attach(zeros, one_shot(zeros, options.sparsity, pruning))
    attach(single, one_shot(single, 0.9, Pruning(floor=0.01)))
    with torch.no_grad():
        for network in (dense, zeros, single):  # statistics that fit each
            network.train()(images)
            network.eval()
        networks = {
            "dense": dense,
            f"{options.sparsity:.0%} of channels zero": zeros,
            f"{options.sparsity:.0%} of channels out": shrink(zeros, spec),
            "90% of weights zero": single,
        }
        taken: dict[str, list[float]] = {name: [] for name in networks}
        for turn in range(options.repeats + 1):
            for name, network in networks.items():
                start = time.perf_counter()
                network(images)
                if turn:  # the first compiles
                    taken[name].append(time.perf_counter() - start)
    rates = {name: options.batch / statistics.median(seconds) for name, seconds in taken.items()}
    print(f"{'':<24}{'images/s':>10}{'/ dense':>9}{'parameters':>12}{'non-zero weights':>18}")
    rows = []
    for name, network in networks.items():
        weights = sum(int((weight != 0).sum()) for weight in prunable(network).values())
        row = {"images_s": rates[name], "ratio": rates[name] / rates["dense"], "parameters": count_parameters(network)}
        rows.append({"name": name, "weights": weights} | row)
        print(f"{name:<24}{rates[name]:>10.1f}{row['ratio']:>9.2f}{row['parameters']:>12,}{weights:>18,}")
    if options.json:
        options.json.write_text(json.dumps(rows, indent=1))


if __name__ == "__main__":
    main()
