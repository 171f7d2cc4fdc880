"""Findings in words."""

import math
from collections.abc import Mapping, Sequence

from results.classes import unbeaten
from results.front import hypervolume, named_spread
from results.ledger import Outcome
from results.report.formats import LABELS, THIN, duration, figure, label, number, percent, plural, short
from results.report.gather import Gathered
from results.trust import agreement, in_words
from spaces.candidate import ACCURACIES, BALANCED, COUNT_LIKE, QUALITIES, READINGS


def summary(run: Gathered) -> list[str]:
    """What was tried, in sentences: how many candidates scored, failed, were infeasible, and how long it took."""
    if not run.outcomes:
        return ["Nothing has been scored yet: the ledger is empty."]
    searched = [o for o in run.outcomes if o.batch >= 0]
    states = {
        state: sum(o.score.state == state for o in searched) for state in ("ok", "failed", "infeasible", "pruned")
    }
    lost = _listed([plural(states[state], *verbs) for state, verbs in _NOT_SCORED.items() if states[state]])
    took = f"scored in {duration(sum(o.score.seconds for o in searched))}{_among(searched)}"
    took = f"looked up in the table {run.table}" if run.table else took
    sentences = [f"{plural(states['ok'], 'candidate', 'candidates')} {took}."]
    sentences.append(f"{lost}." if lost else "None failed.")
    if states["ok"] == 0:
        sentences.append("No candidate could be scored, so there is no front; the reasons are listed below.")
    sentences += volume(run)
    sentences += unbeaten(run.outcomes, run.quality, run.config.get("chance") or {})
    if run.table:
        return sentences
    if run.sweep:
        supernet = "there was no supernet"
        if run.config["match"].get("proxy") == "supernet":
            supernet = "a supernet only said who was worth it"
        if run.config["match"].get("finalist_weights") == "inherited":
            supernet = "each began with the weights of a supernet, which said who was worth it, too"
        sentences.append(f"All were trained alone; {supernet}.")
    elif run.finalists:
        took = duration(sum(one.metrics.get("seconds") or 0.0 for one in run.finalists))
        sentences.append(f"{plural(len(run.finalists), 'finalist', 'finalists')} trained alone in {took}.")
    elif states["ok"] and run.config["match"].get("finalists") == 0:
        sentences.append("No finalist was asked for: all figures are of shared supernet weights.")
    elif states["ok"]:
        sentences.append("No finalist has been trained yet: all figures are of shared supernet weights.")
    sentences += [f"{run.shortage}."] if run.shortage else []
    if stopped := sum(o.batch < 0 and o.score.state == "pruned" for o in run.outcomes):
        sentences.append(f"{number(stopped)} more began to be trained and {'was' if stopped == 1 else 'were'} stopped.")
    if run.training:
        still = ", ".join(str(one) for one in run.training)
        sentences.append(f"Not finished: {plural(len(run.training), 'finalist', 'finalists')} ({still}) in training.")
    return sentences


_NOT_SCORED = {
    "failed": ("failed", "failed"),
    "infeasible": ("was infeasible", "were infeasible"),
    "pruned": ("was stopped early", "were stopped early"),
}


def volume(run: Gathered) -> list[str]:
    """The front's hypervolume in a sentence, where there is a front of one fidelity and a reference point."""
    if not run.reference or len({run.outcomes[number].score.fidelity for number in run.front}) != 1:
        return []
    values = [[o.score.figure(name) for name in run.objectives] for o in run.outcomes if o.number in run.front]
    found = hypervolume(values, run.senses, run.reference)
    point = ", ".join(f"{n} {figure(n, v)}" for n, v in zip(run.objectives, run.reference, strict=True))
    return [f"The front’s hypervolume is {found:.5g}, from the reference point {point}."]


def _among(outcomes: Sequence[Outcome]) -> str:
    fidelities = {o.score.fidelity for o in outcomes if o.score.state == "ok"}
    return " from supernet weights" if fidelities == {"supernet"} else ""


