"""Cost of every neuron relative to LIF, forward and with the backward pass, compiled, one thread.

    python tests/benchmarks/neurons.py --timesteps 4 --rounds 20

Neurons take turns in one process, so that a machine that speeds up or slows down does so for all, and in another order
each round, so that none always has the same one's caches before it; a figure is the median over rounds. Compiling comes
first and is not timed; ``compiling`` says how long the first step took, which later processes find in PyTorch's cache.
"""

import argparse
import random
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor

sys.path.insert(0, str(Path(__file__).parents[2]))

from spaces.neurons.neuron import NEURONS, Neuron


def seconds(run: Callable[[], object]) -> float:
    """How long one call takes."""
    start = time.perf_counter()
    run()
    return time.perf_counter() - start


def forward(neuron: Neuron, x: Tensor) -> None:
    """Spikes alone."""
    with torch.no_grad():
        neuron(x)


def train(neuron: Neuron, x: Tensor, gradient: Tensor) -> None:
    """Spikes, and the gradients of the input and of what is learnt."""
    neuron.zero_grad()
    neuron(x.detach().requires_grad_()).backward(gradient)


def main() -> None:
    """Prints a table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--timesteps", type=int, default=4)
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--channels", type=int, default=32)
    parser.add_argument("--pixels", type=int, default=16, help="height and width")
    parser.add_argument("--rounds", type=int, default=20)
    parser.add_argument("--neurons", nargs="+", choices=NEURONS, default=list(NEURONS))
    parser.add_argument("--eager", action="store_true", help="uncompiled")
    options = parser.parse_args()
    torch.set_num_threads(1)
    generator = torch.Generator().manual_seed(0)
    t, b, c, n = options.timesteps, options.batch, options.channels, options.pixels
    x, gradient = (torch.randn(t, b, n, n, c, generator=generator).movedim(-1, 2) for _ in range(2))
    kinds = dict.fromkeys(["lif", *options.neurons])
    neurons = {kind: Neuron(kind, compiled=not options.eager) for kind in kinds}
    tasks = {
        "forward": lambda neuron: forward(neuron, x),
        "training": lambda neuron: train(neuron, x, gradient),
    }
    compiling = {}
    for kind, neuron in neurons.items():
        compiling[kind] = sum(seconds(lambda task=task, neuron=neuron: task(neuron)) for task in tasks.values())
        print(f"{kind} is ready after {compiling[kind]:.0f} s", file=sys.stderr, flush=True)
    taken = {(task, kind): [] for task in tasks for kind in kinds}
    orders = random.Random(0)
    for _ in range(options.rounds):
        for task, run in tasks.items():
            for kind in orders.sample(list(neurons), len(neurons)):
                taken[task, kind].append(seconds(lambda run=run, neuron=neurons[kind]: run(neuron)))
    medians = {key: statistics.median(values) for key, values in taken.items()}
    print(
        f"[{t}, {b}, {c}, {n}, {n}], {options.rounds} rounds, one thread, {'eager' if options.eager else 'compiled'}\n"
    )
    print("| neuron | forward, ms | of LIF | training, ms | of LIF | spikes | compiling, s |")
    print("|---|---|---|---|---|---|---|")
    for kind, neuron in neurons.items():
        times = [
            f"{medians[task, kind] * 1e3:.2f} | {medians[task, kind] / medians[task, 'lif']:.2f}" for task in tasks
        ]
        with torch.no_grad():
            rate = torch.count_nonzero(neuron(x)).item() / x.numel()
        print(f"| {kind} | {' | '.join(times)} | {rate:.0%} | {compiling[kind]:.0f} |")


if __name__ == "__main__":
    main()
