"""Runs and their finalists: begun, gone on with, opened, and asked."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from results.folder import RunFolder, open_existing
from results.ledger import Outcome
from results.report.gather import gather
from results.stored import read_drawing, read_metrics
from results.table import front_numbers, further_columns, table_rows
from search.answers import answered, scored
from search.candidates import place_of
from search.grid import is_grid, run_grid
from search.options.config import change, from_json, values_of
from search.publish import all_outcomes, objectives_of, refresh
from search.run import resume as resume_run
from search.run import run_search
from search.work.reload import Reloaded, reload, stored_numbers
from spaces.candidate import Candidate
from spaces.errors import OptionError, RunError
from spaces.paths import user_path
from spikefront.options import Progress, configured, listener, places
from spikefront.scores import Scores

if TYPE_CHECKING:
    import pandas as pd

    from evaluators.predicting import Predictions
    from spaces.network import Network

AXES = ("space", "data", "seed")


def search(*, progress: Progress | None = None, **options: Any) -> "Run":  # noqa: ANN401
    """Searches, or goes on with the search that the folder ``out`` holds.

    Args:
        progress: is called with the title of a stage, how much of it is done, and how much there is.
        options: those of ``spikefront search --help``, with ``_`` for ``-``, such as ``space``, ``data``,
            ``candidates`` and ``out``; also ``preset``, and ``max`` and ``min`` as ``{"energy_nj": 500}``.

    Raises:
        SearchError: something that you can mend; what was recorded is kept.
    """
    return Run(run_search(configured("search", options), console=listener(progress)).path)


def sweep(*, progress: Progress | None = None, **options: Any) -> list["Run"]:  # noqa: ANN401
    """Trains every candidate alone: a run for each space, data set and seed.

    Args:
        progress: as of ``search``.
        options: those of ``spikefront sweep --help``; ``space``, ``data`` and ``seed`` may be lists.

    Raises:
        SearchError: something that you can mend; what was recorded is kept.
    """
    usual = {"space": "autosnn", "data": "digits", "seed": 0}
    axes = [_several(options.pop(name, usual[name])) for name in AXES]
    firsts = dict(zip(AXES, (axis[0] for axis in axes), strict=True))
    config = change(configured("sweep", options), **firsts)
    if all(len(axis) == 1 for axis in axes):
        return [Run(run_search(config, console=listener(progress)).path)]
    return [Run(folder.path) for folder in run_grid(config, *axes, console=listener(progress))]


def _several(value: Any) -> list[Any]:  # noqa: ANN401
    """A list of one or more."""
    values = [value] if isinstance(value, str | Path | int) else list(value)
    if not values:
        raise OptionError("a sweep needs a space, a data set and a seed: give at least one of each")
    return [str(one) if isinstance(one, Path) else one for one in values]


def resume(path: str | Path, *, progress: Progress | None = None, **where: Any) -> "Run":  # noqa: ANN401
    """Goes on with a run from its last epoch, candidate or finalist; one that is done stays as it is.

    Args:
        path: the run's folder.
        progress: as of ``search``.
        where: where data and machine are now, as of ``spikefront resume --help``.

    Raises:
        SearchError: the folder is no run, or its data are not there or not the same.
    """
    home = user_path(path, "run")
    if is_grid(home):
        raise RunError(
            f"folder {str(home)!r} holds several runs: call sweep or train as before to go on with all, or resume each"
        )
    return Run(resume_run(home, places(where), console=listener(progress)).path)


def open_run(path: str | Path) -> "Run":
    """The run in a folder, done or not.

    Raises:
        RunError: there is no such folder, or it is no run.
    """
    return Run(open_existing(user_path(path, "run")).path)


def open_finalist(place: str) -> "Finalist":
    """The finalist that ``RUN#N`` names."""
    folder, number = place_of(place)
    return Run(folder.path).finalist(number)


