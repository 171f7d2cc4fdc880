"""The example that rebuilds a network from architecture.json and weights.safetensors with PyTorch alone."""

import importlib.util
import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch.nn import Parameter

from evaluators.architecture import architecture
from evaluators.checkpoint import own_tensors, save_tensors
from evaluators.evaluation import evaluate
from evaluators.tasks.task import Split, batches
from results.folder import create_or_open
from results.ledger import Outcome
from search.loop.goal import Goal
from search.work.finalists import Finalist, Training, finish
from spaces.candidate import Candidate, Score
from spaces.checksums import write_json
from spaces.find import make_space
from spaces.layers import Norm
from spaces.seeds import numpy_generator, torch_generator
from spaces.weights import initialise

EXAMPLE = Path(__file__).parents[2] / "examples" / "rebuild.py"
OURS = ("spaces", "evaluators", "search", "results", "spikefront", "launch")
ALONE = f"""
import runpy, sys, numpy as np, torch
rebuilt = runpy.run_path({str(EXAMPLE)!r})["Rebuilt"](__import__("pathlib").Path(sys.argv[1]))
images = np.load(sys.argv[2])
assert not set({OURS!r}) & set(sys.modules), "it uses the project"
np.savez(sys.argv[3], logits=rebuilt.logits(images), probabilities=rebuilt.probabilities(images))
"""


def example():
    spec = importlib.util.spec_from_file_location("rebuild_example", EXAMPLE)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def logits(network, task, split):
    with torch.no_grad():
        return torch.cat([network(images).mean(0) for images, _ in batches(task, split, batch_size=8)])


def test_a_finalist_is_rebuilt_by_pytorch_alone_and_gives_the_same_logits(setting, tmp_path):
    folder = create_or_open(tmp_path / "run", config={"match": {}})
    candidate = Candidate(setting.space.published["AutoSNN"])
    outcome = Outcome(3, 0, candidate, Score(state="ok", fidelity="supernet"))
    plan = replace(setting.recipe.plan, epochs=5)
    about = {"goal": Goal(objectives=("accuracy",)), "folder": folder, "match": "x"}
    training = Training(setting=setting, supernet=None, plan=plan, inherited=False, **about)
    finish(Finalist(outcome=outcome, picked_as="knee"), training)
    home, images = folder.finalist(3), setting.task.test.images.movedim(1, -1).numpy()
    np.save(tmp_path / "images.npy", images)
    command = [sys.executable, "-c", ALONE, home, tmp_path / "images.npy", tmp_path / "out.npz"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    found = np.load(tmp_path / "out.npz")

    network = setting.space.network(setting.task.spec, candidate)
    network.load_state_dict(example().load_file(home / "weights.safetensors"))
    network.eval()
    real = logits(network, setting.task, setting.task.test)
    np.testing.assert_allclose(found["logits"], real, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(found["probabilities"], (real * plan.logit_scale).softmax(1), rtol=1e-4, atol=1e-6)
    right = float((found["logits"].argmax(1) == setting.task.test.labels.numpy()).mean())
    assert right == evaluate(network, setting.task, setting.task.test).accuracy
    assert right == json.loads((home / "metrics.json").read_text())["test_accuracy"]


def candidates():
    """(space, options, what the candidate is to hold): every layer but encoders, and each of the three neurons."""
    yield "autosnn", {"neuron": "lif"}, {"slot2": "SCB_k3"}
    yield "autosnn", {"neuron": "if"}, {}
    yield "dualspace", {}, {"layer1_neuron": "if", "layer2_neuron": "plif"}
    for kind, norm in (("MS", "bntt"), ("SEW_iand", "tebn"), ("SEW_and", "tdbn"), ("SEW_add", "bn"), ("DS", "tdbn")):
        yield "residual", {}, {"kind": kind, "norm": norm, **{f"stage{n}_depth": 1 for n in (1, 2, 3)}}
    yield "spikedhs", {}, {}
    yield "spikenas-bench", {}, {}
    for attention in ("se", "sctfa"):
        stages = {f"stage{n}_{k}": v for n in (1, 2, 3) for k, v in (("neuron", "plif"), ("attention", attention))}
        yield "everything", {}, {"encoder": "direct", "stage1_block1": "SEW_add", "stage2_pool": "avg", **stages}
    yield "snasnet", {}, {}  # edges back in time
    yield "snasnet", {}, {"pair02": "b_skip", "pair01": "f_skip", "pair12": "f_conv3"}


@pytest.mark.parametrize(("name", "options", "wanted"), list(candidates()), ids=lambda value: str(value)[:60])
def test_every_space_can_be_rebuilt(name, options, wanted, setting, tmp_path):
    space = make_space(name, options={"width": 4, "timesteps": 3, **options}, compiled=False)[0]
    rng = numpy_generator(0, name)
    images = torch.randint(0, 256, (24, 1, 32, 32), dtype=torch.uint8, generator=torch_generator(0, "images"))
    split = Split(images, torch.arange(24) % 2)
    spec = replace(setting.task.spec, height=32, width=32)
    task = replace(setting.task, spec=spec, train=split, validation=split, test=split)
    drawn = (space.canonical(Candidate({**space.sample_sound(rng), **wanted})) for _ in range(50))
    candidate = next(one for one in drawn if not space.infeasible(one) and wanted.items() <= one.items())
    network = space.network(spec, candidate)
    initialise(network, torch_generator(0, name), norm_scale=3.0, head_gain=6.0)
    for norm in (one for one in network.modules() if isinstance(one, Norm) and isinstance(one.bias, Parameter)):
        norm.bias.data += 1.0  # so that something fires
    network.train()
    for _ in range(3):  # statistics that are none of the initial ones
        logits(network, task, split)
    network.eval()
    about = replace(setting, space=space, task=task)
    write_json(tmp_path / "architecture.json", architecture(about, setting.recipe.plan, candidate, network))
    save_tensors(tmp_path / "weights.safetensors", own_tensors(network), {"space": name})
    real = logits(network, task, split)
    assert real.any()
    found = example().Rebuilt(tmp_path).logits(images.movedim(1, -1).numpy())
    np.testing.assert_allclose(found, real, rtol=1e-4, atol=1e-5)
