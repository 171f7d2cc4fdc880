"""The job by training: every candidate is built alone and trained, several at once; no supernet has the last word.

The search's own loop asks a sampler for batches, and its runner is a training of the whole batch, carried by Ray Tune.
So a sampler sees whole batches only, in the order that it asked for them, and what it says does not depend on who was
faster. Within a batch rungs stop some early (``thin``): after epochs 1, 2, 4, ... the half of best non-dominated rank
goes on, and all that nothing in the batch dominates. Who is stopped is a ``pruned`` outcome with what it had at that
epoch, which no front holds and no sampler learns from. With ``--proxy`` there is a rung before the first epoch: all of
a batch are looked at untrained (``evaluators.proxies``), or with the weights of a supernet that is trained before
anything else, and half go on by that in place of accuracy. Where there is a supernet, training may begin with the
weights that a candidate inherits from it, so that its first epochs tell more.

A run that is killed asks the same again: what is in the ledger is not asked for, what rungs measured is read, and what
was trained goes on from its checkpoint, of its last epoch where it was at its end.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial

import numpy as np
from torch import nn

from evaluators.checkpoint import drop
from evaluators.inherited import score_from_supernet
from evaluators.prefix import PrefixCache
from evaluators.proxies import score_by_proxies
from evaluators.setting import Setting
from results.folder import RunFolder
from results.front import ranks
from results.ledger import Ledger, Outcome
from results.table import front_numbers
from search.loop.goal import Goal
from search.loop.loop import Runner
from search.loop.memory import fitting
from search.loop.progress import Stage
from search.options.config import Config
from search.samplers import SAMPLERS, Sampler
from search.setting import held
from search.work.exact import exact_bounds, refused
from search.work.finalists import Carry, Finalist, Training, checkpoint_of, finish, is_stored, pick
from search.work.halving import ranking, thin
from search.work.job import Job, search_stage
from search.work.prepare import prepare_setting, provenance_of
from search.work.supernet import carried, make_training, trained_supernet
from spaces import lookup
from spaces.candidate import ACCURACIES, BALANCED, METRICS, Candidate, Score
from spaces.errors import OptionError
from spaces.space import Space

NO_PROXY, SUPERNET = "none", "supernet"
UNKNOWN = Score(state="ok", fidelity="trained")  # of a candidate before it is trained


def prepare(config: Config) -> Job:
    """A sweep: its configuration spelt out, its space, goal and data checked, nothing begun.

    Raises:
        SearchError: something the user can mend.
    """
    config, setting, goal = prepare_setting(config)
    if config.sweep.proxy != NO_PROXY and goal.quality not in ACCURACIES:
        raise OptionError(
            f"--proxy {config.sweep.proxy} stands for accuracy, which is none of the objectives: add it, or drop this"
        )

    def work(job: Job, folder: RunFolder, ledger: Ledger, stage: Stage) -> None:
        sampler, look = (
            complete_only(lookup(SAMPLERS, "sampler", config.search.sampler)),
            partial(score_by_proxies, setting),
        )
        supernet = None
        with held(config.machine.threads):
            if config.sweep.proxy == SUPERNET:
                supernet = trained_supernet(folder, config, setting, folder.read_config()["hash"], stage)
                look = with_supernet(
                    look, setting, supernet, PrefixCache(config.supernet.prefix_cache_mb), goal.quality
                )
            training = make_training(config, setting, goal, supernet, folder, epochs=config.sweep.train_epochs)
            alone = {"on_step": stage("training", "steps")} if config.search.candidates == 1 else {}
            with carried(training, config, **alone) as carry:
                now = Now()
                runner = trainer(
                    training, ledger, carry, now.stage, look, stops=config.search.racing, proxy=config.sweep.proxy
                )
                again = trained_again(carry, config.sweep.train_epochs)
                search_stage(job, folder, ledger, stage, runner, now.status, sampler=sampler, again=again)
            _keep_finalists(training, ledger, config, stage)

    provenance = provenance_of(setting.task, config, goal)
    return Job(config=config, space=setting.space, goal=goal, data=config.data.name, provenance=provenance, work=work)


def complete_only(sampler: Sampler) -> Sampler:
    """The sampler, to whom candidates that were stopped early are known, but not what they were worth by then.

    A figure after one epoch says little beside those after all; to have been stopped counts as being of no use.
    """

    def sample(space: Space, history: Sequence[Outcome], n: int, seed: int, goal: Goal) -> list[Candidate]:
        return sampler(space, [_without_figures(outcome) for outcome in history], n, seed, goal)

    return sample


def _without_figures(outcome: Outcome) -> Outcome:
    if outcome.score.state != "pruned":
        return outcome
    return replace(outcome, score=replace(outcome.score, columns={}, **dict.fromkeys(METRICS)))


Look = Callable[[Candidate], Score]
"""What a candidate shows before it is trained: its counts, and proxies as columns."""


def with_supernet(
    look: Look, setting: Setting, supernet: nn.Module, cache: PrefixCache, quality: str = "accuracy"
) -> Look:
    """The look, with a column more: accuracy with a supernet's weights, or balanced accuracy where ``quality`` is that.

    Counts and state are those with them, too.
    """

    def looked(candidate: Candidate) -> Score:
        seen = look(candidate)
        if seen.state != "ok":
            return seen
        scored = score_from_supernet(setting, supernet, candidate, cache=cache)
        seconds = seen.seconds + scored.seconds
        if scored.accuracy is None:
            return replace(scored, seconds=seconds)
        columns = {**seen.columns, **scored.columns, SUPERNET: scored.figure(quality)}
        columns.pop(BALANCED)  # of the trained network alone, as accuracy is
        return replace(scored, state="ok", error="", accuracy=None, columns=columns, seconds=seconds)

    return looked


def trainer(
    training: Training,
    ledger: Ledger,
    carry: Carry,
    stage: Stage,
    look: Look,
    *,
    stops: bool,
    proxy: str = NO_PROXY,
) -> Runner:
    """The runner that trains a batch, some to a rung and the others to the end; see the module.

    A candidate's training is named by the number that it has in the ledger. Without ``stops`` all are trained to the
    end; what a ``look`` at them shows stands in their columns all the same, if there is a proxy.
    """

    def run(candidates: Sequence[Candidate], history: Sequence[Outcome]) -> Iterator[Score]:
        name = f"batch-{len(history)}-rung"
        _tidy(training, history, name)
        done = [outcome.candidate for outcome in ledger.outcomes[len(history) :]]
        pool = [
            Finalist(outcome=Outcome(number, 0, candidate, UNKNOWN), picked_as="")
            for number, candidate in enumerate([*done, *candidates], start=len(history))
        ]
        ended: dict[int, Score] = {}

        def stop(one: Finalist, score: Score) -> None:
            ended[one.outcome.number] = score

        left, columns = within_bounds(pool, training, stop), {}
        if proxy != NO_PROXY:
            seen = _looked_at(left, look, stage)
            columns = {number: outcome.score.columns for number, outcome in seen.items()}
            left = screen(left, list(seen.values()), training.goal, proxy, stop) if stops else left
        if stops:
            left = thin(left, training, carry, room=room_of(training.goal), stop=stop, stage=stage, name=name)
        to_train = [one for one in left if one.outcome.number >= len(history) + len(done)]
        last = carry(to_train, training.plan.epochs)
        for one in pool[len(done) :]:
            number = one.outcome.number
            score = ended[number] if number in ended else next(last)
            yield replace(score, columns={**columns[number], **score.columns}) if number in columns else score

    return run


def within_bounds(
    pool: Sequence[Finalist], training: Training, stop: Callable[[Finalist, Score], object]
) -> list[Finalist]:
    """Those of a pool that keep the bounds that are exact without training; the others are told to ``stop``."""
    bounds, left = exact_bounds(training.setting.space, training.goal), []
    for one in pool:
        score = refused(training.setting, one.outcome.candidate, bounds)
        if score is None:
            left.append(one)
        else:
            stop(one, score)
    return left


def trained_again(carry: Carry, epochs: int) -> Callable[[Outcome], Score]:
    """Trains a candidate that memory did not suffice for once more, to the end, whatever rungs say of others."""

    def again(outcome: Outcome) -> Score:
        one = Finalist(outcome=Outcome(outcome.number, 0, outcome.candidate, UNKNOWN), picked_as="")
        return next(carry([one], epochs))

    return again


def _looked_at(pool: Sequence[Finalist], look: Look, stage: Stage) -> dict[int, Outcome]:
    """What each of a pool shows before it is trained, by number."""
    tell, seen = stage(f"{len(pool)} untrained", "candidates"), {}
    candidates = [one.outcome.candidate for one in pool]
    for one in pool:
        tell(len(seen), len(pool))
        others = [candidate for candidate in candidates if candidate != one.outcome.candidate]
        score = fitting(look, one.outcome.candidate, others, fidelity="proxy")
        seen[one.outcome.number] = replace(one.outcome, score=score)
    return seen


def screen(
    pool: Sequence[Finalist],
    seen: Sequence[Outcome],
    goal: Goal,
    proxy: str,
    stop: Callable[[Finalist, Score], object],
) -> list[Finalist]:
    """The better half of a pool by what it shows before it is trained, in order; the others are told to ``stop``.

    Better is what non-dominated rank and crowding say of the objectives with the proxy in accuracy's place. Constraints
    are for trained networks, and so is the front, of which a rung after an epoch stops none: a proxy is no accuracy.
    """
    stands_for = [f"{name}:max" for name in ACCURACIES]
    objectives = dict.fromkeys(f"{proxy}:max" if text in stands_for else text for text in goal.spelled)
    places = ranking(seen, Goal(objectives=tuple(objectives)))
    on = [place for place in places[: -(-len(pool) // 2)] if seen[place].score.state == "ok"]
    for index, (one, outcome) in enumerate(zip(pool, seen, strict=True)):
        if index in on:
            continue
        score = outcome.score
        if score.state == "ok":
            place = places.index(index) + 1
            why = f"stopped untrained: {place}. of {len(pool)} by {proxy}, rank and crowding, {len(on)} went on"
            score = replace(score, state="pruned", error=why)
        stop(one, score)
    return [pool[index] for index in sorted(on)]


def room_of(goal: Goal) -> Callable[[Sequence[Outcome], int], int]:
    """For ``thin``, how many of a batch go on at a rung: half, and all on the front of what was measured there."""

    def room(measured: Sequence[Outcome], _: int) -> int:
        scores = [outcome.score for outcome in measured if outcome.score.state == "ok"]
        values = goal.values(scores)
        known = values[np.isfinite(values).all(axis=1)]
        front = int((ranks(known, goal.senses, 1) == 0).sum()) if len(known) else 0
        return max(-(-len(measured) // 2), front)

    return room


@dataclass
class Now:
    """What a batch is at, in words, for a stage's status: a row of progress for every rung would be many."""

    text: str = ""

    def stage(self, title: str, unit: str) -> Callable[[int, int], None]:
        """As of ``progress.stages``."""

        def tell(done: int, total: int) -> None:
            self.text = f"{title}: {done} of {total}"

        return tell

    def status(self) -> str:
        """The words."""
        return self.text


