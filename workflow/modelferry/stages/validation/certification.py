"""Certification: what no weights can change is proven once of a template in a runtime, by every check."""

from __future__ import annotations

import time
from functools import cache
from typing import TYPE_CHECKING

from modelferry.core import paths
from modelferry.core.environment import describe
from modelferry.core.errors import ModelferryError, one_line
from modelferry.records.certificate import Certificate
from modelferry.records.export import Template
from modelferry.records.validation import Validation
from modelferry.stages.validation.recording import Recording
from modelferry.stages.validation.stage import validate_artifact
from modelferry.stages.validation.weight_sets import stand_ins

if TYPE_CHECKING:
    from modelferry.plan.models import PlannedModel


def certify(planned: PlannedModel, export: str, runtime: str) -> Certificate:
    """Validate in a runtime what the template of an export is when it is filled with each set of random weights.

    A template that does not pass has a certificate that says why: its models are then validated in full.
    """
    started = time.perf_counter()
    spec = planned.template(export)
    models = stand_ins(planned)
    validations: list[Validation] = []
    reason = ""
    for number, stand_in in enumerate(models):
        others = [other.model.checkpoint for other in models if other is not stand_in]
        recording, tolerance = _recording(stand_in.id), stand_in.tolerance(export)
        try:
            validations.append(validate_artifact(stand_in, export, runtime, tolerance, recording, others))
        except ModelferryError as error:
            reason = reason or f"weights {number}: {one_line(error)}"
    failed = [f"weights {number}: {one.reason}" for number, one in enumerate(validations) if one.status == "failed"]
    unread = [one for one in validations if not one.weights_compared]
    reason = reason or next(iter(failed), "its weights cannot be read back" if unread else "")
    return Certificate(
        template=spec.key,
        format=spec.format,
        layout=spec.layout,
        runtime=runtime,
        template_sha256=Template.read(spec.record).file.sha256,
        status="failed" if reason else "passed",
        reason=reason,
        validations=tuple(validations),
        seconds=round(time.perf_counter() - started, 3),
        environment=describe(),
    )


@cache
def _recording(stand_in: str) -> Recording:
    return Recording.read(paths.reference(stand_in))
