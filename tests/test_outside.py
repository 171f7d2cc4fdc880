"""Spaces, neurons, samplers and methods of one's own, out of a file outside the package, from the command line."""

import json

import pytest
import torch

import launch
from evaluators.methods.find import method_of
from results.ledger import read
from search.samplers import sampler_of
from spaces.errors import SearchError
from spaces.find import make_space
from spaces.neurons.find import model_of
from spaces.neurons.neuron import Neuron

OWN = '''
"""One file with a space, a neuron, a sampler and a method."""
from evaluators.methods.bptt import BPTT
from evaluators.methods.method import Method
from spaces.autosnn import autosnn
from spaces.candidate import Candidate
from spaces.neurons.catalog import Model
from spaces.neurons.parameters import Parameter
from spaces.neurons.step import Step

SLOTS = ("slot1", "slot2", "slot3", "slot4", "slot5")


def mine(*, width: int = 3, timesteps: int = 2, neuron: str = "plif", compiled: bool = True):
    return autosnn(width=width, timesteps=timesteps, neuron=neuron, compiled=compiled)


def in_order(space, history, n, seed, goal):
    """Candidates in the order of the alphabet: first all skips but for the last slot."""
    seen, found = {outcome.candidate for outcome in history}, []
    for value in sorted(space.blanks["slot5"].choices):
        one = Candidate({**dict.fromkeys(SLOTS, "SCB_k3"), "slot5": value})
        if one not in seen:
            found.append(one)
    return found[:n]


def grow(network, task):
    """Doubles the last layer's weights, so that a test can see that it was run."""
    import torch
    from spaces.layers import Linear

    with torch.no_grad():
        [module for module in network.modules() if isinstance(module, Linear)][-1].weight.mul_(2.0)


def throw(network, task):
    raise ValueError("no weights today")


def forgetful(state, x, p, fire, rule):
    """No memory at all: fires where this step's input reaches the threshold."""
    return state, fire(x - p["threshold"])


def broken(state, x, p, fire, rule):
    raise ValueError("no spikes today")


THRESHOLD = {"threshold": Parameter(default=0.5, range="positive")}
memoryless = Model(
    about="no memory", parameters=THRESHOLD, resets=("none",), decay_input=None,
    step=Step(update=forgetful, parameters=("threshold", "width"), states=lambda size: 0),
)
mute = Model(
    about="raises", parameters=THRESHOLD,
    step=Step(update=broken, parameters=("threshold", "width"), states=lambda size: 0),
)
doubled = Method(name="doubled", step=BPTT.step, finish=grow)
silent = Method(name="silent", step=BPTT.step, finish=throw)
number = 3
'''
SMALL = "--width 3 --timesteps 2 --supernet-epochs 1 --candidates 4 --batch 2 --finalists 1 --finalist-epochs 1"
QUICK = [
    *SMALL.split(),
    "--val-samples",
    "60",
    "--train-samples",
    "300",
    "--threads",
    "1",
    "--no-compile",
    "--floor",
    "0",
]


@pytest.fixture
def own(tmp_path):
    path = tmp_path / "own code.py"
    path.write_text(OWN)
    return path


def test_a_space_a_neuron_a_sampler_and_a_method_are_used_and_a_resume_is_held_to_their_file(own, tmp_path, capsys):
    out = tmp_path / "run"
    options = [
        *QUICK,
        "--space",
        f"{own}:mine",
        "--neuron",
        f"{own}:memoryless",
        "--sampler",
        f"{own}:in_order",
        "--method",
        f"{own}:doubled",
    ]
    assert launch.main([*options, "--out", str(out)]) == 0
    outcomes = read(out / "ledger.jsonl")[0]
    searched = [one.candidate["slot5"] for one in outcomes if one.batch >= 0]
    assert searched == ["SCB_k3", "SCB_k5", "SRB_k3", "SRB_k5"]
    assert [one.score.state for one in outcomes if one.batch < 0] in (["ok"], ["infeasible"])
    match = json.loads((out / "config.json").read_text())["match"]
    assert len({match[f"{what}_sha256"] for what in ("space", "neuron", "sampler", "method")}) == 1
    assert launch.main(["resume", str(out)]) == 0
    assert [one.candidate for one in read(out / "ledger.jsonl")[0]] == [one.candidate for one in outcomes]
    own.write_text(OWN.replace("mul_(2.0)", "mul_(4.0)"))
    capsys.readouterr()
    assert launch.main(["resume", str(out)]) == 2
    said = capsys.readouterr().err
    assert "method_sha256" in said
    assert "Traceback" not in said


