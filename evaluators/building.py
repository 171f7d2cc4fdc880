"""Networks of candidates, built and given their initial weights."""

import torch
from torch import nn

from evaluators.setting import Recipe, Setting
from spaces.candidate import Candidate
from spaces.weights import initialise


def build_alone(setting: Setting, candidate: Candidate) -> nn.Module:
    """A candidate's network on the setting's device, channels last, weights not yet set."""
    return setting.space.network(setting.task.spec, candidate).to(setting.device, memory_format=torch.channels_last)


def set_initial(network: nn.Module, recipe: Recipe, generator: torch.Generator) -> None:
    """Draws a network's initial weights as the recipe says."""
    initialise(network, generator, norm_scale=recipe.norm_scale, head_gain=recipe.head_gain, identity=recipe.identity)
