"""What the command line prints: the result of a run, and the search spaces."""

import math
import re
import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from results.classes import unbeaten
from results.folder import RunFolder
from results.ledger import read
from results.reasons import why_none
from results.report.formats import THIN, figure, short
from results.report.gather import Gathered, gather
from results.report.words import cards, volume
from results.tickets import read_tickets
from search.loop.memory import is_open, settled
from spaces import SPACES
from spaces.candidate import BALANCED, Value
from spaces.find import make_space, own_code
from spaces.seeds import numpy_generator
from spaces.space import Space
from spaces.spec import TaskSpec


def summary(folder: RunFolder) -> str:
    """A finished run in a few lines: what was scored, each finalist, where the report is."""
    outcomes, _ = read(folder.ledger)
    searched = [outcome.score for outcome in settled([one for one in outcomes if one.batch >= 0])]
    counts = {
        state: sum(score.state == state for score in searched) for state in ("ok", "pruned", "infeasible", "failed")
    }
    chosen = folder.read_config().get("sampler")
    lines = [f"sampler: {chosen}"] if chosen else []
    lines += [f"{len(searched)} candidates scored: " + ", ".join(f"{n} {state}" for state, n in counts.items() if n)]
    run = gather(folder)
    if searched and not counts["ok"]:
        reasons = why_none([outcome for outcome in outcomes if outcome.batch >= 0], run.config)
        lines += ["no candidate is feasible:", *(f"  {reason}" for reason in reasons)]
    lines += [sentence.rstrip(".") for sentence in unbeaten(outcomes, run.quality, run.config.get("chance") or {})]
    for row in (one.metrics for one in run.finalists):
        blanks = " ".join(map(_shown, dict(row.get("candidate") or {}).values()))
        test, val = (_accuracy(row, split, balance=run.balance) for split in ("test", "val"))
        lines.append(
            f"finalist {row.get('number')!s:>4}  test {test}  val {val}  {_figure(row, 'spikes', '>9,.0f')} spikes  "
            f"{_figure(row, 'energy_nj', '>9,.1f')} nJ  {row.get('picked_as', '')}: {blanks}"
        )
    lines += [line for line in (run.shortage, run.time) if line]
    homes = [folder.finalist(one.number) / "tickets" / row["name"] for one in run.finalists for row in one.tickets]
    lines += ticket_lines(folder, homes)
    lines += [] if run.finalists else _front(run)
    if large := sum(is_open(score) for score in searched):
        lines.append(
            f"{large} of these may have failed for the machine, not for what they are: `launch.py resume "
            f"{shlex.quote(str(folder.path))}` tries them again"
        )
    stopped = [o for o in outcomes if o.batch < 0 and o.score.state == "pruned"]
    lines += [f"{len(stopped)} more stopped early in their training"] if stopped else []
    trained = settled([outcome for outcome in outcomes if outcome.batch < 0])
    failed = [o for o in trained if o.score.state not in ("ok", "pruned")]
    lines += [f"finalist with {o.candidate.key} {o.score.state}: {o.score.error}" for o in failed]
    lines.append(f"report: {folder.report}")
    return "\n".join(lines)


def summary_of_tickets(folder: RunFolder, homes: Sequence[Path]) -> str:
    """Tickets in a few lines, each finalist's under its dense twin, and where all of it stands."""
    return "\n".join([*ticket_lines(folder, homes), f"table: {folder.tickets_csv}", f"report: {folder.report}"])


def ticket_lines(folder: RunFolder, homes: Sequence[Path]) -> list[str]:
    """A line for each dense twin, and under it one a ticket."""
    lines: list[str] = []
    for number in dict.fromkeys(home.parents[1].name for home in homes):
        names = [home.name for home in homes if home.parents[1].name == number]
        found = {one["name"]: one for one in read_tickets(folder, int(number))}
        lines.append(f"finalist {number:>4}  dense{'':<23}{_ticket(found[names[0]]['dense'])}")
        for name in names:
            one, cost = found[name], found[name]["cost"]["find"]
            took = f"found in {cost['epochs']} epochs, {cost['sample_steps']:,} samples x T, {cost['seconds']:.0f} s"
            lines.append(f"  {name:<24}{100 * one['sparsity']:6.2f} % {_ticket(one)}  {took}")
    return lines


