"""The largest differences between any two of: reference in float64, in float32, each artifact in each runtime."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import combinations

from modelferry.records.residuals import largest_difference
from modelferry.records.summary import SummaryComparison
from modelferry.records.validation import Validation
from modelferry.stages.report.blocks import Block, Table
from modelferry.stages.report.formatting import plural, scientific

FLOAT64, FLOAT32 = "reference, float64", "reference, float32"
Validated = tuple[str, Validation]
"""An export's name, and its validation in one runtime."""


def compare(campaign: str, models: Iterable[Sequence[Validated]]) -> list[SummaryComparison]:
    """Return the largest difference of each pair over the models of a campaign, each given by its validations."""
    differences: dict[tuple[str, str], list[float]] = {}
    for validated in models:
        for pair, difference in _pairs(validated):
            differences.setdefault(pair, []).append(difference)
    return [
        SummaryComparison(campaign=campaign, first=first, second=second, max_abs_diff=max(values), models=len(values))
        for (first, second), values in differences.items()
    ]


def matrix(comparisons: Sequence[SummaryComparison]) -> list[Block]:
    """Return one campaign's comparisons as a square table; nothing if there is no artifact to compare."""
    names = list(dict.fromkeys(name for one in comparisons for name in (one.first, one.second)))
    cells = {frozenset((one.first, one.second)): one.max_abs_diff for one in comparisons}
    rows = [
        [row, *(scientific(None if row == column else cells.get(frozenset((row, column)))) for column in names)]
        for row in names
    ]
    most = max((one.models for one in comparisons), default=0)
    over = f", the largest over {plural(most, 'model')}" if most > 1 else ""
    note = f"Largest absolute difference of an output, near-ties left out{over}."
    return [note, Table("between-any-two", ["", *names], rows, "l")] if rows else []


def _name(export: str, validation: Validation) -> str:
    label = "" if validation.exactness == "exact" else ", approximation"
    return f"{export}{label} in {validation.runtime}"


def _pairs(validated: Sequence[Validated]) -> Iterable[tuple[tuple[str, str], float]]:
    names = [_name(export, validation) for export, validation in validated]
    for _, validation in validated[:1]:
        yield (FLOAT64, FLOAT32), validation.reference_error_float64
    for name, (_, validation) in zip(names, validated, strict=True):
        yield (FLOAT64, name), validation.error_float64
        yield (FLOAT32, name), validation.max_abs_diff
    for (first, (_, one)), (second, (_, other)) in combinations(zip(names, validated, strict=True), 2):
        difference = largest_difference(one.sketch, other.sketch)
        if difference is not None:
            yield (first, second), difference
