"""Energy against hand calculation."""

import pytest

from evaluators.counting import Counts, LayerCount
from evaluators.energy import (
    ENERGY_MODELS,
    HOROWITZ_45NM_FP32,
    energy_nj,
    energy_statement,
    layer_energy_nj,
    literature_nj,
)

STEM = LayerCount(name="stem", op="conv 3x3", shape=(16, 8, 8), weights=432, macs=2_000, dense=2_400)
CONV = LayerCount(
    name="conv", op="conv 3x3", shape=(16, 64, 64), weights=300_000, sops=10_000, dense=60_000, events=50, inputs=250
)
NEURON = LayerCount(name="neuron", op="PLIF", shape=(16, 8, 8), spikes=100, updates=4_096, additions=50, biases=1_024)
COUNTS = Counts(samples=2, layers=(STEM, CONV, NEURON))


def test_headline_is_macs_and_sops_at_horowitz_prices():
    assert energy_nj(COUNTS, HOROWITZ_45NM_FP32) == pytest.approx((2_000 * 4.6 + 10_000 * 0.9) / 2 / 1000)
    parts = [layer_energy_nj(layer, 2, HOROWITZ_45NM_FP32) for layer in COUNTS.layers]
    assert sum(parts) == pytest.approx(energy_nj(COUNTS, HOROWITZ_45NM_FP32))


def test_every_line_of_the_statement_by_hand():
    lines = energy_statement(COUNTS, HOROWITZ_45NM_FP32)["lines"]
    assert lines["multiply-accumulates"] == pytest.approx(4.6)
    assert lines["synaptic operations"] == pytest.approx(4.5)
    assert lines["shortcut additions"] == pytest.approx(50 * 0.9 / 2000)
    assert lines["bias additions"] == pytest.approx(1_024 * 0.9 / 2000)
    assert lines["neuron updates"] == pytest.approx(4_096 * 5.5 / 2000)
    # stem: 1.7 KB of weights and 4 KB of potentials, both in 8 KB (5 pJ); conv: 1.2 MB of weights from DRAM (650 pJ),
    # 256 KB of potentials in 1 MB (50 pJ); a word of weight read, a potential read and written, for each operation
    assert lines["memory"] == pytest.approx((2_000 * (5 + 2 * 5) + 10_000 * (650 + 2 * 50)) / 2000)


def test_the_form_of_the_literature_by_hand():
    # 4.6 pJ x 2 400 of the first layer + 0.9 pJ x rate 0.2 x 60 000
    assert literature_nj(COUNTS, HOROWITZ_45NM_FP32) == pytest.approx((4.6 * 2_400 + 0.9 * 0.2 * 60_000) / 2000)


def test_a_figure_carries_its_model_and_policies():
    statement = energy_statement(COUNTS, HOROWITZ_45NM_FP32)
    assert statement["model"] in ENERGY_MODELS
    assert (statement["node_nm"], statement["precision"]) == (45, "fp32")
    assert {"headline", "first layer", "additions", "normalisation", "neurons", "memory"} <= set(statement["policy"])
    assert statement["with_memory_nj"] == pytest.approx(statement["headline_nj"] + statement["lines"]["memory"])
