"""Properties that a network should have: an event's outputs depend on neither its batch mates nor the particles' order.

Each is measured on the network as trained, in float64, and on the artifact: what the former violates is not the fault
of the latter.
"""

from __future__ import annotations

import numpy as np

from modelferry.comparison.difference import within
from modelferry.core.contract import Arrays
from modelferry.core.tolerances import Tolerance
from modelferry.families.probes import ALONE, REORDERED, TOGETHER
from modelferry.records.validation import PropertyResult
from modelferry.stages.validation.recording import Recording

LARGEST = 4.0
"""An output may change by this many times the reference's largest error: two outputs, each off by twice as much."""
PROPERTIES = {"independent of batch mates": ALONE, "independent of the order of particles": REORDERED}
"""What must not change the outputs of the events labelled `TOGETHER`, and the label of the changed ones."""


def measure(
    recording: Recording, artifact: Arrays, near_tie: np.ndarray, tolerance: Tolerance
) -> tuple[PropertyResult, ...]:
    """Return the properties that the probes measure.

    Near-ties are left out. An artifact has a property if no output changes by more than the tolerance, or by more than
    two outputs can differ that are each off by as much as the verdict allows.

    Parameters
    ----------
    artifact
        Outputs by name, one row an event of the recording.
    near_tie
        Which events are near-ties, (events,).
    """
    labels = recording.labels
    before = np.flatnonzero(labels == TOGETHER)
    results = []
    for name, label in PROPERTIES.items():
        after = np.flatnonzero(labels == label)
        if len(after) == len(before) > 0:
            regular = ~(near_tie[before] | near_tie[after])
            results.append(_result(name, recording, artifact, before[regular], after[regular], tolerance))
    return tuple(results)


def _result(
    name: str, recording: Recording, artifact: Arrays, before: np.ndarray, after: np.ndarray, tolerance: Tolerance
) -> PropertyResult:
    trained, ours, holds, kept = 0.0, 0.0, True, True
    for output, values in artifact.items():
        float64, float32 = recording.float64[output], recording.float32[output]
        own_error = np.abs(float32[[*before, *after]] - float64[[*before, *after]]).max(initial=0)
        changed = np.nan_to_num(np.abs(values[after].astype(np.float64) - values[before]), nan=np.inf).max(initial=0)
        trained = max(trained, float(np.abs(float64[after] - float64[before]).max(initial=0)))
        ours = max(ours, float(changed))
        holds &= bool(within(float64[after], float64[before], tolerance).all())
        close = within(values[after], values[before], tolerance).all()
        kept &= bool(close or changed <= LARGEST * own_error)
    return PropertyResult(
        name=name,
        outcome="violated by the network as trained" if not holds else "holds" if kept else "violated by the artifact",
        trained_change=trained,
        artifact_change=ours,
    )
