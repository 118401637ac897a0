"""Shaking: which outputs jump when inputs change in their last places, since rounding decides something there.

An event is moved by some units in the last place of float32, and by a tenth of that in the same direction. What follows
in proportion is no jump, however steep: ten times the short move accounts for it. Where the whole move crosses a tie,
such as two particles that are equally near, it does not, whether or not the short one crosses it too.

The network computes in float64, and the short move is made in float64 between the inputs of two calls: rounding would
look like a jump, tenfold. All that is left of it is what a family rounds by definition, and leaves unshaken.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import torch

from modelferry.contract import Arrays, Contract
from modelferry.families import Family
from modelferry.records import Tolerance
from modelferry.validation.compare import ILL_CONDITIONED
from modelferry.validation.eager import run_eagerly
from modelferry.validation.probes import NOT_FINITE, Probe

REPETITIONS = 4
"""So many directions are tried."""
WHOLE = 1e-6
"""Relative size of a move: some units in the last place, as much as another order of sums makes."""
SHORT = 0.1
"""The short move, as a part of the whole one."""
UNASKED = Tolerance()
"""The tolerance if a config asks for no other."""


def evaluate_shaken(
    network: torch.nn.Module, family: Family, contract: Contract, probes: Sequence[Probe], float32: Arrays
) -> Arrays:
    """Return `float32`, the outputs on all probes, as shaking makes them jump: (repetitions, events, values).

    `network` is the reference in float64. An event is shaken once a repetition, in a call of typical size, however
    often and in whatever company it comes. One that holds a number that is not finite has no output here.
    """
    sound = [event for probe in probes if probe.source != NOT_FINITE for event in probe.events]
    once = list({id(event): event for event in sound}.values())
    places = {id(event): place for place, event in enumerate(once)}
    rows = np.array([places.get(id(event), -1) for probe in probes for event in probe.events])
    typical = contract.dimension(family.batch).typical
    calls = [once[start : start + typical] for start in range(0, len(once), typical)]
    found = list(jumps(network, family, contract, calls))
    shaken = {}
    for name, outputs in float32.items():
        change = np.stack([jump[name] for jump in found])[:, rows]
        change[:, rows < 0] = np.nan
        shaken[name] = outputs + change
    return shaken


def jumps(
    network: torch.nn.Module, family: Family, contract: Contract, calls: Sequence[Sequence[Arrays]]
) -> Iterator[Arrays]:
    """Yield by how much each output jumps, for each direction in turn: its change, less what is in proportion."""

    def run(inputs: Arrays) -> Arrays:
        return run_eagerly(network, contract, [inputs], torch.float64)

    still = [_collated(family, contract, events) for events in calls]
    outputs = [run(inputs) for inputs in still]
    for seed in range(1, REPETITIONS + 1):
        rng = np.random.default_rng(seed)
        found = []
        for events, before, truth in zip(calls, still, outputs, strict=True):
            after = _collated(family, contract, [_shaken(event, rng, family) for event in events])
            change = {name: value - truth[name] for name, value in run(after).items()}
            if any(np.any(np.abs(change[name]) > _limit(truth[name])) for name in change):
                short = run(_between(before, after))
                change = {name: _jump(whole, short[name] - truth[name]) for name, whole in change.items()}
            found.append(change)
        yield {name: np.concatenate([change[name] for change in found]) for name in outputs[0]}


def _limit(outputs: np.ndarray) -> np.ndarray:
    """Return up to where a change is left as it is, jump or not: with the tolerance of float32 it makes no near-tie."""
    return ILL_CONDITIONED * (UNASKED.atol + UNASKED.rtol * np.abs(outputs))


def _jump(whole: np.ndarray, short: np.ndarray) -> np.ndarray:
    """Return what is out of proportion in a change, and never more than the change itself."""
    rest = whole - short / SHORT
    return np.where(np.abs(rest) < np.abs(whole), rest, whole)


def _between(before: Arrays, after: Arrays) -> Arrays:
    """Return inputs a short way from those `before`; integers stay, and so does all if a shape has changed."""
    if any(before[name].shape != after[name].shape for name in before):
        return before
    return {
        name: value + SHORT * (after[name].astype(np.float64) - value)
        if np.issubdtype(value.dtype, np.floating)
        else value
        for name, value in before.items()
    }


def _collated(family: Family, contract: Contract, events: Sequence[Arrays]) -> Arrays:
    inputs = family.collate(events, contract.layout)
    return {tensor.name: inputs[tensor.name] for tensor in contract.inputs}


def _shaken(event: Arrays, rng: np.random.Generator, family: Family) -> Arrays:
    return {
        name: (array * (1 + WHOLE * family.shaking(name) * rng.standard_normal(array.shape))).astype(array.dtype)
        if np.issubdtype(array.dtype, np.floating)
        else array
        for name, array in event.items()
    }
