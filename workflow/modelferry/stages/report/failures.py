"""What failed and why: undetected controls, then models grouped by their reasons."""

from __future__ import annotations

from collections.abc import Sequence

from modelferry.records.summary import SummaryModel
from modelferry.stages.report.blocks import Block, Table
from modelferry.stages.report.formatting import bold_unless, code, count, plural, prose, some
from modelferry.stages.report.grouping import export_title
from modelferry.stages.report.page import CAMPAIGN, Page

GROUPS = 12


def section(page: Page) -> list[Block]:
    """Return all that went wrong, on the first page with the controls; nothing if all is well."""
    summary = page.summary
    texts: list[Block] = []
    missed = [control.name for control in summary.controls if not control.detected]
    if missed and page.kind != CAMPAIGN:
        texts.append(
            f"**The validator did not detect {plural(len(missed), 'deliberately broken artifact')} "
            f"({', '.join(map(prose, missed))}), so none of the verdicts below can be trusted.**"
        )
    if any(model.status != "passed" for model in page.models):
        texts += _table(page.models)
    if not texts and page.kind != CAMPAIGN and summary.verdict == "failed":
        texts.append("The run failed, although every model passed: see the logs.")
    return texts


def _table(models: Sequence[SummaryModel]) -> list[Block]:
    groups: dict[tuple[str, str], list[str]] = {}
    for model in models:
        if model.status != "passed":
            groups.setdefault((model.status, " ".join(reasons(model))), []).append(code(model.id))
    ranked = sorted(groups.items(), key=lambda item: (item[0][0], -len(item[1])))
    rows = [
        [bold_unless(status, ""), count(len(ids)), some(ids), prose(reason or "no reason was recorded")]
        for (status, reason), ids in ranked[:GROUPS]
    ]
    left = sum(len(ids) for _, ids in ranked[GROUPS:])
    more = [f"… and {plural(left, 'more model')} with other reasons."] if left else []
    return [Table("failures", ["status", "models", "which", "why"], rows, "lrll"), *more]


def reasons(model: SummaryModel) -> list[str]:
    """Return why a model failed: its own reason, and those of failed validations that it doesn't contain."""
    texts = [model.reason] if model.reason else []
    for artifact in model.artifacts:
        for validation in artifact.validation:
            stated = any(validation.reason in text for text in texts)
            if validation.status == "failed" and not (validation.reason and stated):
                texts.append(f"{export_title(artifact)} in {validation.runtime}: {validation.reason or 'failed'}.")
    return texts
