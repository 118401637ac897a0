"""Reasons that name what changed."""

from __future__ import annotations

import logging

import pytest
from snakemake.persistence import ParamsChange

from modelferry.plan.reasons import ReadableReasons, changed, readable

BEFORE = {
    "code": {"formats/onnx.py": "aa", "core/files.py": "bb"},
    "config": {"validation.rtol": "1e-05", "validation.atol": "1e-06"},
    "versions": {"torch": "2.13.0"},
    "weights": {"a.pt": "cc"},
}


@pytest.mark.parametrize(
    ("now", "told"),
    [
        ({"code": {**BEFORE["code"], "formats/onnx.py": "ab"}}, "code: formats/onnx.py"),
        ({"config": {**BEFORE["config"], "validation.rtol": "1e-06"}}, "config: validation.rtol 1e-05 → 1e-06"),
        ({"config": {"validation.rtol": "1e-05"}}, "config: validation.atol 1e-06 → none"),
        ({"versions": {"torch": "2.14.1", "onnx": "1"}}, "versions: torch 2.13.0 → 2.14.1, onnx none → 1"),
        ({"weights": {"a.pt": "dd"}}, "weights: a.pt"),
        ({"code": {}, "weights": {}}, "code: formats/onnx.py, core/files.py; weights: a.pt"),
        ({"found": {"a.json": "is empty", "b.json": "is cut"}}, "a.json is empty; b.json is cut"),
        ({"code": {**BEFORE["code"], **dict.fromkeys("abcdefghi", "")}}, "code: a, b, c, d, e, f and 3 more"),
    ],
)  # fmt: skip
def test_what_changed_is_named_in_snakemakes_reason(now: dict[str, dict[str, str]], told: str) -> None:
    """As this Snakemake words it: another version that words it otherwise is seen here."""
    now = {**BEFORE, **now}
    assert "; ".join(changed(BEFORE, now)) == told
    change = ParamsChange({repr(BEFORE)}, {repr(now)}, {"file"})
    reason = f"Code has changed; Params have changed since last execution: {change}; Forced execution"
    assert readable(reason) == f"Code has changed; Params have changed since last execution: {told}; Forced execution"
    assert readable(f"Params have changed: {change}") == f"Params have changed: {told}"


def test_outputs_with_different_pasts_are_told_together() -> None:
    other = {**BEFORE, "versions": {"torch": "2.12.0"}}
    now = {**BEFORE, "versions": {"torch": "2.14.1"}}
    told = readable(str(ParamsChange({repr(BEFORE), repr(other)}, {repr(now)}, {"file"})))
    assert set(told.split("; ")) == {"versions: torch 2.13.0 → 2.14.1", "versions: torch 2.12.0 → 2.14.1"}


@pytest.mark.parametrize("reason", [
    "Missing output files: results/a.json",
    str(ParamsChange({"['code:1234']"}, {repr(BEFORE)}, {"file"})),
    str(ParamsChange(set(), {repr(BEFORE)}, {"file"})),
    str(ParamsChange({"{1: '"}, {repr(BEFORE)}, {"file"})),
])  # fmt: skip
def test_what_is_worded_otherwise_stays(reason: str) -> None:
    assert readable(reason) == reason


def test_filter_rewrites_the_reason_of_a_record_and_drops_none() -> None:
    record = logging.LogRecord("snakemake", logging.INFO, "", 0, "text", (), None)
    assert ReadableReasons().filter(record)
    record.reason = str(ParamsChange({repr(BEFORE)}, {repr({**BEFORE, "weights": {}})}, {"file"}))
    assert ReadableReasons().filter(record)
    assert record.reason == "weights: a.pt"
