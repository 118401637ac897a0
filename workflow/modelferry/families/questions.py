"""What two functions are asked about a family: its events, at all sizes and such as are easy to get wrong."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from modelferry.comparison.asking import Question
from modelferry.comparison.side import Declared, Side
from modelferry.core.contract import Arrays, Contract
from modelferry.core.errors import ArgumentError
from modelferry.families import Family
from modelferry.families.probes import Probe, make_probes

SEED = 1


@dataclass(frozen=True)
class Asked:
    """How a side is asked: its names for the inputs of a contract, and the types that it wants."""

    contract: Contract
    names: Mapping[str, str]
    side: Side

    def named(self, inputs: Arrays) -> Arrays:
        """Return the inputs under the side's names, in its types."""
        wanted: dict[str, Declared] = {tensor.name: tensor for tensor in self.side.inputs}
        return {to: _as(np.asarray(inputs[name]), wanted[to].dtype) for name, to in self.names.items()}


def of_family(
    family: Family, first: Asked, second: Asked, events: Sequence[Arrays], source: str, count: int
) -> Iterator[Question]:
    """Yield calls on events that both contracts allow: ordinary ones, at all sizes, and such as are easy to get wrong.

    Raises
    ------
    ArgumentError
        If both allow none.
    """
    probes = make_probes(family, first.contract, count, SEED, events, source, [second.contract])
    numbers: dict[int, int] = {id(event): number for number, event in enumerate(events)}
    found = False
    for probe in probes:
        if _allowed(probe, family, (first, second)):
            found = True
            yield _question(probe, family, first, second, numbers)
    if not found:
        sizes = ", ".join(f"{d.name} {d.minimum} to {d.maximum}" for d in second.contract.dimensions)
        raise ArgumentError(f"no event fits both: {second.side.called} takes {sizes}", "compare it with --inputs")


def _question(probe: Probe, family: Family, first: Asked, second: Asked, numbers: dict[int, int]) -> Question:
    def inputs(asked: Asked, events: Sequence[Arrays]) -> Arrays:
        return asked.named(family.collate(events, asked.contract.layout))

    def moved(seed: int, size: float) -> Arrays:
        rng = np.random.default_rng(seed)
        events = [
            {n: moved_by(array, rng, size * family.perturbation(n)) for n, array in e.items()} for e in probe.events
        ]
        return inputs(first, events)

    return Question(
        label=probe.label,
        reference=inputs(first, probe.events),
        other=inputs(second, probe.events),
        events=tuple(numbers.setdefault(id(event), len(numbers)) for event in probe.events),
        alone=lambda position: (inputs(first, [probe.events[position]]), inputs(second, [probe.events[position]])),
        moved=moved,
    )


def _allowed(probe: Probe, family: Family, sides: Sequence[Asked]) -> bool:
    for asked in sides:
        inputs = family.collate(probe.events, asked.contract.layout)
        if not asked.contract.allows(inputs) or not all(np.isfinite(array).all() for array in inputs.values()):
            return False
    return True


def moved_by(array: np.ndarray, rng: np.random.Generator, size: float | np.ndarray) -> np.ndarray:
    """Return floating numbers moved by a relative size, each its own way; others as they are."""
    if not np.issubdtype(array.dtype, np.floating):
        return array
    return (array * (1 + size * rng.standard_normal(array.shape))).astype(array.dtype)


def _as(array: np.ndarray, dtype: str | None) -> np.ndarray:
    """Return an array in the type that a side declares, where both are floating or both are integers."""
    if dtype is None or array.dtype.name == dtype or dtype == "bfloat16":
        return array
    wanted = np.dtype(dtype)
    alike = wanted.kind == array.dtype.kind or {wanted.kind, array.dtype.kind} == {"i", "u"}
    return array.astype(wanted) if alike else array
