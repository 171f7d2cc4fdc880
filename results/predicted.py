"""How well scores could be predicted, as predictor.json keeps it: written when a search has ended, read by the page."""

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass

from results.folder import RunFolder
from results.trust import Agreement
from spaces.checksums import read_json, write_json
from spaces.errors import DamageError
from spaces.files import reason


@dataclass(frozen=True, kw_only=True)
class Forecast:
    """How well one figure could be predicted.

    Attributes:
        name: of the figure.
        logarithm: whether its logarithm is predicted, and it is drawn on such a scale.
        points: number of the outcome, its figure, and what was predicted for it, for each that was predicted.
        found: how far both rank alike; None where nothing was predicted.
        why: why nothing was; empty otherwise.
    """

    name: str
    logarithm: bool = False
    points: Sequence[tuple[int, float, float]] = ()
    found: Agreement | None = None
    why: str = ""


@dataclass(frozen=True, kw_only=True)
class Predicted:
    """What cross-validation found.

    Attributes:
        searched: outcomes of the search that it was made of.
        usable: those of them that can be learnt from.
        used: those of these that were learnt from, and predicted.
        folds: into how many parts they were split.
        forecasts: one for each objective.
        why: why nothing was predicted; empty otherwise.
    """

    searched: int
    usable: int
    used: int
    folds: int
    forecasts: Sequence[Forecast] = ()
    why: str = ""


def write_predicted(folder: RunFolder, predicted: Predicted) -> None:
    """Writes predictor.json, whole or not at all; a tau that is not defined is null."""
    stored = asdict(predicted)
    for forecast in stored["forecasts"]:
        found = forecast["found"] or {}
        forecast["found"] = found and {k: None if math.isnan(v) else v for k, v in found.items()}
    write_json(folder.predictor, stored, indent=None)


def read_predicted(folder: RunFolder) -> Predicted | None:
    """What predictor.json holds; None if there is none.

    Raises:
        DamageError: the file is damaged.
    """
    way_out = "remove it and resume the run to make it anew"
    stored = read_json(folder.predictor, "prediction", way_out)
    if stored is None:
        return None
    try:
        forecasts = tuple(_forecast(one) for one in stored.pop("forecasts"))
        counts = {name: int(stored[name]) for name in ("searched", "usable", "used", "folds")}
        return Predicted(**counts, forecasts=forecasts, why=str(stored["why"]))
    except (ValueError, TypeError, KeyError, AttributeError, OverflowError) as error:
        fault = f"{type(error).__name__}: {reason(error)}"
        raise DamageError(
            f"prediction {str(folder.predictor)!r} is damaged or was edited ({fault})", way_out
        ) from error


def _forecast(stored: dict[str, object]) -> Forecast:
    """A forecast from plain JSON; raises as conversions do where it is none."""
    found = stored["found"]
    if found:
        counts = {name: int(found[name]) for name in ("candidates", "pairs", "same")}
        found = Agreement(
            **counts, **{n: math.nan if (v := found[n]) is None else float(v) for n in ("tau", "low", "high")}
        )
    points = tuple((int(number), _real(scored), _real(guess)) for number, scored, guess in stored["points"])
    name, why = str(stored["name"]), str(stored["why"])
    return Forecast(name=name, logarithm=bool(stored["logarithm"]), points=points, found=found or None, why=why)


def _real(value: object) -> float:
    if not math.isfinite(number := float(value)):
        raise ValueError(f"{number} is not a finite number")
    return number
