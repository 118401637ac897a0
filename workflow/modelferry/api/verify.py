"""An export compared with the network that it was made from, on an example and on every size that it allows."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from modelferry.comparison.agreement import compare_sides
from modelferry.comparison.asking import Question
from modelferry.comparison.eager import call_eagerly
from modelferry.comparison.output_agreement import Rule
from modelferry.comparison.result import Comparison
from modelferry.comparison.side import Side, declared, eager_side
from modelferry.comparison.sizes import sized_calls
from modelferry.core.contract import Arrays, Contract
from modelferry.core.tolerances import Tolerance, loosest

if TYPE_CHECKING:
    import torch

    from modelferry.formats import Runner


def compare_export(
    network: torch.nn.Module,
    run: Runner,
    contract: Contract,
    example: Arrays,
    format_name: str,
    tolerance: Tolerance | None = None,
) -> Comparison:
    """Call both on the example, on its numbers in another order, and at each size that the contract allows.

    An output agrees within `tolerance`; if none is given, within that of its type and format, or if its errors against
    the network in float64 are those of the network itself (docs/validation.md). What is not finite must be so in both.
    Both are called twice, and an export that does not repeat its outputs is not the network.

    Parameters
    ----------
    network
        A copy of a network, on the CPU; its outputs may be nested.

    Raises
    ------
    NetworkError
        If the network itself gives other outputs for the same inputs, or fails on all of them.
    """
    calls = [Question(label, inputs, inputs) for label, inputs in sized_calls(contract, example)]
    rule = Rule(partial(loosest, (format_name,)), tolerance, repeated=len(calls), rounding=True)
    original = eager_side("the network", network, declared(contract), lambda copy: copy.double())
    return compare_sides(original, Side("the export", run, declared(contract)), calls, rule)


def evaluate(network: torch.nn.Module, inputs: Arrays) -> Arrays:
    """Return the outputs by the names that the network gives them; it may change its inputs in place."""
    return call_eagerly(network, list(inputs), {name: array.copy() for name, array in inputs.items()})
