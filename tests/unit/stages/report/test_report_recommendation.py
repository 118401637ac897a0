"""What is made for one destination is advised only where there is nothing else."""

from __future__ import annotations

import pytest

from modelferry.stages.report.recommendation import advice
from report_samples import model


@pytest.mark.parametrize(
    ("format_", "shipped"),
    [("modelferry.formats.destinations.cmssw:ForCmssw", "torchscript"), ("onnx@1.17.1", "faster")],
)
def test_the_fastest_that_anyone_may_take_is_advised(format_: str, shipped: str) -> None:
    found = model()
    (own,) = found.artifacts
    rows = tuple(row.model_copy(update={"p50_ms": row.p50_ms / 2}) for row in own.benchmark)
    faster = own.model_copy(update={"format": format_, "export": "faster", "benchmark": rows})
    assert f"Ship `{shipped}`" in advice([found.model_copy(update={"artifacts": (own, faster)})])
    assert "Ship `faster`" in advice([found.model_copy(update={"artifacts": (faster,)})])
