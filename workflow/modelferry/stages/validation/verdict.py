"""What overrules a comparison: sizes, inputs outside the contract, properties, controls and findings."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from modelferry.comparison.judge import Verdict
from modelferry.core.errors import first_few
from modelferry.records.validation import BLIND, Control, OutsideCase, PropertyResult, ShapePoint


def with_points(verdict: Verdict, points: Sequence[ShapePoint], refusals: Mapping[str, str]) -> Verdict:
    """Fail if an artifact rejects a size within the contract, by label in `refusals`, or answers at one beyond it."""
    refused = [point.label for point in points if (point.expected, point.outcome) == ("correct", "rejected")]
    if refused:
        return Verdict("failed", f"rejects what the contract allows: {first_few(refused)} ({refusals[refused[0]]})")
    answered = [point.label for point in points if (point.expected, point.outcome) == ("rejected", "silently wrong")]
    if verdict.passed and answered:
        return Verdict("failed", f"answers beyond the contract, where it must refuse: {first_few(answered)}")
    return verdict


def with_outside(verdict: Verdict, cases: Sequence[OutsideCase]) -> Verdict:
    """Fail if an artifact takes inputs outside the contract for sound ones."""
    wrong = [f"{case.kind} ({case.detail})" for case in cases if case.outcome == "silently wrong"]
    if verdict.passed and wrong:
        return Verdict("failed", f"takes inputs outside the contract for sound ones: {first_few(wrong)}")
    return verdict


def with_properties(verdict: Verdict, results: Sequence[PropertyResult]) -> Verdict:
    """Fail if an artifact lacks a property that the network as trained has."""
    lost = [f"not {r.name}: an output changes by {r.artifact_change:.2g}" for r in results if r.lost]
    return Verdict("failed", "; ".join(lost)) if verdict.passed and lost else verdict


def with_controls(verdict: Verdict, controls: Sequence[Control]) -> Verdict:
    """Fail if a deliberately broken artifact went unseen: then no pass counts.

    A verdict that failed already keeps its reason: the mistake of a control may repair a faulty artifact.
    """
    unseen = [control.name for control in controls if not control.detected]
    if unseen and verdict.passed:
        return Verdict("failed", f"{BLIND}: it did not see {', '.join(unseen)}")
    return verdict


def with_findings(verdict: Verdict, findings: Sequence[str], faults: Sequence[str]) -> Verdict:
    """Fail for what was found beside the outputs, and say which mistakes would explain a failure."""
    reasons = [reason for reason in (*findings, verdict.reason) if reason]
    if verdict.passed and not findings:
        return verdict
    if faults:
        reasons.append(f"its outputs are those of the network with this mistake: {' or '.join(faults)}")
    return Verdict("failed", "; ".join(reasons))


def with_bitwise(verdict: Verdict, required: bool, largest: float) -> Verdict:
    """Fail if an artifact that must equal its deployable in eager mode bit for bit does not."""
    if verdict.passed and required and largest != 0:
        return Verdict("failed", f"differs from its deployable in eager mode by {largest:.2g}; it must not at all")
    return verdict
