"""The page: gathers the run, puts it in words and drawings, and fills the template."""

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from results import reasons
from results.bounds import bounds_of
from results.folder import RunFolder, flatten
from results.predicted import Forecast
from results.report import formats, tickets, words
from results.report.drawing import draw
from results.report.gather import Finalist, Gathered, gather
from spaces.candidate import ACCURACIES, BALANCED, METRICS
from spaces.credentials import hide
from spaces.errors import RunError, typed_line
from spaces.files import write_atomic

HERE = Path(__file__).parent


def write_report(folder: RunFolder) -> Path:
    """Write ``report.html`` from what is in the run folder, finished or not, and give its path.

    Raises:
        RunError: the configuration or a finalist's file is damaged, or the page cannot be written.
        LedgerError: the ledger holds a corrupt line.
    """
    from jinja2 import TemplateError

    run = gather(folder)
    try:
        page = render(run)
    except (LookupError, TypeError, AttributeError, ValueError, ArithmeticError, TemplateError) as error:
        raise RunError(
            f"the files of run {str(folder.path)!r} hold what no run writes ({typed_line(error)}): "
            f"remove the damaged folder in {str(folder.finalists)!r} and resume the run to make it anew"
        ) from error
    write_atomic(folder.report, page)
    return folder.report


def render(run: Gathered) -> str:
    """The whole page as text: styles, scripts and data stand in it, nothing is loaded."""
    from jinja2 import Environment, FileSystemLoader, StrictUndefined
    from plotly.offline import get_plotlyjs

    environment = Environment(
        loader=FileSystemLoader(HERE), autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    environment.filters |= {"number": formats.number, "percent": formats.percent, "duration": formats.duration}
    match = run.config["match"]
    cards = words.cards(run)
    return environment.get_template("page.html").render(
        run=run,
        title=_title(run),
        summary=words.summary(run),
        result=words.result(cards),
        cards=cards,
        objectives=words.aims(run),
        start="from new weights" if match.get("finalist_weights") == "fresh" else "on from the supernet's weights",
        pool=match.get("finalist_pool"),
        remarks=[str(one) for one in (run.config.get("task") or {}).get("remarks") or []] + [run.time] * bool(run.time),
        constraints=[str(one) for one in match.get("constraints") or []],
        floor=words.floor(run),
        trust=words.trust(run),
        proxies=words.proxies(run),
        predicted=words.predicted(run),
        forecasts=[_forecast(one) for one in run.predicted.forecasts if one.points] if run.predicted else [],
        front=_front_rows(run),
        varied=_varied(run),
        constant=_constant(run),
        short=formats.short,
        label=formats.label,
        upwards=formats.sentence(formats.short(run.quality)),
        finalists=[_finalist(one, run) for one in run.finalists],
        tickets=tickets.sections(run),
        broken=reasons.broken_bounds([one for one in run.outcomes if one.batch >= 0], run.config),
        failures=reasons.failures(run.outcomes, bounds_of(match)),
        configuration=[(key, _plain(value)) for key, value in flatten(run.config).items()],
        energy=_energy(run.finalists),
        records=embed(_records(run)),
        plotly=get_plotlyjs(),
        style=(HERE / "page.css").read_text(encoding="utf-8"),
        script=(HERE / "page.js").read_text(encoding="utf-8"),
    )


def embed(value: Any) -> str:  # noqa: ANN401
    """JSON that may stand in a ``<script>`` whatever it holds: no ``<`` is left in it, and all of it is ASCII."""
    return json.dumps(value, allow_nan=False, separators=(",", ":")).replace("<", "\\u003c")


def _title(run: Gathered) -> str:
    match = run.config["match"]
    data = Path(str(match.get("data") or run.config.get("task", {}).get("name", ""))).name
    space = str(match.get("space", "search"))
    return f"{space} {data}" if match.get("table_choices") or match.get("table_blanks") else f"{space} on {data}"


def _varied(run: Gathered) -> list[str]:
    """Figures worth a column: objectives, and those that are not the same for all scored candidates."""
    scored = [o.score for o in run.outcomes if o.score.state == "ok"]
    several = {name for name in run.figures if len({score.figure(name) for score in scored}) > 1}
    return [name for name in run.figures if name in run.objectives or name in several]


def _constant(run: Gathered) -> str:
    """The figures without a column, in words."""
    varied = _varied(run)
    left = [name for name in run.figures if name not in varied]
    scored = next((o.score for o in run.outcomes if o.score.state == "ok"), None)
    return ", ".join(f"{formats.figure(n, scored.figure(n))} {formats.label(n)}" for n in left) if scored else ""


def _records(run: Gathered) -> dict[str, Any]:
    """What the page's script works on: rows are arrays in the order of ``fields``, then the blanks."""
    rows, cards = [], words.cards(run)
    figures = run.figures
    for outcome in run.outcomes:
        score = outcome.score
        row = [outcome.number, score.state, score.fidelity, *(score.figure(name) for name in figures)]
        row += [score.seconds, score.error[:300], outcome.number in run.front]
        rows.append([*row, *(outcome.candidate.get(blank) for blank in run.blanks)])
    return {
        "fields": ["number", "state", "fidelity", *figures, "seconds", "error", "front"],
        "blanks": run.blanks,
        "rows": rows,
        "labels": {name: formats.label(name) for name in (*figures, "seconds")},
        "short": {name: formats.short(name) for name in (*figures, "seconds")},
        "counts": [name for name in METRICS if name != "accuracy"],
        "quality": run.quality,
        "shares": list(ACCURACIES),
        "metrics": figures,
        "varied": _varied(run),
        "senses": dict(zip(run.objectives, run.senses, strict=True)),
        "objectives": run.objectives,
        "finalists": [{"number": one.number, "trained": one.trained} for one in run.finalists],
        "start": cards[0]["number"] if cards else None,
        "tickets": tickets.points(run),
    }


def _front_rows(run: Gathered) -> list[dict[str, Any]]:
    """The front as a table: trained first, within a fidelity the best of the first objective first."""
    varied = _varied(run)
    rank = {"trained": 0, "adapted": 1, "supernet": 2, "proxy": 3}
    chosen = [outcome for outcome in run.outcomes if outcome.number in run.front]
    if run.objectives:
        name, sense = run.objectives[0], run.senses[0]
        chosen.sort(key=lambda o: (rank[o.score.fidelity], -sense * o.score.figure(name)))
    return [
        {
            "number": o.number,
            "fidelity": o.score.fidelity,
            "cells": [formats.figure(name, o.score.figure(name)) for name in varied],
            "blanks": [_blank(o.candidate.get(blank, "")) for blank in run.blanks],
        }
        for o in chosen
    ]


def _finalist(one: Finalist, run: Gathered) -> dict[str, Any]:
    metrics = one.metrics
    before = metrics.get("supernet") or {}
    layers = [dict(layer) for layer in metrics.get("layers") or []]
    most = {key: max((_real(layer.get(key)) for layer in layers), default=0.0) for key in ("spikes", "energy_nj")}
    for layer in layers:
        layer["shape"] = "\u200a×\u200a".join(str(size) for size in layer.get("shape") or [])
        for key, top in most.items():
            layer[f"{key}_share"] = _real(layer.get(key)) / top if top else 0.0
    blanks = metrics.get("candidate") or (run.outcomes[one.number].candidate if one.number < len(run.outcomes) else {})
    return {
        "number": one.number,
        "trained": one.trained,
        "metrics": metrics,
        "picked_as": words.role(str(metrics.get("picked_as", ""))),
        "blanks": [(name, _blank(value)) for name, value in blanks.items()],
        "before": before,
        "changes": {
            "accuracy": formats.change(before.get("accuracy"), metrics.get("val_accuracy"), points=True),
            BALANCED: formats.change(before.get(BALANCED), metrics.get(f"val_{BALANCED}"), points=True),
            "spikes": formats.change(before.get("spikes"), metrics.get("spikes")),
            "energy_nj": formats.change(before.get("energy_nj"), metrics.get("energy_nj")),
        },
        "layers": layers,
        "drawing": draw(one.architecture) if one.architecture.get("nodes") else None,
        "curves": _curves(metrics.get("curve") or []),
    }


def _curves(points: list[Mapping[str, Any]], width: float = 300, height: float = 96) -> list[dict[str, Any]]:
    """Training curves as polylines in a ``width`` x ``height`` canvas, with the values to write beside them."""
    curves = []
    for key, title, show in (
        ("loss", "Training loss", formats.number),
        ("val_accuracy", "Validation accuracy", formats.percent),
    ):
        pairs = [(_real(point.get("epoch")), point[key]) for point in points if _is_real(point.get(key))]
        if len(pairs) < 2:
            continue
        epochs, values = zip(*pairs, strict=True)
        low, high = min(values), max(values)
        span, length = (high - low) or 1.0, (epochs[-1] - epochs[0]) or 1.0
        line = [((e - epochs[0]) / length * width, height - (v - low) / span * height) for e, v in pairs]
        curves.append(
            {
                "title": title,
                "line": " ".join(f"{x:.1f},{y:.1f}" for x, y in line),
                "end": line[-1],
                "low": show(low),
                "high": show(high),
                "last": show(values[-1]),
                "first_epoch": formats.number(epochs[0]),
                "last_epoch": formats.number(epochs[-1]),
            }
        )
    return curves


def _forecast(one: Forecast, size: float = 200) -> dict[str, Any]:
    """Predicted against scored as dots in a canvas of ``size``, both axes alike, with the values at their ends."""
    scored, guesses = ([point[k] for point in one.points] for k in (1, 2))
    low, high = min(scored + guesses), max(scored + guesses)
    logarithm = one.logarithm and low > 0
    place = math.log if logarithm else float
    start, span = place(low), (place(high) - place(low)) or 1.0

    def at(value: float) -> float:
        return (place(value) - start) / span * size

    return {
        "title": formats.sentence(formats.short(one.name)),
        "dots": [
            (n, at(a), size - at(b), formats.figure(one.name, a), formats.figure(one.name, b)) for n, a, b in one.points
        ],
        "low": formats.figure(one.name, low),
        "high": formats.figure(one.name, high),
        "logarithm": logarithm,
        "tau": f"{one.found.tau:.2f}" if one.found and math.isfinite(one.found.tau) else "–",
        "size": size,
    }


def _energy(finalists: list[Finalist]) -> list[dict[str, Any]]:
    """Statements of the energy model, each once, and the figures in nJ of the finalists it was used for."""
    statements: dict[str, dict[str, Any]] = {}
    for one in finalists:
        stated = one.metrics.get("energy") or {}
        own = {key: value for key, value in stated.items() if key == "lines" or key.endswith("_nj")}
        model = {key: value for key, value in stated.items() if key not in own}
        entry = statements.setdefault(json.dumps(model, sort_keys=True), {"finalists": [], "figures": {}})
        entry["rows"] = [(key, _plain(value)) for key, value in flatten(model).items()]
        entry["finalists"].append(one.number)
        for key, value in flatten(own).items():
            entry["figures"].setdefault(key.removeprefix("lines."), {})[one.number] = value
    return [entry for entry in statements.values() if entry["rows"] or entry["figures"]]


def _plain(value: Any) -> str:  # noqa: ANN401
    """A configuration or blank value as text."""
    if isinstance(value, list) and all(not isinstance(one, list | dict) for one in value):
        return ", ".join(_plain(one) for one in value) or "none"
    if isinstance(value, str):
        return hide(value)  # earlier versions kept credentials
    return json.dumps(value, ensure_ascii=False)


def _blank(value: Any) -> str:  # noqa: ANN401
    """A blank's value as text; architecture.json and the tables have all of its digits."""
    return f"{value:.4g}" if isinstance(value, float) else _plain(value)


def _is_real(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _real(value: object) -> float:
    return float(value) if _is_real(value) else 0.0
