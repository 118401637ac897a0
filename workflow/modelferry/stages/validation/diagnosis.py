"""Where an artifact departs from the network as trained: the first layer, the worst event, the tolerance it would need.

Neighbours on the way from the checkpoint to the file are compared, so that a fault is found where it was made: the
weights inside with the checkpoint's; the deployable in eager mode with the reference, in float64; the rewritten
deployable with the one before; the artifact's own layers with the deployable's. A compiled library shows none, and it
is said so.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch

from modelferry.comparison.difference import by_event
from modelferry.comparison.judge import Judgement
from modelferry.core import paths
from modelferry.core.contract import Arrays, Contract
from modelferry.core.files import write_arrays
from modelferry.core.tolerances import Tolerance
from modelferry.families import Family
from modelferry.families.transforms import APPROXIMATIONS
from modelferry.families.weights import load_reference
from modelferry.formats.shared.runner import INPUT, outputs_of_modules
from modelferry.formats.shared.weight_readback import altered, describe
from modelferry.records.export import Manifest
from modelferry.stages.validation.checks import judge_outputs, special_groups
from modelferry.stages.validation.fault_matching import matching_faults
from modelferry.stages.validation.layers import compare_layers
from modelferry.stages.validation.loaded_artifact import LoadedArtifact
from modelferry.stages.validation.recording import Recording
from modelferry.stages.validation.run_probes import run_probes

if TYPE_CHECKING:
    from modelferry.families import StateDict
    from modelferry.plan.models import PlannedModel

EXACT, ROUNDED = 1e-9, 1e-5
"""By so much of its largest value a layer may differ: in float64, and where weights or values are of float32."""


@dataclass(frozen=True)
class Worst:
    """The event that departs most: its number, its position in its call, and that call's number."""

    event: int
    position: int
    probe: int
    difference: float


def diagnose(planned: PlannedModel, export: str, tolerance: Tolerance, recording: Recording) -> Iterator[str]:
    """Yield what was found, line by line, and save the inputs of the worst event beside the artifact."""
    torch.set_num_threads(1)
    manifest = Manifest.read(paths.manifest(planned.id, export))
    if manifest.artifact.present and not manifest.artifact.intact:
        yield f"{manifest.artifact.path} was altered after its export: its manifest describes other bytes"
    loaded = LoadedArtifact.of(planned, export, manifest)
    family, contract = loaded.family, loaded.contract
    recording = recording.as_delivered(contract)
    answers = run_probes(loaded.run, family, contract, recording)
    kept = answers.within & answers.finite_inputs
    numbers, compared = answers.rows(kept), answers.part(kept)
    recording, artifact = compared.recording, compared.outputs
    judgement = judge_outputs(recording, artifact, tolerance, contract, special_groups(family))
    yield from _outcome(judgement, tolerance)
    for name in matching_faults(recording, artifact, tolerance):
        yield f"its outputs are those of the network with this mistake: {name}"
    worst = worst_event(recording, artifact, judgement)
    probe = recording.probes[worst.probe]
    saved = Path(paths.diagnosis(planned.id, export))
    save(saved, family, contract, recording, artifact, worst)
    position = f"{probe.source}, {probe.label}; number {worst.position} of {len(probe.events)} in its call"
    yield f"worst event: {numbers[worst.event]} ({position}), by {worst.difference:.2g}; saved in {saved}"
    events: Sequence[Arrays] = [probe.events[worst.position]]
    inputs, alone = family.inputs_of(events, contract), 0.0
    if contract.allows(inputs):
        rows = {name: by_event(values)[0] for name, values in loaded.run(inputs).items()}
        alone = max(float(np.abs(rows[name] - recording.float32[name][worst.event]).max()) for name in rows)
    if not contract.allows(inputs) or (not judgement.verdict.passed and alone < worst.difference / 2):
        events = probe.events
        yield f"alone this event departs by {alone:.2g} only: layers are compared on its whole call"
    yield from compare_inside(loaded, events)


