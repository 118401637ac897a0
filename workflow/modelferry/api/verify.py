"""An export compared with the network that it was made from, on an example and on every size that it allows."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING

import numpy as np

from modelferry.api.example_inputs import resized
from modelferry.comparison.difference import Outputs
from modelferry.comparison.eager import call_eagerly
from modelferry.comparison.judge import judge_values
from modelferry.comparison.sizes import all_pairs, sizes_of
from modelferry.core.contract import Arrays, Contract
from modelferry.core.errors import NetworkError, one_line
from modelferry.core.tolerances import Tolerance, tolerance_of

if TYPE_CHECKING:
    import torch

    from modelferry.formats import Runner

MOST_VALUES = 2**20
"""Sizes at which the inputs would have more values are not tried."""
SEED = 21
Row = tuple[str, np.ndarray, np.ndarray, np.ndarray]
"""An output in one call: the call's label, and the values of the network in float64, the network and the export."""


@dataclass(frozen=True)
class OutputDifference:
    """How far one output is from the network's own, at worst over all calls.

    Attributes
    ----------
    max_abs, max_rel, max_ulps
        Largest difference: absolute, relative to the network's output, in units in the last place of float32. A single
        output near zero makes `max_rel` large: whether the outputs agree is told by `share`.
    error, own_error
        Largest difference of export and network from the network in float64; NaN if that one does not run.
    smallest_rtol, smallest_atol
        With the other one as it is, the smallest tolerance that would pass.
    share, where
        The largest share of the allowed difference that was used, and the call in which it was used. Allowed is the
        tolerance, or twice the network's own error from float64 if the export departs by more than the tolerance.
    reason
        Why it is not the same output; empty if it is.
    """

    name: str
    tolerance: Tolerance
    max_abs: float
    max_rel: float
    max_ulps: int
    error: float
    own_error: float
    smallest_rtol: float
    smallest_atol: float
    share: float
    where: str
    reason: str = ""

    @property
    def used(self) -> str:
        """Which share of the allowed difference was used, and where, in words."""
        return f"{100 * self.share:.3g} % of the allowed difference at {self.where}"

    def __str__(self) -> str:
        """Show the differences on one line."""
        if np.isnan(self.share):
            return f"{self.name}: nothing was compared"
        return (
            f"{self.name}: {self.used} "
            f"(rtol {self.tolerance.rtol:.3g}, atol {self.tolerance.atol:.3g}), max abs {self.max_abs:.3g}, "
            f"error against float64 {self.error:.3g}, the network's own {self.own_error:.3g}"
        )


@dataclass(frozen=True)
class Comparison:
    """True if the export computes what the network computes; printed, it shows the differences.

    Attributes
    ----------
    outputs
        The differences of each output.
    calls
        What was compared, by the sizes of the call.
    skipped
        Calls that the network itself rejects, with its error: they cannot be compared.
    reason
        Why the result is false; empty if it is true.
    """

    outputs: tuple[OutputDifference, ...]
    calls: tuple[str, ...]
    skipped: Mapping[str, str] = field(default_factory=dict)
    reason: str = ""

    def __bool__(self) -> bool:
        """Whether all outputs of all calls agree."""
        return not self.reason

    def __str__(self) -> str:
        """Show the verdict, which share of the allowed difference was used where, then one line an output."""
        compared = [output for output in self.outputs if not np.isnan(output.share)]
        worst = max(compared, key=lambda output: output.share, default=None)
        used = "" if worst is None else f", at most {worst.used} in '{worst.name}'"
        verdict = "the same" if self else f"different: {self.reason}"
        lines = [f"{verdict} ({len(self.calls)} calls{used})", *map("  {}".format, self.outputs)]
        lines += [
            f"  not compared, since the network itself fails: {call}: {why}" for call, why in self.skipped.items()
        ]
        return "\n".join(lines)


