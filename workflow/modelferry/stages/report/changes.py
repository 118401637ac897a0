"""What changed between two reports; timings don't count."""

from __future__ import annotations

from collections.abc import Iterable

from modelferry.records.summary import Summary, SummaryModel
from modelferry.stages.report.formatting import code, plural, some

Models = dict[str, SummaryModel]


def changes(previous: Summary | None, current: Summary) -> list[str]:
    """Return one sentence for each kind of change; empty if only timings differ."""
    if previous is None:
        return ["This is the first report: there is nothing to compare it with."]
    before = {model.id: model for model in previous.models}
    now = {model.id: model for model in current.models}
    return [
        *_verdict(previous, current),
        *_controls(previous, current),
        *_named(now.keys() - before.keys(), "added"),
        *_named(before.keys() - now.keys(), "removed"),
        *_statuses(before, now),
        *_checkpoints(before, now),
        *_artifacts(before, now),
        *_packages(previous, current),
    ]


def _verdict(previous: Summary, current: Summary) -> list[str]:
    if previous.verdict == current.verdict:
        return []
    return [f"The verdict was {previous.verdict} and is {current.verdict} now."]


def _controls(previous: Summary, current: Summary) -> list[str]:
    before = {control.name: control.detected for control in previous.controls}
    lost = [code(c.name) for c in current.controls if before.get(c.name) and not c.detected]
    restored = [code(c.name) for c in current.controls if before.get(c.name) is False and c.detected]
    return [
        *([f"Controls no longer detected: {some(lost)}."] if lost else []),
        *([f"Controls detected again: {some(restored)}."] if restored else []),
    ]


def _named(ids: Iterable[str], deed: str) -> list[str]:
    names = _codes(ids)
    return [f"{plural(len(names), 'model')} {deed}: {some(names)}."] if names else []


def _codes(ids: Iterable[str]) -> list[str]:
    return [code(identity) for identity in sorted(ids)]


def _statuses(before: Models, now: Models) -> list[str]:
    moves: dict[tuple[str, str], list[str]] = {}
    for identity in sorted(before.keys() & now.keys()):
        move = (before[identity].status, now[identity].status)
        if move[0] != move[1]:
            moves.setdefault(move, []).append(identity)
    return [
        f"{plural(len(ids), 'model')} {old} before and {new} now: {some(_codes(ids))}."
        for (old, new), ids in sorted(moves.items())
    ]


def _checkpoints(before: Models, now: Models) -> list[str]:
    changed = _codes(identity for identity in before.keys() & now.keys() if _retrained(before[identity], now[identity]))
    return [f"New weights in the checkpoints of {plural(len(changed), 'model')}: {some(changed)}."] if changed else []


def _retrained(old: SummaryModel, new: SummaryModel) -> bool:
    return old.checkpoint.sha256 != new.checkpoint.sha256


def _artifacts(before: Models, now: Models) -> list[str]:
    groups: dict[tuple[str, str], list[str]] = {}
    for identity in sorted(before.keys() & now.keys()):
        old = {artifact.export: artifact.sha256 for artifact in before[identity].artifacts}
        new = {artifact.export: artifact.sha256 for artifact in now[identity].artifacts}
        reason = "" if _retrained(before[identity], now[identity]) else ", from the same weights"
        for export in sorted(old.keys() | new.keys()):
            if export not in old:
                kind = "were added"
            elif export not in new:
                kind = "are gone"
            elif old[export] != new[export]:
                kind = f"have other bytes{reason}"
            else:
                continue
            groups.setdefault((export, kind), []).append(identity)
    return [
        f"The {code(export)} artifacts of {plural(len(ids), 'model')} {kind}: {some(_codes(ids))}."
        for (export, kind), ids in sorted(groups.items())
    ]


def _packages(previous: Summary, current: Summary) -> list[str]:
    before, now = previous.environment.packages.get("torch"), current.environment.packages.get("torch")
    return [] if before == now else [f"PyTorch was {before or 'absent'} and is {now or 'absent'} now."]
