"""What readings tell against regressions of another library, and rates gathered by running a network."""

from dataclasses import replace
from itertools import permutations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.linear_model import Ridge
from torch import Tensor

from evaluators.evaluation import evaluate, recalibrate
from evaluators.inherited import inherited, score_from_supernet
from evaluators.prefix import PrefixCache
from evaluators.readings import MEASURES, PENALTIES, SMOOTHING, Readings, measured, reading
from evaluators.supernet import train_supernet
from spaces import SPACES, lookup
from spaces.candidate import READINGS, Candidate
from spaces.layers import Linear
from spaces.spec import TaskSpec
from spaces.spikenas_bench import Nothing, spikenas_bench
from spaces.weights import inherit, initialise


def told(n: int, d: int, seed: int) -> tuple[Tensor, Tensor]:
    """Rates that say something of the labels."""
    rng = np.random.default_rng(seed)
    labels = rng.integers(3, size=n)
    return torch.tensor(rng.normal(size=(n, d)) + labels[:, None] * rng.normal(size=d)), torch.tensor(labels)


@pytest.fixture(scope="module")
def supernet(setting):
    return train_supernet(setting)[0]


def separability(rates: Tensor, labels: Tensor) -> float:
    return measured([Readings(rates, labels)], READINGS)["separability"]


def alignment(rates: Tensor, labels: Tensor) -> float:
    return measured([Readings(rates, labels)], READINGS)["alignment"]


def test_measures_are_the_columns_that_goals_know():
    assert tuple(MEASURES) == READINGS


@pytest.mark.parametrize(("n", "d"), [(40, 7), (25, 60), (12, 400)])
def test_separability_is_of_the_best_ridge_regression_on_all_samples_but_one(n, d):
    rates, labels = told(n, d, seed=1)
    x, y = rates.numpy(), np.eye(3)[labels]
    found = []
    for penalty in PENALTIES:
        errors = []
        for left_out in range(n):
            others = np.arange(n) != left_out
            fitted = Ridge(alpha=penalty * x.var(0).mean() * n).fit(x[others], y[others])
            errors.append(y[left_out] - fitted.predict(x[[left_out]])[0])
        found.append(1 - np.square(errors).sum() / np.square(y - y.mean(0)).sum())
    assert separability(rates, labels) == pytest.approx(max(found), abs=1e-9)


def test_there_is_a_penalty_for_as_many_rates_as_an_ensemble_has():
    """Ten thousand rates of forty causes, most of them noise: the best penalty is larger than any for few rates."""
    causes, labels = told(60, 40, seed=2)
    rates = causes @ torch.randn(40, 10_000, dtype=torch.float64, generator=torch.Generator().manual_seed(3))
    found = {}
    for penalty in (10.0, PENALTIES[-1]):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr("evaluators.readings.PENALTIES", (penalty,))
            found[penalty] = separability(rates, labels)
    assert separability(rates, labels) > max(found.values())


@pytest.mark.parametrize(("n", "d"), [(40, 7), (25, 60)])
def test_alignment_is_of_a_ridge_smoother_with_the_classes(n, d):
    rates, labels = told(n, d, seed=1)
    x, centring = rates.numpy(), np.eye(n) - 1 / n
    penalty = SMOOTHING * np.square(x - x.mean(0)).sum(1).mean()
    smoother = Ridge(alpha=penalty).fit(x, np.eye(n)).predict(x) - 1 / n  # what each sample's label gives to each
    classes = centring @ np.equal.outer(labels.numpy(), labels.numpy()) @ centring
    one, other = (matrix - np.trace(matrix) / (n - 1) * centring for matrix in (smoother, classes))
    cosine = (one * other).sum() / np.linalg.norm(one) / np.linalg.norm(other)
    assert alignment(rates, labels) == pytest.approx(cosine, abs=1e-9)


@given(seed=st.integers(0, 2**32 - 1), d=st.integers(2, 9))
@settings(max_examples=5)
def test_alignment_is_nothing_in_mean_over_all_orders_of_the_labels(seed, d):
    rates, labels = told(6, d, seed)
    orders = [alignment(rates, labels[list(order)]) for order in permutations(range(6))]
    assert np.mean(orders) == pytest.approx(0.0, abs=1e-9)
    assert max(map(abs, orders)) <= 1 + 1e-9


@given(seed=st.integers(0, 2**32 - 1), scale=st.floats(1e-3, 1e3), shift=st.floats(-10, 10), d=st.integers(2, 50))
def test_units_order_and_axes_of_the_rates_do_not_matter(seed, scale, shift, d):
    rates, labels = told(30, d, seed)
    generator = torch.Generator().manual_seed(seed % 2**31)
    turn = torch.linalg.qr(torch.randn(d, d, generator=generator, dtype=torch.float64))[0]
    order = torch.randperm(30, generator=generator)
    changed = measured([Readings((scale * rates @ turn + shift)[order], labels[order])], READINGS)
    assert changed == pytest.approx(measured([Readings(rates, labels)], READINGS), abs=1e-6)


