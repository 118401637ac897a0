"""Perturbation: what the reference does with an event whose inputs change in their last places.

Each event is moved by δ, some units in the last place of float32 in a random direction, and by δ/10. Its jump is
[f(x + δ) − f(x)] − 10 · [f(x + δ/10) − f(x)]: about zero for a smooth function, however steep, and large where the move
crosses a tie, such as two particles that are equally near. An event whose shorter move jumps as well, compared with a
tenth of it, is so near a tie that its jump does not shrink: rounding decides it.

The network computes in float64, and short moves are made in float64 between the inputs of two calls: rounding would
look like a jump, tenfold. All that is left of it is what a family rounds by definition, and leaves unperturbed. The
network in float32 shows what rounding does to its outputs near the event.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import cache
from typing import TYPE_CHECKING

import numpy as np
import torch

from modelferry.comparison.difference import Examination
from modelferry.comparison.eager import run_eagerly
from modelferry.comparison.scores import give_scores
from modelferry.core.contract import Arrays, Contract, Scored
from modelferry.families import Family
from modelferry.families.weights import load_reference
from modelferry.stages.validation.recording import Recording

if TYPE_CHECKING:
    from modelferry.plan.models import PlannedModel

DIRECTIONS = 8
"""The number of directions that are tried."""
WHOLE = 1e-6
"""Relative size of a move: some units in the last place, as much as another order of sums makes."""
SHORT = 0.1
"""The short move, as a part of the whole one, and the shorter one, as a part of the short one."""

Networks = Callable[[], tuple[torch.nn.Module, torch.nn.Module]]
"""Returns the reference in float32 and in float64."""


class Examiner:
    """Examines events, each once, in calls of typical size, however often and in whatever company they come.

    The networks are loaded when the first event is examined that is not known yet: most artifacts need none.

    Parameters
    ----------
    known
        Events that were examined before, and what was found of each, by output.
    """

    def __init__(
        self,
        family: Family,
        contract: Contract,
        networks: Networks,
        known: Iterable[tuple[Arrays, Mapping[str, Examination]]] = (),
    ) -> None:
        self.family, self.contract, self.networks = family, contract, networks
        self._known = {id(event): (event, found) for event, found in known}

    def __call__(self, events: Sequence[Arrays]) -> dict[str, Examination]:
        """Return what the reference does with some events, by output."""
        new = list({id(event): event for event in events if id(event) not in self._known}.values())
        typical = self.contract.dimension(self.family.batch).typical
        for start in range(0, len(new), typical):
            call = new[start : start + typical]
            results = self._examine(call)
            for index, event in enumerate(call):  # the event is kept, so that no other one gets its number
                self._known[id(event)] = event, {name: found.take([index]) for name, found in results.items()}
        known = [self._known[id(event)][1] for event in events]
        return {
            tensor.name: Examination.joined([one[tensor.name] for one in known]) for tensor in self.contract.outputs
        }

    def _examine(self, events: Sequence[Arrays]) -> dict[str, Examination]:
        single, double = self.networks()
        before = _collated(self.family, self.contract, events)
        truth = run_eagerly(double, self.contract, [before], torch.float64)
        found: dict[str, list[tuple[np.ndarray, np.ndarray, np.ndarray]]] = {name: [] for name in truth}
        for seed in range(1, DIRECTIONS + 1):
            rng = np.random.default_rng(seed)
            after = _collated(self.family, self.contract, [_perturbed(event, rng, self.family) for event in events])
            rounded = run_eagerly(single, self.contract, [after], torch.float32)
            whole, short, shorter = _changes(double, self.contract, before, after, truth)
            for name, change in whole.items():
                far, near = _jump(change, short[name]), _jump(short[name], shorter[name])
                error = np.square(rounded[name] - (truth[name] + change))
                found[name].append((far, near if _same_integers(before, after) else far, error))
        stacked = {name: [np.stack(kind) for kind in zip(*kinds, strict=True)] for name, kinds in found.items()}
        return {
            name: Examination(far, near, np.sqrt(error.mean(axis=0))) for name, (far, near, error) in stacked.items()
        }


def examiner_of(planned: PlannedModel, recording: Recording, scored: Scored | None = None) -> Examiner:
    """Return what examines the events of a recording; the reference is loaded if it is needed.

    What an artifact makes of an output, as `scored` says, is made of the reference's too.
    """
    family, hyperparameters = planned.family, planned.hyperparameters
    contract = family.contract(hyperparameters, family.reference_layout)
    if scored is not None:
        contract = contract.with_scores()

    @cache
    def networks() -> tuple[torch.nn.Module, torch.nn.Module]:
        single, double = (load_reference(family, hyperparameters, planned.model.checkpoint) for _ in range(2))
        double = family.double(double)
        return (single, double) if scored is None else (give_scores(single, scored.by), give_scores(double, scored.by))

    events = recording.events
    known = [(events[number], found) for number, found in recording.examined.items()]
    return Examiner(family, contract, networks, known)


def _changes(
    network: torch.nn.Module, contract: Contract, before: Arrays, after: Arrays, truth: Arrays
) -> Iterator[Arrays]:
    """Yield how outputs change from `truth` with the whole move from `before` to `after`, a tenth, a hundredth."""
    for part in (1.0, SHORT, SHORT**2):
        inputs = after if part == 1 else _between(before, after, part)
        outputs = run_eagerly(network, contract, [inputs], torch.float64)
        yield {name: value - truth[name] for name, value in outputs.items()}


def _jump(change: np.ndarray, shorter: np.ndarray) -> np.ndarray:
    """Return what of a change is out of proportion to that of a shorter move, and never more than the change itself."""
    return np.minimum(np.abs(change - shorter / SHORT), np.abs(change))


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
