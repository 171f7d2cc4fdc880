"""Training: it learns, it resumes to the same weights, it names what went wrong."""

from contextlib import nullcontext
from dataclasses import replace

import pytest
import torch

from evaluators.checkpoint import own_tensors, read_checkpoint
from evaluators.methods import bptt
from evaluators.plan import Plan, loss_of
from evaluators.supernet import checkpoints, train_supernet
from evaluators.training import TrainingError, fit, one_cycle, rate_at
from spaces.autosnn import autosnn
from spaces.candidate import Candidate
from spaces.errors import DamageWarning
from spaces.seeds import numpy_generator
from spaces.space import Space
from spaces.weights import initialise


class Killed(Exception):
    """Stands for a kill between two steps."""


def same(one, other):
    a, b = own_tensors(one), own_tensors(other)
    return a.keys() == b.keys() and all(torch.equal(a[name], b[name]) for name in a)


def test_a_supernet_learns(setting):
    _, curve = train_supernet(replace(setting, recipe=replace(setting.recipe, plan=Plan(epochs=6, batch_size=16))))
    assert [epoch.epoch for epoch in curve] == [1, 2, 3, 4, 5, 6]
    assert curve[-1].loss < curve[0].loss


def test_same_seed_same_weights_other_seed_others(setting):
    first, second = train_supernet(setting)[0], train_supernet(setting)[0]
    assert same(first, second)
    assert not same(first, train_supernet(replace(setting, seed=1))[0])


@pytest.mark.parametrize(
    ("few_shot", "supernets", "of", "step"),
    [
        *[(None, 1, 12, step) for step in (1, 6, 7, 11, 12)],
        *[("slot1", 1, 30, step) for step in (3, 12, 13, 18, 25, 30)],
        *[(None, 3, 36, step) for step in (6, 12, 13, 24, 35)],
        *[("slot1", 2, 60, step) for step in (30, 47)],
    ],
)
def test_killed_at_any_step_and_resumed_gives_the_same_weights(setting, tmp_path, few_shot, supernets, of, step):
    recipe = replace(setting.recipe, few_shot=few_shot, few_shot_epochs=1, supernets=supernets)
    setting = replace(setting, recipe=recipe)
    uninterrupted, curve = train_supernet(setting)

    def kill(done, total):
        assert total == of
        if done == step:
            raise Killed

    path = tmp_path / "checkpoint.safetensors"
    with pytest.raises(Killed):
        train_supernet(setting, checkpoint=path, match="a", on_step=kill)
    resumed, resumed_curve = train_supernet(setting, checkpoint=path, match="a")
    assert same(uninterrupted, resumed)
    assert resumed_curve == curve
    assert sorted(tmp_path.iterdir()) == sorted(checkpoints(path, setting))
    again, _ = train_supernet(
        setting, checkpoint=path, match="a", on_step=lambda done, total: pytest.fail("trained again")
    )
    assert same(uninterrupted, again)


