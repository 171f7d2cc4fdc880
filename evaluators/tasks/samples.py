"""Raw samples that a trained network is shown: files, images of Pillow, arrays; brought to its form, or refused."""

from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from evaluators.tasks.form import RECORDINGS, Form
from evaluators.tasks.readers.columns import check_bytes
from evaluators.tasks.readers.events import EVENT_SUFFIXES, inside, parse, scaled, to_frames
from evaluators.tasks.readers.events import chosen as chosen_events
from evaluators.tasks.readers.fit import FITS, Fit
from evaluators.tasks.readers.framing import Framing
from evaluators.tasks.readers.guard import reading
from evaluators.tasks.readers.picture import MODES, picture_of, read_header, read_picture
from evaluators.tasks.readers.raw import MAX_PIXEL
from evaluators.tasks.task import Split, Task
from spaces.errors import OptionError, TaskError, unknown
from spaces.paths import user_path

FILES = (str, Path)


def read_samples(samples: Any, form: Form, *, image_fit: str | None = None) -> tuple[Tensor, list[str]]:  # noqa: ANN401
    """Raw samples as a split holds them, and a name for each: its file, or its number.

    Args:
        samples: one, or several in a list or an array: paths of files, images of Pillow, or arrays of the form's
            shape [H, W, C], also [C, H, W], and [H, W] of one channel; of recordings, files, or counts [T, H, W, C].
        form: of the task that the network was trained on.
        image_fit: how images of another size are brought to the form's: crop, pad or stretch. None: as the data set's
            were; where its images had one size, others are refused.

    Returns:
        uint8 or float32 [N, C, H, W], or [N, T, C, H, W].

    Raises:
        OptionError: there is no such ``image_fit``.
        TaskError: a sample cannot be read, or has another size, number of channels or scale.
    """
    if image_fit is not None and image_fit not in FITS:
        raise OptionError(f"--image-fit: {unknown('value', image_fit, FITS)}")
    how = image_fit or form.image_fit
    if isinstance(samples, np.ndarray | Tensor):
        arrays = _from_array(np.asarray(samples), form, how, "the array")
        names = [str(number) for number in range(len(arrays))]
    else:
        several = isinstance(samples, Iterable) and not isinstance(samples, FILES) and not _is_picture(samples)
        listed = list(samples) if several else [samples]
        if not listed:
            raise TaskError("there are no samples: give at least one")
        names = [str(one) if isinstance(one, FILES) else str(number) for number, one in enumerate(listed)]
        arrays = np.stack([_one(one, form, how, name) for one, name in zip(listed, names, strict=True)])
    return torch.from_numpy(np.ascontiguousarray(arrays)).movedim(-1, -3), names


def task_of(form: Form, samples: Tensor, labels: Sequence[int] | None = None) -> Task:
    """A task whose test split is these samples; the other splits are the same. Without labels all are 0."""
    numbers = torch.zeros(len(samples), dtype=torch.int64) if labels is None else torch.tensor(labels)
    split = Split(samples, numbers)
    return Task(
        name=form.name,
        spec=form.spec,
        train=split,
        validation=split,
        test=split,
        mean=form.mean,
        std=form.std,
        augment="none",
        class_names=form.class_names,
        provenance={},
    )


def labels_of(labels: Any, form: Form, samples: int) -> list[int]:  # noqa: ANN401
    """Class numbers of labels that are numbers or names of classes; raises TaskError where they are neither."""
    found = list(labels.tolist() if hasattr(labels, "tolist") else labels)
    if len(found) != samples:
        raise TaskError(f"{samples} samples have {len(found)} labels: give one each")
    numbers = {name: number for number, name in enumerate(form.class_names)}
    for place, label in enumerate(found):
        if isinstance(label, str):
            if label not in numbers:
                raise TaskError(f"label {place}: {unknown('class', label, form.class_names)}")
            found[place] = numbers[label]
        elif isinstance(label, bool) or not isinstance(label, int) or not 0 <= label < len(numbers):
            raise TaskError(
                f"label {place} is {str(label)[:40]}: give class numbers 0 to {len(numbers) - 1}, or names of classes"
            )
    return found


def _one(sample: Any, form: Form, how: str, name: str) -> np.ndarray:  # noqa: ANN401
    """One sample [H, W, C], or [T, H, W, C]."""
    if isinstance(sample, FILES):
        path = user_path(str(sample), "sample")
        return _recording(path, form) if form.kind == RECORDINGS else _picture_file(path, form, how)
    if isinstance(sample, np.ndarray | Tensor):
        arrays = _from_array(np.asarray(sample), form, how, f"sample {name}")
        if len(arrays) != 1:
            raise TaskError(f"sample {name} is an array of {len(arrays)} samples: give all in one array, or one each")
        return arrays[0]
    if not _is_picture(sample):
        raise TaskError(f"sample {name} is a {type(sample).__name__}: give a file, an image of Pillow or an array")
    if form.kind == RECORDINGS:
        raise TaskError(f"sample {name} is an image, and the network was trained on recordings of events")
    _check_pixels(form, f"sample {name}")
    if sample.mode not in MODES and not sample.mode.startswith("I;16"):
        raise TaskError(f"sample {name} is an image of mode {sample.mode}: convert it to L or RGB")
    return _fitted(picture_of(sample.copy(), _mode(form)).image, form, how, f"sample {name}")


def _is_picture(sample: object) -> bool:
    return any(kind.__module__ == "PIL.Image" for kind in type(sample).__mro__)


