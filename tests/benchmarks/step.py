"""Training and inference step of one network: ours against spikingjelly, snnTorch, a plain loop, and the ReLU floor.

    python tests/benchmarks/step.py --json step.json

The network is AutoSNN's published cell. Contenders take turns in one process, so that a machine that speeds up or slows
down does so for all; a figure is the median over rounds. ``relu`` is our network with ReLU in place of neurons: what no
spiking network of this shape on dense kernels can beat. Peak memory is that of a process of its own a contender, above
what it holds before its first step; on a GPU it is what PyTorch held there. Packages that are not installed are left
out.
"""

import argparse
import gc
import json
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from functools import partial
from importlib.util import find_spec
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional as F

sys.path.insert(0, str(Path(__file__).parents[2]))

from spaces.autosnn import PUBLISHED, autosnn
from spaces.candidate import Candidate
from spaces.neurons.neuron import Neuron
from spaces.spec import TaskSpec
from spaces.weights import initialise

SPEC = TaskSpec(channels=3, height=32, width=32, classes=10)
Step = Callable[[Tensor, Tensor], None]
OURS = ("ours", "relu", "loop")


def ours(width: int, timesteps: int, *, compiled: bool = True) -> nn.Module:
    """The published cell as this project builds it."""
    space = autosnn(width=width, timesteps=timesteps, compiled=compiled)
    network = space.network(SPEC, Candidate(PUBLISHED["AutoSNN"]))
    initialise(network, torch.Generator().manual_seed(0), norm_scale=2.0, identity=True)
    return network.to(memory_format=torch.channels_last)


def relu(width: int, timesteps: int) -> nn.Module:
    """The same with ReLU in place of neurons."""
    network = ours(width, timesteps)
    for parent in list(network.modules()):
        for name, child in list(parent.named_children()):
            if isinstance(child, Neuron):
                setattr(parent, name, nn.ReLU())
    return network


class Published(nn.Module):
    """AutoSNN's published cell out of another package's layers.

    ``layers`` makes conv(c_in, c_out, k), norm(c), neuron(), pool() and linear(f_in, f_out); the forward pass sees one
    step [B, ...] or all of them [T, B, ...], as these do. The stem's convolution and norm run once.
    """

    def __init__(self, width: int, layers: dict[str, Callable[..., nn.Module]]) -> None:
        super().__init__()
        conv, norm, self.pool = layers["conv"], layers["norm"], layers["pool"]()
        self.stem = nn.Sequential(nn.Conv2d(3, width, 3, padding=1, bias=False), nn.BatchNorm2d(width))
        self.first = layers["neuron"]()
        shapes = [(width, width, 5), (width, 2 * width, 5), (2 * width, 4 * width, 3), (4 * width, 4 * width, 5)]
        self.blocks = nn.ModuleList()
        for c_in, c_out, k in shapes:
            block = nn.ModuleDict(
                {
                    "half1": nn.Sequential(conv(c_in, c_out, k), norm(c_out)),
                    "neuron1": layers["neuron"](),
                    "half2": nn.Sequential(conv(c_out, c_out, k), norm(c_out)),
                    "neuron2": layers["neuron"](),
                }
            )
            if c_in != c_out:
                block["shortcut"] = nn.Sequential(conv(c_in, c_out, 1), norm(c_out))
            self.blocks.append(block)
        self.linear, self.last = layers["linear"](4 * width * 16, 100), layers["neuron"]()

    def forward(self, x: Tensor) -> Tensor:
        """Spikes of the 100 voters for the stem's current."""
        x = self.first(x)
        for number, block in enumerate(self.blocks):
            y = block["half2"](block["neuron1"](block["half1"](x)))
            x = block["neuron2"](y + (block["shortcut"](x) if "shortcut" in block else x))
            if number != 2:
                x = self.pool(x)
        return self.last(self.linear(x.flatten(-3)))


