"""Common beginnings computed once: the same scores to the bit whatever the memory; packing loses nothing."""

from dataclasses import replace

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from evaluators import evaluation as evaluation_module
from evaluators.inherited import score_from_supernet
from evaluators.packing import pack, unpack
from evaluators.prefix import PrefixCache, segments
from evaluators.supernet import train_supernet
from spaces.candidate import Candidate
from spaces.layers import Conv
from spaces.neurons.neuron import Neuron
from spaces.seeds import numpy_generator

SHAPES = st.lists(st.integers(1, 7), min_size=1, max_size=5)


@pytest.fixture(scope="module")
def supernet(setting):
    plan = replace(setting.recipe.plan, epochs=8)
    return train_supernet(replace(setting, recipe=replace(setting.recipe, plan=plan)))[0]


def timeless(score):
    return replace(score, seconds=0.0)


def draws(setting, n):
    rng = numpy_generator(7)
    return [setting.space.sample(rng) for _ in range(n)]


@pytest.mark.parametrize("megabytes", [0, 0.01, 0.05, 64])
@pytest.mark.parametrize("batch", [128, 13])
def test_scores_are_the_same_to_the_bit(setting, supernet, monkeypatch, megabytes, batch):
    monkeypatch.setattr(evaluation_module, "CALIBRATION_BATCH", 40)  # three batches of calibration
    one = replace(setting, recipe=replace(setting.recipe, recalibration_samples=96))
    monkeypatch.setattr(evaluation_module, "CPU_BATCH", batch)
    cache = PrefixCache(megabytes)
    for candidate in draws(setting, 25):
        cached = score_from_supernet(one, supernet, candidate, cache=cache)
        assert timeless(cached) == timeless(score_from_supernet(one, supernet, candidate))
        assert cache.held <= cache.budget
    assert (cache.held > 0) == (megabytes > 0)


def test_without_recalibration_too(setting, supernet):
    one = replace(setting, recipe=replace(setting.recipe, recalibration_samples=0))
    cache = PrefixCache(64)
    for candidate in draws(setting, 8):
        cached = score_from_supernet(one, supernet, candidate, cache=cache)
        assert timeless(cached) == timeless(score_from_supernet(one, supernet, candidate))


def test_in_bf16_too_where_counts_stay_exact(setting, supernet, monkeypatch):
    plan = replace(setting.recipe.plan, precision="bf16")
    half = replace(setting, recipe=replace(setting.recipe, plan=plan))
    cache, types, fired = PrefixCache(64), set(), []

    def watched(self, x, forward=Conv.forward):
        y = forward(self, x)
        types.add(y.dtype)
        return y

    def counted(self, x, forward=Neuron.forward):
        y = forward(self, x)
        if y.shape[1] == len(setting.task.validation):  # and not the calibration's samples
            fired.append(int((y != 0).sum()))
        return y

    monkeypatch.setattr(Conv, "forward", watched)
    monkeypatch.setattr(Neuron, "forward", counted)
    for candidate in draws(setting, 8):
        fired.clear()
        alone = timeless(score_from_supernet(half, supernet, candidate))
        assert alone.spikes == sum(fired) / len(setting.task.validation)
        assert timeless(score_from_supernet(half, supernet, candidate, cache=cache)) == alone
        full = score_from_supernet(setting, supernet, candidate)
        assert alone.spikes == pytest.approx(full.spikes, rel=0.1)
        assert alone != timeless(full)
    assert torch.bfloat16 in types


def test_what_is_kept_is_not_computed_again(setting, supernet, monkeypatch):
    calls = []
    forward = Conv.forward
    monkeypatch.setattr(Conv, "forward", lambda self, x: (calls.append(self), forward(self, x))[1])
    cache, first = PrefixCache(64), draws(setting, 1)[0]
    score_from_supernet(setting, supernet, first, cache=cache)
    calls.clear()
    last = Candidate({**first, "slot5": "skip"})
    score_from_supernet(setting, supernet, last, cache=cache)
    assert len(calls) == 0  # only the last slot is left to run, and an identity has no convolution
    calls.clear()
    score_from_supernet(setting, supernet, Candidate({**last, "slot4": "SCB_k3"}), cache=cache)
    assert len(calls) == 2 * 2  # two convolutions, calibration and validation