def cards(run: Gathered) -> list[dict[str, object]]:
    """The result at a glance: up to three finalists, or the supernet front's ends and knee while there are none."""
    if run.finalists:
        return [
            {
                "number": one.number,
                "title": _title(str(one.metrics.get("picked_as", "finalist")), best=index == 0)
                + (" (infeasible)" if one.metrics.get("state", "ok") != "ok" else ""),
                "value": percent(one.metrics.get(f"test_{run.quality}", one.metrics.get("test_accuracy"))),
                "of": "balanced test accuracy" if run.quality == BALANCED else "test accuracy",
                "costs": [(name, figure(name, one.metrics.get(name))) for name in ("spikes", "energy_nj")],
                "finalist": True,
            }
            for index, one in enumerate(run.finalists[:3])
        ]
    fidelity = next((f for f in ("trained", "adapted", "supernet", "proxy") if _scored(run, f)), None)
    scored = _scored(run, fidelity) if fidelity else []
    values = [[math.nan if v is None else v for v in _values(o, run.objectives)] for o in scored]
    log = [name in COUNT_LIKE for name in run.objectives]
    picks = named_spread(values, run.senses, 3, log=log, names=run.objectives) if scored else []
    aims = {f"best {name}": _aim(name, sense) for name, sense in zip(run.objectives, run.senses, strict=True)}
    costs = ["spikes", "energy_nj"] if {"spikes", "energy_nj"} & set(run.figures) else list(run.objectives)
    return [
        {
            "number": scored[index].number,
            "title": _title(aims.get(why, why), best=False),
            "value": figure(run.quality, scored[index].score.figure(run.quality)),
            "of": label(run.quality) if run.table else f"{label(run.quality)}, {fidelity}",
            "costs": [(n, figure(n, scored[index].score.figure(n))) for n in costs if n != run.quality],
            "finalist": False,
        }
        for index, why in picks
    ]


def result(cards: Sequence[Mapping[str, object]]) -> str:
    """The cards in one sentence, so that it can be quoted."""
    parts = []
    for card in cards:
        title = str(card["title"])
        costs = dict(card["costs"])
        if {"spikes", "energy_nj"} <= set(costs):
            at = f"{costs['spikes']} spikes and {costs['energy_nj']}{THIN}nJ a sample"
        else:
            at = _listed([f"{value} {short(name)}" for name, value in costs.items()])
        figures = f"{card['value']} {card['of']}{' at ' if at else ''}{at}"
        parts.append(f"{title[0].lower()}{title[1:]} ({card['number']}): {figures}")
    text = "; ".join(parts)
    return f"{text[0].upper()}{text[1:]}." if text else ""


def _scored(run: Gathered, fidelity: str) -> list[Outcome]:
    return [o for o in run.outcomes if o.batch >= 0 and o.score.state == "ok" and o.score.fidelity == fidelity]


def _values(outcome: Outcome, names: Sequence[str]) -> list[float | None]:
    return [outcome.score.figure(name) for name in names]


def proxies(run: Gathered) -> list[str]:
    """How what candidates showed before ranks those that were then trained to the end; empty without any of it."""
    trained = _scored(run, "trained") if run.sweep else []
    said = []
    for name in dict.fromkeys(name for outcome in trained for name in outcome.score.columns if name not in QUALITIES):
        pairs = [(o.score.figure(name), o.score.figure(run.quality)) for o in trained]
        pairs = [pair for pair in pairs if None not in pair]
        if len(pairs) >= 2:
            said.append(in_words(agreement(*zip(*pairs, strict=True)), name))
    if not said:
        return []
    head = f"What candidates showed before they were trained, against {short(run.quality)} after all of their training."
    if any(o.score.state == "pruned" and o.score.fidelity in ("proxy", "supernet") for o in run.outcomes):
        by = run.config["match"].get("proxy")
        head += f" Those that {by} stopped are not among them, so nobody knows what it missed."
    return [head, *said]


def floor(run: Gathered) -> str:
    """The share of the way to the best accuracy under which nothing steered; empty where there was no such floor."""
    match = run.config["match"]
    name = next((name for name in QUALITIES if f"{name}:max" in match["objectives"]), None)
    bounded = any(str(one).partition(">=")[0].strip() == name for one in match.get("constraints") or [])
    share = match.get("floor") or 0.0
    chance = (run.config.get("chance") or {}).get(name)
    known = "" if chance is None else f" ({percent(chance)})"
    way = f"{percent(share)} of the way from chance{known} to the best"
    return "" if bounded or not share or name is None else f"{way} {short(name)}"


