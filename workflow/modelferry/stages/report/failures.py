"""What failed and why: controls that went unseen, then models and their reasons, alike ones together."""

from __future__ import annotations

from collections.abc import Sequence

from modelferry.records.summary import Summary, SummaryModel
from modelferry.stages.report.formatting import code, plural, prose, some, table
from modelferry.stages.report.grouping import export_title

GROUPS = 12


def section(summary: Summary) -> str:
    """Return the section of the first page on all that went wrong; empty if nothing did."""
    blind = [control.name for control in summary.controls if not control.detected]
    texts = []
    if blind:
        names = ", ".join(prose(name) for name in blind)
        texts.append(
            f"**The validator did not see {plural(len(blind), 'deliberately broken artifact')} ({names}), "
            "so none of the verdicts below can be trusted.**"
        )
    if any(model.status != "passed" for model in summary.models):
        texts.append(_table(summary.models))
    if not texts and summary.verdict == "failed":
        texts.append("The run failed, although every model passed: see the logs.")
    return "\n\n".join(["## What failed, and why", *texts]) if texts else ""


def of_models(models: Sequence[SummaryModel]) -> str:
    """Return the section of a campaign's page; empty if all its models passed."""
    if all(model.status == "passed" for model in models):
        return ""
    return f"## What failed, and why\n\n{_table(models)}"


def _table(models: Sequence[SummaryModel]) -> str:
    groups: dict[tuple[str, str], list[str]] = {}
    for model in models:
        if model.status != "passed":
            groups.setdefault((model.status, " ".join(reasons(model))), []).append(code(model.id))
    ranked = sorted(groups.items(), key=lambda item: (item[0][0], -len(item[1])))
    rows = [
        [f"**{status}**", f"{len(ids):,}", some(ids), prose(reason) or "no reason was recorded"]
        for (status, reason), ids in ranked[:GROUPS]
    ]
    text = table(["status", "models", "which", "why"], rows, "lrll")
    left = sum(len(ids) for _, ids in ranked[GROUPS:])
    return f"{text}\n\n… and {plural(left, 'more model')} with other reasons." if left else text


def reasons(model: SummaryModel) -> list[str]:
    """Return why a model fell short: its own reason, and those of failed validations that it doesn't contain."""
    found = [model.reason] if model.reason else []
    for artifact in model.artifacts:
        for validation in artifact.validation:
            said = any(validation.reason in reason for reason in found)
            if validation.status == "failed" and not (validation.reason and said):
                found.append(f"{export_title(artifact)} in {validation.runtime}: {validation.reason or 'failed'}.")
    return found
