"""What the probes found: sizes, inputs outside the contract, properties, and ROC curves; the worst of each campaign."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from modelferry.records.summary import SummaryModel, SummaryProbes
from modelferry.records.validation import ClassPair, OutsideCase, PropertyResult, ShapePoint, Validation
from modelferry.stages.report.formatting import NOTHING, code, count, details, plural, prose, scientific, some, table
from modelferry.stages.report.grouping import export_title
from modelferry.stages.report.tables import validations

WORST = ("silently wrong", "not finite", "rejected", "correct")
"""Outcomes, the worst first."""
BROKEN = "silently wrong"


def collect_probes(records: Iterable[tuple[str, str, Validation]]) -> tuple[SummaryProbes, ...]:
    """Return points and cases of (campaign, export, validation), the worst over the models of a campaign."""
    groups: dict[tuple[str, str, str], list[Validation]] = {}
    for campaign, export, record in records:
        groups.setdefault((campaign, export, record.runtime), []).append(record)
    return tuple(
        SummaryProbes(
            campaign=campaign,
            export=export,
            runtime=runtime,
            models=len(found),
            shapes=tuple(_worst_points(found)),
            outside=tuple(_worst_cases(found)),
        )
        for (campaign, export, runtime), found in groups.items()
    )


def _worst_points(records: Sequence[Validation]) -> Iterator[ShapePoint]:
    groups: dict[str, list[ShapePoint]] = {}
    for record in records:
        for point in record.shapes:
            groups.setdefault(point.label, []).append(point)
    for points in groups.values():
        worst = max(points, key=lambda point: (point.status == "failed", point.max_abs_diff))
        yield worst.model_copy(update={"events": sum(point.events for point in points)})


def _worst_cases(records: Sequence[Validation]) -> Iterator[OutsideCase]:
    groups: dict[str, list[OutsideCase]] = {}
    for record in records:
        for case in record.outside:
            groups.setdefault(case.kind, []).append(case)
    for cases in groups.values():
        worst = min(cases, key=lambda case: WORST.index(case.outcome))
        yield worst.model_copy(update={"cases": sum(case.cases for case in cases)})


def shapes(found: Sequence[SummaryProbes]) -> str:
    """Return one row per export and runtime, and folded below it the grid of all pairs of sizes."""
    rows = []
    for probes in found:
        points = [point for point in probes.shapes if point.sizes]
        wrong = [code(point.label) for point in points if point.status == "failed"]
        correct = [point for point in points if point.outcome == "correct"]
        worst = max(correct, key=lambda point: point.max_abs_diff, default=None)
        rows.append(
            [
                prose(probes.campaign),
                prose(probes.export),
                probes.runtime,
                count(len(points)),
                count(len(correct)),
                count(sum(point.outcome == "rejected" == point.expected for point in points)),
                f"**{len(wrong)}**: {some(wrong)}" if wrong else "0",
                f"{scientific(worst.max_abs_diff)} at {worst.label}" if worst else NOTHING,
            ]
        )
    header = [
        "campaign", "export", "runtime", "points", "correct", "rejected, beyond the contract",
        "wrong or wrongly rejected", "largest difference",
    ]  # fmt: skip
    grids = [text for probes in found if (text := _grid(probes))]
    return "\n\n".join([table(header, rows, "lllrrrll"), *grids]) if rows else ""


def _grid(probes: SummaryProbes) -> str:
    points = [point for point in probes.shapes if len(point.sizes) == 2]
    if not points:
        return ""
    down, across = points[0].sizes
    sizes = {(point.sizes[down], point.sizes[across]): point for point in points if {down, across} == set(point.sizes)}
    columns = sorted({column for _, column in sizes})
    rows = [
        [f"{row:,}", *(_cell(sizes.get((row, column))) for column in columns)]
        for row in sorted({row for row, _ in sizes})
    ]
    title = f"{prose(probes.export)} in {probes.runtime}: largest difference by {down} (rows) and {across} (columns)"
    return details(title, table(["", *(f"{column:,}" for column in columns)], rows))


def _cell(point: ShapePoint | None) -> str:
    if point is None:
        return NOTHING
    if point.status == "failed":
        return f"**{point.outcome}**"
    return "rejected" if point.outcome == "rejected" else scientific(point.max_abs_diff)


def outside(found: Sequence[SummaryProbes]) -> str:
    """Return what became of inputs outside the contract, one row a kind, one column per export and runtime."""
    columns = {f"{prose(probes.export)} in {probes.runtime}": probes for probes in found}
    outcomes = {name: {case.kind: case.outcome for case in probes.outside} for name, probes in columns.items()}
    kinds = dict.fromkeys(case.kind for probes in found for case in probes.outside)
    rows = [[prose(kind), *(_outcome(outcomes[name].get(kind)) for name in columns)] for kind in kinds]
    return table(["inputs", *columns], rows, "l" * (len(columns) + 1)) if rows else ""


def _outcome(word: str | None) -> str:
    return NOTHING if word is None else f"**{word}**" if word == BROKEN else word


def properties(models: Sequence[SummaryModel]) -> str:
    """Return the properties per export and runtime: the worst over models. What was trained so is said to be so."""
    groups: dict[tuple[str, str, str], list[PropertyResult]] = {}
    for _, artifact, validation in validations(models):
        for result in validation.properties:
            groups.setdefault((result.name, export_title(artifact), validation.runtime), []).append(result)
    rows = []
    for (name, export, runtime), results in groups.items():
        counts = {
            word: sum(result.outcome == word for result in results)
            for word in dict.fromkeys(r.outcome for r in results)
        }
        said = "; ".join(
            word if len(counts) == 1 else f"{word} ({plural(number, 'model')})" for word, number in counts.items()
        )
        rows.append(
            [
                name,
                export,
                runtime,
                said if set(counts) == {"holds"} else f"**{said}**",
                scientific(max(result.trained_change for result in results)),
                scientific(max(result.artifact_change for result in results)),
            ]
        )
    header = ["outputs are", "export", "runtime", "verdict", "change as trained, float64", "change of the artifact"]
    return table(header, rows, "llll") if rows else ""


def class_pairs(models: Sequence[SummaryModel]) -> str:
    """Return the largest change of the area under the ROC curve of each pair of classes, per export and runtime."""
    groups: dict[tuple[str, str], list[ClassPair]] = {}
    for _, artifact, validation in validations(models):
        groups.setdefault((export_title(artifact), validation.runtime), []).extend(validation.class_pairs)
    pairs = dict.fromkeys(pair.classes for found in groups.values() for pair in found)
    rows = []
    for (export, runtime), found in groups.items():
        changes = {
            pair: max((abs(f.artifact_auc - f.trained_auc) for f in found if f.classes == pair), default=None)
            for pair in pairs
        }
        rows.append([export, runtime, *(scientific(changes[pair]) for pair in pairs)])
    return table(["export", "runtime", *(" / ".join(pair) for pair in pairs)], rows, "ll") if pairs else ""