def trust(run: Gathered) -> list[str]:
    """How the supernet's ranking of the finalists compares with theirs after training; empty below two."""
    said = []
    before_and_after = (
        ("accuracy", "val_accuracy", "validation accuracy"),
        *([(BALANCED, f"val_{BALANCED}", "balanced accuracy")] if run.balance else []),
        *((name, "val_accuracy", f"{name} before and by validation accuracy after") for name in READINGS),
        ("spikes", "spikes", "spikes"),
        ("energy_nj", "energy_nj", "energy"),
    )
    for before, after, name in before_and_after:
        pairs = [((one.metrics.get("supernet") or {}).get(before), one.metrics.get(after)) for one in run.finalists]
        pairs = [pair for pair in pairs if all(isinstance(v, int | float) and math.isfinite(v) for v in pair)]
        if len(pairs) >= 2:
            said.append(in_words(agreement(*zip(*pairs, strict=True)), name))
    if not said:
        return []
    head = "The finalists as the supernet ranked them, against the same after training."
    if run.config["match"].get("finalist_weights") != "fresh":
        head += (
            " They were trained on from the supernet’s weights, which makes the two more alike than new weights would."
        )
    if len(run.finalists) < 6:
        said.append("So few say little: more finalists would say more.")
    return [head, *said]


def predicted(run: Gathered) -> list[str]:
    """How well untried candidates can be predicted from their blanks; empty before the search has ended."""
    found = run.predicted
    if found is None:
        return []
    if found.why:
        return [f"Not known: of {plural(found.searched, 'candidate', 'candidates')} {found.why}."]
    said = [
        f"A Gaussian process was fitted to the choices and scores of {found.folds - 1} of {found.folds} parts of "
        f"{number(found.used)} candidates, and asked for those of the part that it had not seen, for each part in turn."
    ]
    if found.used < found.usable:
        said.append(f"They are the better ones and some of the others, of {number(found.usable)}.")
    for one in found.forecasts:
        name = _ranked_by(one.name)
        said.append(in_words(one.found, name) if one.found else f"There is nothing to predict of {name}: {one.why}.")
    return said


def _ranked_by(name: str) -> str:
    return LABELS[name] if name in ACCURACIES else {"energy_nj": "energy"}.get(name, name)


def role(picked_as: str) -> str:
    """Why a finalist was picked, in plain words.

    >>> role("best spikes"), role("best energy_nj"), role("best balanced_accuracy"), role("knee")
    ('fewest spikes', 'lowest energy', 'best balanced accuracy', 'knee')
    """
    best, _, name = picked_as.partition(" ")
    if best != "best":
        return picked_as
    return f"best {short(name)}" if name in ACCURACIES else COST.get(name, picked_as)


def aims(run: Gathered) -> str:
    """What was searched for: ``best accuracy, fewest spikes and lowest energy``."""
    pairs = zip(run.objectives, run.senses, strict=True)
    return _listed([_aim(name, sense) for name, sense in pairs])


def _aim(name: str, sense: int) -> str:
    if sense < 0:
        return COST.get(name, f"lowest {short(name)}")
    return f"{'best' if name in ACCURACIES else 'highest'} {short(name)}"


COST = {
    "spikes": "fewest spikes",
    "energy_nj": "lowest energy",
    "sops": "fewest synaptic operations",
    "macs": "fewest multiply-accumulates",
    "parameters": "fewest parameters",
    "timesteps": "fewest time steps",
}


def _listed(parts: Sequence[str]) -> str:
    return " and ".join([", ".join(parts[:-1]), parts[-1]]) if len(parts) > 1 else "".join(parts)


def _title(picked_as: str, *, best: bool) -> str:
    text = role(picked_as.strip()) or "finalist"
    text = "the knee" if text == "knee" else text
    if best:
        text = "best finalist" if text in (role(f"best {name}") for name in ACCURACIES) else f"best finalist: {text}"
    return text[0].upper() + text[1:]
