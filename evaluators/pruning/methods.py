"""Ways to find tickets. Each is a function of what they are made of and the sparsities asked for, and yields tickets.

``imp``, ``early-bird``, ``early-time`` and ``eb+et`` find masks and then train what these leave (Kim et al., Exploring
lottery ticket hypothesis in spiking neural networks, ECCV 2022); ``gmp``, ``dst`` and ``stds`` find them while they
train; ``random`` knows nothing and is what all others are compared with; ``fading`` lets the network shrink where it is
silent, whatever sparsity comes of it.
"""

import math
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial

import torch
from torch import Tensor, nn

from evaluators.evaluation import calibration_batches
from evaluators.pruning.fading import fading
from evaluators.pruning.making import (
    Cost,
    Making,
    Ticket,
    accuracy_of,
    cost_of,
    dense,
    inside,
    kept_masks,
    limit,
    renew,
    rewound,
    round_seed,
    timesteps_of,
    train_ticket,
    trained,
)
from evaluators.pruning.masks import Masks, attach, distance, masks_of
from evaluators.pruning.one_shot import one_shot
from evaluators.pruning.pattern import WEIGHTS, check_sparsity
from evaluators.pruning.rules import (
    Rule,
    begin_bits,
    begin_gradual,
    begin_spines,
    gradual,
    layerwise,
    random_scores,
    regrowing,
    spines,
)
from spaces.errors import OptionError
from spaces.seeds import torch_generator

Method = Callable[[Making, Sequence[float]], Iterator[Ticket]]

A_ROUND = 0.25  # share of the surviving weights that goes in a round of IMP
ROUNDS = 15
QUEUE, DRAWN = 5, 0.02  # masks that must agree for Early-Bird, and how far they may differ
PROBE_EPOCHS, PROBE_SAMPLES, CLOSE = 2, 1000, 0.6  # of Early-Time


def ladder(targets: Sequence[float]) -> list[float]:
    """Sparsities of the rounds of IMP: a quarter of what is left a round, and every target is one of them.

    A target takes the place of the rung beside it, so that 0.9 is reached in eight rounds, not in nine.

    >>> [round(100 * s, 1) for s in ladder([0.9])]
    [25.0, 43.8, 57.8, 68.4, 76.3, 82.2, 86.7, 90.0]
    """
    rungs, left = [], 1.0
    for target in sorted({check_sparsity(target) for target in targets}):
        rounds = max(1, math.ceil(math.log((1 - target) / left) / math.log(1 - A_ROUND) - 0.1))
        rungs += [1 - left * (1 - A_ROUND) ** i for i in range(1, rounds)] + [target]
        left = 1 - target
    return rungs


def full_ladder(rounds: int = ROUNDS) -> list[float]:
    """The sparsities of Kim et al.: 15 rounds, of which the first is dense: 25.0, 43.75, 57.8, ..., 98.2 %."""
    return [1 - (1 - A_ROUND) ** i for i in range(1, rounds)]


def imp(making: Making, targets: Sequence[float]) -> Iterator[Ticket]:
    """Iterative magnitude pruning with late rewinding (Frankle et al., ICML 2020).

    Round 0 trains the dense network. Every round takes a quarter of the weights that are left, the smallest ones, sets
    the others back to what they were after an early epoch of round 0, and trains again with a new optimiser.
    """
    network, _, spent = dense(making)
    yield from _rounds(making, targets, "imp", network, spent, {})


def early_time(making: Making, targets: Sequence[float]) -> Iterator[Ticket]:
    """IMP at a smaller T, whose answers after two epochs are close to those at full T; a ticket trains at full T.

    What is gone back to are the dense twin's weights, at full T.
    """
    mine, network = inside(making, "search"), making.build()
    full_time = timesteps_of(network)
    epochs = min(PROBE_EPOCHS, making.plan.epochs)

    def find() -> tuple[Masks, dict]:
        trained(mine, "search", network, until=epochs, title="early-time: look at T")
        return {}, divergences(making, network)

    found = _numbers(kept_masks(mine, "divergence", find)[1])
    short = early_time_of(found, full_time)
    network = making.build()
    limit(network, short)
    _, spent = trained(mine, "search", network, title=f"early-time round 0 at T = {short}")
    longer = cost_of(making, making.build(), epochs, 0.0).sample_steps * (full_time - short) // full_time
    if making.rewind > epochs:  # what the twin ran for the weights to go back to, and the search did not
        longer += cost_of(making, making.build(), making.rewind, 0.0).sample_steps
    dense(making)
    notes = {"early_timesteps": short, "timesteps": full_time, "divergence": found}
    yield from _rounds(making, targets, "early-time", network, spent + Cost(sample_steps=longer), notes, short)


