"""Validation of a model: its reference is evaluated once, and all its artifacts are compared with it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from modelferry.core import paths
from modelferry.core.errors import ArtifactError
from modelferry.core.tolerances import Tolerance
from modelferry.records.certificate import Certificate
from modelferry.records.validation import Validation
from modelferry.runtimes import runtimes_of
from modelferry.stages.validation.recording import Recording
from modelferry.stages.validation.reference import record_reference
from modelferry.stages.validation.stage import certificate_of, validate_artifact

if TYPE_CHECKING:
    from modelferry.plan.models import PlannedModel


def validate_model(
    planned: PlannedModel, exports: Sequence[str], others: Sequence[str], anew: bool = True
) -> Callable[[str, str, Tolerance], Validation]:
    """Return what validates an export in a runtime; the reference is evaluated when the first is, and `anew` if asked.

    Artifacts of templates that are certified inherit what their certificates prove. Unless all do, the reference is
    evaluated on everything that an artifact can be asked.
    """

    @cache
    def certificates() -> dict[tuple[str, str], Certificate | None]:
        found: dict[tuple[str, str], Certificate | None] = {}
        for name in exports:
            for runtime in runtimes_of(planned.model.export(name).format):
                try:
                    found[name, runtime] = certificate_of(planned, name, runtime)
                except ArtifactError:  # this export is missing or damaged, which its own validation will say
                    continue
        return found

    @cache
    def recording() -> Recording:
        thorough, path = None in certificates().values(), Path(paths.reference(planned.id))
        if not anew and path.is_file():
            known = Recording.read(path)
            if not thorough or any(probe.sizes for probe in known.probes):
                return known
        made = record_reference(planned, thorough)
        made.write(path)
        return made

    def validate(export: str, runtime: str, tolerance: Tolerance) -> Validation:
        certificate = certificates().get((export, runtime))
        return validate_artifact(planned, export, runtime, tolerance, recording(), others, certificate)

    return validate


def recording_of(planned: PlannedModel) -> Recording:
    """Return what was recorded of a model's reference; record it if that was not done yet."""
    path = paths.reference(planned.id)
    if not Path(path).is_file():
        record_reference(planned).write(path)
    return Recording.read(path)