@dataclass(frozen=True, repr=False)
class Run:
    """A run: what stands in its folder now.

    Attributes:
        path: the folder.
    """

    path: Path

    @property
    def folder(self) -> RunFolder:
        """The places in its folder."""
        return RunFolder(self.path)

    @property
    def options(self) -> dict[str, Any]:
        """All options of the run by name."""
        return values_of(from_json(self.folder.read_config().get("config")))

    @property
    def candidates(self) -> "pd.DataFrame":
        """Every outcome, a row each, as in candidates.csv; choices are columns ``param.NAME``."""
        return self._frame(front=False)

    @property
    def front(self) -> "pd.DataFrame":
        """The candidates that none beats in all objectives, those of each fidelity by themselves; as pareto.csv."""
        return self._frame(front=True)

    def _frame(self, *, front: bool) -> "pd.DataFrame":
        import pandas as pd

        outcomes: Sequence[Outcome] = all_outcomes(self.folder)
        objectives = objectives_of(self.folder)
        chosen = front_numbers(outcomes, list(objectives), list(objectives.values())) if front else None
        kept = [outcome for outcome in outcomes if chosen is None or outcome.number in chosen]
        choices: list[str] = self.folder.read_config()["space"]["blanks"]
        head, *rows = table_rows(kept, further_columns(outcomes), choices)
        return pd.DataFrame(rows, columns=head).set_index("number")

    @property
    def finalists(self) -> list["Finalist"]:
        """Those that are trained to the end, best validation accuracy first, as in the report."""
        return [Finalist(self, one.number) for one in gather(self.folder).finalists]

    def finalist(self, number: int) -> "Finalist":
        """The finalist in ``finalists/N``; raises RunError where there is none."""
        if number not in (there := stored_numbers(self.folder)):
            known = ", ".join(map(str, there)) or "none"
            raise RunError(f"run {str(self.path)!r} has no trained finalist {number}: it has {known}")
        return Finalist(self, number)

    @property
    def report(self) -> Path:
        """The page of the run, which is written if it is not there yet."""
        if not self.folder.report.exists():
            refresh(self.path)
        return self.folder.report

    def __repr__(self) -> str:
        run = gather(self.folder)
        told = (run.config.get("config") or {}) | {"name": (run.config.get("space") or {}).get("name")}
        what = f"{told['name']} on {told.get('table') or told.get('data')}"
        searched = sum(outcome.batch >= 0 for outcome in run.outcomes)
        counts = {"candidate": searched, "finalist": len(run.finalists)}
        shown = ", ".join(f"{count} {name}{'s' * (count != 1)}" for name, count in counts.items())
        return f"<Run {str(self.path)!r}: {what}, {shown}>"


@dataclass(frozen=True, repr=False)
class Finalist:
    """A candidate that a run has trained.

    Attributes:
        run, number: where it stands, ``run.path/finalists/number``.
    """

    run: Run
    number: int

    @property
    def path(self) -> Path:
        """Its folder."""
        return RunFolder(self.run.path).finalist(self.number)

    @property
    def metrics(self) -> dict[str, Any]:
        """Its metrics.json: accuracies, counts, energy, layers, the training's curve."""
        return read_metrics(RunFolder(self.run.path), self.number) or {}

    @property
    def candidate(self) -> Candidate:
        """Its choices."""
        return Candidate(self.metrics["candidate"])

    @property
    def architecture(self) -> Mapping[str, Any]:
        """Its architecture.json: every layer, as docs/architecture.md tells."""
        return read_drawing(RunFolder(self.run.path), self.number) or {}

    @cached_property
    def _loaded(self) -> Reloaded:
        return reload(RunFolder(self.run.path), self.number)

    def network(self, device: str = "cpu") -> "Network":
        """The trained network in eval mode, a new copy each time: images [B, C, H, W] to [T, B, classes].

        Images are normalised as ``architecture["data"]`` says; ``predict`` takes raw ones.

        Raises:
            SearchError: its files are damaged, or it cannot be on such a device.
        """
        return reload(RunFolder(self.run.path), self.number, device=device).network

    def predict(self, samples: Any, *, image_fit: str | None = None) -> "Predictions":  # noqa: ANN401
        """The classes of raw samples, and their probabilities.

        Args:
            samples: files, images of Pillow, or uint8 arrays [H, W, C] or [N, H, W, C]; one or several. Recordings:
                files of events, or counts [T, H, W, C].
            image_fit: how images of another size are brought to the network's: crop, pad or stretch.

        Raises:
            SearchError: a sample cannot be read, or is of another kind.
        """
        return answered(self._loaded, samples, image_fit=image_fit)

    def score(self, data: Any = None, *, split: str = "test", image_fit: str | None = None) -> Scores:  # noqa: ANN401
        """What it does on data: accuracies, spikes, operations and energy, by layer, too.

        Args:
            data: raw samples, or (samples, labels) with numbers or names of classes; the name or path of a data set;
                None: the run's own.
            split: of a data set: ``test``, ``validation`` or ``train``.
            image_fit: as of ``predict``.

        Raises:
            SearchError: the data cannot be read, or do not fit the network.
        """
        return Scores(scored(self._loaded, self.run.folder, data, split=split, image_fit=image_fit))

    def __repr__(self) -> str:
        metrics = self.metrics
        tested = metrics.get("test_accuracy")
        shown = "" if tested is None else f"test accuracy {tested:.4f}, "
        spikes, energy = metrics.get("spikes") or 0, metrics.get("energy_nj") or 0
        choices = " ".join(str(value) for value in (metrics.get("candidate") or {}).values())
        return f"<Finalist {self.number}: {shown}{spikes:,.0f} spikes, {energy:,.1f} nJ, {choices}>"