def test_the_least_recently_used_go_first_and_a_line_of_descent_stays(setting, supernet):
    base = draws(setting, 1)[0]
    whole = PrefixCache(64)
    score_from_supernet(setting, supernet, base, cache=whole)
    tight = PrefixCache(whole.held * 1.2 / 2**20)
    for option in ("skip", "SCB_k3", "SCB_k5", "SRB_k3"):
        score_from_supernet(setting, supernet, Candidate({**base, "slot4": option}), cache=tight)
        assert tight.held <= tight.budget
        beginning = (0, base["slot1"])  # in the first supernet
        assert tight.longest([(), beginning]) == beginning


def test_segments_are_the_network(setting, supernet):
    candidate = draws(setting, 1)[0]
    network = setting.space.network(setting.task.spec, candidate)
    parts = segments(network, candidate)
    assert [len(part.key) for part in parts] == [0, 1, 2, 3, 4, 5]
    assert [link for part in parts for link in part.links] == list(network.links())


@given(shape=SHAPES, seed=st.integers(0, 2**31), binary=st.booleans(), data=st.data())
def test_packing_gives_back_the_tensor(shape, seed, binary, data):
    x = torch.rand(shape, generator=torch.Generator().manual_seed(seed))
    x = (x < 0.3).float() if binary else x
    x = x.permute(data.draw(st.permutations(range(len(shape)))))
    x.kind = "binary"
    packed = pack(x)
    back = unpack(packed)
    assert torch.equal(back, x)
    assert (back.stride(), back.dtype, back.kind) == (x.stride(), x.dtype, "binary")
    assert packed.nbytes == -(-x.numel() // 8) if binary else packed.binary <= bool(((x == 0) | (x == 1)).all())


@pytest.mark.parametrize(
    "x",
    [
        torch.tensor([1.0, float("nan")]),
        torch.ones(3, 1).expand(3, 4),
        torch.ones(4, 6)[:, ::2],
        torch.ones(4, 6)[1:],
        torch.empty(0, 3),
        torch.ones(9, dtype=torch.bfloat16),
    ],
)
def test_odd_tensors_survive_packing(x):
    back = unpack(pack(x))
    torch.testing.assert_close(back, x, rtol=0, atol=0, equal_nan=True)
    assert back.dtype == x.dtype


@pytest.mark.parametrize("share", [8, 4, 2, 1])
def test_stopped_early_it_is_the_same_with_and_without_the_cache(setting, supernet, monkeypatch, share):
    monkeypatch.setattr(evaluation_module, "CPU_BATCH", 4)
    total = len(setting.task.validation)
    asked = []

    def hopeless(score, seen, of):
        asked.append(sum(seen))
        assert (of, score.state) == ([16, 16], "ok")
        assert all(n <= size for n, size in zip(seen, of, strict=True))
        return "enough" if sum(seen) >= total / share else ""

    cache = PrefixCache(64)
    candidates = draws(setting, 6)
    for candidate in candidates[3:]:
        score_from_supernet(setting, supernet, candidate, cache=cache)
    stopped = 0
    for candidate in candidates:
        whole = score_from_supernet(setting, supernet, candidate)
        asked.clear()
        scores = [
            timeless(score_from_supernet(setting, supernet, candidate, cache=kept, hopeless=hopeless))
            for kept in (cache, None)
        ]
        assert scores[0] == scores[1]
        if not asked:
            continue  # silent on the samples seen: never asked about
        if share == 1:
            assert scores[0] == timeless(whole)
        else:
            stopped += 1
            assert (scores[0].state, scores[0].error) == ("pruned", "enough")
            assert scores[0].spikes == pytest.approx(whole.spikes, rel=0.5)
            assert scores[0].parameters == whole.parameters
    assert stopped or share == 1
