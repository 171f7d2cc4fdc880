"""One given architecture, trained to the end under one seed or several."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from results.trained import describe, sum_up
from search.options.config import OPTIONS
from search.train import run_training, training_config
from spaces.errors import OptionError
from spikefront.options import Progress, listener, plain, typed
from spikefront.run import Finalist, Run

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True, repr=False)
class Training:
    """What came of a training: a run a seed, each with the trained network as its finalist.

    Attributes:
        runs: in the order of the seeds.
    """

    runs: tuple[Run, ...]

    @property
    def finalists(self) -> list[Finalist]:
        """The trained networks; a seed under which none came of it is left out."""
        return [one for run in self.runs for one in run.finalists]

    @property
    def table(self) -> "pd.DataFrame":
        """A row a seed: accuracies, spikes, energy_nj, sops, macs and parameters."""
        import pandas as pd

        rows = [{name: value for name, value in row.items() if name != "curve"} for row in self._summed()["runs"]]
        return pd.DataFrame(rows).set_index("seed")

    @property
    def figures(self) -> "pd.DataFrame":
        """``mean`` and ``spread`` over seeds of each figure; the spread is the sample standard deviation."""
        import pandas as pd

        found = self._summed()["figures"]
        rows = {name: {key: one[key] for key in ("mean", "spread")} for name, one in found.items()}
        return pd.DataFrame.from_dict(rows, orient="index", columns=["mean", "spread"])

    @property
    def curves(self) -> "pd.DataFrame":
        """The training's curve of every seed: columns seed, epoch and loss."""
        import pandas as pd

        rows = [{"seed": row["seed"], **point} for row in self._summed()["runs"] for point in row["curve"]]
        return pd.DataFrame(rows, columns=["seed", "epoch", "loss"])

    def _summed(self) -> dict[str, Any]:
        return sum_up([run.folder for run in self.runs])

    def __repr__(self) -> str:
        return f"<Training of {describe(self._summed())}>"


def train(
    space: str,
    candidate: str | Mapping[str, Any] | Finalist,
    data: str | Path | None = None,
    *,
    epochs: int = 10,
    seeds: Iterable[int] = (0,),
    progress: Progress | None = None,
    **options: Any,  # noqa: ANN401
) -> Training:
    """Trains one architecture to the end, once a seed, from new weights; or goes on in the folder ``out``.

    Args:
        space: name of the search space, or FILE.py:NAME.
        candidate: a mapping of all choices, ``published:NAME``, ``RUN#N``, or a finalist.
        data: name or path of the data set; None: digits, or the data of a candidate's run.
        epochs: passes over the training split.
        seeds: each names the random choices of one training.
        progress: is called with the title of a stage, how much of it is done, and how much there is.
        options: those of ``spikefront train --help``, with ``_`` for ``-``.

    Raises:
        SearchError: something that you can mend; what was trained is kept.
    """
    numbers = [typed(OPTIONS["seed"], seed) for seed in dict.fromkeys(seeds)]
    if not numbers:
        raise OptionError("seeds are empty: give at least one, e.g. seeds=(0, 1, 2)")
    if isinstance(candidate, Finalist):
        candidate = f"{candidate.run.path}#{candidate.number}"
    given = {"space": space, **options} | ({} if data is None else {"data": data})
    trained = {"train_epochs": typed(OPTIONS["train_epochs"], epochs)}
    config = training_config(candidate, plain("train", given) | trained)
    folders = list(run_training(config, numbers, console=listener(progress)))
    return Training(tuple(Run(folder.path) for folder in folders))
