"""Few-shot supernets: a supernet for each family of one blank's values, in place of one for all of them.

In one supernet an option that most paths have learns to do what the others should, and whatever lacks it comes out too
poor: a convolution straight from a cell's input to its output, for one. So the paths that differ there get supernets of
their own, each trained on from the weights of the one for all (Zhao et al., Few-shot neural architecture search, ICML
2021, who give every option its own; options of a family share their kernels here, see ``Space.family``).
"""

from collections.abc import Sequence

from optuna.distributions import CategoricalDistribution
from torch import nn

from evaluators.ensemble import members
from evaluators.prefix import Key
from spaces.candidate import Candidate, Value
from spaces.errors import OptionError, unknown
from spaces.space import Space


def families(space: Space, blank: str) -> list[list[Value]]:
    """Values of a categorical blank by family, both in the order of the space.

    Raises:
        OptionError: there is no such blank, or it has but one family.
    """
    choices = {
        name: list(distribution.choices)
        for name, distribution in space.blanks.items()
        if isinstance(distribution, CategoricalDistribution)
    }
    if blank not in choices:
        raise OptionError(f"--few-shot: {unknown(f'choice of space {space.name!r}', blank, choices)}")
    groups = space.families(choices[blank])
    if len(groups) < 2:
        raise OptionError(
            f"--few-shot {blank}: its options are all of one kind of operation, so there is nothing to tell apart; "
            "give another choice, or drop it"
        )
    return groups


class FewShot(nn.Module):
    """Supernets side by side, of which a candidate's value of one blank says which is its own.

    Args:
        space: of the candidates.
        blank: a categorical blank of the space.
        supernets: one for each of the blank's ``families``.
    """

    def __init__(self, space: Space, blank: str, supernets: Sequence[nn.Module]) -> None:
        super().__init__()
        self.space, self.blank = space, blank
        self.supernets = nn.ModuleList(supernets)
        self._number = {value: k for k, values in enumerate(families(space, blank)) for value in values}

    def number(self, candidate: Candidate) -> int:
        """Which of the supernets is the candidate's."""
        return self._number[self.space.canonical(candidate)[self.blank]]


def supernet_of(supernet: nn.Module, candidate: Candidate) -> nn.Module:
    """The supernet that a candidate has its weights from: the one there is, its own of several, an ensemble's first."""
    supernet = members(supernet)[0]
    return supernet.supernets[supernet.number(candidate)] if isinstance(supernet, FewShot) else supernet


def key_of(supernet: nn.Module, candidate: Candidate) -> Key:
    """What candidates whose weights are of one supernet have in common."""
    return (supernet.number(candidate),) if isinstance(supernet, FewShot) else ()
