"""What a trained finalist answers: classes of raw samples, and what it does on data; in words for the command line."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from evaluators.energy import ENERGY_MODELS, EnergyModel
from evaluators.figures import figures
from evaluators.predicting import Predictions, predict
from evaluators.tasks.form import form_of
from evaluators.tasks.samples import labels_of, read_samples, task_of
from evaluators.tasks.task import Split, Task
from results.folder import RunFolder
from search.options.config import Config, change, from_json
from search.options.what import DataOptions
from search.setting import load_config_task
from search.work.reload import Reloaded
from spaces.candidate import BALANCED
from spaces.errors import OptionError, TaskError, unknown

SPLITS = ("test", "validation", "train")
SHOWN = 32  # letters of a file's name


def answered(loaded: Reloaded, samples: Any, *, image_fit: str | None = None) -> Predictions:  # noqa: ANN401
    """The classes of raw samples, as ``read_samples`` takes them, and their probabilities."""
    read, names = read_samples(samples, loaded.form, image_fit=image_fit)
    return predict(loaded.network, loaded.form, loaded.readout, read, names, device=loaded.device)


def scored(
    loaded: Reloaded,
    folder: RunFolder,
    data: Any = None,  # noqa: ANN401
    *,
    split: str = "test",
    image_fit: str | None = None,
    where: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """What a finalist does on data, see ``figures``.

    Args:
        loaded, folder: the finalist, and its run.
        data: raw samples, or (samples, labels); a task, the name or path of a data set; None: the run's own.
        split: of a data set, one of SPLITS.
        image_fit: as of ``read_samples``.
        where: options on where data lie, by flat name.

    Raises:
        SearchError: the data cannot be read, or do not fit the network.
    """
    form, config = loaded.form, from_json(folder.read_config().get("config"))
    model = model_of(config.goal.energy_model)
    if data is None or isinstance(data, Task) or (isinstance(data, str | Path) and not _is_sample(data)):
        task = data if isinstance(data, Task) else _task(loaded, config, data, where or {})
        if (found := form_of(task)).spec != form.spec or found.class_names != form.class_names:
            raise TaskError(
                f"data {task.name!r} have samples {list(found.shape)} of classes {', '.join(found.class_names)[:80]}: "
                f"the network was trained on {list(form.shape)} of {', '.join(form.class_names)[:80]}"
            )
        seen = split_of(task, split)
        task, labelled = task_of(form, seen.images, seen.labels.tolist()), True
    else:
        labelled = isinstance(data, tuple) and len(data) == 2
        samples, labels = data if labelled else (data, None)
        read, _ = read_samples(samples, form, image_fit=image_fit)
        task = task_of(form, read, None if labels is None else labels_of(labels, form, len(read)))
    found_figures = figures(loaded.network, task, task.test, model, labelled=labelled, device=loaded.device)
    return found_figures | {"timesteps": loaded.space.steps(loaded.candidate), "parameters": loaded.parameters}


def _is_sample(data: str | Path) -> bool:
    """Whether a path is that of one sample, not of a data set."""
    path = Path(data)
    return path.suffix.lower() != ".npz" and path.is_file()


def _task(loaded: Reloaded, config: Config, data: str | Path | None, where: Mapping[str, Any]) -> Task:
    """The run's own data, or others, which are read as the run's were where its options are of their kind."""
    if data is not None:
        folder, events = Path(data).is_dir(), bool(loaded.form.events)
        without = ["train_samples", "val_samples"]
        without += [] if folder else ["image_size"]
        without += (
            [] if folder and not any((Path(data) / name).is_dir() for name in ("test", "Test")) else ["test_share"]
        )
        without += [] if events else ["event_scale", "sensor", "event_columns"]
        usual = DataOptions()
        config = change(config, data=str(data), **{name: getattr(usual, name) for name in without})
    return load_config_task(change(config, **where), loaded.space)


def split_of(task: Task, name: str) -> Split:
    """A split by its name; raises OptionError for any other."""
    if name not in SPLITS:
        raise OptionError(f"--split: {unknown('split', name, SPLITS)}")
    found: Split = getattr(task, name)
    return found


def model_of(name: str) -> EnergyModel:
    """An energy model by its name; raises OptionError for any other."""
    if name not in ENERGY_MODELS:
        raise OptionError(f"--energy-model: {unknown('energy model', name, ENERGY_MODELS)}")
    return ENERGY_MODELS[name]


def table_of(predictions: Predictions) -> str:
    """A line a sample: file, class, probability."""
    rows = [(row["file"], row["class"], f"{row['probability']:.4f}") for row in predictions.rows()]
    head = ("file", "class", "probability")
    widths = [max(len(row[column]) for row in [head, *rows]) for column in range(2)]
    return "\n".join(f"{file:<{widths[0]}}  {label:<{widths[1]}}  {share}" for file, label, share in [head, *rows])


def as_json(value: Sequence[Mapping[str, Any]] | Mapping[str, Any]) -> str:
    """Plain values as JSON for other programs."""
    return json.dumps(value, indent=2, allow_nan=False)


def words_of(found: Mapping[str, Any]) -> str:
    """Figures of a finalist in a few lines: the whole, then each layer."""
    lines = [f"{found['samples']:,} samples, {found['timesteps']} time steps"]
    if "accuracy" in found:
        lines.append(f"accuracy {found['accuracy']:.4f} (balanced {found[BALANCED]:.4f})")
    lines.append(
        f"{found['spikes']:,.0f} spikes  {found['sops']:,.0f} sops  {found['macs']:,.0f} macs  "
        f"{found['energy_nj']:,.1f} nJ ({found['with_memory_nj']:,.1f} with memory)  {found['parameters']:,} parameters"
    )
    rows = found["layers"]
    width = max((len(row["name"]) for row in rows), default=0)
    for row in rows:
        spikes = "" if row["spikes"] is None else f"{row['spikes']:>12,.0f} spikes at rate {row['rate']:.3f}"
        work = f"{row['sops']:>12,.0f} sops {row['macs']:>12,.0f} macs" if row["sops"] or row["macs"] else ""
        lines.append(f"  {row['name']:<{width}}  {spikes or work}")
    return "\n".join(lines)