def _ticket(row: Mapping[str, Any]) -> str:
    tested = f"  test {_figure(row, 'test_accuracy', '.4f')}" if row.get("test_accuracy") is not None else ""
    return (
        f"{tested}  val {_figure(row, 'val_accuracy', '.4f')}  "
        f"{_figure(row, 'spikes', '>9,.0f')} spikes  {_figure(row, 'energy_nj', '>9,.1f')} nJ"
    )


def _front(run: Gathered) -> list[str]:
    """The front of a run without finalists: its ends and its knee."""
    lines = [_plain(sentence).rstrip(".") for sentence in volume(run)]
    for card in cards(run):
        outcome = run.outcomes[card["number"]]
        figures = [f"{short(n)} {_plain(figure(n, outcome.score.figure(n)))}" for n in run.objectives]
        blanks, title = " ".join(map(_shown, outcome.candidate.values())), str(card["title"])
        lines.append(f"candidate {outcome.number:>4}  {'  '.join(figures)}  {title[0].lower()}{title[1:]}: {blanks}")
    return lines


def _plain(text: str) -> str:
    """Words of the report for a terminal: commas between thousands, spaces before units.

    >>> _plain(f"12{THIN}840 spikes at 20.0{THIN}%")
    '12,840 spikes at 20.0 %'
    """
    return re.sub(rf"(?<=\d){THIN}(?=\d)", ",", text).replace(THIN, " ")


def _shown(value: Value) -> str:
    return f"{value:.3g}" if isinstance(value, float) else str(value)


def _accuracy(row: Mapping[str, Any], split: str, *, balance: bool) -> str:
    """Accuracy on a split; where ``balance`` asks for it and it is known, balanced accuracy in brackets."""
    balanced = _figure(row, f"{split}_{BALANCED}", ".4f")
    return _figure(row, f"{split}_accuracy", ".4f") + (f" (balanced {balanced})" if balance and balanced != "-" else "")


def _figure(row: Mapping[str, Any], name: str, form: str) -> str:
    return format(row[name], form) if isinstance(row.get(name), int | float) else "-"


def list_spaces() -> str:
    """All spaces, with their sizes."""
    spaces = {name: make_space(name)[0] for name in SPACES}
    width = max(map(len, spaces))
    return "\n".join(f"{name:<{width}}  {_size(space):>12} candidates  {space.about}" for name, space in spaces.items())


def describe_space(name: str) -> str:
    """A space's blanks, its published cells, and one drawn sample as a picture in text."""
    space, _ = make_space(name)
    with own_code(name, whole=True):
        return _described(space, name)


def _described(space: Space, name: str) -> str:
    sample = space.sample_sound(numpy_generator(0, "spaces", name))
    lines = [f"{space.name}: {space.about}", f"{_size(space)} candidates", "", "choices:"]
    lines += [f"  {blank}: {_domain(distribution)}" for blank, distribution in space.blanks.items()]
    for title, filling in space.published.items():
        lines += ["", f"published cell {title}:", "  " + " ".join(f"{k}={v}" for k, v in filling.items())]
    spec = TaskSpec(channels=3, height=32, width=32, classes=10)
    picture = space.picture(spec, sample)
    lines += ["", "one drawn sample, on 32x32 RGB images of 10 classes:"]
    lines += ["  " + " ".join(f"{k}={_shown(v)}" for k, v in sample.items()), ""]
    rows = []
    for node in picture["nodes"]:
        sources = [a for a, b in picture["edges"] if b == node["id"]]
        came = f"<- {' + '.join(sources)}" if sources else ""
        rows.append((node["id"], node["label"], node["detail"], "x".join(map(str, node["shape"])), came))
    widths = [max(len(row[column]) for row in rows) for column in range(4)]
    for *cells, came in rows:
        columns = (f"{cell:<{width}}" for cell, width in zip(cells, widths, strict=True))
        lines.append(f"  {'  '.join((*columns, came))}".rstrip())
    return "\n".join(lines)


def _size(space: Space) -> str:
    return f"{space.size:,}" if math.isfinite(space.size) else "infinite"


def _domain(distribution: object) -> str:
    choices = getattr(distribution, "choices", None)
    return ", ".join(map(str, choices)) if choices else f"{distribution.low} .. {distribution.high}"
