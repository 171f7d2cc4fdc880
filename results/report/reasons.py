"""Why candidates did not score, grouped."""

import re
from collections.abc import Sequence

from results.ledger import Outcome


def failures(outcomes: Sequence[Outcome]) -> list[dict[str, object]]:
    """Outcomes that are not ``ok``, grouped by state and reason (numbers aside), most frequent first."""
    groups: dict[tuple[str, str], list[Outcome]] = {}
    for outcome in outcomes:
        if outcome.score.state != "ok":
            reason = re.sub(r"\d+(\.\d+)?", "#", outcome.score.error[:200])
            groups.setdefault((outcome.score.state, reason), []).append(outcome)
    ordered = sorted(groups.values(), key=lambda group: (-len(group), group[0].number))
    return [
        {
            "state": group[0].score.state,
            "count": len(group),
            "reason": group[0].score.error[:600] or "no reason given",
            "number": group[0].number,
            "candidate": dict(group[0].candidate),
            "traceback": group[0].score.traceback[-4000:],
        }
        for group in ordered
    ]