def _rounds(
    making: Making,
    targets: Sequence[float],
    method: str,
    network: nn.Module,
    spent: Cost,
    notes: dict[str, object],
    short: int | None = None,
) -> Iterator[Ticket]:
    """The rounds of IMP from a trained network on: at T = ``short`` where it is given, but for the tickets."""
    wanted, rounds = sorted(set(targets)), []
    apart = short is not None or making.weight_bits is not None  # a ticket is another network than its round's
    for number, sparsity in enumerate(ladder(wanted), 1):
        masks = one_shot(network, sparsity, making.pruning, within=masks_of(network) or None)
        mine, title = round_seed(making, number), f"{method} round {number}, {100 * sparsity:.1f} %"
        row: dict[str, object] = {"round": number, "sparsity": sparsity}
        if sparsity in wanted and apart:
            ticket = rewound(making)
            curve, cost = train_ticket(mine, f"ticket-{number}", ticket, masks, title=f"{title}, ticket")
        if sparsity < wanted[-1] or not apart:
            network = rewound(making)
            if short is not None:
                limit(network, short)
            floats = replace(mine, weight_bits=None)
            round_curve, round_cost = train_ticket(floats, f"round-{number}", network, masks, title=title)
            if not apart:
                ticket, curve, cost = network, round_curve, round_cost
        if sparsity in wanted or not apart:
            row["accuracy"] = accuracy_of(making, ticket)
        rounds.append(row)
        if sparsity in wanted:
            yield Ticket(
                method=method,
                sparsity=sparsity,
                network=ticket,
                curve=curve,
                find=spent,
                train=cost,
                notes={"rounds": number, "rewound_to_epoch": making.rewind} | notes,
                rounds=list(rounds),
            )
        if sparsity < wanted[-1]:
            spent = spent + round_cost


def early_bird(making: Making, targets: Sequence[float]) -> Iterator[Ticket]:
    """Early-Bird tickets (You et al., ICLR 2020): a mask after every epoch, drawn once five of them agree.

    The newest must be within a normalised Hamming distance of 0.02 of the other four; what it leaves is trained from
    the initial weights. If none is drawn, the mask after the last epoch is taken.
    """
    for sparsity in targets:
        yield _early_bird(making, sparsity, "early-bird", early=False)


def eb_et(making: Making, targets: Sequence[float]) -> Iterator[Ticket]:
    """Early-Bird with Early-Time: after two epochs at full T the search for masks goes on at a smaller one."""
    for sparsity in targets:
        yield _early_bird(making, sparsity, "eb+et", early=True)


def _early_bird(making: Making, sparsity: float, method: str, *, early: bool) -> Ticket:
    mine = inside(making, f"search-{sparsity:g}")
    full_time, notes = timesteps_of(making.build()), {}
    short, probe = full_time, min(PROBE_EPOCHS, making.plan.epochs) if early else 0
    queue: deque[Masks] = deque(maxlen=QUEUE)
    spent, drawn, epoch = Cost(), False, 0
    while epoch < making.plan.epochs and not drawn:
        epoch += 1

        def find(epoch: int = epoch, short: int = short) -> tuple[Masks, dict]:
            network = making.build()
            limit(network, short)
            title = f"{method} {100 * sparsity:.1f} %, search"
            curve, cost = trained(mine, "search", network, until=epoch, title=title)
            facts: dict = {"cost": vars(cost_of(making, network, 1, cost.seconds / len(curve)))}
            if epoch == probe:
                facts["divergence"] = divergences(making, network)
            return one_shot(network, sparsity, making.pruning), facts

        masks, facts = kept_masks(mine, f"mask-{epoch}", find)
        spent = spent + Cost(**facts["cost"])
        if epoch == probe:
            found = _numbers(facts["divergence"])
            short = early_time_of(found, full_time)
            notes = {"early_timesteps": short, "timesteps": full_time, "divergence": found}
        drawn = len(queue) >= QUEUE - 1 and all(distance(masks, one) <= DRAWN for one in list(queue)[1 - QUEUE :])
        queue.append(masks)
    network = making.build()
    curve, cost = train_ticket(making, f"ticket-{sparsity:g}", network, queue[-1], title=f"{method} ticket")
    return Ticket(
        method=method,
        sparsity=sparsity,
        network=network,
        curve=curve,
        find=spent,
        train=cost,
        notes={"drawn": drawn, "search_epochs": epoch} | notes,
    )


def random(making: Making, targets: Sequence[float]) -> Iterator[Ticket]:
    """Masks that are drawn, trained from the initial weights: the baseline."""
    for sparsity in targets:
        network = making.build()
        scores = random_scores(network, torch_generator(making.seed, "random masks"))
        masks = one_shot(network, sparsity, making.pruning, scores=scores)
        curve, cost = train_ticket(
            making, f"ticket-{sparsity:g}", network, masks, title=f"random {100 * sparsity:.1f} %"
        )
        yield Ticket(method="random", sparsity=sparsity, network=network, curve=curve, find=Cost(), train=cost)


