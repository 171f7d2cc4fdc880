"""Currents that are computed when something asks for their values, which neurons do not: they add them up themselves.

A normalised map, or the sum of two, is mostly read once, by the neurons behind it, and C does all of it in one pass
over memory. To anything else such a current is a tensor like any other, with the same values to the bit, and the same
gradients: what is left for later is values, never a graph.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import torch
from torch import Tensor
from torch.utils._pytree import tree_map

from spaces.native import norm as native
from spaces.native.fire import Term
from spaces.native.sum import sum_rows

aten = torch.ops.aten


class Current(Tensor):
    """A map [..., C, H, W] not computed yet: the sum of terms that have its shape, type and device.

    Attributes:
        terms: what it is the sum of, added from the left; two at most.
        known: its values, once something has asked for them.
    """

    terms: tuple[Term, ...]
    known: Tensor | None

    @staticmethod
    def __new__(cls: type[Current], *terms: Term) -> Current:
        """The sum of terms."""
        like = terms[0]
        made = Tensor._make_wrapper_subclass(cls, like.shape, strides=like.stride, dtype=like.map.dtype)
        made.terms, made.known = terms, None
        return made

    @classmethod
    def __torch_dispatch__(cls, function: Any, types: Any, given: Any = (), named: Any = None) -> Any:  # noqa: ANN401
        """The sum of two is a current again; all else gets values."""
        if function is aten.add.Tensor and not named and _single(*given):
            return Current(*(term for x in given for term in terms_of(x)))
        return function(*tree_map(_values, given), **tree_map(_values, named or {}))

    def repeated(self, times: int) -> Tensor:
        """The same current at each of so many time steps."""
        return _Repeated.apply(self, times)


def terms_of(x: Tensor) -> tuple[Term, ...]:
    """The terms of a current; of any other map itself."""
    return x.terms if isinstance(x, Current) else (Term(x),)


def computed(x: Any) -> Any:  # noqa: ANN401
    """The values of a current, with the marks that were set on it, and its gradient; anything else is what it is."""
    if not isinstance(x, Current):
        return x
    values = _Computed.apply(x) if torch.is_grad_enabled() and x.requires_grad else _values(x)
    vars(values).update({name: mark for name, mark in vars(x).items() if name not in Current.__annotations__})
    return values


class _Computed(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Current) -> Tensor:  # noqa: ANN401
        return _values(x).detach()

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:  # noqa: ANN401
        return gradient


class _Repeated(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Current, times: int) -> Current:  # noqa: ANN401
        done = [term.convolved() for term in x.terms]
        return Current(*(replace(term, map=term.map.expand(times, *x.shape)) for term in done))

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:  # noqa: ANN401
        rows = gradient.flatten(0, 1).contiguous(memory_format=torch.channels_last).unflatten(0, gradient.shape[:2])
        return sum_rows(rows).to(gradient.dtype), None


def _values(x: Any) -> Any:  # noqa: ANN401
    """The values of a current, without a graph; anything else is what it is."""
    if not isinstance(x, Current):
        return x
    if x.known is None:
        first, *others = map(_map, x.terms)
        x.known = sum(others, first)
    return x.known


def unscaled(x: Tensor) -> Tensor:
    """What a norm can put its scale on: a current of one term that has none yet; of any other its values."""
    if isinstance(x, Current) and len(x.terms) == 1 and x.terms[0].along is None:
        return x
    return computed(x)


def _single(x: Tensor, y: Tensor) -> bool:
    """Whether both are maps that lie alike, so that whatever is a view of one is of the other, of one term each."""
    return (
        isinstance(y, Tensor)
        and (x.shape, x.stride()) == (y.shape, y.stride())
        and x.dtype == y.dtype
        and all(len(terms_of(term)) == 1 for term in (x, y))
    )


def _map(term: Term) -> Tensor:
    """The values of a term."""
    term = term.convolved()
    if term.along is None:
        return term.map
    if term.map.dim() == 4:
        return native.sum_of_products(term.map, term.along, term.offset)
    if len(term.map) > 1 and term.map.stride(0) == 0:
        return torch.stack([_map(replace(term, map=term.map[0]))] * len(term.map))
    return _map(replace(term, map=term.map.flatten(0, 1))).unflatten(0, term.map.shape[:2])
