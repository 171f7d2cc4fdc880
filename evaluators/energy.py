"""Energy: a pure function of counts and a named model; every figure carries the model and its policies.

The headline is compute alone. A figure with memory stands beside it, since rankings can flip between the two.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import Any

from evaluators.counting import Counts, LayerCount

WORD_BYTES = 4


@dataclass(frozen=True, kw_only=True)
class EnergyModel:
    """Prices in picojoules, where they come from, and how what is not arithmetic on synapses is treated.

    Attributes:
        sram_pj: (capacity in bytes, pJ a 32-bit access), smallest first; dram_pj serves what fits in none.
        weight_bits: of a stored weight, by which the capacity and the price of its access go.
    """

    name: str
    source: str
    node_nm: int
    precision: str
    pj_mac: float
    pj_ac: float
    sram_pj: tuple[tuple[int, float], ...]
    dram_pj: float
    policy: Mapping[str, str] = field(default_factory=dict)
    weight_bits: int = 32


HOROWITZ_45NM_FP32 = EnergyModel(
    name="horowitz-45nm-fp32",
    source="M. Horowitz, Computing's energy problem, ISSCC 2014",
    node_nm=45,
    precision="fp32",
    pj_mac=4.6,
    pj_ac=0.9,
    sram_pj=((8 * 1024, 5.0), (32 * 1024, 10.0), (1024 * 1024, 50.0)),
    dram_pj=650.0,
    policy={
        "headline": "compute only: macs x pj_mac + sops x pj_ac",
        "first layer": "real-valued input: multiply-accumulates, once a sample, not once a time step",
        "additions": "shortcut additions and biases of folded norms are lines of their own, outside the headline",
        "normalisation": "batch normalisation is folded into the convolution before it",
        "neurons": "an update is priced as one multiply-accumulate and one accumulate, a line outside the headline",
        "memory": "an operation reads one 32-bit weight and reads and writes one 32-bit potential, each from the "
        "smallest SRAM (8 KB, 32 KB, 1 MB; half the price of a 64-bit access) that holds the layer's, else from DRAM",
    },
)


def few_bits(model: EnergyModel, bits: int) -> EnergyModel:
    """The preset for weights of 8, 4 or 1 bits: Horowitz's int8 arithmetic, at the node of ``model``.

    No prices of narrower arithmetic were published at this node, so 4 and 1 bits are priced as 8, and gain in memory
    alone. The addition is of 8 bits, too: accumulators are wider, so it is optimistic.
    """
    policy = dict(model.policy) | {
        "weights": f"of {bits} bits, by the scale of their output; norms are folded into scales and thresholds",
        "arithmetic": "int8 multiply .2 and add .03 pJ, also for fewer bits; accumulators are wider: optimistic",
        "memory": f"as {model.name}, but that a weight takes {bits} bits of room and of an access",
    }
    name = f"{model.name.rpartition('-')[0]}-int{bits}"
    return replace(
        model, name=name, precision=f"int{bits} weights", pj_mac=0.23, pj_ac=0.03, policy=policy, weight_bits=bits
    )


ENERGY_MODELS: dict[str, EnergyModel] = {HOROWITZ_45NM_FP32.name: HOROWITZ_45NM_FP32}


def layer_energy_nj(layer: LayerCount, samples: int, model: EnergyModel) -> float:
    """Compute energy of one layer in nanojoules a sample, on the headline's terms."""
    return (layer.macs * model.pj_mac + layer.sops * model.pj_ac) / samples / 1000


def energy_nj(counts: Counts, model: EnergyModel) -> float:
    """The headline: compute energy in nanojoules a sample."""
    return (counts.total("macs") * model.pj_mac + counts.total("sops") * model.pj_ac) / counts.samples / 1000


def memory_nj(layer: LayerCount, samples: int, model: EnergyModel) -> float:
    """Energy of a layer's accesses to weights and potentials in nanojoules a sample, by the model's memory policy."""
    operations = (layer.macs + layer.sops) / samples
    outputs = 1
    for length in layer.shape:
        outputs *= length
    share = model.weight_bits / 8 / WORD_BYTES
    weight = _access_pj(layer.weights * WORD_BYTES * share, model) * share
    price = weight + 2 * _access_pj(outputs * WORD_BYTES, model)
    return operations * price / 1000


def literature_nj(counts: Counts, model: EnergyModel) -> float:
    """The form most papers report, nanojoules a sample: pj_mac x FLOPs of the first layer + pj_ac x rate x T x FLOPs.

    It takes the mean rate of a layer's input for every synapse and counts padding edges: not the exact sum.
    """
    dense = sum(layer.dense for layer in counts.layers if not layer.inputs)
    return (model.pj_mac * dense + model.pj_ac * counts.sops_by_rate) / counts.samples / 1000


def energy_statement(counts: Counts, model: EnergyModel) -> dict[str, Any]:
    """Everything there is to say about the energy of one network, as plain data for metrics and report.

    ``lines`` are nanojoules a sample; the headline is the sum of its first two.
    """
    to_nj = 1 / counts.samples / 1000
    lines = {
        "multiply-accumulates": counts.total("macs") * model.pj_mac * to_nj,
        "synaptic operations": counts.total("sops") * model.pj_ac * to_nj,
        "shortcut additions": counts.total("additions") * model.pj_ac * to_nj,
        "bias additions": counts.total("biases") * model.pj_ac * to_nj,
        "neuron updates": counts.total("updates") * (model.pj_mac + model.pj_ac) * to_nj,
        "memory": sum(memory_nj(layer, counts.samples, model) for layer in counts.layers),
    }
    statement = asdict(model)
    statement["model"] = statement.pop("name")
    statement["headline_nj"] = energy_nj(counts, model)
    statement["literature_nj"] = literature_nj(counts, model)
    statement["with_memory_nj"] = energy_nj(counts, model) + lines["memory"]
    statement["lines"] = lines
    return statement


def _access_pj(size: float, model: EnergyModel) -> float:
    return next((price for capacity, price in model.sram_pj if size <= capacity), model.dram_pj)
