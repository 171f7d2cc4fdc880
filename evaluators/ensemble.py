"""Several supernets of one recipe, and a candidate's score as the mean of what it has in each of them.

(But for what its firing rates tell, which is told by those of all of them side by side: ``evaluators.readings``.)

How a supernet ranks depends on its first weights, on the paths that it was trained on and their order. These differ
from seed to seed, what candidates are worth does not, and so a mean over supernets is steadier than any of them (as
ensembles of networks are: Dietterich, Ensemble methods in machine learning, MCS 2000).
"""

from collections.abc import Sequence
from dataclasses import replace
from statistics import fmean

from torch import nn

from spaces.candidate import Score
from spaces.seeds import derive

WORST_FIRST = ("failed", "infeasible")  # states of which one is enough
MEASURED = ("accuracy", "spikes", "energy_nj", "sops", "macs")


class Ensemble(nn.Module):
    """Supernets side by side, all of all candidates."""

    def __init__(self, supernets: Sequence[nn.Module]) -> None:
        super().__init__()
        self.supernets = nn.ModuleList(supernets)


def members(supernet: nn.Module) -> list[nn.Module]:
    """The supernets of an ensemble, or the one there is."""
    return list(supernet.supernets) if isinstance(supernet, Ensemble) else [supernet]


def member_seed(seed: int, number: int) -> int:
    """The seed that a member is trained under: of the first the run's own."""
    return derive(seed, "supernets", number) if number else seed


def mean_score(scores: Sequence[Score]) -> Score:
    """A candidate's score of the means of its figures; or the worst, where one is not ``ok``."""
    first, seconds = scores[0], sum(score.seconds for score in scores)
    for state in WORST_FIRST:
        for score in scores:
            if score.state == state:
                return replace(score, seconds=seconds)
    means = {name: fmean(getattr(score, name) for score in scores) for name in MEASURED}
    columns = {name: fmean(score.columns[name] for score in scores) for name in first.columns}
    return replace(first, **means, columns=columns, seconds=seconds)
