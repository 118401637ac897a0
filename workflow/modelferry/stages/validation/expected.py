"""Events that travel with an artifact, and what it must make of them: a part of its validation, to be repeated."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from modelferry.core import paths
from modelferry.core.contract import Arrays, Contract
from modelferry.core.expected import ExpectedCall
from modelferry.formats import load_format
from modelferry.records.export import Manifest
from modelferry.stages.validation.model import recording_of
from modelferry.stages.validation.recording import Recording, ordinary

if TYPE_CHECKING:
    from modelferry.plan.models import PlannedModel

CALLS, EVENTS = 4, 8
"""So many calls at most, of so many events at most."""


def expected_calls(planned: PlannedModel, export: str) -> list[ExpectedCall]:
    """Return calls within the contract of an artifact: inputs, and the outputs of the network as trained.

    An approximation is another function than the network: its own outputs stand for both precisions.
    """
    manifest = Manifest.read(paths.manifest(planned.id, export))
    calls = list(_calls(planned, manifest.contract, recording_of(planned).as_delivered(manifest.contract)))[:CALLS]
    if manifest.exactness == "exact":
        return calls
    run = load_format(manifest.format).load(Path(manifest.artifact.path), 1)
    own = [run(call.inputs) for call in calls]
    return [ExpectedCall(call.inputs, outputs, outputs) for call, outputs in zip(calls, own, strict=True)]


def _calls(planned: PlannedModel, contract: Contract, recording: Recording) -> Iterator[ExpectedCall]:
    starts = np.cumsum([0, *(len(probe.events) for probe in recording.probes)])
    for index in ordinary(recording.probes):
        events = recording.probes[index].events
        inputs = planned.family.inputs_of(events, contract)
        if len(events) <= EVENTS and contract.allows(inputs):
            rows = slice(starts[index], starts[index + 1])

            def outputs(of: Arrays, rows: slice = rows) -> Arrays:
                return {tensor.name: of[tensor.name][rows] for tensor in contract.outputs}

            yield ExpectedCall(inputs, outputs(recording.float32), outputs(recording.float64))