def spikingjelly(width: int, timesteps: int) -> nn.Module:
    """Out of spikingjelly's layers, multi-step mode; it takes its kernels for GPUs where it runs on one."""
    from spikingjelly.activation_based import functional, layer, neuron, surrogate

    def make() -> nn.Module:
        return neuron.ParametricLIFNode(
            init_tau=2.0, surrogate_function=surrogate.ATan(), detach_reset=True, step_mode="m"
        )

    network = Published(
        width,
        {
            "conv": lambda i, o, k: layer.Conv2d(i, o, k, padding=k // 2, bias=False, step_mode="m"),
            "norm": lambda c: layer.BatchNorm2d(c, step_mode="m"),
            "neuron": make,
            "pool": lambda: layer.MaxPool2d(2, step_mode="m"),
            "linear": lambda i, o: layer.Linear(i, o, bias=False, step_mode="m"),
        },
    )

    class MultiStep(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.network = network

        def forward(self, images: Tensor) -> Tensor:
            functional.reset_net(self.network)
            current = network.stem(images).unsqueeze(0).repeat(timesteps, 1, 1, 1, 1)
            return network(current).unflatten(-1, (-1, 10)).mean(-1)

    return MultiStep()


def snntorch(width: int, timesteps: int) -> nn.Module:
    """Out of snnTorch's neurons, one step after the other."""
    from snntorch import Leaky, surrogate, utils

    network = Published(
        width,
        {
            "conv": lambda i, o, k: nn.Conv2d(i, o, k, padding=k // 2, bias=False),
            "norm": nn.BatchNorm2d,
            "neuron": lambda: Leaky(
                beta=0.5, spike_grad=surrogate.atan(), reset_mechanism="zero", learn_beta=True, init_hidden=True
            ),
            "pool": lambda: nn.MaxPool2d(2),
            "linear": lambda i, o: nn.Linear(i, o, bias=False),
        },
    )

    class StepByStep(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.network = network

        def forward(self, images: Tensor) -> Tensor:
            utils.reset(self.network)
            current = network.stem(images)
            steps = [network(current) for _ in range(timesteps)]
            return torch.stack(steps).unflatten(-1, (-1, 10)).mean(-1)

    return StepByStep()


CONTENDERS: dict[str, Callable[[int, int], nn.Module]] = {
    "ours": ours,
    "relu": relu,
    "loop": partial(ours, compiled=False),
    "spikingjelly": spikingjelly,
    "snntorch": snntorch,
}


def steps_of(network: nn.Module, precision: str, device: str) -> dict[str, Step]:
    """A training step and an inference step of a network, on a device."""
    network.to(device)
    optimiser = torch.optim.Adam(network.parameters(), lr=1e-4, fused=True)

    def forward(images: Tensor) -> Tensor:
        with torch.autocast(device, torch.bfloat16, enabled=precision == "bf16"):
            return network(images).float().mean(0)

    def train(images: Tensor, labels: Tensor) -> None:
        network.train()
        optimiser.zero_grad(set_to_none=True)
        F.cross_entropy(forward(images) * 10, labels).backward()
        optimiser.step()

    @torch.no_grad()
    def infer(images: Tensor, labels: Tensor) -> None:
        network.eval()
        forward(images)

    return {"train": train, "infer": infer}


def batch(size: int, device: str) -> tuple[Tensor, Tensor]:
    """Random images, channels last, and labels."""
    generator = torch.Generator().manual_seed(0)
    images = torch.randn(size, 3, 32, 32, generator=generator).contiguous(memory_format=torch.channels_last)
    return images.to(device), torch.randint(10, (size,), generator=generator).to(device)


def now(device: str) -> float:
    """Seconds, once the device has done what it was told."""
    if device == "cuda":
        torch.cuda.synchronize()
    return time.perf_counter()


def race(
    names: list[str], width: int, timesteps: int, size: int, precision: str, rounds: int, device: str
) -> dict[str, dict]:
    """Images a second of each contender at a training and an inference step: the median over rounds."""
    data = batch(size, device)
    steps = {name: steps_of(CONTENDERS[name](width, timesteps), precision, device) for name in names}
    seconds: dict[str, dict[str, list[float]]] = {name: {kind: [] for kind in steps[name]} for name in names}
    for number in range(rounds + 2):  # two rounds to compile and warm up
        for kind in ("train", "infer"):
            for name in names if number % 2 else reversed(names):
                start = now(device)
                steps[name][kind](*data)
                if number > 1:
                    seconds[name][kind].append(now(device) - start)
    return {
        name: {kind: size / statistics.median(taken) for kind, taken in kinds.items()}
        for name, kinds in seconds.items()
    }


def peak(name: str, width: int, timesteps: int, size: int, precision: str, device: str) -> float:
    """Peak memory in MiB of a training step, above what the process held before it: median of three processes.

    One differs from the next by a tenth: what the allocator holds after the first step is partly used by the second.
    """
    command = [sys.executable, __file__, "--peak", name, "--width", str(width), "--timesteps", str(timesteps)]
    command += ["--batch", str(size), "--precision", precision, "--device", device]
    runs = [subprocess.run(command, check=True, capture_output=True, text=True) for _ in range(3)]
    return statistics.median(float(run.stdout.split()[-1]) for run in runs)


def own_peak(name: str, width: int, timesteps: int, size: int, precision: str, device: str) -> float:
    """Peak of this process over one training step; an earlier, tiny one has compiled what is to be compiled."""
    step = steps_of(CONTENDERS[name](width, timesteps), precision, device)["train"]
    step(*batch(5, device))  # large enough to be compiled
    gc.collect()
    if device == "cuda":
        torch.cuda.reset_peak_memory_stats()
        held = torch.cuda.memory_allocated()
        step(*batch(size, device))
        return (torch.cuda.max_memory_allocated() - held) / 2**20
    Path("/proc/self/clear_refs").write_text("5")  # the peak starts anew (Linux)
    before = _status("VmRSS")
    step(*batch(size, device))
    return (_status("VmHWM") - before) / 1024


def _status(name: str) -> int:
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(name))


def main() -> None:
    """Prints the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--width", type=int, default=16)
    parser.add_argument("--timesteps", type=int, default=8)
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--precision", nargs="+", default=["fp32"], choices=["fp32", "bf16"])
    parser.add_argument("--contenders", nargs="+", default=list(CONTENDERS), choices=list(CONTENDERS), metavar="NAME")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--device", default="cpu", choices=["cpu", "cuda"])
    parser.add_argument("--growth", action="store_true", help="also: cost against T and against the batch, ours")
    parser.add_argument("--peak", help=argparse.SUPPRESS)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    torch.set_num_threads(1)
    shape = (options.width, options.timesteps, options.batch)
    if options.peak:
        print(own_peak(options.peak, *shape, options.precision[0], options.device))
        return
    asked = {*options.contenders, "relu"}
    names = [name for name in CONTENDERS if name in asked and (name in OURS or find_spec(name))]
    where = torch.cuda.get_device_name() if options.device == "cuda" else "one thread"
    results: dict[str, object] = {"shape": shape}
    print(f"AutoSNN cell, C = {shape[0]}, T = {shape[1]}, batch {shape[2]}, 3x32x32, {where}; images/s")
    print(f"{'':<24}{'train':>9}{'/ relu':>8}{'infer':>9}{'/ relu':>8}{'peak MiB':>10}{'/ relu':>8}")
    for precision in options.precision:
        found = race(names, *shape, precision, options.rounds, options.device)
        peaks = {name: peak(name, *shape, precision, options.device) for name in names}
        results[precision] = {name: found[name] | {"peak_mib": peaks[name]} for name in names}
        for name in names:
            row, floor = found[name], found["relu"]
            print(
                f"{name + ' ' + precision:<24}{row['train']:>9.1f}{row['train'] / floor['train']:>8.2f}"
                f"{row['infer']:>9.1f}{row['infer'] / floor['infer']:>8.2f}"
                f"{peaks[name]:>10.0f}{peaks[name] / peaks['relu']:>8.2f}",
                flush=True,
            )
    if options.growth:
        growth = {}
        for label, (timesteps, size) in {
            **{f"T = {t}": (t, options.batch) for t in (2, 4, 8, 16)},
            **{f"batch {b}": (options.timesteps, b) for b in (8, 16, 32, 64)},
        }.items():
            row = race(["ours"], options.width, timesteps, size, "fp32", 3, options.device)["ours"]
            growth[label] = {kind: 1e3 / rate / timesteps for kind, rate in row.items()}
            train, infer = growth[label].values()
            print(f"{label:<12} ms an image and time step: train {train:.2f}, infer {infer:.2f}")
        results["growth"] = growth
    if options.json:
        options.json.write_text(json.dumps(results, indent=1))


if __name__ == "__main__":
    main()
