"""Why candidates did not score and finalists are few: by the bound that is broken, or by reason; and what helps."""

import math
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from results.bounds import Constraint, bounds_of, floor_of, quality_of
from results.front import pareto_mask
from results.ledger import Outcome
from spaces.candidate import ACCURACIES

LEVERS = {  # options that move a figure, most first
    "parameters": ("width",),
    "macs": ("width",),
    **dict.fromkeys(("sops", "spikes", "energy_nj"), ("width", "timesteps")),
    **dict.fromkeys(ACCURACIES, ("train_epochs", "supernet_epochs", "width")),
}
SHOWN = 5  # reasons on the terminal


def way_out(bound: Constraint, config: Mapping[str, Any], blanks: Iterable[str] = ()) -> str:
    """What helps where nothing keeps a bound: options of the run's configuration, or another bound.

    Args:
        bound: that nothing keeps.
        config: options and their values; None where a run does not have one.
        blanks: names of the space's blanks, which no option fixes.
    """
    move = f"{'raise' if bound.most else 'lower'} the bound"
    if config.get("table") is not None:
        return move
    if bound.metric == "timesteps" and config.get("timesteps") is not None and "timesteps" not in blanks:
        steps = math.floor(bound.bound) if bound.most else math.ceil(bound.bound)
        return f"give --timesteps {steps}, or {move}" if steps >= 1 else f"{move} to 1 or more"
    names = [name for name in LEVERS.get(bound.metric, ()) if config.get(name) is not None and name not in blanks]
    if "train_epochs" in names:
        names = [name for name in names if name != "supernet_epochs"]
    turn = "lower" if bound.most else "raise"
    levers = " or ".join(f"--{name.replace('_', '-')} ({config[name]} now)" for name in names)
    return f"{turn} {levers}, or {move}" if levers else move


def broken_by(outcome: Outcome, bounds: Sequence[Constraint]) -> list[Constraint]:
    """The bounds for which an outcome was made infeasible."""
    score = outcome.score
    return [bound for bound in bounds if score.state == "infeasible" and bound.breach(score) in score.error]


def broken_bounds(outcomes: Sequence[Outcome], stored: Mapping[str, Any]) -> list[str]:
    """How many outcomes of a search break each bound, the nearest that any reached, and what helps; most first.

    Args:
        outcomes: of the search.
        stored: the run's config.json.
    """
    found, blanks = [], (stored.get("space") or {}).get("blanks") or ()
    for bound in bounds_of(stored["match"]):
        count = sum(bound in broken_by(outcome, [bound]) for outcome in outcomes)
        nearest = bound.nearest(outcome.score.figure(bound.metric) for outcome in outcomes)
        if not count:
            continue
        said = f"{count} of {len(outcomes)} break {bound}"
        if nearest is None:
            said += f"; none of them has a figure of {bound.metric}"
        else:
            said += f"; the {'least' if bound.most else 'most'} reached is {nearest:,.6g}"
        if nearest is not None and bound.missed_by(nearest):
            said += f": {way_out(bound, stored.get('config') or {}, blanks)}"
        found.append((count, said))
    return [said for _, said in sorted(found, key=lambda pair: -pair[0])]


def why_none(outcomes: Sequence[Outcome], stored: Mapping[str, Any]) -> list[str]:
    """Why none of a search's outcomes is ``ok``: bounds, and other reasons by how often they are given."""
    bounds = bounds_of(stored["match"])
    others = [outcome for outcome in outcomes if not broken_by(outcome, bounds)]
    groups = [f"{one['count']} of {len(outcomes)} {one['state']}: {one['reason']}" for one in failures(others)]
    more = [f"and {len(groups) - SHOWN} more reasons, see the report"] if len(groups) > SHOWN else []
    return [*broken_bounds(outcomes, stored), *groups[:SHOWN], *more]


def why_fewer(outcomes: Sequence[Outcome], stored: Mapping[str, Any], finalists: int) -> str:
    """Why a search that has ended gave fewer finalists than it was asked for, in a sentence; empty where it did not.

    Args:
        outcomes: the ledger's.
        stored: the run's config.json.
        finalists: how many there are.
    """
    match, objectives = stored["match"], stored["match"]["objectives"]
    asked, pool = match.get("finalists") or 0, match.get("finalist_pool")
    searched = [outcome.score for outcome in outcomes if outcome.batch >= 0]
    feasible = [score for score in searched if score.state == "ok"]
    if not asked or finalists >= asked or (stored.get("config") or {}).get("table") is not None:
        return ""
    floor = floor_of(
        searched,
        quality_of(objectives),
        bounds_of(match),
        chance=stored.get("chance") or {},
        share=match.get("floor") or 0.0,
    )
    above = [score for score in feasible if floor is None or not floor.violation(score)]
    names, senses = zip(*((t.rpartition(":")[0], 1 if t.endswith(":max") else -1) for t in objectives), strict=True)
    values = np.array([[score.figure(name) for name in names] for score in above], dtype=float)
    front = int(pareto_mask(values.reshape(len(above), len(names)), senses).sum())
    lost = [o for o in outcomes if o.batch < 0 and o.score.state not in ("ok", "pruned")]
    causes = []
    if len(feasible) < asked:
        causes = [f"{len(feasible)} of {len(searched)} candidates are feasible"]
        causes += broken_bounds([outcome for outcome in outcomes if outcome.batch >= 0], stored)[:1]
    if len(above) < min(asked, len(feasible)):
        causes.append(f"{len(above)} of them keep {floor}, the floor, which --floor lowers")
    if len(above) > front < asked and not pool:
        more = "" if match.get("train_epochs") is not None else f": --finalist-pool {asked} takes those behind it, too"
        causes.append(f"the front has {_counted(front, 'candidate')}{more}")
    if lost:
        causes.append(f"{_counted(len(lost), 'finalist')} did not come through the training")
    return f"{finalists} of the {asked} finalists asked for: {'; '.join(causes)}" if causes else ""


def _counted(count: int, what: str) -> str:
    return f"{count} {what}{'' if count == 1 else 's'}"


def failures(outcomes: Sequence[Outcome], bounds: Sequence[Constraint] = ()) -> list[dict[str, object]]:
    """Outcomes that are not ``ok``, grouped by state and bounds broken or reason (numbers aside), commonest first."""
    groups: dict[tuple[str, str], list[Outcome]] = {}
    for outcome in outcomes:
        if outcome.score.state != "ok":
            broken = " and ".join(f"breaks {bound}" for bound in broken_by(outcome, bounds))
            reason = broken or re.sub(r"\d+(\.\d+)?", "#", outcome.score.error[:200])
            groups.setdefault((outcome.score.state, reason), []).append(outcome)
    ordered = sorted(groups.items(), key=lambda item: (-len(item[1]), item[1][0].number))
    return [
        {
            "state": state,
            "count": len(group),
            "reason": (reason if broken_by(group[0], bounds) else group[0].score.error[:600]) or "no reason given",
            "number": group[0].number,
            "candidate": dict(group[0].candidate),
            "traceback": group[0].score.traceback[-4000:],
        }
        for (state, reason), group in ordered
    ]
