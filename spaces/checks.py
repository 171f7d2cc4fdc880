"""What spaces check of their options and of a task, in the same words."""

from spaces.errors import SpaceError, unknown
from spaces.neurons.catalog import NEURONS
from spaces.spec import TaskSpec


def check_sizes(**sizes: int) -> None:
    """Raises SpaceError where a size is below 1."""
    for name, value in sizes.items():
        if value < 1:
            raise SpaceError(f"{name} {value} is out of range: give a whole number of at least 1")


def check_neuron(name: str) -> None:
    """Raises SpaceError for a neuron that is not among ``NEURONS``."""
    if name not in NEURONS:
        raise SpaceError(unknown("neuron", name, NEURONS))


def check_image(spec: TaskSpec, smallest: int, *, what: str, otherwise: str = "") -> None:
    """Raises SpaceError where an image is smaller than ``smallest`` pixels a side, which ``what`` asks for."""
    if min(spec.height, spec.width) < smallest:
        raise SpaceError(
            f"images of {spec.height}x{spec.width} pixels are too small for {what}: "
            f"give images of at least {smallest}x{smallest}{otherwise}"
        )
