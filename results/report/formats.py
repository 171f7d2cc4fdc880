"""Figures and their names as a reader of the page sees them."""

import math

from spaces.candidate import ACCURACIES

THIN = "\u202f"  # narrow no-break space, between thousands and before units

LABELS = {
    "accuracy": "validation accuracy",
    "balanced_accuracy": "balanced validation accuracy",
    "separability": "separability of the classes",
    "alignment": "alignment with the classes",
    "spikes": "spikes a sample",
    "energy_nj": "energy a sample (nJ)",
    "sops": "synaptic operations a sample",
    "macs": "multiply-accumulates a sample",
    "parameters": "parameters",
    "timesteps": "time steps",
    "seconds": "seconds to score",
}

SHORT = {
    "accuracy": "accuracy",
    "balanced_accuracy": "balanced accuracy",
    "separability": "separability",
    "alignment": "alignment",
    "spikes": "spikes",
    "energy_nj": "energy (nJ)",
    "sops": "SOPs",
    "macs": "MACs",
    "parameters": "parameters",
    "timesteps": "T",
    "seconds": "seconds",
}


def number(value: float | None) -> str:
    """A count or quantity: whole from 100 on, three digits below; an en dash where there is none.

    >>> number(12840.4).replace(THIN, " "), number(41.08), number(0), number(None)
    ('12 840', '41.1', '0', '–')
    """
    if not isinstance(value, int | float) or not math.isfinite(value):
        return "–"
    if value == int(value) or abs(value) >= 100:
        return f"{value:,.0f}".replace(",", THIN)
    return f"{value:.3g}"


def figure(name: str, value: float | None) -> str:
    """A figure as its kind is shown: accuracy in per cent, counts as ``number``, a table's column with five digits.

    >>> figure("accuracy", 0.5).replace(THIN, " "), figure("val_acc_last", 85.0442), figure("spikes", 85.0442)
    ('50.0 %', '85.044', '85')
    """
    if name in ACCURACIES:
        return percent(value)
    if name in LABELS or value is None or value == int(value) or not 1e-3 <= abs(value) < 1e5:
        return number(value)
    return f"{value:.5g}"


def label(name: str) -> str:
    """What a figure is called in a sentence; a table's column by its own name."""
    return LABELS.get(name, name)


def short(name: str) -> str:
    """What a figure is called above a column."""
    return SHORT.get(name, name)


def sentence(text: str) -> str:
    """A text with a capital at its beginning, unless it is the name of a column.

    >>> sentence("accuracy"), sentence("val_acc_last"), sentence("")
    ('Accuracy', 'val_acc_last', '')
    """
    return text if "_" in text else f"{text[:1].upper()}{text[1:]}"


def percent(value: float | None) -> str:
    """A share as per cent with one decimal.

    >>> percent(0.98349).replace(THIN, " ")
    '98.3 %'
    """
    if not isinstance(value, int | float) or not math.isfinite(value):
        return "–"
    return f"{100 * value:.1f}{THIN}%"


def change(before: float | None, after: float | None, *, points: bool = False) -> str:
    """How a value moved: in percentage points for shares, in per cent otherwise; empty if one is missing.

    >>> change(0.931, 0.983, points=True).replace(THIN, " "), change(200.0, 150.0).replace(THIN, " ")
    ('+5.2 points', '−25 %')
    """
    if not all(isinstance(value, int | float) for value in (before, after)):
        return ""
    if points:
        return f"{100 * (after - before):+.1f}{THIN}points".replace("-", "−")
    return f"{100 * (after / before - 1):+.0f}{THIN}%".replace("-", "−") if before else ""


def duration(seconds: float) -> str:
    """A length of time.

    >>> duration(192.4).replace(THIN, " "), duration(4.21).replace(THIN, " "), duration(7260).replace(THIN, " ")
    ('3 min 12 s', '4.2 s', '2 h 1 min')
    """
    if seconds < 10:
        return f"{seconds:.1f}{THIN}s"
    whole = round(seconds)
    if whole < 60:
        return f"{whole}{THIN}s"
    if whole < 3600:
        return f"{whole // 60}{THIN}min {whole % 60}{THIN}s"
    return f"{whole // 3600}{THIN}h {whole % 3600 // 60}{THIN}min"


def plural(count: int, one: str, many: str) -> str:
    """``1 candidate``, ``2 candidates``."""
    return f"{number(count)} {one if count == 1 else many}"
