"""Proxies: figures of an untrained network that are said to foretell its accuracy, at a sliver of a training's cost.

A network with initial weights sees some images of the training split, normalised by their own statistics. Neurons that
tell images apart make a kernel of full rank, so both kernel proxies are the log-determinant of one:

- ``naswot``: images i and j are as alike as many neurons do the same for both, summed over layers and time steps
  (Mellor et al., Neural architecture search without training, ICML 2021);
- ``sahd``: the same, but how many differ is divided by how many would by chance at these firing rates, as spikes are
  sparse (sparsity-aware Hamming distance: Kim et al., Neural architecture search for spiking neural networks, ECCV
  2022);
- ``synflow``: logarithm of the flow through all synapses, the sum of weight times gradient with all weights positive,
  an image of ones, and norms and neurons that pass on what they get (Tanaka et al., Pruning neural networks without any
  data, NeurIPS 2020, whose networks have neither norms nor neurons).

All are to be maximised. Spikes, operations and energy are those at initialisation. ``tests/benchmarks/proxies.py``
measures how far any of them can be trusted.
"""

import math
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

import torch
from torch import Tensor, nn

from evaluators.building import build_alone, set_initial
from evaluators.counting import counting, leading
from evaluators.evaluation import CALIBRATION_BATCH, Answers, calibration_batches, renewing_statistics
from evaluators.few_shot import supernet_of
from evaluators.inherited import PRUNING
from evaluators.pruning.masks import attach
from evaluators.pruning.one_shot import one_shot
from evaluators.scores import failure, score_of
from evaluators.setting import Setting
from spaces.candidate import Candidate, Score
from spaces.faults import is_candidates
from spaces.layers import Conv, Linear, Norm
from spaces.neurons.neuron import Neuron
from spaces.seeds import torch_generator
from spaces.sparsity import asked_sparsity
from spaces.spec import TaskSpec
from spaces.weights import inherit

PROXIES = ("sahd", "naswot", "synflow")
SAMPLES = CALIBRATION_BATCH  # one batch: kernels are of its images
RIDGE = 1e-3  # as in the authors' code, also where all neurons of a layer are silent
LEAST = 1e-300  # flow where there is none


def score_by_proxies(setting: Setting, candidate: Candidate, *, supernet: nn.Module | None = None) -> Score:
    """The proxies of a candidate, as columns, and its counts, before any training; accuracy is not known.

    A pure function of setting and candidate. All candidates get their weights from one stream, or inherit those of a
    supernet, and see the same images. One whose readout is silent at first is none the worse for it: training may wake
    it. One with a sparsity is pruned in one shot, by the size of these weights.
    """
    start = time.perf_counter()
    if reason := setting.space.infeasible(candidate):
        return Score(state="infeasible", fidelity="proxy", seconds=time.perf_counter() - start, error=reason)
    try:
        network = build_alone(setting, candidate)
        if supernet is None:
            set_initial(network, setting.recipe, torch_generator(setting.seed, "proxies", "weights"))
        else:
            inherit(network, supernet_of(supernet, candidate))
        if sparsity := asked_sparsity(candidate):
            attach(network, one_shot(network, sparsity, PRUNING))
        score, columns = _seen(setting, candidate, network)
        columns["synflow"] = synflow(network, setting.task.spec)
    except Exception as error:  # a candidate that cannot be scored is an outcome, never a lost row
        if not is_candidates(error):
            raise
        return failure(error, fidelity="proxy", seconds=time.perf_counter() - start)
    if score.state == "failed":
        return replace(score, seconds=time.perf_counter() - start)
    return replace(score, state="ok", error="", accuracy=None, columns=columns, seconds=time.perf_counter() - start)


