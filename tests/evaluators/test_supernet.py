"""Scores out of a supernet: pure, complete, and every way to fail is an outcome."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from evaluators import evaluation as evaluation_module
from evaluators import inherited as inherited_module
from evaluators.checkpoint import own_tensors
from evaluators.evaluation import evaluate, recalibrate
from evaluators.inherited import score_from_supernet
from evaluators.prefix import PrefixCache
from evaluators.supernet import train_supernet, warm_up
from spaces.candidate import METRICS, Candidate
from spaces.layers import Norm
from spaces.sparsity import SPARSITY, with_sparsity
from spaces.timing import Repeat
from spaces.weights import inherit


@pytest.fixture(scope="module")
def supernet(setting):
    return train_supernet(
        replace(setting, recipe=replace(setting.recipe, plan=replace(setting.recipe.plan, epochs=8)))
    )[0]


def draws(setting, n):
    rng = np.random.default_rng(3)
    return [setting.space.sample(rng) for _ in range(n)]


def timeless(score):
    return replace(score, seconds=0.0)


def test_scores_do_not_depend_on_what_was_scored_before(setting, supernet):
    before = {name: tensor.clone() for name, tensor in own_tensors(supernet).items()}
    candidates = draws(setting, 6)
    forwards = [timeless(score_from_supernet(setting, supernet, c)) for c in candidates]
    backwards = [timeless(score_from_supernet(setting, supernet, c)) for c in reversed(candidates)]
    assert forwards == backwards[::-1]
    assert all(torch.equal(before[name], tensor) for name, tensor in own_tensors(supernet).items())


def test_a_score_is_complete(setting, supernet):
    scores = [score_from_supernet(setting, supernet, c) for c in draws(setting, 6)]
    fine = [score for score in scores if score.state == "ok"]
    assert len(fine) >= 3
    for score in fine:
        assert all(getattr(score, name) is not None for name in METRICS)
        assert score.fidelity == "supernet"
        assert score.energy_nj == pytest.approx((score.macs * 4.6 + score.sops * 0.9) / 1000)
        assert 0 <= score.accuracy <= 1
        assert score.timesteps == 2


def test_a_candidate_with_a_sparsity_is_pruned_in_one_shot(setting, supernet):
    """Against masks made by hand: of all its inherited weights the largest stay, but for one of a hundred a layer."""
    space = with_sparsity(setting.space, 0.95)
    sparse, plain = replace(setting, space=space), draws(setting, 1)[0]
    cache, dense = PrefixCache(64), timeless(score_from_supernet(setting, supernet, plain))
    for share in (0.0, 0.3, 0.9):
        candidate = Candidate({**plain, SPARSITY: share})
        score = timeless(score_from_supernet(sparse, supernet, candidate, cache=cache))
        network = setting.space.network(setting.task.spec, plain)
        inherit(network, supernet)
        weights = {n: p for n, p in network.named_parameters() if p.dim() > 1}
        flat = torch.cat([weight.detach().flatten().abs() for weight in weights.values()])
        kept = len(flat) - round(share * len(flat))
        bar = flat.sort(descending=True).values[kept - 1]
        with torch.no_grad():
            for weight in weights.values():
                floor = weight.abs().flatten().sort(descending=True).values[-(-weight.numel() // 100) - 1]
                weight[weight.abs() < min(bar, floor)] = 0.0
        left = sum(int(weight.count_nonzero()) for weight in weights.values())
        assert abs(left - kept) <= sum(-(-w.numel() // 100) for w in weights.values())
        assert score.parameters == dense.parameters - round(share * len(flat))
        recalibrate(network, setting.task, samples=setting.recipe.recalibration_samples, seed=setting.seed)
        by_hand = evaluate(network, setting.task, setting.task.validation)
        if left == kept:  # no layer was saved by its floor
            assert (score.accuracy, score.spikes) == (by_hand.accuracy, by_hand.counts.mean("spikes"))
            assert score.sops == by_hand.counts.mean("sops")
        if not share:
            assert score == dense
        else:
            assert score.sops < dense.sops
    again = timeless(score_from_supernet(sparse, supernet, Candidate({**plain, SPARSITY: 0.3})))
    with_cache = timeless(score_from_supernet(sparse, supernet, Candidate({**plain, SPARSITY: 0.3}), cache=cache))
    assert again == with_cache


def test_a_candidate_that_is_no_network_is_infeasible(setting, supernet):
    flawed = replace(setting, space=replace(setting.space, infeasible=lambda candidate: "it joins nothing"))
    score = score_from_supernet(flawed, supernet, draws(setting, 1)[0])
    assert (score.state, score.error, score.accuracy) == ("infeasible", "it joins nothing", None)


def test_accuracy_equals_a_count_of_right_answers(setting, supernet):
    candidate = draws(setting, 1)[0]
    network = setting.space.network(setting.task.spec, candidate)
    inherit(network, supernet)
    recalibrate(network, setting.task, samples=64, seed=setting.seed)
    task = setting.task
    x = (task.validation.images.float() / 255 - torch.tensor(task.mean)[:, None, None]) / torch.tensor(task.std)[
        :, None, None
    ]
    right = 0
    with torch.no_grad():
        for image, label in zip(x, task.validation.labels, strict=True):
            right += int(network(image[None]).mean(0).argmax().item() == label.item())
    assert evaluate(network, task, task.validation).accuracy == right / len(task.validation)


@pytest.mark.parametrize("samples", [48, 96])
def test_recalibration_gives_the_statistics_of_its_samples(setting, supernet, samples, monkeypatch):
    monkeypatch.setattr(evaluation_module, "CALIBRATION_BATCH", 48)
    candidate = draws(setting, 1)[0]
    network = setting.space.network(setting.task.spec, candidate)
    inherit(network, supernet)
    norm = next(module for module in network.modules() if isinstance(module, Norm))
    seen = []
    handle = norm.register_forward_hook(lambda m, i, o: seen.append(i[0]))
    recalibrate(network, setting.task, samples=samples, seed=0)
    handle.remove()
    assert sum(len(batch) for batch in seen) == samples
    torch.testing.assert_close(norm.running_mean, torch.stack([batch.mean((0, 2, 3)) for batch in seen]).mean(0))
    torch.testing.assert_close(norm.running_var, torch.stack([batch.var((0, 2, 3)) for batch in seen]).mean(0))
    assert norm.momentum == 0.1
    assert not network.training


def test_without_recalibration_the_mixture_is_kept(setting, supernet):
    candidate = draws(setting, 1)[0]
    kept = replace(setting, recipe=replace(setting.recipe, recalibration_samples=0))
    assert timeless(score_from_supernet(kept, supernet, candidate)) != timeless(
        score_from_supernet(setting, supernet, candidate)
    )


def test_a_silent_candidate_is_infeasible_with_its_reason(setting, supernet):
    silent = setting.space.network(setting.task.spec)
    silent.load_state_dict(supernet.state_dict())
    torch.nn.init.zeros_(silent.head[1].weight)
    score = score_from_supernet(setting, silent, draws(setting, 1)[0])
    assert score.state == "infeasible"
    assert score.error.startswith("silent")
    assert score.spikes > 0


def test_a_candidate_that_goes_nan_has_failed_with_its_reason(setting, supernet):
    poisoned = setting.space.network(setting.task.spec)
    poisoned.load_state_dict(supernet.state_dict())
    torch.nn.init.constant_(poisoned.head[1].weight, float("nan"))
    score = score_from_supernet(setting, poisoned, draws(setting, 1)[0])
    assert (score.state, score.error) == ("failed", "the readout is NaN or infinite")


def test_a_candidate_that_raises_has_failed_with_its_traceback(setting, supernet, monkeypatch):
    def broken(network, source):
        raise RuntimeError("out of\nmemory")

    monkeypatch.setattr(inherited_module, "inherit", broken)
    score = score_from_supernet(setting, supernet, Candidate(dict(draws(setting, 1)[0])))
    assert (score.state, score.error) == ("failed", "RuntimeError: out of memory")
    assert "in broken" in score.traceback


def test_warming_up_runs_every_t_of_the_schedule_and_touches_nothing(setting, monkeypatch):
    plan = replace(setting.recipe.plan, time_schedule=((1, 0.5),))
    before = torch.get_rng_state()
    seen, told = [], []
    forward = Repeat.forward
    monkeypatch.setattr(Repeat, "forward", lambda self, x: (seen.append(self.steps), forward(self, x))[1])
    warm_up(
        replace(setting, recipe=replace(setting.recipe, plan=plan)),
        on_step=lambda done, total: told.append((done, total)),
    )
    assert seen == [1, 2]
    assert told == [(0, 2), (1, 2), (2, 2)]
    assert torch.equal(torch.get_rng_state(), before)
