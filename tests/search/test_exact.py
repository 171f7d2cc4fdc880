"""What is exact without training: the same as after it, and the least of a space is found."""

from dataclasses import replace

import numpy as np
import pytest

from evaluators.energy import HOROWITZ_45NM_FP32
from evaluators.evaluation import evaluate
from evaluators.inherited import score_from_supernet
from evaluators.plan import Plan
from evaluators.scores import score_of
from evaluators.setting import Recipe, Setting
from evaluators.supernet import train_supernet
from results.bounds import Constraint
from results.folder import RunFolder
from results.ledger import Ledger
from search.loop.goal import Goal, parse_constraints
from search.loop.loop import Budget, search
from search.options.config import configure
from search.samplers.random import sample
from search.work.exact import check_reachable, exact_bounds, exact_score, nearest_to, refused
from search.work.finalists import Training
from search.work.sweep import trainer
from spaces.candidate import Candidate
from spaces.errors import OptionError
from spaces.everything import everything
from spaces.sparsity import with_sparsity

NAMES = ("parameters", "timesteps", "macs")
NO_BOUNDS = tuple(Constraint(metric=name, most=True, bound=1e30) for name in NAMES)


@pytest.fixture(scope="module")
def sparse(setting):
    """The setting, whose candidates may be pruned, too."""
    return replace(setting, space=with_sparsity(setting.space, 0.9))


@pytest.mark.parametrize("pruned", [False, True])
def test_what_is_exact_is_what_a_trained_network_has(setting, sparse, pruned):
    """Of a pruned one not its MACs: these hang on which weights of the first layer go."""
    setting = sparse if pruned else setting
    goal = Goal(objectives=("accuracy",), constraints=(*NO_BOUNDS, *parse_constraints(["spikes<=1e30"])))
    bounds = exact_bounds(setting.space, goal)
    assert [bound.metric for bound in bounds] == list(NAMES[: 2 if pruned else 3])
    supernet, rng = train_supernet(setting)[0], np.random.default_rng(0)
    for candidate in [setting.space.sample(rng) for _ in range(6)]:
        before, after = exact_score(setting, candidate, bounds), score_from_supernet(setting, supernet, candidate)
        assert all(before.figure(bound.metric) == after.figure(bound.metric) for bound in bounds)
        assert before.accuracy is None


@pytest.mark.parametrize("most", [True, False])
@pytest.mark.parametrize("metric", ["parameters", "macs"])
def test_no_candidate_comes_nearer_than_the_one_that_is_found(setting, task, metric, most):
    """Of random candidates, and of their neighbours, in a space whose choices nest."""
    space = everything(width=4, timesteps=2, compiled=False)
    large = Setting(space=space, task=task, recipe=Recipe(plan=Plan(epochs=1)), model=HOROWITZ_45NM_FP32, seed=0)
    for one in (setting, large):
        bound = Constraint(metric=metric, most=most, bound=1.0 if most else 1e12)
        nearest, rng = nearest_to(one, [bound]), np.random.default_rng(1)
        drawn = [exact_score(one, one.space.sample_sound(rng), [bound]) for _ in range(20)]
        assert all(bound.violation(nearest) <= bound.violation(score) for score in drawn)


def test_bounds_that_can_be_kept_are_passed_and_those_that_cannot_are_named(setting):
    least = nearest_to(setting, parse_constraints(["parameters<=1"])).parameters
    config = configure(width=4, timesteps=2)

    def goal(*bounds):
        return Goal(objectives=("accuracy",), constraints=parse_constraints(bounds))

    check_reachable(setting, goal(f"parameters<={least}", "timesteps<=2", "spikes<=0"), config)
    for bounds, words in (
        ([f"parameters<={least - 1}"], f"the nearest has {least:,} parameters: lower --width (4 now), or raise the"),
        (["timesteps>=3"], "no candidate of space 'autosnn' keeps it; the nearest has 2 timesteps: give --timesteps 3"),
        (["accuracy>=0.1", "timesteps<=0"], "--max timesteps=0: no candidate .*: raise the bound to 1 or more"),
        (["macs<=7"], "the nearest has 1,936 macs: lower --width"),
    ):
        with pytest.raises(OptionError, match=words.replace("(", r"\(").replace(")", r"\)")):
            check_reachable(setting, goal(*bounds), config)


def test_two_bounds_that_exclude_each_other_are_named_together(setting):
    """Wide kernels alone have many parameters; a bound below and one above that no candidate joins."""
    sizes = sorted(
        exact_score(setting, Candidate(dict.fromkeys(setting.space.blanks, kind)), NO_BOUNDS).parameters
        for kind in setting.space.options("slot1")
    )
    low, high = sizes[0] + 0.25, sizes[0] + 0.75  # between two whole numbers
    goal = Goal(objectives=("accuracy",), constraints=parse_constraints([f"parameters<={high}", f"parameters>={low}"]))
    with pytest.raises(OptionError, match=r"keeps it, beside --m"):
        check_reachable(setting, goal, configure(width=4, timesteps=2))


def test_a_sweep_trains_nothing_that_breaks_an_exact_bound(setting, tmp_path):
    folder, trained = RunFolder(tmp_path), []
    folder.checkpoints.mkdir()
    rng = np.random.default_rng(0)
    sizes = [exact_score(setting, setting.space.sample(rng), NO_BOUNDS).parameters for _ in range(9)]
    bounds = parse_constraints([f"parameters<={int(np.median(sizes))}"])
    goal = Goal(objectives=("accuracy", "spikes"), constraints=bounds)

    def carry(finalists, until):
        for one in finalists:
            trained.append(one.outcome.candidate)
            network = setting.space.network(setting.task.spec, one.outcome.candidate)
            for parameter in network.parameters():
                parameter.data.fill_(0.1)
            found = evaluate(network, setting.task, setting.task.validation)
            yield score_of(setting, one.outcome.candidate, network, found, fidelity="trained", seconds=0.0)

    training = Training(
        setting=setting, supernet=None, plan=Plan(epochs=1), inherited=False, goal=goal, folder=folder, match="x"
    )
    with Ledger.open(folder.ledger) as ledger:
        runner = trainer(training, ledger, carry, lambda *words: lambda done, total: None, None, stops=True)
        search(setting.space, ledger, sample, runner, goal=goal, budget=Budget(candidates=12, batch=6), seed=0)
        outcomes = list(ledger.outcomes)
    broken = [outcome for outcome in outcomes if outcome.score.parameters > bounds[0].bound]
    assert 0 < len(broken) < 12
    assert {outcome.candidate for outcome in broken}.isdisjoint(trained)
    assert set(trained) == {outcome.candidate for outcome in outcomes} - {outcome.candidate for outcome in broken}
    for outcome in broken:
        assert outcome.score == refused(setting, outcome.candidate, bounds)
        assert (outcome.score.state, outcome.score.fidelity) == ("infeasible", "proxy")
        assert outcome.score.error == f"parameters {outcome.score.parameters} breaks {bounds[0]}"
