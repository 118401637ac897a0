"""Verifies a release anywhere: nothing altered, missing or added, and the artifacts give what they gave."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from modelferry.comparison.difference import Outputs
from modelferry.comparison.judge import judge_values
from modelferry.core.errors import ArtifactError, ModelferryError, one_line
from modelferry.core.expected import ExpectedCall, read_expected
from modelferry.formats import Runner, load_format
from modelferry.plan.models import unavailable
from modelferry.records.release import Release, ReleasedArtifact
from modelferry.stages.release.sums import differences, listed


@dataclass(frozen=True)
class Finding:
    """What was found of one artifact: what is wrong with it, why it was not run, or neither."""

    artifact: ReleasedArtifact
    wrong: str = ""
    not_run: str = ""


def check_sums(folder: Path) -> None:
    """Read every byte of a release; raise `ArtifactError` with all that is altered, missing or added."""
    if not folder.is_dir():
        raise ArtifactError(f"there is no release {folder}", "name its folder")
    if found := list(differences(folder)):
        raise ArtifactError("; ".join(found), "get the release again")


def read_release(folder: Path) -> Release:
    """Return what a whole release says of itself; raise `ArtifactError` if it is about other files than those there."""
    release = Release.read(folder / Release.FILE)
    there = listed(folder)
    for one in release.artifacts:
        for name, digest in {**one.files, one.expected: there.get(one.expected)}.items():
            if digest is None or there.get(name) != digest:
                reason = f"{name} is not the file that {Release.FILE} is about"
                raise ArtifactError(reason, "get the release again")
    return release


def check_outputs(folder: Path, release: Release) -> Iterator[Finding]:
    """Run each artifact on the events that came with it, and yield what is found of it."""
    for one in release.artifacts:
        if lacking := unavailable(one.format):
            yield Finding(one, not_run=lacking)
            continue
        try:
            run = load_format(one.format).load(folder / one.path, 1)
            yield Finding(one, wrong=_judged(run, read_expected(folder / one.expected), one))
        except ModelferryError as error:
            yield Finding(one, wrong=one_line(error))


def _judged(run: Runner, calls: list[ExpectedCall], one: ReleasedArtifact) -> str:
    """Return why an artifact does not give what is expected, by the judge of single files; empty if it does."""
    answers = [run(call.inputs) for call in calls]
    for name in calls[0].float32:
        float64, float32, artifact = (
            np.concatenate([np.asarray(values[name], np.float64).reshape(-1, 1) for values in of])
            for of in ([call.float64 for call in calls], [call.float32 for call in calls], answers)
        )
        if not len(float64) == len(float32) == len(artifact):
            return f"'{name}' has another size"
        outputs = Outputs(float64, float32, artifact)
        labels = np.repeat("events of the release", len(artifact))
        verdict = judge_values(outputs, labels, one.tolerance, by_float64=one.exactness == "exact").verdict
        if not verdict.passed:
            return f"'{name}': {verdict.reason}"
    return ""
