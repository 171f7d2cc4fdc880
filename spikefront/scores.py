"""What a network does on data, with all counts."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from evaluators.energy import HOROWITZ_45NM_FP32
from evaluators.figures import figures
from evaluators.pruning.making import timesteps_of
from evaluators.tasks.load import load_task
from evaluators.tasks.task import Task
from search.answers import model_of, split_of
from spaces.network import Network

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True, repr=False)
class Scores(Mapping[str, Any]):
    """Figures of a network on samples, by name; counts and energy are means a sample, over all its time steps.

    ``accuracy``, ``balanced_accuracy`` and ``classes`` are there where labels are; ``samples``, ``silent``, ``spikes``,
    ``sops``, ``macs``, ``energy_nj``, ``with_memory_nj``, ``parameters``, ``timesteps``, ``layers`` and ``energy``
    always. Each is an attribute, too.

    Attributes:
        figures: all of them.
    """

    figures: Mapping[str, Any]

    def __getitem__(self, name: str) -> Any:  # noqa: ANN401
        return self.figures[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self.figures)

    def __len__(self) -> int:
        return len(self.figures)

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401
        if name.startswith("_") or name == "figures" or name not in self.figures:
            raise AttributeError(f"there is no figure {name!r}")
        return self.figures[name]

    @property
    def layers(self) -> "pd.DataFrame":
        """A row a layer that spikes or works: spikes, rate, sops, macs and energy_nj, means a sample."""
        import pandas as pd

        return pd.DataFrame(self.figures["layers"]).set_index("name")

    def __repr__(self) -> str:
        right = f"accuracy {self['accuracy']:.4f}, " if "accuracy" in self else ""
        counts = f"{self['spikes']:,.0f} spikes, {self['sops']:,.0f} sops, {self['macs']:,.0f} macs"
        return f"<Scores of {self['samples']} samples: {right}{counts}, {self['energy_nj']:,.1f} nJ>"


def score(
    network: Network,
    data: Task | str | Path,
    *,
    split: str = "test",
    energy_model: str = HOROWITZ_45NM_FP32.name,
    device: str = "cpu",
    **options: Any,  # noqa: ANN401
) -> Scores:
    """What a network of a space does on data, with all counts.

    Args:
        network: made by ``space(...).network(task.spec, candidate)``, with its weights; left in eval mode.
        data: a task of ``load_data``, or the name or path of a data set.
        split: ``test``, ``validation`` or ``train``.
        energy_model: prices of operations.
        device: where to run it; the network is moved there.
        options: on a named data set, as of ``load_data``.

    Raises:
        SearchError: the data cannot be read, or do not fit the network.
    """
    steps = timesteps_of(network)
    task = data if isinstance(data, Task) else load_task(data, **{"frames": steps, **options})
    found = figures(network, task, split_of(task, split), model_of(energy_model), device=device)
    return Scores(found | {"timesteps": steps})
