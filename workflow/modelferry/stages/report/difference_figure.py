"""Numerical differences grouped for a figure: one row a model where there are few, one a campaign where many."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from modelferry.records.summary import SummaryModel, SummaryValidation
from modelferry.stages.report.grouping import export_title, short_names
from modelferry.stages.report.tables import validations

ROWS = 24


@dataclass(frozen=True)
class Difference:
    """The largest differences of one or more models, for one export in one runtime.

    `differences` are those of the artifact from the float32 reference, `reference_errors` those of that reference from
    float64; `atol` is the smallest absolute tolerance.
    """

    label: str
    differences: tuple[float, ...]
    reference_errors: tuple[float, ...]
    atol: float
    passed: bool


def differences(groups: Sequence[tuple[str, Sequence[SummaryModel]]]) -> list[Difference]:
    """Return the rows of the figure, of single models if there are at most `ROWS` of those, else of campaigns.

    Passed and failed validations of a campaign are separate rows; of more than `ROWS` rows the worst are returned.
    """
    singles = _grouped(groups, by_model=True)
    if len(singles) <= ROWS:
        return singles
    rows = _grouped(groups, by_model=False)
    worst = sorted(rows, key=lambda row: (row.passed, -max(row.differences)))[:ROWS]
    return [row for row in rows if row in worst]


def _grouped(groups: Sequence[tuple[str, Sequence[SummaryModel]]], by_model: bool) -> list[Difference]:
    rows: dict[tuple[str, ...], list[SummaryValidation]] = {}
    for campaign, models in groups:
        names = short_names(models)
        for model, artifact, validation in validations(models):
            name = names[model.id] if by_model else campaign
            whose = (campaign, name) if by_model and len(groups) > 1 else (name,)
            key = (*whose, export_title(artifact), validation.runtime, validation.status)
            rows.setdefault(key, []).append(validation)
    return [_row(key, of, len({key[-3:-1] for key in rows}) > 1) for key, of in rows.items()]


def _row(key: tuple[str, ...], of: Sequence[SummaryValidation], several: bool) -> Difference:
    *name, export, runtime, status = key
    many = f" ({len(of)} {status})" if len(of) > 1 else ""
    return Difference(
        label=f"{' / '.join(name)}{f', {export} in {runtime}' if several else ''}{many}",
        differences=tuple(v.max_abs_diff for v in of),
        reference_errors=tuple(v.reference_error_float64 for v in of),
        atol=min(v.tolerance.atol for v in of),
        passed=status == "passed",
    )
