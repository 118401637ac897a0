"""Perturbation: which outputs jump when inputs change in their last places, since rounding decides something there.

Each event is moved by δ, some units in the last place of float32 in a random direction, and by δ/10. Its jump is
[f(x + δ) − f(x)] − 10 · [f(x + δ/10) − f(x)]: about zero for a smooth function, however steep, and large where the move
crosses a tie, such as two particles that are equally near. An event whose shorter move jumps as well, compared with a
tenth of it, is so near a tie that its jump does not shrink: rounding decides it.

The network computes in float64, and short moves are made in float64 between the inputs of two calls: rounding would
look like a jump, tenfold. All that is left of it is what a family rounds by definition, and leaves unperturbed.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import torch

from modelferry.comparison.difference import ILL_CONDITIONED
from modelferry.comparison.eager import run_eagerly
from modelferry.core.contract import Arrays, Contract
from modelferry.core.tolerances import Tolerance
from modelferry.families import Family
from modelferry.families.probes import NOT_FINITE, Probe

REPETITIONS = 4
"""The number of directions that are tried."""
WHOLE = 1e-6
"""Relative size of a move: some units in the last place, as much as another order of sums makes."""
SHORT = 0.1
"""The short move, as a part of the whole one, and the shorter one, as a part of the short one."""
UNASKED = Tolerance()
"""The tolerance if a config asks for no other."""


def evaluate_perturbed(
    network: torch.nn.Module, family: Family, contract: Contract, probes: Sequence[Probe], float32: Arrays
) -> tuple[Arrays, Arrays]:
    """Return `float32`, the outputs on all probes, as the whole move and as the short one makes them jump.

    Both are (repetitions, events, values).

    `network` is the reference in float64. An event is perturbed once a repetition, in a call of typical size, however
    often and in whatever company it comes. One that holds a number that is not finite has no output here.
    """
    sound = [event for probe in probes if probe.source != NOT_FINITE for event in probe.events]
    once = list({id(event): event for event in sound}.values())
    indices = {id(event): index for index, event in enumerate(once)}
    rows = np.array([indices.get(id(event), -1) for probe in probes for event in probe.events])
    typical = contract.dimension(family.batch).typical
    calls = [once[start : start + typical] for start in range(0, len(once), typical)]
    perturbed: tuple[Arrays, Arrays] = ({}, {})
    for into, moves in zip(perturbed, zip(*jumps(network, family, contract, calls), strict=True), strict=True):
        for name, outputs in float32.items():
            change = np.stack([jump[name] for jump in moves])[:, rows]
            change[:, rows < 0] = np.nan
            into[name] = outputs + change
    return perturbed


def jumps(
    network: torch.nn.Module, family: Family, contract: Contract, calls: Sequence[Sequence[Arrays]]
) -> Iterator[tuple[Arrays, Arrays]]:
    """Yield by how much outputs jump with the whole move and with the short one, for each direction in turn."""
    still = [_collated(family, contract, events) for events in calls]
    outputs = [run_eagerly(network, contract, [inputs], torch.float64) for inputs in still]
    for seed in range(1, REPETITIONS + 1):
        rng = np.random.default_rng(seed)
        results = []
        for events, before, truth in zip(calls, still, outputs, strict=True):
            after = _collated(family, contract, [_perturbed(event, rng, family) for event in events])
            changes = _changes(network, contract, before, after, truth)
            whole = next(changes)
            if not any(np.any(np.abs(change) > _limit(truth[name])) for name, change in whole.items()):
                results.append((whole, whole))
                continue
            short, shorter = next(changes), next(changes)
            far = {name: _jump(change, short[name]) for name, change in whole.items()}
            near = {name: _jump(change, shorter[name]) for name, change in short.items()}
            results.append((far, near if _same_integers(before, after) else far))
        fars, nears = zip(*results, strict=True)
        yield _joined(fars), _joined(nears)


def _changes(
    network: torch.nn.Module, contract: Contract, before: Arrays, after: Arrays, truth: Arrays
) -> Iterator[Arrays]:
    """Yield how outputs change from `truth` with the whole move from `before` to `after`, a tenth, a hundredth."""
    for part in (1.0, SHORT, SHORT**2):
        inputs = after if part == 1 else _between(before, after, part)
        outputs = run_eagerly(network, contract, [inputs], torch.float64)
        yield {name: value - truth[name] for name, value in outputs.items()}


def _limit(outputs: np.ndarray) -> np.ndarray:
    """Return up to where a change is left as it is, jump or not: with the tolerance of float32 it makes no near-tie."""
    return ILL_CONDITIONED * (UNASKED.atol + UNASKED.rtol * np.abs(outputs))


def _jump(change: np.ndarray, shorter: np.ndarray) -> np.ndarray:
    """Return what of a change is out of proportion to that of a shorter move, and never more than the change itself."""
    rest = change - shorter / SHORT
    return np.where(np.abs(rest) < np.abs(change), rest, change)


def _joined(calls: Sequence[Arrays]) -> Arrays:
    return {name: np.concatenate([call[name] for call in calls]) for name in calls[0]}


def _between(before: Arrays, after: Arrays, part: float) -> Arrays:
    """Return inputs a part of the way from those `before`; integers stay, and so does all if a shape has changed."""
    if any(before[name].shape != after[name].shape for name in before):
        return before
    return {
        name: value + part * (after[name].astype(np.float64) - value) if _floating(value) else value
        for name, value in before.items()
    }


def _same_integers(before: Arrays, after: Arrays) -> bool:
    """Return whether a family made the same of both events but for floating numbers: no tie of its own was crossed."""
    kept = (np.array_equal(value, after[name]) for name, value in before.items() if not _floating(value))
    return all(kept) and all(value.shape == after[name].shape for name, value in before.items())


def _floating(array: np.ndarray) -> bool:
    return np.issubdtype(array.dtype, np.floating)


def _collated(family: Family, contract: Contract, events: Sequence[Arrays]) -> Arrays:
    inputs = family.collate(events, contract.layout)
    return {tensor.name: inputs[tensor.name] for tensor in contract.inputs}


def _perturbed(event: Arrays, rng: np.random.Generator, family: Family) -> Arrays:
    return {
        name: (array * (1 + WHOLE * family.perturbation(name) * rng.standard_normal(array.shape))).astype(array.dtype)
        if _floating(array)
        else array
        for name, array in event.items()
    }
