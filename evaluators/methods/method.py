"""Method: how weights are found, as two functions that one loop calls; see ``METHODS``."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from torch import Tensor, nn

from evaluators.plan import Plan
from evaluators.tasks.task import Task
from spaces.candidate import Candidate


@dataclass(frozen=True, kw_only=True)
class Progress:
    """Where a training stands, and what a step needs of it beside its batch.

    Attributes:
        step, total: steps done, and steps in all.
        plan: the loss and the precision.
        candidates: paths of this step, one after the other; a None is a network that has no choices left.
        share: of the whole batch that is here.
        penalty: what the loss of a forward pass has on top of that of its readout, asked for after each.
    """

    step: int
    total: int
    plan: Plan
    candidates: Sequence[Candidate | None] = (None,)
    share: float = 1.0
    penalty: Callable[[], Tensor | float] = lambda: 0.0


def stay(network: nn.Module, task: Task) -> None:
    """Leaves a network as it is."""


@dataclass(frozen=True, kw_only=True)
class Method:
    """How weights are found. Loop, schedules, checkpoints and resume are those of ``fit``.

    Attributes:
        name: as in ``METHODS``.
        step: called as ``step(network, images, labels, progress)`` with images [B, C, H, W] or [B, T, C, H, W] and
            labels [B]; leaves gradients for the optimiser, or new weights, behind. Gives the losses, a scalar a path.
        finish: called once at the end as ``finish(network, task)``, with the network in inference mode.
        passes: whether there are steps at all; without them a training is its ``finish`` alone.
    """

    name: str
    step: Callable[[nn.Module, Tensor, Tensor, Progress], list[Tensor]]
    finish: Callable[[nn.Module, Task], None] = stay
    passes: bool = True