def worst_event(recording: Recording, artifact: Arrays, judgement: Judgement) -> Worst:
    """Return the event with the largest difference from the float32 reference, a near-tie only if all are."""
    largest = np.zeros(len(recording.labels))
    for name, values in artifact.items():
        difference = np.abs(values.astype(np.float64) - recording.float32[name])
        largest = np.maximum(largest, np.nan_to_num(difference, nan=np.inf).reshape(len(largest), -1).max(axis=1))
    regular = ~judgement.near_tie
    event = int(np.argmax(np.where(regular, largest, -1) if regular.any() else largest))
    starts = np.cumsum([0, *(len(probe.events) for probe in recording.probes)])
    probe = int(np.searchsorted(starts, event, side="right")) - 1
    return Worst(event, event - int(starts[probe]), probe, float(largest[event]))


def save(path: Path, family: Family, contract: Contract, recording: Recording, artifact: Arrays, worst: Worst) -> None:
    """Save the inputs of the worst event's call, the event's place in it, and all outputs of the event."""
    inputs = family.inputs_of(recording.probes[worst.probe].events, contract)
    arrays = {f"input.{name}": value for name, value in inputs.items()}
    arrays["place"] = np.array(worst.position)
    for name, values in artifact.items():
        arrays[f"artifact.{name}"] = values[worst.event]
        arrays[f"reference.float32.{name}"] = recording.float32[name][worst.event]
        arrays[f"reference.float64.{name}"] = recording.float64[name][worst.event]
    write_arrays(path, arrays)


def compare_inside(artifact: LoadedArtifact, events: Sequence[Arrays]) -> Iterator[str]:
    """Yield what the comparisons of weights and layers found, from the reference to the artifact."""
    planned, spec, family, contract = artifact.planned, artifact.spec, artifact.family, artifact.contract
    approximations = spec.transforms & APPROXIMATIONS.keys()
    own, inputs = family.contract(planned.hyperparameters, family.reference_layout), family.collate(events, spec.layout)
    plain = artifact.deployable(artifact.weights(transforms=approximations), approximations).double()
    weights = artifact.weights()
    yield _weights(artifact, weights)
    reference = family.double(load_reference(family, planned.hyperparameters, planned.model.checkpoint))
    truth = outputs_of_modules(reference, own, torch.float64)(family.collate(events, own.layout))
    as_trained = outputs_of_modules(plain, contract, torch.float64)(inputs)
    yield f"reference and deployable, float64: {compare_layers(truth, as_trained, EXACT)}"
    if exact := sorted(spec.transforms - APPROXIMATIONS.keys()):
        outermost = {name: value for name, value in as_trained.items() if "." not in name and INPUT not in name}
        rewritten = artifact.deployable(weights).double()
        gone = {name for name, module in rewritten.named_modules() if isinstance(module, torch.nn.Identity)}
        after = outputs_of_modules(rewritten, contract, torch.float64)(inputs)
        compared = compare_layers(outermost, after, ROUNDED, gone)
        yield f"deployable before and after {', '.join(exact)}, float64: {compared}"
    layers = artifact.target.layers(artifact.path)
    if layers is None:
        yield f"deployable and artifact: format {artifact.target.name} shows no layers, only its output was compared"
        return
    eager = outputs_of_modules(artifact.deployable(weights), contract)(inputs)
    yield f"deployable and artifact, float32: {compare_layers(eager, layers(inputs), ROUNDED)}"


def _outcome(judgement: Judgement, tolerance: Tolerance) -> Iterator[str]:
    regular = judgement.regular
    yield f"outputs: {judgement.verdict.status}{': ' if judgement.verdict.reason else ''}{judgement.verdict.reason}"
    if np.isnan(regular.smallest_rtol):
        yield "smallest tolerance that would pass: none, since no event was compared"
        return
    yield (
        f"smallest tolerance that would pass: rtol {regular.smallest_rtol:.2g} with atol {tolerance.atol:g}, "
        f"or atol {regular.smallest_atol:.2g} with rtol {tolerance.rtol:g}"
    )


def _weights(artifact: LoadedArtifact, weights: StateDict) -> str:
    inside = artifact.weights_inside()
    if not inside:
        return f"weights: format {artifact.target.name} does not give them back as they were filled in"
    changes = describe(altered(inside, weights))
    return f"weights: {len(inside)} tensors read back, {changes or 'all equal to the checkpoint bit by bit'}"