def test_a_method_s_finish_changes_what_is_stored(own, tmp_path):
    from safetensors.torch import load_file

    def head(method, name):
        out = tmp_path / name
        options = [*QUICK, "--sampler", f"{own}:in_order", "--method", method, "--seed", "3", "--out", str(out)]
        assert launch.main(options) == 0
        (home,) = (out / "finalists").iterdir()
        weights = load_file(home / "weights.safetensors")
        return weights[[key for key in weights if key.startswith("head") and weights[key].dim() == 2][-1]]

    assert head(f"{own}:doubled", "one").equal(head("bptt", "other") * 2)


def test_a_method_that_raises_is_a_failed_finalist_told_by_file_and_line(own, tmp_path):
    out = tmp_path / "run"
    assert (
        launch.main(
            [*QUICK, "--sampler", f"{own}:in_order", "--method", f"{own}:silent", "--seed", "3", "--out", str(out)]
        )
        == 0
    )
    (trained,) = (one.score for one in read(out / "ledger.jsonl")[0] if one.batch < 0)
    line = OWN.splitlines().index('    raise ValueError("no weights today")') + 1
    assert trained.state == "failed"
    assert f"line {line}: ValueError: no weights today" in trained.error


@pytest.mark.parametrize(
    ("what", "load"), [("space", make_space), ("sampler", sampler_of), ("method", method_of), ("neuron", model_of)]
)
def test_what_cannot_be_had_is_told_in_one_line_whatever_the_kind(what, load, own, tmp_path):
    good = {"space": "mine", "sampler": "in_order", "method": "doubled", "neuron": "memoryless"}[what]
    gone, broken = tmp_path / "gone.py", tmp_path / "broken.py"
    broken.write_text("\n\n1 / 0\n")
    for name, words in (
        (f"{gone}:{good}", f"{what} file {str(gone)!r} is not there: give --{what} FILE.py:NAME"),
        (f"{own}:{good}x", f"did you mean {good!r}?"),
        (f"{own}:number", "is a int: name "),
        (f"{own}", f"so say which one: write {own}:NAME"),
        (f"{broken}:{good}", f"{what} file {str(broken)!r}, line 3: ZeroDivisionError: division by zero"),
        (f"no such {what}", f"unknown {what} 'no such {what}'"),
    ):
        with pytest.raises(SearchError) as error:
            load(name)
        assert words in str(error.value)
        assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("gives", "words"),
    [
        ("3", "it gives int where a list of Candidate is due"),
        ("[3]", "it gives list where a list of Candidate is due"),
        ("2 * [space.sample_sound(__import__('numpy').random.default_rng(seed))]", "all new and distinct"),
        ("[Candidate({'slot1': 'skip'})]", "slot2"),
        ("1 / 0", "line 6: ZeroDivisionError"),
    ],
)
def test_a_sampler_is_held_to_what_it_gives(gives, words, tmp_path):
    path = tmp_path / "own.py"
    path.write_text(
        f"from spaces.candidate import Candidate\n\n\n\ndef mine(space, history, n, seed, goal):\n    return {gives}\n"
    )
    with pytest.raises(SearchError, match=words) as error:
        sampler_of(f"{path}:mine")(make_space("autosnn")[0], [], 2, 0, None)
    assert f"sampler file {str(path)!r}, line " in str(error.value)


def test_the_command_line_tells_of_it_before_anything_is_begun(own, tmp_path, capsys):
    for option, name in (("--sampler", "in_ordr"), ("--method", "doubld")):
        assert launch.main([option, f"{own}:{name}", "--out", str(tmp_path / "run")]) == 2
        said = capsys.readouterr().err
        assert "did you mean" in said
        assert len(said.strip().splitlines()) == 1
    assert not (tmp_path / "run").exists()


def test_a_neuron_fires_as_its_update_says_with_its_surrogate_s_gradient(own):
    x = torch.tensor([0.4, 0.5, 0.9, -1.0]).view(2, 1, 2).requires_grad_()
    neuron = Neuron(f"{own}:memoryless")
    spikes = neuron(x)
    assert spikes.tolist() == [[[0.0, 1.0]], [[1.0, 0.0]]]
    spikes.sum().backward()
    twin = x.detach().clone().requires_grad_()
    (torch.atan(torch.pi / 2 * 2.0 * (twin - 0.5)) / torch.pi).sum().backward()
    torch.testing.assert_close(x.grad, twin.grad)
    assert Neuron(f"{own}:memoryless").model is neuron.model
    own.write_text(OWN.replace("default=0.5", "default=0.95"))
    assert Neuron(f"{own}:memoryless")(x).sum() == 0


def test_a_neuron_that_raises_is_told_by_file_and_line(own, tmp_path, capsys):
    assert launch.main([*QUICK, "--neuron", f"{own}:mute", "--out", str(tmp_path / "run")]) == 2
    line = OWN.splitlines().index('    raise ValueError("no spikes today")') + 1
    assert f"neuron file {str(own)!r}, line {line}: ValueError: no spikes today" in capsys.readouterr().err
