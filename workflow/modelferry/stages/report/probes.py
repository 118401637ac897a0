"""Results of the probes: sizes, inputs outside the contract, properties, ROC curves; the worst of each campaign."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import partial

from modelferry.records.summary import SummaryModel, SummaryProbes
from modelferry.records.validation import ClassPair, OutsideCase, PropertyResult, ShapePoint, Validation
from modelferry.stages.report.blocks import Block, Columns, Folded, Table, blocks, folded, tabulate
from modelferry.stages.report.formatting import NOTHING, Cell, code, count, plural, prose, scientific, some
from modelferry.stages.report.grouping import export_title
from modelferry.stages.report.tables import validations

WORST = ("silently wrong", "not finite", "rejected", "correct")
"""Outcomes, the worst first."""
BROKEN = "silently wrong"


def collect_probes(
    records: Iterable[tuple[str, str, Validation]],
    inherited: Mapping[tuple[str, str, str], Sequence[Validation]] | None = None,
) -> tuple[SummaryProbes, ...]:
    """Return points and cases of (campaign, export, validation), the worst over the models of a campaign.

    `inherited` is what certificates tell of an export, by campaign, export and runtime.
    """
    inherited = inherited or {}
    groups: dict[tuple[str, str, str], list[Validation]] = {}
    for campaign, export, record in records:
        groups.setdefault((campaign, export, record.runtime), []).append(record)
    return tuple(
        SummaryProbes(
            campaign=campaign,
            export=export,
            runtime=runtime,
            models=len(group),
            shapes=tuple(_worst_points([*inherited.get((campaign, export, runtime), ()), *group])),
            outside=tuple(_worst_cases([*inherited.get((campaign, export, runtime), ()), *group])),
        )
        for (campaign, export, runtime), group in groups.items()
    )


def _worst_points(records: Sequence[Validation]) -> Iterator[ShapePoint]:
    groups: dict[str, list[ShapePoint]] = {}
    for point in (point for record in records for point in record.shapes):
        groups.setdefault(point.label, []).append(point)
    for points in groups.values():
        worst = max(points, key=lambda point: (point.status == "failed", point.max_abs_diff))
        yield worst.model_copy(update={"events": sum(point.events for point in points)})


def _worst_cases(records: Sequence[Validation]) -> Iterator[OutsideCase]:
    groups: dict[str, list[OutsideCase]] = {}
    for case in (case for record in records for case in record.outside):
        groups.setdefault(case.kind, []).append(case)
    for cases in groups.values():
        worst = min(cases, key=lambda case: WORST.index(case.outcome))
        yield worst.model_copy(update={"cases": sum(case.cases for case in cases)})


def shapes(of: Sequence[SummaryProbes]) -> list[Block]:
    """Return one row per export and runtime, and folded below it the grid of all pairs of sizes."""
    rows = []
    for probes in of:
        points = [point for point in probes.shapes if point.sizes]
        correct = [point for point in points if point.outcome == "correct"]
        wrong = [code(point.label) for point in points if point.status == "failed"]
        rows.append((probes, points, correct, wrong, max(correct, key=lambda point: point.max_abs_diff, default=None)))
    columns: Columns = {
        "campaign": lambda probes, *_: prose(probes.campaign),
        "export": lambda probes, *_: prose(probes.export),
        "runtime": lambda probes, *_: probes.runtime,
        "points": lambda _, points, *__: count(len(points)),
        "correct": lambda _, __, correct, *___: count(len(correct)),
        "rejected, beyond the contract": lambda _, points, *__: count(
            sum(point.outcome == "rejected" == point.expected for point in points)
        ),
        "wrong or wrongly rejected": lambda *row: f"**{len(row[3])}**: {some(row[3])}" if row[3] else "0",
        "largest difference": lambda *row: (
            f"{scientific(row[4].max_abs_diff)} at {prose(row[4].label)}" if row[4] else ""
        ),
    }
    return blocks(tabulate("sizes-of-events", columns, rows, "lllrrrll"), *map(_grid, of))


def _grid(probes: SummaryProbes) -> Folded | None:
    points = [point for point in probes.shapes if len(point.sizes) == 2]
    if not points:
        return None
    down, across = points[0].sizes
    sizes = {(point.sizes[down], point.sizes[across]): point for point in points if {down, across} == set(point.sizes)}
    columns = sorted({column for _, column in sizes})
    rows = [
        [f"{row:,}", *(_cell(sizes.get((row, column))) for column in columns)]
        for row in sorted({row for row, _ in sizes})
    ]
    title = f"{probes.export} in {probes.runtime}: largest difference by {down} (rows) and {across} (columns)"
    return folded(title, Table("", ["", *(f"{column:,}" for column in columns)], rows))


def _cell(point: ShapePoint | None) -> str:
    if point is None:
        return NOTHING
    if point.status == "failed":
        return Cell(f"**{point.outcome}**", point.outcome)
    return "rejected" if point.outcome == "rejected" else scientific(point.max_abs_diff)


def outside(of: Sequence[SummaryProbes]) -> Table | None:
    """Return what became of inputs outside the contract, one row a kind, one column per export and runtime."""

    def outcome(outcomes: Mapping[str, str], kind: str) -> str:
        found = outcomes.get(kind, NOTHING)
        return Cell(f"**{BROKEN}**", BROKEN) if found == BROKEN else found

    columns: Columns = {"inputs": prose}
    for probes in of:
        outcomes = {case.kind: case.outcome for case in probes.outside}
        columns[f"{prose(probes.export)} in {probes.runtime}"] = partial(outcome, outcomes)
    kinds = dict.fromkeys(case.kind for probes in of for case in probes.outside)
    return tabulate("outside-the-contract", columns, [(kind,) for kind in kinds], "l" * len(columns))


def properties(models: Sequence[SummaryModel]) -> Table | None:
    """Return the properties per export and runtime, the worst over models; the trained network may violate some too."""
    groups: dict[tuple[str, str, str], list[PropertyResult]] = {}
    for _, artifact, validation in validations(models):
        for result in validation.properties:
            groups.setdefault((result.name, export_title(artifact), validation.runtime), []).append(result)

    def verdict(results: Sequence[PropertyResult]) -> str:
        numbers = Counter(result.outcome for result in results)
        if set(numbers) == {"holds"}:
            return "holds"
        several = [f"{outcome} ({plural(number, 'model')})" for outcome, number in numbers.items()]
        return f"**{'; '.join(several if len(numbers) > 1 else numbers)}**"

    columns: Columns = {
        "outputs are": lambda key, results: prose(key[0]),
        "export": lambda key, results: key[1],
        "runtime": lambda key, results: key[2],
        "verdict": lambda key, results: verdict(results),
        "change as trained, float64": lambda _, results: scientific(max(r.trained_change for r in results)),
        "change of the artifact": lambda _, results: scientific(max(r.artifact_change for r in results)),
    }
    return tabulate("properties", columns, groups.items(), "llll")


def class_pairs(models: Sequence[SummaryModel]) -> Table | None:
    """Return the largest change of the area under the ROC curve of each pair of classes, per export and runtime."""
    groups: dict[tuple[str, str], list[ClassPair]] = {}
    for _, artifact, validation in validations(models):
        groups.setdefault((export_title(artifact), validation.runtime), []).extend(validation.class_pairs)

    def change(pair: tuple[str, str], key: tuple[str, str], of: Sequence[ClassPair]) -> str:
        changes = (abs(one.artifact_auc - one.trained_auc) for one in of if one.classes == pair)
        return scientific(max(changes, default=None))

    pairs = dict.fromkeys(pair.classes for of in groups.values() for pair in of)
    columns: Columns = {"export": lambda key, _: key[0], "runtime": lambda key, _: key[1]}
    columns |= {prose(" / ".join(pair)): partial(change, pair) for pair in pairs}
    return tabulate("pairs-of-classes", columns, groups.items(), "ll") if pairs else None
