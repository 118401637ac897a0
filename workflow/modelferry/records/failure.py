"""Why a stage failed."""

from __future__ import annotations

from modelferry.records import Record


class Failure(Record):
    """`logs/failures/<stage>/….json`: why a stage failed for a model; removed when it succeeds."""

    model: str
    stage: str
    export: str = ""
    reason: str