@pytest.mark.parametrize("damage", ["truncated", "garbage", "empty", "a bit", "other match"])
def test_a_damaged_or_foreign_checkpoint_is_trained_anew(setting, tmp_path, damage):
    uninterrupted, _ = train_supernet(setting)
    path = tmp_path / "checkpoint.safetensors"
    train_supernet(setting, checkpoint=path, match="a")
    content = path.read_bytes()
    damaged = {"truncated": content[: len(content) // 2], "garbage": b"\xff" * 100, "empty": b""}
    damaged["a bit"] = content[:-9] + bytes([content[-9] ^ 64]) + content[-8:]
    path.write_bytes(damaged.get(damage, content))
    match = "b" if damage == "other match" else "a"
    with nullcontext() if damage == "other match" else pytest.warns(DamageWarning, match="made anew"):
        assert read_checkpoint(path, match=match) is None
        resumed, _ = train_supernet(setting, checkpoint=path, match=match)
    assert same(uninterrupted, resumed)
    assert read_checkpoint(path, match=match) is not None


@pytest.mark.parametrize("pauses", [(1,), (2,), (1, 1, 3), (2, 9)])
def test_a_training_that_is_paused_is_one_schedule(setting, task, tmp_path, pauses):
    plan = Plan(epochs=4, batch_size=16, logit_scale=10.0)
    candidate = setting.space.sample_sound(numpy_generator(3))

    def trained(**options):
        network = setting.space.network(task.spec, candidate)
        initialise(network, torch.Generator().manual_seed(0), norm_scale=2.0, identity=True)
        return network, fit(network, task, plan, seed=0, **options)

    uninterrupted, curve = trained()
    path = tmp_path / "checkpoint.safetensors"
    for until in pauses:
        paused, part = trained(checkpoint=path, match="a", until=until)
        assert part == curve[:until]
        assert same(paused, uninterrupted) == (until >= 4)
    resumed, whole = trained(checkpoint=path, match="a")
    assert whole == curve
    assert same(resumed, uninterrupted)
    back, part = trained(checkpoint=path, match="a", until=1)  # past it: begun anew
    assert part == curve[:1]
    assert same(back, trained(until=1)[0])


def test_nothing_is_seeded_or_drawn_globally(setting):
    torch.manual_seed(5)
    before = torch.get_rng_state()
    train_supernet(setting)
    assert torch.equal(torch.get_rng_state(), before)


def test_divergence_is_named(setting, monkeypatch):
    monkeypatch.setattr(bptt, "loss_of", lambda readout, labels, plan: readout.sum() * float("nan"))
    with pytest.raises(TrainingError, match=r"loss nan in epoch 1 of 2 .* lower it with --learning-rate"):
        train_supernet(setting)


def test_single_network_trains_without_a_path(setting, task):
    space: Space = setting.space
    network = space.network(task.spec, next(space.all()))
    initialise(network, torch.Generator().manual_seed(0), norm_scale=2.0, identity=True)
    curve = fit(network, task, Plan(epochs=8, batch_size=16, logit_scale=10.0), seed=0)
    assert curve[-1].loss < 0.8 * curve[0].loss


def test_one_cycle_by_hand():
    rates = [one_cycle(step, 100, 1.0) for step in range(100)]
    assert rates[0] == pytest.approx(1 / 25)
    assert max(rates) == rates[30] == pytest.approx(1.0)
    assert rates[15] == pytest.approx((1 + 1 / 25) / 2)
    assert rates[65] == pytest.approx((1 + 1 / 25_000) / 2, rel=1e-3)
    assert rates[99] < 2e-3
    assert one_cycle(0, 1, 1.0) == pytest.approx(1 / 25)


def test_plain_sgd_falls_by_a_cosine():
    plan = Plan(epochs=1, optimiser="sgd", learning_rate=0.4)
    assert [rate_at(step, 100, plan) for step in (0, 50, 100)] == pytest.approx([0.4, 0.2, 0.0])
    assert rate_at(30, 100, Plan(epochs=1, learning_rate=0.4)) == one_cycle(30, 100, 0.4)


def test_losses_by_hand():
    readout = torch.tensor([[[0.2, 0.8]], [[0.4, 0.6]]])  # T = 2, one sample, mean 0.3, 0.7
    labels = torch.tensor([1])
    expected = torch.log(1 + torch.exp(torch.tensor((0.3 - 0.7) * 10.0)))
    assert loss_of(readout, labels, Plan(epochs=1, logit_scale=10.0)).item() == pytest.approx(expected.item())
    assert loss_of(readout, labels, Plan(epochs=1, loss="mse")).item() == pytest.approx((0.09 + 0.09) / 2)
    own = [torch.log(1 + torch.exp(torch.tensor((low - high) * 10.0))) for low, high in ((0.2, 0.8), (0.4, 0.6))]
    tet = loss_of(readout, labels, Plan(epochs=1, logit_scale=10.0, loss="tet"))
    assert tet.item() == pytest.approx(sum(own).item() / 2)


def test_tet_averages_over_samples_and_steps_alike():
    readout = torch.rand(3, 4, 5, generator=torch.Generator().manual_seed(0))
    labels = torch.tensor([0, 3, 3, 1])
    steps = [loss_of(step[None], labels, Plan(epochs=1)) for step in readout]
    assert loss_of(readout, labels, Plan(epochs=1, loss="tet")).item() == pytest.approx(sum(steps).item() / 3)


def test_the_time_schedule_is_kept_and_undone(setting, task):
    plan = Plan(epochs=2, batch_size=16, time_schedule=((1, 0.5), (2, 0.25)))
    assert [plan.timesteps(step, 12, 4) for step in range(12)] == [1] * 6 + [2] * 3 + [4] * 3
    assert plan.timesteps(0, 12, 1) == plan.timesteps(11, 12, 1) == 1
    assert plan.cost(4) == pytest.approx(0.5 / 4 + 0.25 / 2 + 0.25)
    seen = []
    space = autosnn(width=4, timesteps=3, compiled=False)
    network = space.network(task.spec, next(space.all()))
    initialise(network, torch.Generator().manual_seed(0))
    network.register_forward_hook(lambda module, inputs, readout: seen.append(len(readout)))
    fit(network, task, plan, seed=0, timesteps=3)
    assert seen == [1] * 6 + [2] * 3 + [3] * 3
    assert len(network(task.train.images[:2].float())) == 3


@pytest.mark.parametrize("rule", ["uniform", "fair", "sandwich"])
def test_several_paths_a_step_average_their_gradients(setting, task, rule):
    recipe = replace(setting.recipe, path_rule=rule, paths=3)
    calls = []
    network = setting.space.network(task.spec)
    initialise(network, torch.Generator().manual_seed(0), norm_scale=2.0, identity=True)
    groups = [list(setting.space.all())[i : i + 3] for i in range(0, 36, 3)]
    images, labels = task.train.images[:16].float() / 255, task.train.labels[:16]
    network.train()
    for candidate in groups[0]:
        (loss_of(network(images, candidate), labels, recipe.plan) / 3).backward()
    expected = {name: p.grad for name, p in network.named_parameters() if p.grad is not None}
    network.zero_grad()
    total = sum(loss_of(network(images, candidate), labels, recipe.plan) for candidate in groups[0]) / 3
    total.backward()
    for name, parameter in network.named_parameters():
        if parameter.grad is not None:
            torch.testing.assert_close(parameter.grad, expected[name], rtol=1e-4, atol=1e-6)
    supernet, curve = train_supernet(replace(setting, recipe=recipe), on_step=lambda done, total: calls.append(done))
    assert len(calls) == 12
    assert curve[-1].loss < 3
    assert same(supernet, train_supernet(replace(setting, recipe=recipe))[0])


def test_bf16_learns_with_float32_weights(setting):
    def learnt(precision):
        plan = Plan(epochs=8, batch_size=16, logit_scale=10.0, precision=precision)
        return train_supernet(replace(setting, recipe=replace(setting.recipe, plan=plan)))

    network, curve = learnt("bf16")
    _, exact = learnt("fp32")
    assert curve[-1].loss < 0.8 * curve[0].loss
    assert abs(curve[-1].loss - exact[-1].loss) < 0.2
    assert {parameter.dtype for parameter in network.parameters()} == {torch.float32}


def test_a_step_does_not_depend_on_the_number_of_threads(task):
    space = autosnn(width=8, timesteps=4)  # event-driven convolutions; neurons too small to be compiled
    candidate = Candidate(space.published["AutoSNN"])
    images, labels = task.train.images[:8].float() / 255, task.train.labels[:8]
    images = images.contiguous(memory_format=torch.channels_last)

    def gradients(threads):
        torch.set_num_threads(threads)
        network = space.network(task.spec, candidate).to(memory_format=torch.channels_last)
        initialise(network, torch.Generator().manual_seed(0), norm_scale=2.0, head_gain=8.0, identity=True)
        loss = loss_of(network.train()(images, candidate), labels, Plan(epochs=1, logit_scale=10.0))
        loss.backward()
        torch.set_num_threads(1)
        return loss.item(), {name: p.grad for name, p in network.named_parameters()}

    one, again, two = gradients(1), gradients(1), gradients(2)
    assert one[0] == pytest.approx(two[0], rel=1e-5)
    assert sum(float(g.abs().sum()) for g in one[1].values()) > 0
    for name, gradient in one[1].items():
        assert torch.equal(gradient, again[1][name])
        torch.testing.assert_close(two[1][name], gradient, rtol=1e-4, atol=1e-5 * float(gradient.abs().max() + 1e-12))


@pytest.mark.parametrize("loss", ["ce", "tet", "mse"])
def test_class_weights_count_a_sample_so_many_times(loss):
    """Weights 1 and 3: the loss of a batch in which each sample of class 1 stands three times; none is as all 1."""
    readout, labels = torch.rand(2, 6, 2, generator=torch.Generator().manual_seed(0)), torch.tensor([0, 1, 0, 0, 1, 0])
    plan = Plan(epochs=1, loss=loss, logit_scale=3.0)
    often = torch.tensor([0, 1, 1, 1, 2, 3, 4, 4, 4, 5])
    expected = loss_of(readout[:, often], labels[often], plan) * len(often) / len(labels)
    weighted = replace(plan, class_weights=(1.0, 3.0))
    torch.testing.assert_close(loss_of(readout, labels, weighted), expected)
    torch.testing.assert_close(
        loss_of(readout, labels, replace(plan, class_weights=(1.0, 1.0))), loss_of(readout, labels, plan)
    )
    parts = sum(loss_of(readout[:, part], labels[part], weighted) / 3 for part in torch.arange(6).split(2))
    torch.testing.assert_close(parts, loss_of(readout, labels, weighted))  # as train_parts sum them up
