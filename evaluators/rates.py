"""Mean firing rates of a supernet's layers, which the thresholds of its candidates are balanced to."""

from torch import nn

from evaluators.balance import add_rates, gathering, keep_rates
from evaluators.evaluation import recalibrate
from evaluators.few_shot import supernet_of
from evaluators.inherited import inherited
from evaluators.precision import autocast
from evaluators.setting import Setting
from spaces.seeds import numpy_generator

RATES_FROM = 64  # random candidates, whose mean rates thresholds are balanced to


def measure_rates(setting: Setting, supernet: nn.Module) -> None:
    """Keeps with a supernet the mean firing rate of each layer over random candidates, see ``evaluators.balance``."""
    add_rates(supernet)
    rng = numpy_generator(setting.seed, "rates")
    found: dict[nn.Module, dict[str, list[float]]] = {}
    for _ in range(RATES_FROM):
        candidate = setting.space.sample_sound(rng)
        network, rates = inherited(setting, supernet, candidate), found.setdefault(supernet_of(supernet, candidate), {})
        with autocast(setting.recipe.plan.precision, setting.device), gathering(network, rates):
            samples = setting.recipe.recalibration_samples
            recalibrate(network, setting.task, samples=samples, seed=setting.seed, device=setting.device)
    for source, rates in found.items():
        keep_rates(source, rates)