def _tidy(training: Training, whole: Sequence[Outcome], name: str = "no batch") -> None:
    """Of whole batches keeps the checkpoints of those on the front, and of rungs those of the batch that is named."""
    names, senses = training.goal.objectives, training.goal.senses
    front = front_numbers(whole, names, senses)
    for outcome in whole:
        if outcome.number not in front:
            drop(checkpoint_of(Finalist(outcome=outcome, picked_as=""), training))
    for path in training.folder.checkpoints.glob("*rung-*.jsonl"):
        if not path.name.startswith(f"{name}-"):
            path.unlink()


def _keep_finalists(training: Training, ledger: Ledger, config: Config, stage: Stage) -> None:
    """Measures those picked of the front again, on the test split, too, and stores them; what is stored is left."""
    chosen = pick(ledger.outcomes, training.goal, config.finalists.count)
    tell = stage("finalists", "stored")
    for number, finalist in enumerate(chosen):
        tell(number, len(chosen))
        if not is_stored(training.folder, finalist.outcome.number):
            finish(replace(finalist, seconds=finalist.outcome.score.seconds), training)
    tell(len(chosen), len(chosen))
    for outcome in ledger.outcomes:
        drop(checkpoint_of(Finalist(outcome=outcome, picked_as=""), training))
    _tidy(training, [])
