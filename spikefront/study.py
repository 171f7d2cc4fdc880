"""Ask and tell: our samplers for people with a loop of their own."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from results.ledger import Outcome
from results.table import front_numbers, further_columns, table_rows
from search.loop.goal import Goal, parse_constraints
from search.loop.loop import ask
from search.samplers import SAMPLERS
from search.samplers.auto import AUTO, choose
from spaces import lookup
from spaces.candidate import METRICS, Candidate, Score, is_taken
from spaces.errors import OptionError, unknown
from spaces.find import make_space
from spaces.rules import finite
from spaces.seeds import derive
from spaces.space import Space

if TYPE_CHECKING:
    import pandas as pd

BUDGET = 200  # candidates, by which auto chooses a sampler


class Study:
    """A search whose candidates you score yourself: ``ask`` for some, ``tell`` what they are worth.

    What is asked next is a function of what was told, and of the seed: the same calls give the same candidates.

    Attributes:
        space: what is searched.
        objectives: what is traded off, by name.
        sampler: the name of what proposes.
    """

    def __init__(
        self,
        space: str | Space,
        objectives: Sequence[str] = ("accuracy", "spikes"),
        *,
        sampler: str = AUTO,
        seed: int = 0,
        constraints: Sequence[str] = (),
        budget: int = BUDGET,
        **options: Any,  # noqa: ANN401
    ) -> None:
        """Begins a study.

        Args:
            space: a space, or its name.
            objectives: figures that you tell, ``NAME:max`` or ``NAME:min``; accuracy, spikes and the other columns
                of a run need no sense.
            sampler: one of ``samplers()``.
            seed: names all random choices.
            constraints: bounds on figures, as ``energy_nj<=500``.
            budget: candidates that you mean to score, by which ``auto`` chooses.
            options: of the space, where it is a name.

        Raises:
            SearchError: there is no such space, sampler or objective.
        """
        if isinstance(space, Space) and options:
            raise OptionError(f"option {next(iter(options))!r} is of a space's name: give it where the space is made")
        self.space = space if isinstance(space, Space) else make_space(space, options=options)[0]
        goal = Goal(objectives=tuple([objectives] if isinstance(objectives, str) else objectives))
        for name in goal.objectives:
            if is_taken(name) and name not in METRICS:
                raise OptionError(f"objective {name!r} has a place of its own in tables: choose another name")
        names = dict.fromkeys((*goal.objectives, *METRICS))
        self._goal = Goal(
            objectives=goal.objectives,
            senses=goal.senses,
            constraints=parse_constraints(tuple(constraints), list(names)),
        )
        if sampler not in (*SAMPLERS, AUTO):
            raise OptionError(unknown("sampler", sampler, (*SAMPLERS, AUTO)))
        self.sampler = choose(self.space, budget, tuple(SAMPLERS))[0] if sampler == AUTO else sampler
        self._seed = seed
        self._asked = 0
        self._waiting: dict[Candidate, int] = {}
        self._outcomes: list[Outcome] = []

    @property
    def objectives(self) -> tuple[str, ...]:
        """Their names."""
        return self._goal.objectives

    def ask(self, n: int = 1) -> list[Candidate]:
        """Up to ``n`` candidates to score next, none of them asked or told before; fewer only at the space's end.

        Raises:
            OptionError: ``n`` is below 1.
        """
        if n < 1:
            raise OptionError(f"n={n} is out of range: ask for 1 or more")
        propose = lookup(SAMPLERS, "sampler", self.sampler)
        seed = derive(self._seed, "sampler", self._asked)
        wanted = n + len(self._waiting)  # some may wait to be told
        found = ask(self.space, propose, (), self._outcomes, wanted, seed=seed, goal=self._goal)
        new = [candidate for candidate in found if candidate not in self._waiting][:n]
        self._waiting |= dict.fromkeys(new, self._asked)
        self._asked += 1
        return new

    def tell(
        self, candidate: Mapping[str, Any], figures: Mapping[str, float] | None = None, *, error: str = ""
    ) -> None:
        """Says what a candidate is worth, one that was asked or one of your own.

        Args:
            candidate: all choices.
            figures: the value of every objective, and of what constraints name; further ones are kept, too.
            error: why it could not be scored, in place of figures.

        Raises:
            OptionError: figures are missing, or not finite; or it was told before.
            SpaceError: the candidate is not of the space.
        """
        filling = Candidate(dict(candidate))
        self.space.check(filling)
        if any(outcome.candidate == filling for outcome in self._outcomes):
            raise OptionError(f"candidate {filling.key} was told before: tell each once")
        score = self._failed(error) if figures is None else self._scored(figures)
        batch = self._waiting.pop(filling, self._asked)
        self._outcomes.append(Outcome(len(self._outcomes), batch, filling, self._goal.judge(score)))

    def _failed(self, error: str) -> Score:
        if not error:
            raise OptionError("there are neither figures nor an error: tell one of them")
        return Score(state="failed", fidelity="trained", error=error)

    def _scored(self, figures: Mapping[str, float]) -> Score:
        values: dict[str, Any] = {
            name: value.item() if hasattr(value, "item") else value for name, value in figures.items()
        }
        for name in self._goal.columns:
            if name not in values:
                raise OptionError(f"figure {name!r} is missing: tell {', '.join(self._goal.columns)}")
        for name, value in values.items():
            if not finite(value):
                raise OptionError(f"figure {name}={value!r} is no finite number: tell an error in its place")
            if name not in METRICS and is_taken(name):
                raise OptionError(f"figure {name!r} has a place of its own in tables: choose another name")
        known = {name: values.pop(name) for name in METRICS if name in values}
        return Score(state="ok", fidelity="trained", columns=values, **known)

    @property
    def candidates(self) -> "pd.DataFrame":
        """All that was told, a row each; choices are columns ``param.NAME``."""
        return self._frame(self._outcomes)

    @property
    def front(self) -> "pd.DataFrame":
        """Those that none beats in all objectives and that keep the constraints."""
        kept = front_numbers(self._outcomes, self._goal.objectives, self._goal.senses)
        return self._frame([outcome for outcome in self._outcomes if outcome.number in kept])

    def _frame(self, outcomes: Sequence[Outcome]) -> "pd.DataFrame":
        import pandas as pd

        head, *rows = table_rows(outcomes, further_columns(self._outcomes), list(self.space.blanks))
        table = pd.DataFrame(rows, columns=head).set_index("number")
        shown = {"state", "error", *self._goal.columns}
        return table[[name for name in table if name in shown or table[name].notna().any()]]

    def __repr__(self) -> str:
        told, waiting = len(self._outcomes), len(self._waiting)
        goal = ", ".join(self._goal.spelled)
        return f"<Study of {self.space.name} for {goal} by {self.sampler}: {told} told, {waiting} asked>"
