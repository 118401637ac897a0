"""Controls: deliberately broken artifacts. A validator that passes one of them is broken itself.

A mistake in the weights or the inputs goes through the artifact's own format and runtime. A mistake that needs another
network was recorded with the reference (`faulty_networks`) and goes through the same judgement.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from modelferry.comparison.calibration import Calibration, departs
from modelferry.comparison.difference import by_event, difference, within
from modelferry.comparison.judge import suffices_alone
from modelferry.core.contract import Arrays, Contract
from modelferry.core.tolerances import Tolerance
from modelferry.families import Family
from modelferry.formats import Format, Runner
from modelferry.records.validation import Control
from modelferry.runtimes import Runtime
from modelferry.stages.validation.changed_weights import (
    CANDIDATES,
    WEIGHT,
    Weights,
    retrained,
    with_changed_bias,
    with_changed_weight,
)
from modelferry.stages.validation.input_corruptions import Corruption, corruptions_of
from modelferry.stages.validation.recording import Recording, ordinary

if TYPE_CHECKING:
    pass

BIAS = "one bias of a small tensor changed"
OTHER_FOLD = "weights of another fold"
PROBES = 16
"""At most this many calls with ordinary events, until a defect shows."""


@dataclass(frozen=True)
class SoundArtifact:
    """A sound artifact, and what it was made from: `weights` are the deployable's, `run` is the artifact loaded."""

    family: Family
    target: Format
    contract: Contract
    template: Path
    weights: Weights
    run: Runner
    runtime: Runtime = field(default_factory=Runtime)
    """What loads artifacts that are broken on purpose; by default the format itself."""


def run_controls(
    sound: SoundArtifact,
    recording: Recording,
    tolerance: Tolerance,
    another: Weights | None = None,
    thorough: bool = True,
) -> tuple[Control, ...]:
    """Introduce every fault into an artifact, and return for each whether the validator sees it.

    Unless `thorough`, the recorded ones show that this very comparison can fail, and no artifact is broken.

    Parameters
    ----------
    another
        The deployable's weights of another model, if there is one.
    """
    detector = DefectDetector(recording, tolerance)
    recorded = {faulty.name: detector.compare_outputs(faulty.events, faulty.outputs) for faulty in recording.faulty}
    with tempfile.TemporaryDirectory(prefix="modelferry-controls-") as folder:
        artifacts = _faulty_artifacts(sound, another, Path(folder)) if thorough else ()
        computed = {name: detector.compare_artifacts(sound, runners) for name, runners in artifacts}
    results = {**recorded, **computed}
    return tuple(Control(name=name, detected=seen, max_abs_diff=largest) for name, (seen, largest) in results.items())


class DefectDetector:
    """The verdict's own rule, applied to parts of a recording; events that a tie or noise explains detect nothing."""

    def __init__(self, recording: Recording, tolerance: Tolerance) -> None:
        self.recording, self.tolerance = recording, tolerance
        self.suffices = suffices_alone(tolerance, len(recording.distinct))
        self.outputs = {name: recording.outputs(name, float32) for name, float32 in recording.float32.items()}
        self.calibrations = {
            name: Calibration.of(outputs, tolerance, recording.distinct) for name, outputs in self.outputs.items()
        }

    def compare_outputs(self, events: np.ndarray, rows: Arrays) -> tuple[bool, float]:
        """Return whether the outputs of `events` are seen to be wrong, and their largest difference."""
        seen, largest = False, 0.0
        for name, values in rows.items():
            calibration = self.calibrations[name]
            regular = ~calibration.ill[events]
            part = replace(self.outputs[name].take(events[regular]), artifact=by_event(values)[regular])
            large = ~calibration.agrees(part)
            if self.suffices:
                large &= ~within(part.artifact, part.float32, self.tolerance)
            seen = seen or departs(part, calibration, large)
            largest = max(largest, difference(part, self.tolerance).max_abs)
        return seen, largest

    def compare_artifacts(self, sound: SoundArtifact, runners: Iterable[Runner]) -> tuple[bool, float]:
        """Feed one call after the other to one faulty artifact after the other, until a fault is seen."""
        probes, furthest = self.recording.probes, 0.0
        ends = np.cumsum([len(probe.events) for probe in probes])
        for run in runners:
            for index in islice(ordinary(probes), PROBES):
                rows = run(sound.family.inputs_of(probes[index].events, sound.contract))
                events = np.arange(ends[index] - len(probes[index].events), ends[index])
                seen, largest = self.compare_outputs(events, rows)
                furthest = max(furthest, largest)
                if seen:
                    return True, furthest
        return False, furthest


def _faulty_artifacts(
    sound: SoundArtifact, another: Weights | None, folder: Path
) -> Iterator[tuple[str, Iterator[Runner]]]:
    """Yield faulty artifacts by their fault; one of each kind must be seen."""

    def filled(candidates: Iterable[Weights]) -> Iterator[Runner]:
        for number, weights in enumerate(candidates):
            path = folder / f"faulty-{number}.{sound.target.extension}"
            sound.target.fill(sound.template, weights, {}, path)
            yield sound.runtime.load(sound.target, path, threads=1)

    def corrupted(candidates: Sequence[Corruption]) -> Iterator[Runner]:
        for corrupt in candidates:
            yield lambda inputs, corrupt=corrupt: sound.run(corrupt(inputs, sound.contract))  # type: ignore[misc]

    yield WEIGHT, filled(with_changed_weight(sound.weights, rank) for rank in range(CANDIDATES))
    yield BIAS, filled(with_changed_bias(sound.weights, rank) for rank in range(CANDIDATES))
    yield OTHER_FOLD, filled([another if another is not None else retrained(sound.weights)])
    for name, candidates in corruptions_of(sound.family, sound.contract).items():
        yield name, corrupted(candidates)
