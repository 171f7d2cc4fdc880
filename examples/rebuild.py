"""Builds a trained network from architecture.json and weights.safetensors with PyTorch alone, and runs it.

    python examples/rebuild.py RUN/finalists/N images.npy

It uses nothing of this project, so that it can be read as the description of the format, or copied. It knows all layers
of our spaces but encoders, and the neurons if, lif and plif; see docs/architecture.md for the others.
"""

import json
import sys
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import load_file
from torch import Tensor
from torch.nn import functional as F


class Rebuilt:
    """A network that runs its layers one time step after the other.

    Attributes:
        plan: architecture.json.
        weights: tensors by name.
    """

    def __init__(self, home: Path) -> None:
        self.plan = json.loads((home / "architecture.json").read_text())
        self.weights = load_file(home / "weights.safetensors")
        if self.plan["format"] != 2:
            raise SystemExit(f"architecture.json is of format {self.plan['format']}, this file reads format 2")

    def normalised(self, images: np.ndarray) -> Tensor:
        """Raw images [N, H, W, C], as the network sees them: [N, C, H, W]."""
        data = self.plan["data"]
        x = torch.from_numpy(images).double()
        mean, std = (torch.tensor(data[name], dtype=torch.float64) for name in ("mean", "std"))
        return ((x / data["divide_by"] - mean) / std).float().permute(0, 3, 1, 2).contiguous()

    @torch.no_grad()
    def logits(self, images: np.ndarray) -> Tensor:
        """The readout [N, classes]: the mean over time of what the last layer gives."""
        x, state, before, steps = self.normalised(images), {}, {}, []
        for t in range(self.plan["timesteps"]):
            maps = {"input": x}
            for layer in self.plan["layers"]:
                inputs = [maps[name] for name in layer["inputs"]]
                inputs += [before[name] for name in layer.get("from_the_step_before", []) if name in before]
                inputs = inputs or [torch.zeros(len(x), *layer["shape"])]
                maps[layer["name"]] = self.run(layer, inputs, t, state)
            steps.append(maps[self.plan["layers"][-1]["name"]])
            before = maps
        return torch.stack(steps).mean(0)

    def probabilities(self, images: np.ndarray) -> Tensor:
        """Those of the classes, [N, classes]."""
        readout = self.plan["readout"]
        if readout["probabilities"] == "softmax":
            return (self.logits(images) * readout["scale"]).softmax(1)
        positive = self.logits(images).clamp(min=0) + 1e-12
        return positive / positive.sum(1, keepdim=True)

    def run(self, layer: dict, inputs: list[Tensor], t: int, state: dict) -> Tensor:
        """What a layer gives at time step ``t``; ``state`` holds membranes and sums by layer."""
        x, kind = inputs[0], layer["kind"]
        own = {name: self.weights[key] for name, key in layer.get("tensors", {}).items()}
        if kind == "neuron":
            return self.fire(layer, x, state)
        if kind == "conv":
            return F.conv2d(x, own["weight"], stride=layer["stride"], padding=layer["padding"])
        if kind == "linear":
            return F.linear(x, own["weight"], own.get("bias"))
        if kind in ("batch-norm", "td-batch-norm", "bntt", "tebn"):
            if kind == "bntt":  # a row a time step, and no bias
                own = {name: tensor[t] for name, tensor in own.items()}
            weight = own["weight"] * layer.get("factor", 1.0)
            y = F.batch_norm(x, own["running_mean"], own["running_var"], weight, own.get("bias"), eps=layer["eps"])
            return y * own["scale"][t] if kind == "tebn" else y
        if kind == "max-pool":
            return F.max_pool2d(x, layer["kernel"], layer["stride"])
        if kind == "avg-pool":
            return F.avg_pool2d(x, layer["kernel"], layer["stride"], layer["padding"])
        if kind == "history":  # the mean over the steps so far
            state[layer["name"]] = state.get(layer["name"], 0) + x
            return state[layer["name"]] / (t + 1)
        if kind == "scale":
            return torch.stack(torch.broadcast_tensors(*inputs)).prod(0)
        simple = {
            "repeat": lambda: x,
            "add": lambda: torch.stack(inputs).sum(0),
            "concat": lambda: torch.cat(inputs, 1),
            "even": lambda: x[..., : x.shape[-2] // 2 * 2, : x.shape[-1] // 2 * 2],
            "flatten": lambda: x.flatten(1),
            "vote": lambda: x.unflatten(1, (-1, layer["voters"])).mean(2),
            "mean": lambda: x.mean(layer["dims"], keepdim=True),
            "space-average": lambda: x.mean((2, 3), keepdim=True),
            "relu": lambda: x.relu(),
            "gate": lambda: 2 * x.sigmoid(),
            "and": lambda: x * inputs[1],
            "iand": lambda: (1 - x) * inputs[1],
        }
        return simple[kind]()

    def fire(self, layer: dict, x: Tensor, state: dict) -> Tensor:
        """Charge, fire, reset."""
        if layer["update"] not in ("if", "lif"):
            raise SystemExit(f"neuron {layer['neuron']!r} is not among if, lif and plif")

        def column(value: float | list[float]) -> Tensor:
            """One number a layer, or one a channel, against [N, C, ...]."""
            return torch.tensor(value).view(-1, *[1] * (x.dim() - 2)) if isinstance(value, list) else value

        v, threshold = state.get(layer["name"], torch.zeros_like(x)), column(layer["threshold"])
        decay = column(layer.get("decay", 0.0))
        v = v + (x - v) * decay if layer["decay_input"] else v - v * decay + x
        spikes = (v >= threshold).float()
        if layer["reset"] == "hard":
            v = (1 - spikes) * v
        elif layer["reset"] == "soft":
            v = v - spikes * threshold
        state[layer["name"]] = v
        return spikes


if __name__ == "__main__":
    network = Rebuilt(Path(sys.argv[1]))
    for row in network.probabilities(np.load(sys.argv[2])):
        print(network.plan["data"]["class_names"][int(row.argmax())], f"{row.max():.4f}")
