"""Form: what one raw sample of a task is, and how it becomes what networks see; kept with every trained network."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import torch

from evaluators.tasks.task import Task
from spaces.spec import TaskSpec

IMAGES, RECORDINGS = "images", "recordings"
LAYOUTS = {IMAGES: ("height", "width", "channels"), RECORDINGS: ("frames", "height", "width", "channels")}


@dataclass(frozen=True, kw_only=True)
class Form:
    """Raw samples of a task.

    Attributes:
        name: of the data set, or the path that it was read from.
        kind: ``images``, or ``recordings`` of events, as counts a frame.
        shape: of one sample, [H, W, C], or [T, H, W, C] of recordings.
        dtype: ``uint8`` or ``float32``.
        divide_by: 255 where pixels are uint8; 1 of floats and counts.
        mean, std: a channel: networks see ``(x / divide_by - mean) / std``.
        class_names: one a class.
        image_fit: how images of other sizes were brought to this one, one of ``fit.FITS``; empty if none was.
        events: how recordings became frames: ``by``, ``scale``, ``sensor``, ``columns`` as of ``Framing``, and the
            ``polarities`` that were found; empty of images, and of frames that were given as such.
    """

    name: str
    kind: str
    shape: tuple[int, ...]
    dtype: str
    divide_by: float
    mean: tuple[float, ...]
    std: tuple[float, ...]
    class_names: tuple[str, ...]
    image_fit: str
    events: Mapping[str, Any]

    @property
    def spec(self) -> TaskSpec:
        """The shape of the task."""
        *frames, height, width, channels = self.shape
        return TaskSpec(
            channels=channels, height=height, width=width, classes=len(self.class_names), frames=sum(frames)
        )


def form_of(task: Task) -> Form:
    """The form of a task's samples."""
    images = task.train.images
    facts = task.provenance
    whole = images.dtype == torch.uint8
    events = {}
    if "sensor_size" in facts:
        renamed = {"by": "frames_by", "scale": "event_scale", "sensor": "sensor_size", "columns": "event_columns"}
        events = {name: facts.get(there) for name, there in renamed.items()}
        events["polarities"] = facts.get("polarities", [])
    return Form(
        name=task.name,
        kind=RECORDINGS if images.ndim == 5 else IMAGES,
        shape=tuple(images.movedim(-3, -1).shape[1:]),
        dtype="uint8" if whole else "float32",
        divide_by=255.0 if whole and images.ndim == 4 else 1.0,
        mean=task.mean,
        std=task.std,
        class_names=task.class_names,
        image_fit=str(facts.get("image_fit", "")),
        events=events,
    )


def form_to_json(form: Form) -> dict[str, Any]:
    """The form as plain JSON values, with names for the axes of its shape."""
    values = asdict(form)
    return values | {"shape": dict(zip(LAYOUTS[form.kind], form.shape, strict=True)), "events": dict(form.events)}


def form_from_json(values: Mapping[str, Any]) -> Form:
    """The form that ``form_to_json`` wrote; a KeyError, TypeError or ValueError says that it is none."""
    shape = tuple(int(values["shape"][axis]) for axis in LAYOUTS[values["kind"]])
    lists = {name: tuple(values[name]) for name in ("mean", "std", "class_names")}
    return Form(**{**values, "shape": shape, **lists})
