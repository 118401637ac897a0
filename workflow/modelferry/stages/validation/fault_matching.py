"""Which of the recorded faulty networks gives the same outputs as an artifact that failed."""

from __future__ import annotations

import numpy as np

from modelferry.comparison.difference import within
from modelferry.core.contract import Arrays
from modelferry.core.tolerances import Tolerance
from modelferry.stages.validation.controls import DefectDetector
from modelferry.stages.validation.recording import Recording

SHARE = 0.9
"""At least this share of the events must agree: a faulty network has near-ties of its own."""
FACTOR = 10.0
"""The two may differ by this many tolerances."""


def matching_faults(recording: Recording, artifact: Arrays, tolerance: Tolerance) -> list[str]:
    """Return the names of the faulty networks that differ from the reference and agree with the artifact."""
    detector = DefectDetector(recording, tolerance)
    return [
        faulty.name
        for faulty in recording.faulty
        if detector.compare_outputs(faulty.events, faulty.outputs)[0]
        and all(
            float(np.mean(within(artifact[name][faulty.events], values, tolerance, FACTOR))) >= SHARE
            for name, values in faulty.outputs.items()
        )
    ]