@torch.no_grad()
def _seen(setting: Setting, candidate: Candidate, network: nn.Module) -> tuple[Score, dict[str, float]]:
    """Counts, and both kernel proxies, on some images of the training split."""
    answers, kernels = Answers(setting.device, setting.task.spec.classes), Kernels()
    images = calibration_batches(setting.task, samples=SAMPLES, seed=setting.seed, device=setting.device)
    with renewing_statistics(network), counting(network) as counter, kernels.of(network):
        for batch in images:
            answers.add(network(batch), torch.zeros(len(batch), dtype=torch.long, device=setting.device))
    evaluation = answers.evaluation(counter.counts().layers if answers.finite else ())
    score = score_of(setting, candidate, network, evaluation, fidelity="proxy", seconds=0.0)
    return score, {"sahd": log_determinant(kernels.sahd), "naswot": log_determinant(kernels.naswot)}


class Kernels:
    """How alike images are to the neurons of a network while it runs: sums over layers and steps, float64 [B, B].

    Attributes:
        naswot: neurons that do the same for both images.
        sahd: neurons, less a half times how many differ over how many would by chance; a mean, as in the authors' code.
    """

    def __init__(self) -> None:
        self.naswot: Tensor | float = 0.0
        self._scaled: Tensor | float = 0.0
        self._terms = 0

    @property
    def sahd(self) -> Tensor:
        """See the class."""
        return self._scaled / self._terms

    @contextmanager
    def of(self, network: nn.Module) -> Iterator["Kernels"]:
        """Sums up what neurons do inside the ``with`` block."""
        handles = [m.register_forward_hook(self._hook) for m in network.modules() if isinstance(m, Neuron)]
        try:
            yield self
        finally:
            for handle in handles:
                handle.remove()

    def _hook(self, neuron: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:
        for step in output if leading(output) == 2 else output[None]:
            alike, scaled = kernels_of(step.flatten(1) != 0)
            self.naswot, self._scaled, self._terms = self.naswot + alike, self._scaled + scaled, self._terms + 1


def kernels_of(fired: Tensor) -> tuple[Tensor, Tensor]:
    """Both kernels [B, B], float64, of which neurons fired, bool [B, N]."""
    codes, neurons = fired.float(), fired.shape[1]
    number = codes.sum(1).double()  # exact below 2^24, as are the products
    both = (codes @ codes.T).double()
    differ = number[:, None] + number[None] - 2 * both
    rate = number / neurons
    chance = neurons * (rate[:, None] * (1 - rate) + (1 - rate[:, None]) * rate)
    return neurons - differ, neurons - 0.5 * differ / (chance + RIDGE)


def log_determinant(kernel: Tensor) -> float:
    """log |det K|; of a singular kernel, that of the next it can be told from in float64, so that scores are finite."""
    values = torch.linalg.eigvalsh(kernel).abs()
    return float(values.clamp_min(values.max() * torch.finfo(torch.float64).eps).log().sum())


def synflow(network: nn.Module, spec: TaskSpec) -> float:
    """Logarithm of the flow through all synapses of a network, whose weights are positive and in float64 afterwards."""
    shape = (1, *((spec.frames,) if spec.frames else ()), spec.channels, spec.height, spec.width)
    network.double().eval()
    synapses = [module.weight for module in network.modules() if isinstance(module, Conv | Linear)]
    with torch.no_grad():
        for weight in synapses:
            weight.abs_()
    with passing_on(network), torch.enable_grad():
        readout = network(torch.ones(shape, dtype=torch.float64, device=synapses[0].device))
        gradients = torch.autograd.grad(readout.sum(), synapses, allow_unused=True)
    flow = sum(
        float((weight.detach() * gradient).sum())
        for weight, gradient in zip(synapses, gradients, strict=True)
        if gradient is not None
    )
    return math.log(max(flow, LEAST))


@contextmanager
def passing_on(network: nn.Module) -> Iterator[None]:
    """Within, norms and neurons pass on what they get, and convolutions of it are those of numbers, not of spikes."""

    def same(module: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> Tensor:
        return inputs[0]

    handles = [m.register_forward_hook(same) for m in network.modules() if isinstance(m, Norm | Neuron)]
    convolutions = [(m, m.compiled) for m in network.modules() if isinstance(m, Conv)]
    for convolution, _ in convolutions:
        convolution.compiled = False
    try:
        yield
    finally:
        for convolution, compiled in convolutions:
            convolution.compiled = compiled
        for handle in handles:
            handle.remove()
