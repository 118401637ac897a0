"""All probes fed to a loaded artifact, which may answer each or reject it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from modelferry.comparison.difference import by_event
from modelferry.core.contract import Arrays, Contract
from modelferry.core.errors import one_line
from modelferry.families import Family
from modelferry.families.probes import NOT_FINITE
from modelferry.formats import Runner
from modelferry.stages.validation.recording import Recording


@dataclass(frozen=True)
class ProbeResults:
    """What an artifact made of the probes of a recording.

    Attributes
    ----------
    outputs
        By name, one row an event; NaN where there was no answer.
    within
        Which probes are within the contract, (probes,).
    answered
        Which probes were answered, (probes,).
    refusals
        Why the others were not, one line each; empty for an answered one.
    """

    recording: Recording
    outputs: Arrays
    within: np.ndarray
    answered: np.ndarray
    refusals: tuple[str, ...]

    @property
    def finite_inputs(self) -> np.ndarray:
        """Which probes hold nothing but finite numbers, (probes,)."""
        return np.array([probe.source != NOT_FINITE for probe in self.recording.probes])

    @property
    def reasons(self) -> dict[str, str]:
        """Why probes were not answered, by label."""
        return {probe.label: why for probe, why in zip(self.recording.probes, self.refusals, strict=True) if why}

    def rows(self, keep: np.ndarray) -> np.ndarray:
        """Return the numbers of the events of some of the probes."""
        return np.flatnonzero(np.repeat(keep, [len(probe.events) for probe in self.recording.probes]))

    def part(self, keep: np.ndarray) -> ProbeResults:
        """Return the part with some of the probes."""
        events = self.rows(keep)
        return ProbeResults(
            recording=self.recording.part(keep.tolist()),
            outputs={name: value[events] for name, value in self.outputs.items()},
            within=self.within[keep],
            answered=self.answered[keep],
            refusals=tuple(reason for reason, kept in zip(self.refusals, keep, strict=True) if kept),
        )


def run_probes(run: Runner, family: Family, contract: Contract, recording: Recording) -> ProbeResults:
    """Feed all probes to an artifact."""
    rows: list[Arrays] = []
    within: list[bool] = []
    refusals: list[str] = []
    start = 0
    for probe in recording.probes:
        end = start + len(probe.events)
        with np.errstate(invalid="ignore"):
            inputs = family.inputs_of(probe.events, contract)
        within.append(contract.allows(inputs))
        try:
            rows.append({name: by_event(values) for name, values in run(inputs).items()})
            refusals.append("")
        except Exception as error:  # each runtime has kinds of its own; any of them is loud
            rows.append({name: np.full_like(value[start:end], np.nan) for name, value in recording.float32.items()})
            refusals.append(one_line(error) or type(error).__name__)
        start = end
    return ProbeResults(
        recording=recording,
        outputs={tensor.name: np.concatenate([row[tensor.name] for row in rows]) for tensor in contract.outputs},
        within=np.array(within),
        answered=np.array([not reason for reason in refusals]),
        refusals=tuple(refusals),
    )
