"""Records become one summary: each is read once, and whatever is missing is said."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from modelferry.config.file import parse_config
from modelferry.core import paths
from modelferry.plan import Plan
from modelferry.records import Record
from modelferry.records.failure import Failure
from modelferry.stages.report.collect import collect

CAMPAIGN = {
    "family": "charged_higgs_particlenet",
    "axes": {"fold": [3, 4]},
    "checkpoint": "demo",
    "formats": ["torchscript", "onnx"],
}


@pytest.fixture
def plan(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Plan:
    monkeypatch.chdir(tmp_path)
    return Plan(parse_config({"campaigns": {"higgs": CAMPAIGN}}))


def model_of(path: str) -> bool:
    return "failures/template" not in path  # models share templates


def test_no_record_of_a_model_is_read_twice(plan: Plan, monkeypatch: pytest.MonkeyPatch) -> None:
    read: Counter[str] = Counter()
    whole = Record.read.__func__  # type: ignore[attr-defined]

    def counted(kind: type[Record], path: Any) -> Record:
        read[str(path)] += 1
        return whole(kind, path)

    monkeypatch.setattr(Record, "read", classmethod(counted))
    collect(plan)
    assert len(read) > 10
    assert [path for path, times in read.items() if times > 1 and model_of(path)] == []


def test_model_of_which_nothing_is_there_says_so_once_unless_a_stage_left_its_reason(plan: Plan) -> None:
    first, second = plan.models
    Failure(model=first, stage="demo", export="", reason="no memory").write(paths.failure("demo", first, ""))
    summary, contracts = collect(plan)
    assert contracts == {}
    assert {model.id: model.reason for model in summary.models} == {
        first: "demo: no memory",
        second: "torchscript: was not exported",
    }