@pytest.mark.parametrize("measure", [separability, alignment])
def test_rates_that_say_all_say_nothing_or_are_not_there(measure):
    labels = torch.arange(200) % 4
    noise = torch.randn(200, 20, generator=torch.Generator().manual_seed(0))
    assert measure(torch.eye(4)[labels], labels) > 0.99
    assert abs(measure(noise, labels)) < 0.1
    assert 0.2 < measure(noise + 3 * torch.eye(4, 20)[labels], labels) < 0.9
    assert measure(torch.ones(200, 20), labels) == 0.0
    assert measure(noise, torch.zeros(200, dtype=torch.int64)) == 0.0
    assert abs(measure(torch.eye(200), labels)) < 0.1  # no two samples are alike


def test_a_score_has_that_of_its_own_networks_rates(setting, supernet):
    """Whatever the cache and the batches; without asking for it, a score is as ever."""
    cache = PrefixCache(64)
    rng = np.random.default_rng(3)
    for candidate in (setting.space.sample_sound(rng) for _ in range(4)):
        network = setting.space.network(setting.task.spec, candidate)
        inherit(network, supernet)
        recalibrate(network, setting.task, samples=setting.recipe.recalibration_samples, seed=setting.seed)
        seen = []
        head = next(module for module in network.links()[-1].modules() if isinstance(module, Linear))
        hook = head.register_forward_pre_hook(lambda module, arriving, seen=seen: seen.append(arriving[0].clone()))
        evaluate(network, setting.task, setting.task.validation)
        hook.remove()
        by_hand = measured([Readings(torch.cat([x.mean(0) for x in seen]), setting.task.validation.labels)], READINGS)
        asked = evaluate(network, setting.task, setting.task.validation, with_readings=True)
        assert measured([asked.readings], READINGS) == pytest.approx(by_hand, abs=1e-9)
        plain = score_from_supernet(setting, supernet, candidate)
        for kept in (None, cache, cache):
            score = score_from_supernet(replace(setting, readings=READINGS), supernet, candidate, cache=kept)
            balanced = score.columns["balanced_accuracy"]
            assert replace(score, columns={"balanced_accuracy": balanced}, seconds=0.0) == replace(plain, seconds=0.0)
            assert score.columns["separability"] == pytest.approx(by_hand["separability"], abs=1e-9)
            assert asked.readings.skipped or score.columns == pytest.approx({**by_hand, **plain.columns}, abs=1e-9)
        alone = score_from_supernet(replace(setting, readings=("separability",)), supernet, candidate)
        assert alone.columns == pytest.approx({"separability": by_hand["separability"], **plain.columns}, abs=1e-9)


@pytest.mark.parametrize("sign", [1, -1])  # which of the two is better turns with it
def test_a_skip_into_the_last_cell_is_left_out_of_alignment_where_it_tells_less(setting, monkeypatch, sign):
    """Against networks whose last cell has no such edge; in either cell, by other edges, or alone it stays."""
    as_it_is = MEASURES["alignment"]
    monkeypatch.setitem(MEASURES, "alignment", lambda of: sign * as_it_is(of))
    space = spikenas_bench(width=4, timesteps=2, compiled=False)
    recipe = replace(setting.recipe, plan=replace(setting.recipe.plan, epochs=2, time_schedule=()))
    setting = replace(setting, space=space, recipe=recipe, readings=READINGS)
    supernet = train_supernet(setting)[0]
    better = set()
    for cell in ("133222", "001333", "411223", "012112", "120013", "001000"):
        candidate = Candidate(dict(zip(space.blanks, map(int, cell), strict=True)))
        skipped = cell[2] == "1" and cell != "001000"

        def rates(candidate=candidate, *, without: bool = False):
            network = inherited(setting, supernet, candidate)
            if without:
                network.cell2.edges["op_e03"] = Nothing()
            recalibrate(network, setting.task, samples=setting.recipe.recalibration_samples, seed=setting.seed)
            return evaluate(network, setting.task, setting.task.validation, with_readings=True).readings

        whole = rates()
        score = score_from_supernet(setting, supernet, candidate)
        assert score.state == "ok"
        told = measured([whole], READINGS)
        if cell == "120013":  # by a skip after a skip
            assert whole.skipped
            continue
        assert whole.skipped == skipped
        if skipped:
            other = measured([rates(without=True)], READINGS)["alignment"]
            better.add(other > told["alignment"])
            told["alignment"] = max(told["alignment"], other)
        assert {name: score.columns[name] for name in READINGS} == pytest.approx(told, abs=1e-6)
    assert (sign < 0) in better  # where nothing else lives in the cell, the skip tells more


@pytest.mark.parametrize("name", SPACES)
def test_every_space_has_rates_at_its_readout(name):
    space = lookup(SPACES, "space", name)(width=8, timesteps=4, compiled=False)
    network = space.network(
        TaskSpec(channels=1, height=16, width=16, classes=3), space.sample_sound(np.random.default_rng(0))
    ).eval()
    initialise(network, torch.Generator().manual_seed(0))
    with torch.no_grad(), reading(network) as rates:
        for size in (2, 3):
            network(torch.rand(size, 1, 16, 16))
            rates.close(torch.arange(size))
    assert [len(batch) for batch in rates.gathered] == [2, 3]
    assert len({batch.shape[1:] for batch in rates.gathered}) == 1
    assert torch.equal(rates.readings().rates, torch.cat(rates.gathered))
    assert rates.readings().labels.tolist() == [0, 1, 0, 1, 2]