def gmp(making: Making, targets: Sequence[float]) -> Iterator[Ticket]:
    """Gradual magnitude pruning, see ``gradual``: one training, in which weights go."""
    for sparsity in targets:
        network = making.build()
        begin_gradual(network, sparsity, making.pruning, making.weight_bits)
        rule = partial(gradual, sparsity=sparsity, pruning=making.pruning, bits=making.weight_bits)
        yield _while_training(making, "gmp", sparsity, network, rule)


def dst(making: Making, targets: Sequence[float]) -> Iterator[Ticket]:
    """Dynamic sparse training with growth by gradient, see ``regrowing``: sparse from the first step to the last.

    Masks are drawn at first, by ERK's budget unless another than the global one is asked for.
    """
    _only_weights(making, "dst")
    for sparsity in targets:
        network = making.build()
        scores = random_scores(network, torch_generator(making.seed, "first masks"))
        attach(network, one_shot(network, sparsity, layerwise(making.pruning), scores=scores))
        begin_bits(network, making.weight_bits)
        yield _while_training(making, "dst", sparsity, network, partial(regrowing, bits=making.weight_bits))


def stds(making: Making, targets: Sequence[float]) -> Iterator[Ticket]:
    """State transition of dendritic spines, see ``spines``: weights go, and may come back, while a distance grows."""
    _only_weights(making, "stds")
    if making.weight_bits is not None:
        raise OptionError(
            f"--weight-bits {making.weight_bits}: weights of method stds are made of spines; take another"
        )
    for sparsity in targets:
        network = making.build()
        begin_spines(network, making.pruning.spare)
        rule = partial(spines, sparsity=check_sparsity(sparsity), pruning=making.pruning)
        yield _while_training(making, "stds", sparsity, network, rule)


def _while_training(
    making: Making, method: str, sparsity: float, network: nn.Module, rule: Callable[[nn.Module], Rule]
) -> Ticket:
    title = f"{method} {100 * sparsity:.1f} %"
    curve, cost = trained(making, f"ticket-{sparsity:g}", network, rule=rule, title=title)
    return Ticket(method=method, sparsity=sparsity, network=network, curve=curve, find=cost, train=Cost())


def _only_weights(making: Making, method: str) -> None:
    if making.pruning.pattern != WEIGHTS:
        raise OptionError(
            f"--method {method} exchanges single weights and cannot keep the pattern {making.pruning.pattern}: take "
            "--pattern weights, or imp or gmp"
        )


def early_time_of(divergence: Mapping[int, float], full_time: int) -> int:
    """The smallest T' whose divergence is under 0.6 of the largest; T if none is.

    >>> early_time_of({2: 0.5, 3: 0.2, 4: 0.1}, 5), early_time_of({2: 0.5, 3: 0.4}, 4)
    (3, 4)
    """
    largest = max(divergence.values(), default=0.0)
    close = [t for t, kl in sorted(divergence.items()) if largest == 0 or kl / largest < CLOSE]
    return close[0] if close else full_time


@torch.no_grad()
def divergences(making: Making, network: nn.Module) -> dict[int, float]:
    """Mean over training samples of KL(P_T' || P_T), the sum of P_T' log (P_T' / P_T), by T' = 2, 3, ..., T - 1.

    P_T is the softmax of the mean readout over T steps, scaled as in the loss.
    """
    renew(making, network)
    full_time = timesteps_of(network)
    answers: dict[int, list[Tensor]] = {t: [] for t in range(2, full_time + 1)}
    for images in calibration_batches(making.task, samples=PROBE_SAMPLES, seed=making.seed, device=making.device):
        for t, rows in answers.items():
            limit(network, t)
            rows.append((network(images).mean(0) * making.plan.logit_scale).log_softmax(1))
    limit(network, full_time)
    logs = {t: torch.cat(rows).double() for t, rows in answers.items()}
    at_full = logs.pop(full_time)
    return {t: float((log.exp() * (log - at_full)).sum(1).mean()) for t, log in logs.items()}


def _numbers(divergence: Mapping[str | int, float]) -> dict[int, float]:
    """As it was before it was kept as JSON, whose names are texts."""
    return {int(t): kl for t, kl in divergence.items()}


METHODS: Mapping[str, Method] = {
    "imp": imp,
    "early-bird": early_bird,
    "early-time": early_time,
    "eb+et": eb_et,
    "gmp": gmp,
    "dst": dst,
    "stds": stds,
    "random": random,
    "fading": fading,
}
