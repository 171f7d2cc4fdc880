"""Neurons by name, or out of a person's own file."""

from collections.abc import Callable
from dataclasses import replace
from functools import lru_cache, partial
from typing import Any

from spaces.errors import SpaceError, unknown
from spaces.neurons.catalog import NEURONS, Model
from spaces.neurons.step import Step
from spaces.neurons.steps import STEPS, step_of
from spaces.own import file_of, is_own, own, own_code


def model_of(kind: str) -> Model:
    """The model of a name in ``NEURONS``, or of ``FILE.py:NAME``, whose step may be a ``Step`` of its own.

    An update of one's own runs eagerly; what it raises is an OwnError.

    Raises:
        SpaceError: there is no such neuron, or its step is none.
        OptionError: the file, or the name in it, is not there or of another kind.
    """
    if not is_own(kind, "neuron"):
        if kind not in NEURONS:
            raise SpaceError(unknown("neuron", kind, NEURONS))
        return NEURONS[kind]
    file = file_of(kind, "neuron")
    return _own(kind, file.read_bytes() if file.is_file() else b"")


@lru_cache(maxsize=64)
def _own(kind: str, content: bytes) -> Model:
    """The model in a file of such content: one for all layers, so that they share their kernels."""
    wanted = "a spaces.neurons.catalog.Model"
    model = own(kind, "neuron", wanted=wanted, fits=lambda one: isinstance(one, Model))
    if isinstance(model.step, Step):
        step = replace(model.step, update=partial(_updated, kind, model.step.update), fusible=False)
        model = replace(model, step=step)
    elif model.step not in STEPS:
        raise SpaceError(f"{kind!r}: {unknown('step', model.step, STEPS)}; or give a spaces.neurons.step.Step")
    if missing := [name for name in step_of(model.step).parameters if name not in _seen(model)]:
        raise SpaceError(f"{kind!r} has no parameter {missing[0]!r}, which its step asks for: add it to parameters")
    return model


def _seen(model: Model) -> set[str]:
    """The parameters of a model as its update sees them."""
    return {name.replace("tau", "decay") if name in ("tau", "tau_a") else name for name in model.parameters} | {"width"}


def _updated(kind: str, update: Callable[..., Any], *args: Any) -> Any:  # noqa: ANN401
    with own_code(kind, "neuron"):
        return update(*args)
