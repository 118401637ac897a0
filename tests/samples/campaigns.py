"""A campaign carried through the stages of the workflow, in this process."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from modelferry.config.file import parse_config
from modelferry.plan import Plan
from modelferry.records.validation import Validation
from modelferry.runtimes import runtimes_of
from modelferry.stages.export.artifact import export_model
from modelferry.stages.export.template import build_template
from modelferry.stages.validation.reference import record_reference
from modelferry.stages.validation.stage import validate_artifact


def validated(campaign: Mapping[str, Any], runtime: str = "") -> tuple[Plan, dict[str, Validation]]:
    """Return the plan and, by the names of the exports, what became of the campaign's one model.

    They are executed in a `runtime`, by default in the first of each.
    """
    config = {"campaigns": {"own": {"axes": {"fold": [0]}, "validation": {"events": 60}, **campaign}}}
    plan = Plan(parse_config(config, "config.yaml"))
    (planned,) = plan.runnable.values()
    for spec in plan.templates.values():
        build_template(spec)
    recording, found = record_reference(planned), {}
    for export in planned.exports:
        export_model(planned, export.name)
        executes = runtime or runtimes_of(export.format)[0]
        tolerance = planned.tolerance(export.name)
        found[export.name] = validate_artifact(planned, export.name, executes, tolerance, recording)
    return plan, found
