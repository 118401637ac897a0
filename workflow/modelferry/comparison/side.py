"""One of two functions that are compared: a file, a network in memory, or a checkpoint's network."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from modelferry.comparison.eager import call_eagerly
from modelferry.core.contract import Arrays, Contract

if TYPE_CHECKING:
    import torch

Function = Callable[[Arrays], Arrays]


@dataclass(frozen=True)
class Declared:
    """One input, as far as a file tells: dtype and shape are None, or an axis is, where it does not."""

    name: str
    dtype: str | None = None
    shape: tuple[int | str | None, ...] | None = None


@dataclass(frozen=True)
class Side:
    """A function to compare, and what is known of its inputs.

    Attributes
    ----------
    called
        What reports call it, such as the path of its file.
    call
        Inputs by their names to outputs by name.
    inputs
        In order.
    named
        Whether the names of `inputs` come from the file, or only tell positions.
    contract
        What our own files say; None for those of others.
    double
        The function in float64: takes and returns float64 numbers. None if there is none; it may fail.
    eager
        Whether it is a network in PyTorch, whose calls can be watched, and whose float64 is the truth.
    ranges
        Smallest and largest size of the named axes, as far as a file tells.
    notes
        What the reader of a report must know about it.
    repeatable
        What computes again, where `call` remembers.
    """

    called: str
    call: Function
    inputs: tuple[Declared, ...]
    named: bool = True
    contract: Contract | None = None
    double: Function | None = None
    eager: bool = False
    ranges: tuple[tuple[str, int, int], ...] = ()
    notes: tuple[str, ...] = ()
    repeatable: Function | None = None

    @property
    def outputs(self) -> list[str] | None:
        """The names of the outputs, where a contract tells."""
        return None if self.contract is None else [tensor.name for tensor in self.contract.outputs]


def declared(contract: Contract) -> tuple[Declared, ...]:
    """Return the inputs of a contract."""
    return tuple(Declared(tensor.name, tensor.dtype, tensor.shape) for tensor in contract.inputs)


def eager_side(
    called: str,
    network: torch.nn.Module,
    inputs: tuple[Declared, ...],
    double: Callable[[torch.nn.Module], torch.nn.Module],
    contract: Contract | None = None,
) -> Side:
    """Return a network in evaluation mode as a side; `double` makes float64 of a copy of it, and may fail."""
    import copy

    import torch

    names = [tensor.name for tensor in inputs]
    outputs = None if contract is None else [tensor.name for tensor in contract.outputs]

    def call(inputs: Arrays) -> Arrays:
        return call_eagerly(network, names, _copied(inputs), outputs=outputs)

    try:
        exact = double(copy.deepcopy(network))
    except Exception:  # a compiled or scripted part may refuse; then there is no float64 to compare with
        return Side(called, call, inputs, contract=contract, eager=True)

    def call_double(inputs: Arrays) -> Arrays:
        return call_eagerly(exact, names, _copied(inputs), torch.float64, outputs)

    return Side(called, call, inputs, contract=contract, double=call_double, eager=True)


def remembering(side: Side) -> Side:
    """Return a side that computes the answer to the very same inputs once; they are kept as long as it is."""
    known: dict[tuple[int, bool], tuple[Arrays, Arrays]] = {}

    def once(function: Function, exact: bool) -> Function:
        def call(inputs: Arrays) -> Arrays:
            if (key := (id(inputs), exact)) not in known:
                known[key] = inputs, function(inputs)
            return known[key][1]

        return call

    double = None if side.double is None else once(side.double, True)
    return dataclasses.replace(side, call=once(side.call, False), double=double, repeatable=side.call)


def _copied(inputs: Arrays) -> Arrays:
    """Return copies: a network may change its inputs in place."""
    return {name: np.array(array) for name, array in inputs.items()}
