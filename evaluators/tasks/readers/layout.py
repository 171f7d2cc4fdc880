"""Which axis of an array is which: of images and of frames, from the shape where that is certain, or as it is told."""

from collections.abc import Sequence

import numpy as np

from spaces.errors import TaskError

FEW = 4  # an axis that short holds channels, not pixels
IMAGES = ("NHW", "NHWC", "NCHW")
FRAMES = ("NTCHW", "NTHWC", "NTHW")
LAYOUTS = IMAGES + FRAMES
SAMPLE = "NTHWC"  # the order of axes in ``RawData``
USUAL = {3: ("NHW",), 4: ("NHWC", "NCHW"), 5: ("NTCHW", "NTHWC")}  # where the shape alone is to tell, usual one first


def layout_of(shape: Sequence[int], what: str, told: str | None = None) -> tuple[str, str]:
    """Name of the axes of an array, a letter each: samples N, frames T, height H, width W, channels C.

    The channels' axis is the one with 1 to 4 entries. If both that could be have so many, or neither, it is the one
    that makes images square; if both are few and neither or both make them square, it is the last of images and the
    third of frames.

    Args:
        shape: of the array.
        what: the array, for messages.
        told: what its owner says that it is; None: nothing.

    Returns:
        One of LAYOUTS; and a remark where the shape left room for another, else nothing.

    Raises:
        TaskError: ``told`` is none, or does not fit the shape; or the shape is of nothing, or of more than one layout.
    """
    options = USUAL.get(len(shape), ())
    if told is not None:
        options = tuple(name for name in LAYOUTS if name == told and len(name) == len(shape))
    if not options:
        said = f", and layout says {told[:20]!r}" if told is not None else ""
        raise TaskError(
            f"{what} is {list(shape)}{said}; give images [N, H, W], [N, H, W, C] or [N, C, H, W], or frames "
            f"[N, T, C, H, W] or [N, T, H, W, C]; `layout` may be {', '.join(LAYOUTS)}"
        )
    if len(options) == 1:
        return options[0], ""
    named = {name: dict(zip(name, shape, strict=True)) for name in options}
    few = [name for name in options if named[name]["C"] <= FEW]
    square = [name for name in few or options if named[name]["H"] == named[name]["W"]]
    if len(few) == 1:
        return few[0], ""
    if not few and len(square) != 1:
        raise TaskError(
            f"{what} is {list(shape)}, which does not say which axis is the channels; put a text `layout` into the "
            f"file, {' or '.join(options)}, e.g. numpy.savez(..., layout={options[0]!r})"
        )
    chosen = (square or few)[0]
    others = [name for name in LAYOUTS if name != chosen and len(name) == len(shape)]
    return chosen, (
        f"{what}, {list(shape)}, is read as [{', '.join(chosen)}], {named[chosen]['C']} channels; a text `layout` in "
        f"the file, {' or '.join(others)}, says otherwise"
    )


def sizes(shape: Sequence[int], layout: str) -> tuple[int, int, int, int, int]:
    """Samples, frames (1 of images), height, width and channels."""
    found = {"T": 1, "C": 1} | dict(zip(layout, shape, strict=True))
    return tuple(found[axis] for axis in SAMPLE)


def arranged(array: np.ndarray, layout: str) -> np.ndarray:
    """A view of an array as [N, H, W, C], or of frames as [N, T, H, W, C]."""
    view = array.transpose([layout.index(axis) for axis in SAMPLE if axis in layout])
    return view if "C" in layout else view[..., None]