def compare_export(
    network: torch.nn.Module,
    run: Runner,
    contract: Contract,
    example: Arrays,
    format_name: str,
    tolerance: Tolerance | None = None,
) -> Comparison:
    """Call both on the example, on its numbers in another order, and at each size that the contract allows.

    An output agrees within `tolerance`; if none is given, within that of its type and format, or if its error against
    the network in float64 is at most twice the network's own. What is not finite must be so in both. Both are called
    twice, and an export that does not repeat its outputs is not the network.

    Parameters
    ----------
    network
        A copy of a network, on the CPU; its outputs may be nested.

    Raises
    ------
    NetworkError
        If the network itself gives other outputs for the same inputs, or fails on all of them.
    """
    from modelferry.comparison.determinism import ARTIFACT_IS_RANDOM, check_network, repeats

    double = _double(network)
    rows: dict[str, list[Row]] = {tensor.name: [] for tensor in contract.outputs}
    calls, skipped = [], {}
    for label, inputs in _calls(contract, example):
        try:
            wanted = evaluate(network, inputs)
        except Exception as error:  # a network may refuse a size in any way
            skipped[label] = one_line(error)
            continue
        calls.append(label)
        check_network(wanted, partial(evaluate, network, inputs))
        try:
            returned, again = run(inputs), run(inputs)
        except Exception as error:  # each runtime has kinds of its own
            return Comparison((), tuple(calls), skipped, f"it refuses {label}: {one_line(error)}")
        truth = _evaluate_double(double, inputs)
        if reason := _misfit(wanted, returned) or (
            "" if repeats(returned, again, rounding=True) else ARTIFACT_IS_RANDOM
        ):
            return Comparison((), tuple(calls), skipped, f"{reason} at {label}")
        for name, values in wanted.items():
            exact = truth.get(name, np.full(values.shape, np.nan))
            rows[name].append((label, _column(exact), _column(values), _column(returned[name])))
    if not calls:
        call, why = next(iter(skipped.items()))
        raise NetworkError(f"the network itself fails on {call}: {why}", "give an example that it accepts")
    outputs = tuple(
        _difference(tensor.name, rows[tensor.name], tolerance, tolerance_of(format_name, tensor.dtype))
        for tensor in contract.outputs
    )
    reason = "; ".join(f"'{output.name}': {output.reason}" for output in outputs if output.reason)
    return Comparison(outputs, tuple(calls), skipped, reason)


def _calls(contract: Contract, example: Arrays) -> Iterator[tuple[str, Arrays]]:
    rng = np.random.default_rng(SEED)
    yield "the example", example
    floating = [
        t.name for t in contract.inputs if t.dtype in ("float64", "float32", "bfloat16") and example[t.name].size
    ]
    if floating:
        mixed = {name: rng.permutation(example[name].reshape(-1)).reshape(example[name].shape) for name in floating}
        yield "the example's numbers in another order", {**example, **mixed}
    present = contract.sizes(example)
    points = all_pairs({name: sizes_of(contract.dimension(name)) for name in present})
    for sizes in points:
        if sizes != present and _values(contract, sizes) <= MOST_VALUES:
            yield ", ".join(f"{name}={size}" for name, size in sizes.items()), resized(example, contract, sizes)


def _values(contract: Contract, sizes: Mapping[str, int]) -> int:
    shapes = [[sizes[size] if isinstance(size, str) else size for size in tensor.shape] for tensor in contract.inputs]
    return sum(int(np.prod(shape)) for shape in shapes)


def _double(network: torch.nn.Module) -> torch.nn.Module | None:
    try:
        return copy.deepcopy(network).double()
    except Exception:  # a compiled or scripted part may refuse; then there is no float64 to compare with
        return None


def _evaluate_double(network: torch.nn.Module | None, inputs: Arrays) -> Arrays:
    """Return the outputs in float64; nothing where the network insists on its own type."""
    if network is None:
        return {}
    import torch

    try:
        return evaluate(network, inputs, torch.float64)
    except Exception:  # tensors that `forward` makes in float32, say
        return {}


def evaluate(network: torch.nn.Module, inputs: Arrays, dtype: torch.dtype | None = None) -> Arrays:
    """Return the outputs by the names that the network gives them; it may change its inputs in place."""
    return call_eagerly(network, list(inputs), {name: array.copy() for name, array in inputs.items()}, dtype)


def _misfit(wanted: Arrays, returned: Arrays) -> str:
    if list(wanted) != list(returned):
        return f"its outputs are {list(returned)} instead of {list(wanted)}"
    for name, values in wanted.items():
        if returned[name].shape != values.shape:
            return f"'{name}' has shape {returned[name].shape} instead of {values.shape}"
    return ""


def _column(array: np.ndarray) -> np.ndarray:
    return array.astype(np.float64).reshape(-1, 1)


def _difference(name: str, rows: Sequence[Row], asked: Tolerance | None, usual: Tolerance) -> OutputDifference:
    """Judge one output on the rows of all calls."""
    calls, float64, network, export = zip(*rows, strict=True)
    labels = np.repeat(calls, [len(values) for values in network])
    outputs = Outputs(np.concatenate(float64), np.concatenate(network), np.concatenate(export))
    tolerance = asked or usual
    judgement = judge_values(outputs, labels, tolerance, by_float64=asked is None)
    measured = dict(vars(judgement.regular))
    own_error = measured.pop("reference_error")
    measured |= {"share": judgement.share, "where": judgement.where, "reason": judgement.verdict.reason}
    return OutputDifference(name, tolerance, own_error=own_error, **measured)
