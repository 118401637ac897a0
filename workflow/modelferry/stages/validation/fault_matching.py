"""What an artifact that fell short looks like: which of the recorded broken networks gives the same outputs."""

from __future__ import annotations

import numpy as np

from modelferry.comparison.difference import within
from modelferry.core.contract import Arrays
from modelferry.core.tolerances import Tolerance
from modelferry.stages.validation.controls import Judge
from modelferry.stages.validation.recording import Recording

SHARE = 0.9
"""So many of the events must agree: a broken network has near-ties of its own."""
FACTOR = 10.0
"""So many tolerances may the two differ by."""


def resembling(recording: Recording, artifact: Arrays, tolerance: Tolerance) -> list[str]:
    """Return the names of the broken networks that are not the reference, but are the artifact."""
    judge = Judge(recording, tolerance)
    return [
        broken.name
        for broken in recording.broken
        if judge.recorded(broken.events, broken.outputs)[0]
        and all(
            float(np.mean(within(artifact[name][broken.events], values, tolerance, FACTOR))) >= SHARE
            for name, values in broken.outputs.items()
        )
    ]
