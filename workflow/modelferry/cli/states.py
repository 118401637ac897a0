"""The state of models: what is recorded, and what a run would do again."""

from __future__ import annotations

from pathlib import Path

from modelferry.core.errors import ArtifactError
from modelferry.plan.models import PlannedModel
from modelferry.plan.stages import BENCHMARK, DEMO, EXPORT, VALIDATE
from modelferry.records.outcome import Outcome

OF_MODEL = (DEMO, EXPORT, VALIDATE, BENCHMARK)
"""Stages with a job for each model, in their order."""


def log_of(planned: PlannedModel) -> str:
    """Return the log of the first stage in which something of a model failed, or else of its validation.

    Empty if there is none.
    """
    failing = [stage for stage in OF_MODEL if _failed(planned.outcome(stage))]
    logs = [stage.log(planned.id) for stage in [*failing, VALIDATE, *OF_MODEL]]
    return next((log for log in logs if Path(log).is_file()), "")


def _failed(outcome: str) -> bool:
    try:
        return bool(Outcome.read(outcome).failed)
    except ArtifactError:
        return False
