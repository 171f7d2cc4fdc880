"""Ways to find tickets: what each promises, and that a kill at any step changes nothing."""

from dataclasses import replace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from evaluators.checkpoint import own_tensors
from evaluators.evaluation import calibration_batches, evaluate, recalibrate
from evaluators.plan import Plan
from evaluators.pruning.making import dense, renew, rewound, train_ticket
from evaluators.pruning.masks import attach, kept_of, masks_of, prunable, sparsity_of
from evaluators.pruning.methods import METHODS, divergences, early_time_of, full_ladder, ladder
from evaluators.pruning.one_shot import one_shot
from evaluators.pruning.pattern import WEIGHT_BITS, Pruning
from evaluators.pruning.rules import holding, layerwise, levels, quantised, random_scores, spike_penalty
from evaluators.training import fit
from spaces.errors import OptionError
from spaces.neurons.neuron import Neuron
from spaces.seeds import torch_generator

KIM = [25.0, 43.7, 57.8, 68.3, 76.2, 82.1, 86.6, 89.9, 92.4, 94.3, 95.7, 96.8, 97.5, 98.1]  # ECCV 2022, truncated


class Killed(Exception):
    """Stands for a kill between two steps."""


def same(one, other):
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)


def test_the_ladder_of_imp():
    assert full_ladder() == pytest.approx([1 - 0.75**i for i in range(1, 15)], abs=1e-9)
    assert [100 * s for s in full_ladder()] == pytest.approx(KIM, abs=0.13)  # theirs are of rounded numbers of weights
    assert ladder(full_ladder()) == full_ladder()
    assert len(ladder([0.9])) == 8
    assert ladder([0.9])[:7] == pytest.approx(full_ladder()[:7])


@given(st.lists(st.floats(0.01, 0.99), min_size=1, max_size=4))
def test_a_ladder_rises_to_every_target_and_never_by_much_more_than_a_quarter_of_what_is_left(targets):
    rungs = ladder(targets)
    assert set(targets) <= set(rungs)
    for before, after in zip([0.0, *rungs], rungs, strict=False):
        assert before < after
        assert (1 - after) / (1 - before) > 0.72


@pytest.mark.parametrize("optimiser", ["adam", "sgd"])
@settings(max_examples=2)
@given(sparsity=st.floats(0.1, 0.9), seed=st.integers(0, 9))
def test_no_optimiser_revives_a_weight(task, build, optimiser, sparsity, seed):
    """Momentum and weight decay pull at masked weights; after every step they are exactly zero."""
    network = build(seed=seed)
    fit(network, task, Plan(epochs=1, batch_size=32, optimiser=optimiser), seed=seed)  # moments of a dense network
    attach(network, one_shot(network, sparsity, Pruning(floor=0.05)))
    masks = {name: mask.clone() for name, mask in masks_of(network).items()}
    rule, steps = holding(network), []

    def watched(step, total, opt):
        moved = {name: bool((w[~masks[name]] != 0).any()) for name, w in prunable(network).items()}
        rule(step, total, opt)
        steps.append(any(moved.values()))
        for name, weight in prunable(network).items():
            assert not bool(weight[~masks[name]].any())
            assert not bool(torch.signbit(weight[~masks[name]]).any())

    plan = Plan(epochs=2, batch_size=32, optimiser=optimiser, weight_decay=0.1)
    fit(network, task, plan, seed=seed, after_step=watched)
    assert any(steps)  # without the rule they would have come back
    assert same(masks_of(network), masks)


def test_rewound_weights_are_those_after_the_epoch_bit_for_bit(making, build, task):
    early = build()
    fit(early, task, making.plan, seed=making.seed, until=2, checkpoint=making.folder / "other", match="")
    for epoch, wanted in ((0, build()), (2, early)):
        mine = replace(making, rewind=epoch)
        network, _, _ = dense(mine)
        assert same(own_tensors(rewound(mine)), own_tensors(wanted))
        whole = build()
        fit(whole, task, making.plan, seed=making.seed)
        recalibrate(whole, task, samples=128, seed=making.seed)
        assert same(own_tensors(network), own_tensors(whole))


def test_every_round_of_imp_starts_from_the_rewound_weights(making, monkeypatch):
    starts = []

    def seen(mine, name, network, masks, **options):
        attach(network, masks)
        starts.append({key: tensor.clone() for key, tensor in own_tensors(network).items()})
        return train_ticket(mine, name, network, masks, **options)

    monkeypatch.setattr("evaluators.pruning.methods.train_ticket", seen)
    (ticket,) = METHODS["imp"](making, [0.55])
    kept = own_tensors(rewound(making))
    assert len(starts) == len(ladder([0.55])) == 3
    for start, sparsity in zip(starts, ladder([0.55]), strict=True):
        left = sum(int(start[f"{name}_mask"].sum()) for name in prunable(ticket.network))
        total = sum(w.numel() for w in prunable(ticket.network).values())
        assert left == total - round(sparsity * total)
        for name, tensor in kept.items():
            mask = start.get(f"{name}_mask", torch.ones_like(tensor, dtype=torch.bool))
            assert torch.equal(start[name], tensor.masked_fill(~mask, 0))
    assert ticket.find.epochs == 3 * making.plan.epochs  # dense and two rounds
    assert ticket.find.sample_steps == 3 * 3 * 96 * 3
    assert [row["round"] for row in ticket.rounds] == [1, 2, 3]


