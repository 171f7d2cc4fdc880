"""A GPU does what a CPU does: whole runs of every space and every way to prune, and the same counts."""

import csv
import shutil
from dataclasses import replace

import pytest
import torch

import launch
from evaluators.building import build_alone, set_initial
from evaluators.evaluation import evaluate
from evaluators.inherited import score_from_supernet
from evaluators.prefix import PrefixCache
from evaluators.pruning.methods import METHODS
from evaluators.supernet import train_supernet
from spaces import SPACES
from spaces.neurons.neuron import Neuron
from spaces.seeds import numpy_generator, torch_generator

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")

SMALL = ["--device", "cuda", "--timesteps", "3", "--candidates", "6", "--batch", "3", "--supernet-epochs", "2"]
SMALL += ["--finalists", "1", "--finalist-epochs", "2", "--batch-size", "16", "--no-compile", "--head-gain", "4"]
SMALL += ["--sampler", "evolution"]


@pytest.fixture(autouse=True)
def exact():
    """Without TF32, so that a GPU's convolutions are as good as a CPU's."""
    allowed, torch.backends.cudnn.allow_tf32 = torch.backends.cudnn.allow_tf32, False
    yield
    torch.backends.cudnn.allow_tf32 = allowed


@pytest.fixture(scope="module")
def run(data, tmp_path_factory):
    out = tmp_path_factory.mktemp("runs") / "run"
    assert launch.main(["--data", str(data), *SMALL, "--width", "4", "--out", str(out)]) == 0
    return out


@pytest.mark.parametrize("space", [name for name in SPACES if name != "table"])
def test_every_space_runs(space, data, tmp_path):
    out = tmp_path / "run"
    assert launch.main(["--space", space, "--data", str(data), *SMALL, "--out", str(out)]) == 0
    assert (out / "report.html").is_file()
    assert not any(row["state"] == "failed" for row in csv.DictReader((out / "candidates.csv").open()))


OPTIONS = [["--precision", "bf16"], ["--search-sparsity", "0.5"], ["--time-schedule", "1:0.5"]]


@pytest.mark.parametrize("options", OPTIONS)
def test_options_run(options, data, tmp_path):
    out = tmp_path / "run"
    assert launch.main(["--data", str(data), *SMALL, *options, "--out", str(out)]) == 0


@pytest.mark.parametrize("method", METHODS)
def test_every_method_prunes(method, run, tmp_path):
    out = tmp_path / "run"
    shutil.copytree(run, out)
    sparsity = [] if method == "fading" else ["--sparsity", "0.4"]
    assert launch.main(["prune", str(out), "--method", method, "--floor", "0.1", *sparsity]) == 0
    assert list(out.glob("finalists/*/tickets/*/metrics.json"))


def test_channels_are_pruned(run, tmp_path):
    out = tmp_path / "run"
    shutil.copytree(run, out)
    options = ["--method", "imp", "--pattern", "channels", "--sparsity", "0.3", "--floor", "0.1"]
    assert launch.main(["prune", str(out), *options]) == 0


def test_initial_weights_and_counts_are_those_of_a_cpu(setting):
    """Rounding may move a spike that is at the threshold, and no more than that."""
    candidate = setting.space.largest
    found = {}
    for device in ("cpu", "cuda"):
        there = replace(setting, device=device)
        network = build_alone(there, candidate)
        set_initial(network, setting.recipe, torch_generator(0, "weights"))
        found[device] = evaluate(network, setting.task, setting.task.test, device=device), network
    on_cpu, on_gpu = found["cpu"][0].counts, found["cuda"][0].counts
    for name, tensor in found["cpu"][1].state_dict().items():
        if "running" not in name:
            assert torch.equal(tensor, found["cuda"][1].state_dict()[name].cpu())
    for field in ("spikes", "sops", "macs", "updates"):
        assert on_gpu.total(field) == pytest.approx(on_cpu.total(field), rel=0.01)


def test_compiled_and_eager_scans_are_equal_to_the_bit():
    x = torch.randn(4, 8, 16, 16, 16, device="cuda").contiguous()
    x.requires_grad_()
    found = []
    for compiled in (True, False):
        neuron = Neuron("plif", compiled=compiled).cuda()
        spikes = neuron(x)
        (gradient,) = torch.autograd.grad(spikes.square().sum(), x)
        found.append((spikes.detach(), gradient))
    assert torch.equal(found[0][0], found[1][0])
    torch.testing.assert_close(found[0][1], found[1][1])


def test_prefixes_do_not_change_scores(setting):
    there = replace(setting, device="cuda")
    supernet, _ = train_supernet(there)
    cache, rng = PrefixCache(64), numpy_generator(0)
    for candidate in [setting.space.sample(rng) for _ in range(8)]:
        alone, shared = (score_from_supernet(there, supernet, candidate, cache=kept) for kept in (None, cache))
        assert replace(alone, seconds=0.0) == replace(shared, seconds=0.0)
