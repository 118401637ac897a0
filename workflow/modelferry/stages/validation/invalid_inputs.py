"""Outside the contract: inputs of every wrong kind, made from the contract alone, and what an artifact does with them.

Each must be rejected: by an exception, of whatever kind. Numbers that are not finite are the exception: compiled code
does not look at them. They may come out as what is not finite, and never as a score that looks like one.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from modelferry.comparison.difference import ILL_CONDITIONED, within
from modelferry.core.contract import Arrays, Contract, Tensor
from modelferry.core.errors import one_line
from modelferry.core.tolerances import Tolerance
from modelferry.formats import Runner
from modelferry.records.validation import OutsideCase
from modelferry.stages.validation.run_probes import ProbeResults

DTYPES = ("float64", "float32", "float16", "int64", "int32", "uint8", "bool")


@dataclass(frozen=True)
class Malformed:
    """Inputs that break a contract in one way: the kind of mistake, and where it is."""

    kind: str
    where: str
    inputs: Mapping[str, Any]


def malformed(contract: Contract, inputs: Arrays) -> Iterator[Malformed]:
    """Yield `inputs`, which are within the contract, with one mistake of each kind at each place where it can be."""
    yield from _sizes(contract, inputs)
    for tensor in contract.inputs:
        name, array = tensor.name, inputs[tensor.name]

        def changed(kind: str, value: Any, where: str = name, name: str = name) -> Malformed:
            return Malformed(kind, where, {**inputs, name: value})

        for dtype in DTYPES:
            if dtype != tensor.dtype:
                yield changed("another dtype", array.astype(dtype), f"{name} as {dtype}")
        for axis, size in enumerate(tensor.shape):
            if isinstance(size, int):
                for other in (size - 1, size + 1):
                    yield changed("another number of features", _resized(array, axis, other), f"{name}: {other}")
        yield changed("an axis too many", array[..., None])
        yield changed("an axis too few", array.sum(axis=-1).astype(array.dtype))
        yield changed("no array", array.tolist())
        yield Malformed("an input missing", name, {key: value for key, value in inputs.items() if key != name})
        if tensor.below is not None:
            yield from (changed("integers out of range", wrong) for wrong in _out_of_range(contract, tensor, inputs))
    yield Malformed("an input too many", "surplus", {**inputs, "surplus": np.zeros(1, np.float32)})


def _sizes(contract: Contract, inputs: Arrays) -> Iterator[Malformed]:
    """Yield sizes beyond their range, and inputs of which one has another size than the others."""
    actual = contract.sizes(inputs)
    for dimension in contract.dimensions:
        axes = [(t.name, axis) for t in contract.inputs for axis, size in enumerate(t.shape) if size == dimension.name]
        wrong = [("beyond the largest size", dimension.maximum + 1)]
        wrong += [("none at all", 0)] if dimension.minimum > 0 else []
        wrong += [("below the smallest size", dimension.minimum - 1)] if dimension.minimum > 1 else []
        for kind, size in wrong if axes else ():
            corrupted = dict(inputs)
            for name, axis in axes:
                corrupted[name] = _resized(corrupted[name], axis, size)
            yield Malformed(kind, f"{dimension.name}={size}", corrupted)
        for name, axis in axes if len(axes) > 1 else ():
            size = actual[dimension.name] + (1 if actual[dimension.name] < dimension.maximum else -1)
            corrupted = {**inputs, name: _resized(inputs[name], axis, size)}
            yield Malformed("inputs that disagree in size", f"{dimension.name} of {name}", corrupted)


def _out_of_range(contract: Contract, tensor: Tensor, inputs: Arrays) -> Iterator[np.ndarray]:
    limit = tensor.below
    if isinstance(limit, str):
        limit = contract.sizes(inputs).get(limit, contract.dimension(limit).maximum)
    array = inputs[tensor.name]
    known = np.finfo(array.dtype) if array.dtype.kind == "f" else np.iinfo(array.dtype)
    for wrong in (-1, limit, known.max, *((0.5, np.nan) if array.dtype.kind == "f" else ())):
        if array.size and wrong is not None and not (wrong < known.min or wrong > known.max):
            corrupted = array.copy()
            corrupted.flat[array.size // 2] = wrong
            yield corrupted


def _resized(array: np.ndarray, axis: int, size: int) -> np.ndarray:
    """Return an array with another size along an axis: cut, or gone through again."""
    length = array.shape[axis]
    if length == 0:
        return np.zeros((*array.shape[:axis], size, *array.shape[axis + 1 :]), array.dtype)
    return np.take(array, np.arange(size) % length, axis=axis)


def reject_all(run: Runner, contract: Contract, inputs: Arrays) -> list[OutsideCase]:
    """Feed malformed inputs to an artifact, and return what became of each kind."""
    results: dict[str, list[tuple[str, str]]] = {}
    for case in malformed(contract, inputs):
        try:
            run(dict(case.inputs))
            refusal = ""
        except Exception as error:  # each runtime has kinds of its own; any of them is loud
            refusal = one_line(error) or type(error).__name__
        results.setdefault(case.kind, []).append((case.where, refusal))
    cases = []
    for kind, outcomes in results.items():
        answered = [where for where, refusal in outcomes if not refusal]
        cases.append(
            OutsideCase(
                kind=kind,
                cases=len(outcomes),
                outcome="silently wrong" if answered else "rejected",
                detail=", ".join(answered) if answered else outcomes[0][1],
            )
        )
    return cases


def not_finite(answers: ProbeResults, tolerance: Tolerance | None) -> list[OutsideCase]:
    """Return what became of numbers that are not finite, by kind.

    They must be rejected, or come out as what is not finite wherever they do so in the network as trained. Their batch
    mates must be left as they are there; those of an approximation, for which there is no tolerance, are not judged.
    """
    part = answers.part(~answers.finite_inputs)
    cases = []
    for label in dict.fromkeys(probe.label for probe in part.recording.probes):
        chosen = part.part(np.array([probe.label == label for probe in part.recording.probes]))
        outcome, detail = _bad_numbers(chosen, tolerance)
        cases.append(OutsideCase(kind=label, cases=len(chosen.recording.probes), outcome=outcome, detail=detail))
    return cases


def _bad_numbers(answers: ProbeResults, tolerance: Tolerance | None) -> tuple[Any, str]:
    if not answers.answered.any():
        return "rejected", answers.refusals[0]
    answered = np.repeat(answers.answered, [len(probe.events) for probe in answers.recording.probes])
    bad = np.array([_is_bad(event) for probe in answers.recording.probes for event in probe.events])
    hidden = corrupted = shows = np.zeros(len(bad), bool)
    for name, values in answers.outputs.items():
        truth = answers.recording.float32[name]
        sound, finite = np.isfinite(truth).all(axis=1), np.isfinite(values).all(axis=1)
        same = sound if tolerance is None else within(values, truth, tolerance, ILL_CONDITIONED)
        hidden = hidden | (bad & finite & ~same)
        corrupted = corrupted | (~bad & sound & ~same)
        shows = shows | (bad & ~finite)
    if (hidden & answered).any():
        return "silently wrong", "an output is finite, and not that of the network as trained"
    if (corrupted & answered).any():
        return "silently wrong", "other events of the same call change"
    if (shows & answered).any():
        mates = "are as they were" if tolerance is not None else "may change"
        return "not finite", f"the outputs of the event are not finite; those of its batch mates {mates}"
    return "correct", "the network as trained does not depend on it either"


def _is_bad(event: Arrays) -> bool:
    return any(np.issubdtype(a.dtype, np.floating) and not np.isfinite(a).all() for a in event.values())
