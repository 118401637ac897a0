"""Warnings stand on the first page, in the summary for machines, and in the advice on what to ship."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from modelferry.comparison.difference import Outputs
from modelferry.comparison.judge import judge_damage
from modelferry.records.summary import SummaryModel
from modelferry.records.validation import DAMAGE
from modelferry.stages.report.collect import Exported, Recorded
from modelferry.stages.report.recommendation import advice
from report_samples import model, rendered, six, summary

CONSTANT = "constant outputs: logits hardly depends on the events"
SYNTHETIC = "no real events: all events are synthetic; name some with `events:`"


def warned(found: SummaryModel, *warnings: str) -> SummaryModel:
    return found.model_copy(update={"warnings": warnings})


def first_page(models: list[SummaryModel]) -> str:
    return rendered(summary(models))["summary.md"]


def test_no_warnings_make_no_section() -> None:
    assert "## Warnings" not in first_page(six())
    assert "But first" not in advice(six())


def test_warnings_are_on_the_first_page_once_for_a_campaign() -> None:
    models = [warned(found, SYNTHETIC, *[CONSTANT] * (number < 2)) for number, found in enumerate(six())]
    text = first_page([*models, warned(model(campaign="other"), CONSTANT)])
    section = text.partition("## Warnings")[2].partition("\n## ")[0]
    assert section.count("no real events") == 1
    assert "(all 6 models)" in section
    assert section.count("constant outputs") == 2  # of two campaigns
    assert models[0].id in section
    assert models[5].id not in section


def test_network_with_constant_outputs_is_not_advised_without_saying_so() -> None:
    text = advice([warned(found, CONSTANT) for found in six()])
    assert text.startswith("Ship `torchscript`")
    assert f"But first: {CONSTANT}." in text


@pytest.mark.parametrize(("beside", "status"), [("exact", "passed"), ("nothing", "failed")])
def test_an_approximation_beyond_its_limits_fails_only_where_it_is_all_there_is(beside: str, status: str) -> None:
    problem = "a score shifts by 0.16 (max_score_shift: 0.1)"

    def exported(name: str, exactness: str, reason: str) -> Any:
        validation = SimpleNamespace(status="failed" if reason else "passed", reason=reason, warnings=())
        manifest = SimpleNamespace(export=name, exactness=exactness, artifact=SimpleNamespace(altered=[]))
        timed = SimpleNamespace(rows=())
        return Exported(manifest, {"onnxruntime": validation}, {"onnxruntime": timed})  # type: ignore[arg-type, dict-item]

    exports = {"quantized": exported("quantized", "approximation", problem)}
    if beside == "exact":
        exports["onnx"] = exported("onnx", "exact", "")
    planned = SimpleNamespace(
        problem="", model=SimpleNamespace(exports=[SimpleNamespace(name=name, format="onnx") for name in exports])
    )
    recorded = Recorded(planned, exports, (), None)  # type: ignore[arg-type]
    found = f"quantized is an approximation beyond its limits: {problem}"
    assert recorded.problems == ([] if status == "passed" else [f"quantized: {problem}"])
    assert recorded.warnings == ((found,) if status == "passed" else ())


def test_damage_is_told_by_the_words_of_the_judge() -> None:
    scores = np.zeros((4, 2))
    sound = Outputs(scores, scores, scores)
    for shift, delta in ((0.2, None), (0.0, 0.2)):
        reason = judge_damage(sound, shift, delta, 0.1, 0.1).reason
        assert reason.startswith(DAMAGE)
