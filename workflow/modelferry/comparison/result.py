"""What comes out of a comparison of two functions: true or false, and by how much they differ, and where."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import Any

import numpy as np
from pydantic import BaseModel

from modelferry.core.errors import first_few
from modelferry.core.notebook import table
from modelferry.core.tolerances import Tolerance

SHOWN = 4
"""Values of an output that are shown of an event."""


@dataclass(frozen=True)
class EventDifference:
    """An event in which an output differs: the call and its position in it, and the outputs of both, (values,).

    `number` tells equal events; of events that were read from files, it is their number there.
    """

    where: str
    position: int
    number: int
    max_abs: float
    reference: tuple[float, ...]
    other: tuple[float, ...]

    def __str__(self) -> str:
        """Show the event on one line, its first outputs of both."""
        first, second = (
            ", ".join(f"{value:.6g}" for value in values[:SHOWN]) + (", …" if len(values) > SHOWN else "")
            for values in (self.reference, self.other)
        )
        return f"{self.where}, event {self.number}: {self.max_abs:.3g} ({first} and {second})"


@dataclass(frozen=True)
class OutputDifference:
    """How far one output is from the reference's, at worst over all calls.

    Attributes
    ----------
    max_abs, max_rel, max_ulps
        Largest difference: absolute, relative to the reference's output, in units in the last place of float32. One
        output near zero makes `max_rel` large: whether the outputs agree is told by `share`.
    error, own_error
        Largest difference of the two from the reference in float64; NaN if that one does not run, or was not needed.
    smallest_rtol, smallest_atol
        With the other one as it is, the smallest tolerance that would pass.
    share, where
        The largest share of the allowed difference that was used, and the call in which it was used. Allowed is the
        tolerance, or twice the reference's own error from float64 if the other departs by more than the tolerance.
    reason
        Why it is not the same output; empty if it is.
    events
        How many events were compared, each with all its values; 0 if single values were.
    near_ties
        How many of them differ, and were set apart: rounding decides something in them.
    score_shift
        The largest shift of a score, of an approximation.
    argmax_flips
        In how many of the others the largest value is another one.
    worst
        The events that differ most, if it is not the same output.
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
    events: int = 0
    near_ties: int = 0
    argmax_flips: int = 0
    score_shift: float = np.nan
    worst: tuple[EventDifference, ...] = ()

    def replaced(self, **changes: Any) -> OutputDifference:
        """Return a copy with some of the attributes changed."""
        return replace(self, **changes)

    @property
    def numbers(self) -> tuple[float, float, float]:
        """The largest difference, and the tolerance: relative and absolute."""
        return self.max_abs, self.tolerance.rtol, self.tolerance.atol

    @property
    def used(self) -> str:
        """Which share of the allowed difference was used, and where, in words."""
        return f"{100 * self.share:.3g} % of the allowed difference at {self.where}"

    def __str__(self) -> str:
        """Show the differences on one line."""
        if np.isnan(self.share):
            return f"{self.name}: nothing was compared"
        errors = f", error against float64 {self.error:.3g}, the reference's own {self.own_error:.3g}"
        exact = "" if np.isnan(self.error) else errors
        counted = f", {self.events} events" if self.events else ""
        flips = f", the largest value is another one in {self.argmax_flips}" if self.argmax_flips else ""
        ties = f", {self.near_ties} that differ are near ties and set apart" if self.near_ties else ""
        return (
            f"{self.name}: {self.used} "
            f"(rtol {self.tolerance.rtol:.3g}, atol {self.tolerance.atol:.3g}), max abs {self.max_abs:.3g}"
            f"{exact}{counted}{flips}{ties}"
        )


@dataclass(frozen=True, repr=False)
class Comparison:
    """True if both are the same function; printed, it shows the differences.

    Attributes
    ----------
    outputs
        The differences of each output.
    calls
        What was compared, by the sizes of the call.
    skipped
        Calls that the reference itself rejects, with its error: they cannot be compared.
    reason
        Why the result is false; empty if it is true.
    notes
        What was taken for granted, and what the reader must know.
    """

    outputs: tuple[OutputDifference, ...]
    calls: tuple[str, ...]
    skipped: Mapping[str, str] = field(default_factory=dict)
    reason: str = ""
    notes: tuple[str, ...] = ()

    def __bool__(self) -> bool:
        """Whether all outputs of all calls agree."""
        return not self.reason

    @property
    def verdict(self) -> str:
        """The verdict, and which share of the allowed difference was used where, on one line."""
        compared = [output for output in self.outputs if not np.isnan(output.share)]
        worst = max(compared, key=lambda output: output.share, default=None)
        used = "" if worst is None else f", at most {worst.used} in '{worst.name}'"
        same = "the same" if self else f"different: {self.reason}"
        return f"{same} ({len(self.calls)} calls{used})"

    @property
    def remarks(self) -> tuple[str, ...]:
        """What was not compared, and what the reader must know."""
        left_out = []
        for why in dict.fromkeys(self.skipped.values()):
            calls = [call for call, reason in self.skipped.items() if reason == why]
            left_out.append(f"not compared, since the reference itself fails: {first_few(calls)}: {why}")
        return (*left_out, *(f"note: {note}" for note in self.notes))

    def __str__(self) -> str:
        """Show the verdict, then one line an output."""
        lines = [self.verdict]
        for output in self.outputs:
            lines += [f"  {output}", *(f"    {event}" for event in output.worst)]
        return "\n".join([*lines, *(f"  {remark}" for remark in self.remarks)])

    def __repr__(self) -> str:
        """Show the verdict."""
        return f"<Comparison: {self.verdict}>"

    def _repr_html_(self) -> str:
        """Show the verdict and a table of the outputs, in a notebook."""
        rows = [
            (
                o.name,
                f"{100 * o.share:.3g} %",
                f"{o.max_abs:.3g}",
                f"{o.tolerance.rtol:.3g}, {o.tolerance.atol:.3g}",
                o.where,
            )
            for o in self.outputs
            if not np.isnan(o.share)
        ]
        header = ("output", "of the allowed difference", "largest difference", "rtol, atol", "at")
        events = [str(event) for output in self.outputs for event in output.worst]
        return table(self.verdict, header, rows, [*events, *self.remarks])

    def replaced(self, **changes: Any) -> Comparison:
        """Return a copy with some of the attributes changed."""
        return replace(self, **changes)

    def as_json(self) -> dict[str, Any]:
        """Return the comparison as plain values: what is not finite becomes None."""
        return {"same": bool(self), **_plain(asdict(self))}


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {str(name): _plain(entry) for name, entry in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(entry) for entry in value]
    if isinstance(value, BaseModel):
        return value.model_dump()
    return None if isinstance(value, float) and not np.isfinite(value) else value