def _mode(form: Form) -> str:
    return "L" if form.shape[-1] == 1 else "RGB"


def _check_pixels(form: Form, what: str) -> None:
    """Raises TaskError where an image cannot say what this network sees."""
    if form.dtype != "uint8" or form.shape[-1] not in (1, 3):
        raise TaskError(
            f"{what} is an image of 8 bits, and the network was trained on {form.dtype} arrays of {form.shape[-1]} "
            "channels: give such an array"
        )


def _picture_file(path: Path, form: Form, how: str) -> np.ndarray:
    if path.suffix.lower() in EVENT_SUFFIXES:
        raise TaskError(f"{str(path)!r} is no image, and the network was trained on images: give images or an array")
    _check_pixels(form, repr(str(path)))
    read_header(path)
    return _fitted(read_picture(path, _mode(form)).image, form, how, repr(str(path)))


def _fitted(image: Any, form: Form, how: str, what: str) -> np.ndarray:  # noqa: ANN401
    """Pixels [H, W, C] of an image of mode L or RGB."""
    height, width, channels = form.shape
    if image.size != (width, height):
        if not how:
            raise TaskError(
                f"{what} is {image.height}x{image.width} pixels, and the network sees {height}x{width}: say how to "
                f"bring it to that with image fit {', '.join(list(FITS)[:-1])} or {list(FITS)[-1]}"
            )
        image = Fit(height=height, width=width, how=how).apply(image)
    return np.asarray(image).reshape(height, width, channels)


def _from_array(array: np.ndarray, form: Form, how: str, what: str) -> np.ndarray:
    """Samples [N, ...] of the form's shape, and its type."""
    found = _arranged(array, form)
    if found is None and form.kind != RECORDINGS and how and array.dtype == np.uint8 and 2 <= array.ndim <= 4:
        return _resized(array, form, how, what)
    if found is None:
        names = "[T, H, W, C]" if form.kind == RECORDINGS else "[H, W, C]"
        raise TaskError(
            f"{what} is {list(array.shape)}: the network sees {names} of {list(form.shape)}, one sample or several "
            "[N, ...]"
        )
    if len(found) == 0:
        raise TaskError("there are no samples: give at least one")
    if form.dtype == "float32":
        if not np.abs(found).max() <= MAX_PIXEL:  # NaN compares false
            raise TaskError(f"{what} holds a value that is NaN, infinite or beyond {MAX_PIXEL:g}")
        return found.astype(np.float32)
    if found.dtype.kind not in "uib" or found.min() < 0 or found.max() > 255:
        raise TaskError(
            f"{what} is {found.dtype} from {found.min():g} to {found.max():g}: give whole numbers 0 to 255, as the "
            "data that the network was trained on"
        )
    return found.astype(np.uint8)


def _arranged(array: np.ndarray, form: Form) -> np.ndarray | None:
    """An array as [N, ...] of the form's shape; None where it has another."""
    shape, last = form.shape, len(form.shape) - 1
    first = (*shape[: last - 2], shape[last], *shape[last - 2 : last])  # channels in front of height and width
    for lead in (0, 1):
        if array.ndim < lead:
            continue
        batch = array if lead else array[None]
        if batch.shape[1:] == shape:
            return batch
        if batch.shape[1:] == first:
            return np.moveaxis(batch, -3, -1)
        if shape[last] == 1 and batch.shape[1:] == shape[:last]:
            return batch[..., None]
    return None


def _resized(array: np.ndarray, form: Form, how: str, what: str) -> np.ndarray:
    """Images of another size, [H, W], [H, W, C] or [N, H, W, C], brought to the form's."""
    from PIL import Image

    channels = form.shape[-1]
    if array.ndim == 2 or (array.ndim == 3 and array.shape[-1] != channels and channels == 1):
        array = array[..., None]
    batch = array if array.ndim == 4 else array[None]
    if batch.shape[-1] != channels or channels not in (1, 3):
        raise TaskError(f"{what} is {list(array.shape)}: give images [H, W, C] of {channels} channels")
    images = (Image.fromarray(one[..., 0] if channels == 1 else one) for one in batch)
    return np.stack([_fitted(image, form, how, what) for image in images])


def _recording(path: Path, form: Form) -> np.ndarray:
    """Frames [T, H, W, 2] of a file of events, cut as those that the network was trained on."""
    what = repr(str(path))
    if not form.events:
        raise TaskError(f"{what}: the network was trained on frames, not on events: give an array of {form.shape}")
    if path.suffix.lower() not in EVENT_SUFFIXES:
        raise TaskError(f"{what} is no recording: give {', '.join(sorted(EVENT_SUFFIXES))}, or an array of frames")
    steps, height, width, _ = form.shape
    about = form.events
    framing = Framing(frames=steps, by=about["by"], scale=about["scale"], columns=about["columns"])
    with reading(path, "a recording"):
        check_bytes(str(path), path.stat().st_size)
        data = path.read_bytes()
    events = parse(str(path), data, framing.columns)
    if 2 in about["polarities"] and events.polarities == {1}:  # darker, as all recordings together said
        events = replace(events, p=np.zeros_like(events.p))
    which = inside(events, *about["sensor"])
    if not which.any():
        raise TaskError(f"{what} has no event within the sensor of {about['sensor'][0]}x{about['sensor'][1]} pixels")
    frames, _ = to_frames(scaled(chosen_events(events, which), framing.scale), framing, height, width)
    return frames