@pytest.mark.parametrize("method", [name for name in METHODS if name != "fading"])
def test_sparsity_is_exact_and_zeros_are_in_the_network(making, method):
    """By every method; what it yields is as sparse as asked to one weight, after its training."""
    (ticket,) = METHODS[method](making, [0.4])
    total = sum(there for _, there in kept_of(ticket.network).values())
    assert sum(stay for stay, _ in kept_of(ticket.network).values()) == total - round(0.4 * total)
    for name, mask in masks_of(ticket.network).items():
        assert not bool(dict(ticket.network.named_parameters())[name][~mask].any())
    assert sparsity_of(ticket.network) == pytest.approx(0.4, abs=0.5 / total + 1e-9)
    assert len(ticket.curve) == making.plan.epochs


@pytest.mark.parametrize(
    ("method", "pattern"),
    [("gmp", "channels"), *((method, "weights") for method in ("gmp", "imp", "eb+et", "dst", "stds", "fading"))],
)
def test_parts_of_a_batch_make_the_same_ticket_whoever_computes_them(making, method, pattern):
    """On one thread and on two; it is judged by the statistics of its weights, and learns as on whole batches."""
    pruning = replace(making.pruning, pattern=pattern)
    mine = replace(making, plan=replace(making.plan, epochs=1), pruning=pruning, spike_penalty=0.1)
    made = []
    for threads, parts in ((1, 2), (2, 2), (1, 1)):
        torch.set_num_threads(threads)
        try:
            one = replace(mine, parts=parts, folder=making.folder / f"{threads}-{parts}")
            made.append(next(METHODS[method](one, [] if method == "fading" else [0.4])))
        finally:
            torch.set_num_threads(1)
    one, two, whole = made
    assert same(own_tensors(one.network), own_tensors(two.network))
    assert (one.notes, one.rounds, one.curve) == (two.notes, two.rounds, two.curve)
    assert one.curve[0].loss == pytest.approx(whole.curve[0].loss, abs=1e-3)
    before = {name: tensor.clone() for name, tensor in own_tensors(one.network).items()}
    renew(mine, one.network)  # of rounds, in another order
    for name, tensor in own_tensors(one.network).items():
        torch.testing.assert_close(tensor, before[name], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("method", METHODS)
def test_killed_again_and_again_ends_with_the_same_masks_and_weights(making, method):
    mine = replace(making, fading_rate=0.15, plan=replace(making.plan, epochs=4 if method == "fading" else 3))
    targets = [] if method == "fading" else [0.4]
    (whole,) = METHODS[method](replace(mine, folder=mine.folder / "whole"), targets)
    steps, ran = 0, [0]

    def stage(title, unit):
        def tell(done, total):
            nonlocal steps
            steps += 1
            ran[0] += 1
            if steps == 8:  # an epoch has six steps
                raise Killed

        return tell

    kills, again = 0, replace(mine, folder=mine.folder / "killed", stage=stage)
    while True:
        steps = 0
        try:
            (ticket,) = METHODS[method](again, targets)
            break
        except Killed:
            kills += 1
    assert kills >= 2
    assert same(masks_of(ticket.network), masks_of(whole.network))
    assert same(own_tensors(ticket.network), own_tensors(whole.network))
    assert (ticket.find.sample_steps, ticket.train.sample_steps) == (whole.find.sample_steps, whole.train.sample_steps)
    assert ticket.notes == whole.notes
    assert ticket.rounds == whole.rounds


def test_early_bird_stops_when_five_masks_agree(making, monkeypatch):
    mine = replace(making, plan=replace(making.plan, epochs=7))
    monkeypatch.setattr("evaluators.pruning.methods.DRAWN", 1.0)
    (ticket,) = METHODS["early-bird"](mine, [0.5])
    assert ticket.notes == {"drawn": True, "search_epochs": 5}
    assert ticket.find.epochs == 5
    assert ticket.train.epochs == 7
    monkeypatch.setattr("evaluators.pruning.methods.DRAWN", -1.0)
    (ticket,) = METHODS["early-bird"](replace(mine, folder=mine.folder / "never"), [0.5])
    assert ticket.notes == {"drawn": False, "search_epochs": 7}


def test_early_time_looks_at_divergence_the_right_way_round(making, build):
    network = build()
    network.train()(making.task.train.images[:32].float() / 255)
    found = divergences(making, network)
    network.eval()
    images = torch.cat(list(calibration_batches(making.task, samples=1000, seed=making.seed)))
    with torch.no_grad():
        readout = network(images)  # direct encoding: the first steps are those of a smaller T
    scale = making.plan.logit_scale
    short, full = ((readout[:t].mean(0) * scale).softmax(1).double() for t in (2, 3))
    assert list(found) == [2]
    assert found[2] == pytest.approx(float((short * (short / full).log()).sum(1).mean()), rel=1e-4)
    assert found[2] != pytest.approx(float((full * (full / short).log()).sum(1).mean()), rel=1e-4)


def test_early_time_takes_the_smallest_t_that_is_close():
    assert early_time_of({2: 1.0, 3: 0.59, 4: 0.1}, 5) == 3
    assert early_time_of({2: 1.0, 3: 0.6}, 4) == 4
    assert early_time_of({2: 1.0}, 3) == 3
    assert early_time_of({}, 2) == 2


def test_a_smaller_t_makes_the_search_cheaper(making, monkeypatch):
    monkeypatch.setattr("evaluators.pruning.methods.early_time_of", lambda found, full: 2)
    (ticket,) = METHODS["eb+et"](making, [0.5])
    assert ticket.find.sample_steps == 96 * (2 * 3 + 1 * 2)
    assert ticket.train.sample_steps == 96 * 3 * 3
    mine = replace(making, folder=making.folder / "imp")
    (ticket,) = METHODS["early-time"](mine, [0.25])
    assert ticket.find.sample_steps == 96 * (2 * 3 + 1 * 2)
    assert ticket.train.sample_steps == 96 * 3 * 3
    assert len(ticket.network(making.task.train.images[:2].float())) == 3


def test_gradual_pruning_follows_its_cube(making, monkeypatch):
    seen = []

    def noted(network, sparsity, *options, **more):
        seen.append(sparsity)
        return one_shot(network, sparsity, *options, **more)

    monkeypatch.setattr("evaluators.pruning.rules.one_shot", noted)
    list(METHODS["gmp"](making, [0.8]))
    end = round(0.75 * 18)
    assert seen == pytest.approx([0.8 - 0.8 * (1 - step / end) ** 3 for step in range(end + 1)])
    assert seen[-1] == 0.8


def test_dynamic_training_keeps_every_layers_number_and_exchanges_weights(making):
    (ticket,) = METHODS["dst"](making, [0.7])
    network, changed = making.build(), 0
    scores = random_scores(network, torch_generator(making.seed, "first masks"))
    begun = one_shot(network, 0.7, layerwise(making.pruning), scores=scores)
    for name, mask in masks_of(ticket.network).items():
        assert int(mask.sum()) == int(begun[name].sum())
        changed += int((mask ^ begun[name]).sum())
    assert changed > 0


def test_methods_that_exchange_weights_refuse_patterns(making):
    for method in ("dst", "stds"):
        mine = replace(making, pruning=replace(making.pruning, pattern="channels"))
        with pytest.raises(OptionError, match=f"--method {method} exchanges single weights"):
            list(METHODS[method](mine, [0.5]))
    with pytest.raises(OptionError, match="--weight-bits 4"):
        list(METHODS["stds"](replace(making, weight_bits=4), [0.5]))


@pytest.mark.parametrize("bits", WEIGHT_BITS)
def test_weights_of_few_bits_have_few_values(making, bits):
    (ticket,) = METHODS["random"](replace(making, weight_bits=bits), [0.5])
    for name, weight in prunable(ticket.network).items():
        mask = masks_of(ticket.network)[name]
        assert not bool(weight[~mask].any())
        for row, stays in zip(weight.detach().flatten(1), mask.flatten(1), strict=True):
            assert len(row[stays].unique()) <= (2 if bits == 1 else 2**bits - 1)
    latents = [name for name, _ in ticket.network.named_buffers() if name.endswith("_latent")]
    assert len(latents) == len(prunable(ticket.network))


@given(st.integers(0, 99), st.sampled_from(WEIGHT_BITS))
def test_quantised_values_are_the_nearest_there_are(seed, bits):
    value = torch.randn(3, 7, generator=torch.Generator().manual_seed(seed))
    whole, scale = levels(value, bits)
    if bits == 1:
        assert torch.equal(whole, torch.where(value >= 0, 1, -1).to(torch.int8))
        assert torch.allclose(scale.flatten(), value.abs().mean(1))
    else:
        assert torch.allclose(scale.flatten() * (2 ** (bits - 1) - 1), value.abs().amax(1))
        assert bool(((quantised(value, bits) - value).abs() <= scale / 2 + 1e-6).all())


def test_the_spike_penalty_is_the_mean_firing_rate_and_lowers_it(making, build, task):
    network, images = build(), task.train.images[:16].float() / 255
    spikes = []
    for part in network.modules():
        if isinstance(part, Neuron):
            part.register_forward_hook(lambda part, inputs, output: spikes.append(output.detach()))
    with spike_penalty(network, 2.0) as penalty:
        network(images)
        expected = 2.0 * sum(float(s.sum()) for s in spikes) / sum(s.numel() for s in spikes)
        assert penalty().item() == pytest.approx(expected, rel=1e-5)
    assert expected > 0
    rates = []
    for strength in (0.0, 5.0):
        trained, _, _ = dense(replace(making, spike_penalty=strength, folder=making.folder / str(strength)))
        rates.append(evaluate(trained, task, task.validation).counts.total("spikes"))
    assert rates[1] < rates[0]
