"""The readout alone, by regularised least squares: layers stay as they are, as in a reservoir or an extreme learner.

For the mean rates x of the last layer's inputs over time it solves min |x W' + b - y|^2 + n r |W|^2 in closed form,
with y one-hot (Huang et al., Neurocomputing 2006; ridge: Hoerl and Kennard, 1970). It leaves no gradient behind.
"""

import torch
from torch import Tensor, nn

from evaluators.evaluation import evaluate
from evaluators.methods.method import Method, Progress
from evaluators.tasks.task import Task, batches
from spaces.errors import SpaceError
from spaces.layers import Linear

RIDGE = 1e-3  # r, a share of the samples' number
BATCH = 64
GAINS = (1.0, 2.0, 4.0, 8.0, 16.0, 32.0)  # on the current of a readout that fires
JUDGED = 512  # training samples that a gain is chosen on


def finish(network: nn.Module, task: Task) -> None:
    """Solves the last linear layer of a network on the training split, in float64; its bias, if it has one, too.

    Where several outputs vote for a class, all of them get its solution. Where the readout fires, the current that is
    one for the right class need not reach the threshold: of GAINS the one is taken with which most training samples
    are right, the smallest of several.

    Raises:
        SpaceError: the network's last layer of synapses is not a linear one with outputs for each class.
    """
    layer = last_linear(network, task.spec.classes)
    rates, labels = rates_before(network, layer, task)
    targets = nn.functional.one_hot(labels, task.spec.classes).double()
    weight, bias = solve(rates, targets, with_bias=layer.bias is not None)
    voters = len(layer.weight) // task.spec.classes
    device, some = str(layer.weight.device), task.train.first(JUDGED)

    def take(gain: float) -> None:
        with torch.no_grad():
            layer.weight.copy_((gain * weight).repeat_interleave(voters, 0))
            if layer.bias is not None:
                layer.bias.copy_((gain * bias).repeat_interleave(voters, 0))

    def right(gain: float) -> float:
        take(gain)
        return evaluate(network, task, some, device=device).accuracy

    take(max(GAINS, key=right))


def last_linear(network: nn.Module, classes: int) -> Linear:
    """The linear layer that gives a network's answers, as many outputs for each class."""
    linear = [module for module in network.modules() if isinstance(module, Linear)]
    if not linear or len(linear[-1].weight) % classes:
        raise SpaceError(
            f"method readout solves a last linear layer of {classes} outputs or a multiple, and there is none"
        )
    return linear[-1]


@torch.no_grad()
def rates_before(network: nn.Module, layer: Linear, task: Task) -> tuple[Tensor, Tensor]:
    """Mean inputs of a layer over time on the training split [N, F], float64 on the CPU, and the labels [N]."""
    network.eval()
    device = next(network.parameters()).device
    seen: list[Tensor] = []
    hook = layer.register_forward_pre_hook(lambda module, inputs: seen.append(inputs[0].detach()))
    rates, answers = [], []
    try:
        for images, labels in batches(task, task.train, batch_size=BATCH, device=device):
            seen.clear()
            network(images)
            steps = torch.cat([one.reshape(-1, len(labels), one.shape[-1]) for one in seen])
            rates.append(steps.double().mean(0).cpu())
            answers.append(labels.cpu())
    finally:
        hook.remove()
    return torch.cat(rates), torch.cat(answers)


def solve(rates: Tensor, targets: Tensor, *, with_bias: bool) -> tuple[Tensor, Tensor]:
    """Weights [K, F] and bias [K] of the ridge regression of targets [N, K] on rates [N, F]; the bias is not shrunk."""
    means, aims = rates.mean(0) * with_bias, targets.mean(0) * with_bias
    x, y = rates - means, targets - aims
    gram = x.T @ x + RIDGE * len(x) * torch.eye(x.shape[1], dtype=x.dtype)
    weight = torch.linalg.solve(gram, x.T @ y).T
    return weight, aims - weight @ means


def step(network: nn.Module, images: Tensor, labels: Tensor, progress: Progress) -> list[Tensor]:
    """Nothing: there are no passes."""
    return []


READOUT = Method(name="readout", step=step, finish=finish, passes=False)
